"""Conversion from end to end: every format gives the same rows, an error leaves nothing."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feature_files import (
    arrow,
    assert_holds,
    by_split,
    known_rows,
    label_file,
    mmsa,
    mult,
    mult_mosei,
    parquet,
    pickled,
    table,
    tuples,
)

from hscl.data.convert import convert, from_arrays
from hscl.data.dataset import Dataset
from hscl.data.schema import Utterance
from hscl.errors import InputError

ROWS = known_rows()


def _mult(folder: Path) -> list[str]:
    return [pickled(folder / "a.pkl", mult(ROWS))]


def _mult_behind(folder: Path) -> list[str]:
    return [pickled(folder / "b.pkl", mult(ROWS, side="back", dtype="float64"))]


def _mmsa(folder: Path) -> list[str]:
    return [pickled(folder / "c.pkl", mmsa(ROWS))]


def _mmsa_in_front(folder: Path) -> list[str]:
    return [pickled(folder / "d.pkl", mmsa(ROWS, side="front", dtype="float32"))]


def _mmsa_aligned(folder: Path) -> list[str]:
    return [pickled(folder / "e.pkl", mmsa(ROWS, aligned=True))]


def _folds(folder: Path) -> list[str]:
    parts = by_split(ROWS)
    return [
        f"{name}={pickled(folder / f'{name}_fold.pkl', tuples(parts[name]))}"
        for name in ("test", "train", "valid")
    ]


def _cache_folder(folder: Path) -> list[str]:
    cache = folder / "cache"
    cache.mkdir()
    for name, file in (("train", "train.pkl"), ("valid", "dev.pkl"), ("test", "test.pkl")):
        pickled(cache / file, tuples(by_split(ROWS)[name]))
    return [str(cache)]


def _mag_bert(folder: Path) -> list[str]:
    content = {
        name: [
            ((features[3], features[1], features[2]), label, identity)
            for features, label, identity in tuples(part)
        ]
        for name, part in by_split(ROWS).items()
    }
    content["dev"] = content.pop("valid")
    return [pickled(folder / "m.pkl", content)]


def _parquet(folder: Path) -> list[str]:
    return [parquet(folder / "p.parquet", table(ROWS))]


def _arrow(folder: Path) -> list[str]:
    return [arrow(folder / "p.arrow", table(ROWS))]


FORMATS = [
    _mult, _mult_behind, _mmsa, _mmsa_in_front, _mmsa_aligned, _folds, _cache_folder, _mag_bert,
    _parquet, _arrow,
]  # fmt: skip


@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__.strip("_"))
def test_every_format_gives_the_same_rows_and_digest(tmp_path: Path, make: Any) -> None:
    sources = make(tmp_path)
    out = tmp_path / "out.arrow"
    text = label_file(tmp_path / "labels.csv", ROWS) if make in {_mult, _mult_behind} else None

    report = convert(sources, out, text=text, text_vectors=False)

    assert_holds(out, ROWS)
    expected = from_arrays(tmp_path / "expected.arrow", _columns(ROWS))
    assert report.digest == expected.digest == Dataset.open(out).digest


def _columns(rows: list[Utterance]) -> dict[str, Any]:
    names = ("video", "utterance", "split", "label", "text", "audio", "vision")
    return {name: [getattr(row, name) for row in rows] for name in names}


def test_a_converted_file_converts_to_itself(tmp_path: Path) -> None:
    first = convert(_mmsa(tmp_path), tmp_path / "first.arrow")
    again = convert([str(tmp_path / "first.arrow")], tmp_path / "again.arrow")
    assert again.digest == first.digest


def test_mosei_of_mult_gets_its_words_by_start_time(tmp_path: Path) -> None:
    source = pickled(tmp_path / "mosei.pkl", mult_mosei(ROWS))

    convert([source], tmp_path / "out.arrow", text=label_file(tmp_path / "labels.csv", ROWS))

    assert_holds(tmp_path / "out.arrow", ROWS)


def test_recorded_lengths_are_believed_on_request_alone(tmp_path: Path) -> None:
    content = mmsa(ROWS)
    content["train"]["audio_lengths"][0] = 2
    source = pickled(tmp_path / "x.pkl", content)

    believed = convert([source], tmp_path / "recorded.arrow", lengths="recorded")
    told = convert([source], tmp_path / "content.arrow")

    assert ROWS[0].audio is not None
    assert_holds(tmp_path / "content.arrow", ROWS)
    assert_holds(
        tmp_path / "recorded.arrow", [replace(ROWS[0], audio=ROWS[0].audio[:2]), *ROWS[1:]]
    )
    assert believed.beyond["audio"] == told.beyond["audio"] == 1
    assert Dataset.open(tmp_path / "recorded.arrow").metadata["lengths"] == "recorded"


def test_an_ambiguous_side_asks_and_the_answer_is_taken(tmp_path: Path) -> None:
    content = mult(ROWS)
    content["test"] = mult(ROWS, side="back")["test"]
    source = pickled(tmp_path / "x.pkl", content)

    with pytest.raises(InputError, match=r"field 'audio'.*--padding front or back"):
        convert([source], tmp_path / "out.arrow")
    report = convert([source], tmp_path / "out.arrow", padding="front")

    assert report.padding == {"x.pkl": {"audio": "front", "vision": "front"}}


def test_infinity_and_nan_become_zero_after_lengths_are_found(tmp_path: Path) -> None:
    content = mult(ROWS)
    first = content["train"]["audio"][0]
    real = int((first != 0).any(axis=1).argmax())
    first[real] = -np.inf
    first[-1] = [np.nan, np.inf, 1.0]
    source = pickled(tmp_path / "x.pkl", content)

    report = convert([source], tmp_path / "out.arrow")

    frames = next(Dataset.open(tmp_path / "out.arrow").all_rows()).audio
    assert frames is not None
    assert len(frames) == len(first) - real
    assert frames[0].tolist() == [0, 0, 0]
    assert frames[-1].tolist() == [0, 0, 1]
    assert report.replaced == {"audio": 5}


def test_the_huge_numbers_of_older_caches_become_zero(tmp_path: Path) -> None:
    fold = tuples(ROWS)
    for index, value in enumerate((np.finfo(np.float64).min, np.finfo(np.float32).max)):
        fold[index][0][2][0, 1] = value
    source = pickled(tmp_path / "x.pkl", fold)

    report = convert([f"train={source}"], tmp_path / "out.arrow")

    assert report.replaced == {"audio": 2}


def test_missing_modalities_are_null_and_counted(tmp_path: Path) -> None:
    rows = [
        replace(row, audio=None if k % 7 == 0 else row.audio, vision=None)
        for k, row in enumerate(ROWS)
    ]
    columns = _columns(rows)
    columns["audio"][7] = np.zeros((5, 3))  # nothing but zeros is nothing

    report = from_arrays(tmp_path / "out.arrow", columns)

    assert_holds(tmp_path / "out.arrow", rows)
    assert report.missing == {"text": 0, "audio": 9, "vision": 60}
    assert report.zeroed == {"audio": 1}
    assert report.vision_width is None
    assert "vision" not in Dataset.open(tmp_path / "out.arrow").table.column_names


def test_the_real_files_give_the_same_values_for_the_same_utterances(
    tmp_path: Path, shared: Path
) -> None:
    folder = shared / "data" / "mosi"
    padded = convert(
        [str(folder / "mosi_data_noalign_10videos.pkl")],
        tmp_path / "padded.arrow",
        text=folder / "MOSI-label.csv",
    )
    convert([f"valid={folder / 'mosi_valid_fold_tuples.pkl'}"], tmp_path / "fold.arrow")

    one, other = (
        {(row.video, row.utterance): row for row in Dataset.open(tmp_path / name).all_rows()}
        for name in ("padded.arrow", "fold.arrow")
    )

    assert padded.splits == {"train": 138, "valid": 49, "test": 42}
    assert len(padded.other_split) == 138 + 42
    assert padded.padding == {
        "mosi_data_noalign_10videos.pkl": {"audio": "front", "vision": "front"}
    }
    assert one.keys() == other.keys()
    interior = 0
    for name, row in one.items():
        assert np.array_equal(row.audio, other[name].audio)  # type: ignore[arg-type]
        assert np.array_equal(row.vision, other[name].vision)  # type: ignore[arg-type]
        assert (row.label, row.text) == (other[name].label, other[name].text)
        interior += not row.vision.any(axis=1).all()  # type: ignore[union-attr]
    assert interior == 17


def test_pooled_audio_of_all_of_mosi_is_joined_with_words_and_labels(
    tmp_path: Path, shared: Path
) -> None:
    folder = shared / "data" / "mosi"
    with np.load(folder / "mosi_covarep_pooled.npz") as arrays:
        columns = {"id": arrays["id"], "split": arrays["split"], "audio": arrays["covarep"]}

    report = from_arrays(tmp_path / "mosi.arrow", columns, text=folder / "MOSI-label.csv")

    assert report.splits == {"train": 1284, "valid": 229, "test": 686}
    assert report.filled == {"words": 2199, "labels": 2199}
    assert report.other_split == []
    frames = Dataset.open(tmp_path / "mosi.arrow").frames("audio")
    assert frames is not None
    assert frames.lengths.tolist() == [1] * 2199
    assert np.array_equal(frames.values, columns["audio"])


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    out = tmp_path / "out.arrow"
    out.write_text("precious")

    with pytest.raises(InputError, match="must not exist yet"):
        convert(_mmsa(tmp_path), out)
    assert out.read_text() == "precious"

    convert(_mmsa(tmp_path), out, overwrite=True)
    assert_holds(out, ROWS)


def test_an_utterance_that_is_there_twice_is_named_with_both_places(tmp_path: Path) -> None:
    content = mmsa(ROWS)
    content["test"]["id"][2] = content["train"]["id"][1]
    source = pickled(tmp_path / "x.pkl", content)

    with pytest.raises(InputError, match=r"split 'train' and .*split 'test'.*video demo_00, utt"):
        convert([source], tmp_path / "out.arrow")

    assert not (tmp_path / "out.arrow").exists()


def test_an_error_in_the_last_row_leaves_nothing_behind(tmp_path: Path) -> None:
    columns = _columns(ROWS)
    columns["audio"][-1] = np.ones((4, 9))

    with pytest.raises(InputError, match=r"field 'audio', video demo_29, utterance 2: must be 3"):
        from_arrays(tmp_path / "out.arrow", columns)

    assert list(tmp_path.iterdir()) == []


def test_metadata_names_no_path_and_keeps_what_was_counted(tmp_path: Path) -> None:
    out = tmp_path / "out.arrow"
    convert(_mult(tmp_path), out)

    metadata = Dataset.open(out).metadata

    assert str(tmp_path) not in str(metadata)
    assert metadata["source"] == "a.pkl"
    assert metadata["without_words"] == 60
    assert metadata["padding"] == {"a.pkl": {"audio": "front", "vision": "front"}}


def test_the_report_says_in_words_what_happened(tmp_path: Path) -> None:
    rows = [replace(ROWS[0], split="valid"), *ROWS[1:40]]
    text = label_file(tmp_path / "labels.csv", rows)

    report = convert(_mult(tmp_path), tmp_path / "out.arrow", text=text)

    said = "\n".join(report.lines())
    assert "60 utterances (train 32, valid 12, test 16); audio 3 wide, vision 4 wide, " in said
    assert "text vectors 8 wide." in said
    assert "a.pkl: padding of audio front, vision front." in said
    assert "40 got words from the label file." in said
    assert "20 without words, such as video demo_20, utterance 1; " in said
    assert said.count("demo_2") <= 2  # two examples; the count says the rest
    assert "1 have another split in the label file" in said


def test_large_parquet_files_are_not_held_in_memory(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=1500 * 200 * 40).astype(np.float32)
    frames = pa.FixedSizeListArray.from_arrays(pa.array(numbers), 40)
    large = pa.table(
        {
            "video": [f"v{k}" for k in range(1500)],
            "utterance": ["1"] * 1500,
            "audio": pa.FixedSizeListArray.from_arrays(frames, 200),
        }
    )
    source = parquet(tmp_path / "large.parquet", large)
    program = (
        "import sys, pyarrow; from hscl.data.convert import convert; "
        "convert(sys.argv[1:2], sys.argv[2]); print(pyarrow.default_memory_pool().max_memory())"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program, source, str(tmp_path / "out.arrow")],
        check=True,
        capture_output=True,
        text=True,
    )

    assert int(ran.stdout) < large["audio"].nbytes / 4


def test_a_files_own_text_vectors_are_kept_and_read_again(tmp_path: Path) -> None:
    content = mult(ROWS)
    for fields in content.values():
        fields["text"] = np.zeros((len(fields["id"]), 9, 5), np.float32)
        for row, vectors in enumerate(fields["text"]):
            vectors[row % 9 :] = row + 1.5
    source = pickled(tmp_path / "a.pkl", content)
    report = convert([source], tmp_path / "out.arrow")
    dataset = Dataset.open(tmp_path / "out.arrow")
    assert (report.text_width, dataset.text_width) == (5, 5)
    assert report.missing["text_vectors"] == 0
    train = [row for row in dataset.all_rows() if row.split == "train"]
    for number, utterance in enumerate(train):
        assert utterance.text_vectors is not None
        assert utterance.text_vectors.tolist() == [[number + 1.5] * 5] * (9 - number % 9)
    again = convert([str(tmp_path / "out.arrow")], tmp_path / "again.arrow")
    assert again.digest == report.digest == dataset.digest
    without = convert([source], tmp_path / "without.arrow", text_vectors=False)
    assert without.digest != report.digest
    assert Dataset.open(tmp_path / "without.arrow").metadata["schema_version"] == 1
    bare = convert([str(tmp_path / "out.arrow")], tmp_path / "bare.arrow", text_vectors=False)
    assert (bare.text_width, bare.digest) == (None, without.digest)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"lengths": "recorded"}, "--lengths recorded must come with padded audio or vision"),
        ({"padding": "back"}, "--padding back must come with padded"),
    ],
)
def test_what_is_asked_of_padded_files_is_refused_where_there_is_none(
    tmp_path: Path, option: Any, message: str
) -> None:
    parts = by_split(ROWS)
    train = f"train={pickled(tmp_path / 'train.pkl', tuples(parts['train']))}"
    valid = f"valid={parquet(tmp_path / 'valid.parquet', table(parts['valid']))}"
    test = f"test={pickled(tmp_path / 'test.pkl', mmsa(ROWS, dtype='float32')['test'])}"
    with pytest.raises(InputError, match=message):
        convert([train, valid], tmp_path / "out.arrow", **option)
    assert not (tmp_path / "out.arrow").exists()
    assert convert([train, valid, test], tmp_path / "out.arrow", **option).utterances == len(ROWS)


@pytest.mark.parametrize("layout", ["padded", "folds"])
def test_one_part_given_for_all_splits_is_said(tmp_path: Path, layout: str) -> None:
    part = mmsa(ROWS)["train"]
    sources = [pickled(tmp_path / "x.pkl", {"train": part, "valid": part, "test": part})]
    if layout == "folds":
        fold = pickled(tmp_path / "x.pkl", tuples(ROWS[:9]))
        sources = [f"train={fold}", f"valid={fold}"]
    with pytest.raises(InputError, match=r"hold the same \d+: one part was given for each"):
        convert(sources, tmp_path / "out.arrow")


def test_a_set_of_ch_sims_keeps_its_range(tmp_path: Path) -> None:
    rows = [replace(row, label=(k % 11 - 5) / 5, text="我很喜欢") for k, row in enumerate(ROWS)]
    content = mmsa(rows)
    for fields in content.values():
        for letter in "TAV":
            fields[f"regression_labels_{letter}"] = fields["regression_labels"]
    out = tmp_path / "out.arrow"
    report = convert([pickled(tmp_path / "sims.pkl", content)], out)
    assert report.label_range == Dataset.open(out).label_range == 1.0
    assert any("as CH-SIMS's" in line for line in report.lines())
    assert convert([str(out)], tmp_path / "again.arrow").label_range == 1.0
    assert convert([str(out)], tmp_path / "wide.arrow", label_range=3.0).label_range == 3.0


@pytest.mark.parametrize(
    ("chosen", "text", "label"), [(1.0, "I like it", 0.33), (3.0, "我很喜欢", 0.2)]
)
def test_a_range_that_was_chosen_stays_when_the_file_is_converted_again(
    tmp_path: Path, chosen: float, text: str, label: float
) -> None:
    count = len(ROWS)
    columns = {
        "video": [row.video for row in ROWS],
        "utterance": [row.utterance for row in ROWS],
        "label": [label * (-1) ** k for k in range(count)],
        "text": [text] * count,
    }
    out = tmp_path / "out.arrow"
    from_arrays(out, columns, label_range=chosen)
    again = convert([str(out)], tmp_path / "again.arrow")
    assert again.label_range == chosen
    assert again.remarks == []
    other = 4.0 - chosen
    assert convert([str(out)], tmp_path / "b.arrow", label_range=other).label_range == other
