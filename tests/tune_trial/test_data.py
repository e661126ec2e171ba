"""Data that can't serve a study are refused before anything starts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import study

from hscl.data.convert import from_arrays
from hscl.data.dataset import Dataset
from hscl.data.demo import demo_utterances, write_demo
from hscl.data.schema import Utterance
from hscl.encoders import resolve_encoder
from hscl.errors import DataChangedError, InputError
from hscl.training import execution
from tune.study.toml import parse_spec
from tune.tables.storage import open_folder
from tune.trial.data import HsclData, local_copy, open_verified, verified_digest


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "demo.arrow"
    write_demo(path, utterances=60)
    return path


def test_a_sound_set_serves_and_tells_its_digest(demo: Path) -> None:
    data = HsclData(str(demo))
    data.check(study())
    assert data.digest == Dataset.open(demo).digest
    lengths = data.test_lengths(study())
    assert lengths is not None
    assert len(lengths) == 8
    assert sum(lengths) == Dataset.open(demo).split_sizes()["test"]
    assert data.test_lengths(study(confirm={"seeds": 0})) is None
    assert data.unit == "video"


def test_where_speakers_are_named_they_are_counted_and_a_video_without_one_is_its_own(
    tmp_path: Path,
) -> None:
    videos = ["a", "b", "b", "c", "d", "d"]
    columns = {
        "id": [f"{video}[{n}]" for n, video in enumerate(videos)],
        "split": ["train", *["test"] * 5],
        "label": [0.0] * 6,
        "text": [f"word {n}" for n in range(6)],
        "speaker": ["Ann", "Ann", "Ann", "Ann", None, None],
    }
    from_arrays(tmp_path / "x.arrow", columns)
    data = HsclData(str(tmp_path / "x.arrow"))
    assert data.unit == "speaker"
    assert data.test_lengths(study()) == (3, 2)
    told = "1 of test's 1 named speakers are in train or valid too: Ann"
    assert data.shared_speakers(study()) == told
    assert data.shared_speakers(study(confirm={"seeds": 0})) == ""


def test_where_the_precision_is_left_open_a_study_has_that_of_its_default_here(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = HsclData(str(demo))
    for has_it, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(execution, "cpu_has_bf16", lambda has_it=has_it: has_it)
        assert data.cpu_precision(study()) == expected
        assert data.cpu_precision(study(base={"model.text.finetune": False})) == "fp32"


def test_configurations_with_the_same_encoder_share_what_is_prepared(demo: Path) -> None:
    data = HsclData(str(demo))
    base = study().base
    assert data.key(base) == data.key(base.with_overrides({"loss.temperature": 0.07}))
    assert data.key(base) != data.key(base.with_overrides({"model.text.finetune": False}))
    prepared = data.prepare(base)
    assert prepared.digest == data.digest
    assert prepared.train.name == "train"


def test_heads_that_do_not_divide_the_width_are_refused_wherever_they_are_named(
    demo: Path,
) -> None:
    data = HsclData(str(demo))
    bad = [
        study(base={"model.fusion.heads": 7}),
        study(space={"model.fusion.heads": {"choice": [12, 7]}}),
        study(known=[{"name": "seven", "model.fusion.heads": 7}]),
    ]
    for spec in bad:
        with pytest.raises(InputError, match="heads"):
            data.check(spec)


MULT: dict[str, Any] = {"preset": "mosi-mult", "model.text.encoder": "minilm", "train.epochs": 4}


def test_a_searched_width_is_built_with_what_its_condition_makes_active(demo: Path) -> None:
    heads = {"choice": [6], "when": {"model.mult.width": 36}}
    space = {"model.mult.width": {"choice": [50, 36]}, "model.mult.heads": heads}
    HsclData(str(demo)).check(parse_spec({"base": MULT, "space": space}))
    with pytest.raises(InputError, match=r"heads must divide .*\(36\), but got 10"):
        HsclData(str(demo)).check(
            parse_spec(
                {"base": MULT, "space": space | {"model.mult.heads": heads | {"choice": [10]}}}
            )
        )


def test_a_searched_value_is_built_with_all_that_its_conditions_ask_for(demo: Path) -> None:
    space = {
        "model.kind": {"choice": ["hscl", "mult"]},
        "model.mult.width": {"choice": [30, 50], "when": {"model.kind": "mult"}},
        "model.mult.heads": {"choice": [7], "when": {"model.mult.width": 30}},
    }
    with pytest.raises(InputError, match=r"heads must divide .*\(30\), but got 7"):
        HsclData(str(demo)).check(parse_spec({"space": space}))


def test_the_networks_of_a_branch_are_built_on_its_own_default(demo: Path) -> None:
    width = {"choice": [30, 36], "when": {"model.kind": "mult"}}
    tree = {
        "space": {"model.kind": {"choice": ["hscl", "mult"]}, "model.mult.width": width},
        "known": [{"name": "six heads", "preset": "mosei-mult"}],
        "sampler": {"kind": "random", "per": "model.kind"},
    }
    HsclData(str(demo)).check(parse_spec(tree))


@pytest.mark.parametrize(
    ("sampler", "space", "known", "expected"),
    [
        ("list", {}, True, r"\[\[known\]\] \(mine\): is the same configuration as the default"),
        ("random", {"loss.alpha": {"uniform": [0.1, 1.0]}}, True, r"\(mine\): is the same"),
        ("grid", {"loss.alpha": {"choice": [0.1, 0.2]}}, False, r"\[space\] .*as the default"),
    ],
)
def test_two_names_of_one_encoder_are_one_configuration(
    demo: Path, sampler: str, space: dict[str, Any], expected: str, *, known: bool
) -> None:
    where = resolve_encoder("minilm").location
    tree: dict[str, Any] = {"sampler": {"kind": sampler}, "space": dict(space)}
    if known:
        tree["known"] = [{"name": "mine", "model.text.encoder": where}]
    else:
        tree["space"]["model.text.encoder"] = {"choice": ["minilm", where]}
    with pytest.raises(InputError, match=expected):
        HsclData(str(demo)).check(parse_spec(tree))


def rewritten(path: Path, change: Any) -> HsclData:
    """The demo with each utterance changed or left out."""
    kept = [new for row in demo_utterances(utterances=60) if (new := change(row)) is not None]
    names = [name for name in vars(kept[0]) if any(vars(row)[name] is not None for row in kept)]
    from_arrays(path, {name: [vars(row)[name] for row in kept] for name in names})
    return HsclData(str(path))


def test_a_missing_split_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    def no_test(row: Utterance) -> Utterance | None:
        return None if row.split == "test" else row

    data = rewritten(tmp_path / "a.arrow", no_test)
    with pytest.raises(InputError, match=r"must have a split 'test', as confirm ends on it; its "):
        data.check(study())
    data.check(study(confirm={"seeds": 0}))


def test_missing_labels_of_test_are_counted_without_reading_the_others(
    tmp_path: Path,
) -> None:
    def unlabelled(row: Utterance) -> Utterance:
        fields = vars(row) | {"label": None if row.split == "test" else row.label}
        return Utterance(**fields)

    data = rewritten(tmp_path / "a.arrow", unlabelled)
    with pytest.raises(InputError, match=r"every test utterance .* but 1[0-9] have none"):
        data.check(study())


def test_a_modality_that_the_data_lack_is_refused(tmp_path: Path) -> None:
    def deaf(row: Utterance) -> Utterance:
        return Utterance(**(vars(row) | {"audio": None}))

    data = rewritten(tmp_path / "a.arrow", deaf)
    with pytest.raises(InputError, match="audio"):
        data.check(study())
    data.check(study(base={"model.modalities": "text+vision"}))


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(InputError, match="must be a data set of hscl"):
        HsclData(str(tmp_path / "a.npy"))


def test_a_path_is_itself() -> None:
    assert local_copy("data/mosi.arrow") == Path("data/mosi.arrow")


def test_an_object_is_copied_once_and_again_when_it_changes(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    folder = open_folder(bucket)
    folder.write("mosi.arrow", b"one")
    copy = local_copy(f"{bucket}/mosi.arrow")
    assert copy.read_bytes() == b"one"
    inode = copy.stat().st_ino
    assert local_copy(f"{bucket}/mosi.arrow").stat().st_ino == inode
    folder.write("mosi.arrow", b"three")
    assert local_copy(f"{bucket}/mosi.arrow").read_bytes() == b"three"
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.startswith(".")]


def test_a_missing_object_is_named(bucket: str) -> None:
    with pytest.raises(InputError, match=r"nothing\.arrow must be a data set's file"):
        local_copy(f"{bucket}/nothing.arrow")


def test_a_metric_that_valid_lacks_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo.arrow", utterances=60)
    columns = Dataset.open(tmp_path / "demo.arrow").table.to_pydict()
    labels = zip(columns["split"], columns["label"], strict=True)
    columns["label"] = [0.4 if split == "valid" else label for split, label in labels]
    from_arrays(tmp_path / "constant.arrow", columns)
    data = HsclData(str(tmp_path / "constant.arrow"))
    data.check(study())
    with pytest.raises(InputError, match=r"study\.metric must exist on valid .* corr does not"):
        data.check(study(study={"metric": "corr"}))


def test_a_set_without_text_vectors_serves_no_study_of_them(demo: Path) -> None:
    own = {"model.text.encoder": "file", "model.text.finetune": False}
    with pytest.raises(InputError, match=r'is "file", but .* has no text vectors of its own'):
        HsclData(str(demo)).check(study(base=own))


def test_every_word_and_number_of_a_file_is_under_its_digest(demo: Path, tmp_path: Path) -> None:
    whole = demo.read_bytes()
    digest = Dataset.open(demo).digest
    file = tmp_path / "copy.arrow"
    table = Dataset.open(demo).table
    # Negated labels, another word, another split, one bit of one frame.
    label = np.float64(table["label"][3].as_py()).tobytes()
    word = table["text"][0].as_py().encode()
    frame = table["audio"].chunk(0).values.flatten().to_numpy()[40:44].tobytes()
    changes = [
        (label, (-np.frombuffer(label)).tobytes()),
        (word, word[:-1] + b"#"),
        (b"traintrain", b"validtrain"),
        (frame, bytes([frame[0] ^ 1]) + frame[1:]),
    ]
    for old, new in changes:
        assert old in whole
        file.write_bytes(whole.replace(old, new, 1))
        assert Dataset.open(file).digest == digest, "the file still says so of itself"
        for read in (open_verified, verified_digest, HsclData):
            with pytest.raises(DataChangedError, match="they were changed since") as caught:
                read(str(file))
            assert digest[:12] in str(caught.value)
    file.write_bytes(whole)
    assert verified_digest(str(file)) == open_verified(str(file)).digest == digest
