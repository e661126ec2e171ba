"""Systematic damage to every format: each variant ends in exit code 2 and one clear message.

Every mutation is applied to several formats with several seeds, which choose the split, the
utterance and the value. The message must name the field and, where the damage sits in one
utterance, that utterance; nothing may be written, and no pickle may run code.
"""

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feature_files import (
    arrow,
    by_split,
    known_rows,
    label_file,
    mmsa,
    mult,
    parquet,
    pickled,
    table,
    tuples,
)

from hscl.cli.main import main
from hscl.data.schema import Utterance

ROWS = known_rows()
PARTS = by_split(ROWS)
BAD_LABELS = [np.nan, np.inf, -np.inf, 3.01, -7.0, 1e30]


@dataclass(frozen=True)
class Spot:
    """Where a mutation strikes: one utterance of one split, and the choices of a seed."""

    split: str
    index: int
    random: np.random.Generator

    @property
    def row(self) -> Utterance:
        return PARTS[self.split][self.index]

    @property
    def position(self) -> int:
        """In a file of all splits."""
        return ROWS.index(self.row)

    def choice(self, values: list[Any]) -> Any:
        return values[int(self.random.integers(len(values)))]


# What a mutation does to a content, and what the message must name.
Mutation = tuple[Callable[[Any, Spot], None], str, bool]


def _drop(field: str) -> Callable[[Any, Spot], None]:
    return lambda content, spot: content[spot.split].pop(field)


def _shorten(field: str) -> Callable[[Any, Spot], None]:
    def apply(content: Any, spot: Spot) -> None:
        content[spot.split][field] = content[spot.split][field][:-1]

    return apply


def _replace(field: str, change: Callable[[Any, Spot], Any]) -> Callable[[Any, Spot], None]:
    def apply(content: Any, spot: Spot) -> None:
        content[spot.split][field] = change(content[spot.split][field], spot)

    return apply


def _with_item(values: Any, index: int, value: Any) -> list[Any]:
    items = list(values)
    items[index] = value
    return items


def _bad_shape(values: Any, spot: Spot) -> Any:
    return spot.choice(
        [values[:, :, 0], values[..., None], values[0], values[:, :, :0], "none", 7]
    )


def _bad_type(values: Any, spot: Spot) -> Any:
    return values.astype(spot.choice(["U3", "S2", "bool", object]))


def _wider(values: Any, spot: Spot) -> Any:
    return np.concatenate([values, values[:, :, : spot.choice([1, 2])]], axis=2)


def _both_ends(content: Any, spot: Spot) -> None:
    for fields in content.values():
        audio = np.ones_like(fields["audio"])
        margin = spot.choice([5, 9, 20])
        audio[:, :margin] = audio[:, -margin:] = 0
        fields["audio"] = audio


def _id_twice(content: Any, spot: Spot) -> None:
    other = spot.choice([name for name in PARTS if name != spot.split])
    ids = list(content[spot.split]["id"])
    ids[spot.index] = content[other]["id"][0]
    content[spot.split]["id"] = ids


def _hostile(content: Any, spot: Spot) -> None:
    content[spot.split][spot.choice(["note", "audio", "id"])] = _Hostile(Path("was-run"))


class _Hostile:
    """Writes a file when it is unpickled by a reader that runs code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


def _label(field: str) -> Mutation:
    def change(values: Any, spot: Spot) -> Any:
        values = np.array(values, np.float64)
        values.reshape(len(values), -1)[spot.index, 0] = spot.choice(BAD_LABELS)
        return values

    return _replace(field, change), field, True


PADDED: dict[str, Mutation] = {
    "no ids": (_drop("id"), "no known layout", False),
    "audio in one split missing": (_drop("audio"), "audio", False),
    "vision in one split missing": (_drop("vision"), "vision", False),
    "audio shape": (_replace("audio", _bad_shape), "audio", False),
    "vision shape": (_replace("vision", _bad_shape), "vision", False),
    "audio type": (_replace("audio", _bad_type), "audio", False),
    "audio width": (_replace("audio", _wider), "audio", False),
    "vision width": (_replace("vision", _wider), "vision", False),
    "audio short": (_shorten("audio"), "audio", False),
    "vision short": (_shorten("vision"), "vision", False),
    "ids short": (_shorten("id"), "id|labels|regression_labels", False),
    "padding on both ends": (_both_ends, "audio", False),
    "id twice": (_id_twice, "id", False),
    "id without clip": (
        _replace(
            "id", lambda ids, spot: _with_item(ids, spot.index, spot.choice(["", "v", "_3"]))
        ),
        "id",
        True,
    ),
    "id a number": (
        _replace("id", lambda ids, spot: _with_item(ids, spot.index, spot.choice([3, 2.5, None]))),
        "id",
        True,
    ),
    "hostile": (_hostile, "only plain containers", False),
}
MULT: dict[str, Mutation] = {
    "label": _label("labels"),
    "labels short": (_shorten("labels"), "labels", False),
    "labels of six columns": (
        _replace("labels", lambda values, spot: np.repeat(values, 6, axis=2)),
        "labels",
        False,
    ),
    "labels as text": (_replace("labels", lambda v, spot: v.astype("U9")), "labels", True),
}
MMSA: dict[str, Mutation] = {
    "label": _label("regression_labels"),
    "labels short": (_shorten("regression_labels"), "regression_labels", False),
    "label a word": (
        _replace(
            "regression_labels",
            lambda v, spot: _with_item(v, spot.index, spot.choice(["good", None, [1.0, 2.0]])),
        ),
        "regression_labels",
        True,
    ),
    "words short": (_shorten("raw_text"), "raw_text", False),
    "words a number": (
        _replace("raw_text", lambda v, spot: _with_item(v, spot.index, spot.choice([5, 2.5]))),
        "raw_text",
        True,
    ),
    "length": (
        _replace(
            "audio_lengths",
            lambda v, spot: _with_item(v, spot.index, spot.choice([-1, 65, 2.5, np.nan, 10**9])),
        ),
        "audio_lengths",
        True,
    ),
    "lengths short": (_shorten("vision_lengths"), "vision_lengths", False),
    "lengths as words": (
        _replace("vision_lengths", lambda v, spot: spot.choice([7, "5", ["5"] * len(v)])),
        "vision_lengths",
        False,
    ),
}


def _item(change: Callable[[Any, Spot], Any]) -> Callable[[Any, Spot], None]:
    def apply(folds: Any, spot: Spot) -> None:
        fold = folds[spot.split]
        fold[spot.index] = change(fold[spot.index], spot)

    return apply


def _feature(position: int, change: Callable[[Any, Spot], Any]) -> Callable[[Any, Spot], None]:
    def apply(item: Any, spot: Spot) -> Any:
        features = list(item[0])
        features[position] = change(features[position], spot)
        return (tuple(features), *item[1:])

    return _item(apply)


def _tuple_id_twice(folds: Any, spot: Spot) -> None:
    other = spot.choice([name for name in PARTS if name != spot.split])
    features, label, _ = folds[spot.split][spot.index]
    folds[spot.split][spot.index] = (features, label, folds[other][0][2])


TUPLES: dict[str, Mutation] = {
    "no tuple": (_item(lambda item, spot: spot.choice([None, 3, "x", item[:2]])), "tuple", True),
    "features short": (_item(lambda item, spot: (item[0][:2], *item[1:])), "features", True),
    "vision shape": (
        _feature(1, lambda v, spot: spot.choice([v[0], v[None], 5, "v"])), "vision", True,
    ),
    "audio type": (_feature(2, lambda v, spot: v.astype(spot.choice(["U3", "?"]))), "audio", True),
    "audio width": (_feature(2, lambda v, spot: np.hstack([v, v])), "audio", True),
    "vision length": (_feature(4, lambda n, spot: n + spot.choice([-1, 1])), "vision len", True),
    "audio length": (_feature(5, lambda n, spot: n + spot.choice([-1, 9])), "audio length", True),
    "label": (
        _item(lambda i, spot: (i[0], np.array([[spot.choice(BAD_LABELS)]]), i[2])), "label", True,
    ),
    "label a word": (
        _item(lambda i, spot: (i[0], spot.choice(["1", None, np.ones(3)]), i[2])), "label", True,
    ),
    "id": (_item(lambda i, spot: (*i[:2], spot.choice(["v", "", 5, None, "v_x"]))), "id", True),
    "id twice": (_tuple_id_twice, "id", False),
    "empty": (lambda folds, spot: folds.__setitem__(spot.split, []), "at least one utter", False),
    "hostile": (_item(lambda item, spot: _Hostile(Path("was-run"))), "only plain conta", False),
}  # fmt: skip


def _cell(column: str, values: list[Any]) -> Callable[[Any, Spot], None]:
    def apply(columns: Any, spot: Spot) -> None:
        columns[column] = _with_item(columns[column], spot.position, spot.choice(values))

    return apply


def _column_of(column: str, value: Any) -> Callable[[Any, Spot], None]:
    return lambda columns, spot: columns.__setitem__(column, [value] * len(ROWS))


def _name_twice(columns: Any, spot: Spot) -> None:
    other = (spot.position + spot.choice([1, 7, 20])) % len(ROWS)
    for name in ("video", "utterance"):
        columns[name][spot.position] = columns[name][other]


def _clear(columns: Any, spot: Spot) -> None:
    for values in columns.values():
        values.clear()


def _drop_name(columns: Any, spot: Spot) -> None:
    columns.pop(spot.choice(["video", "utterance"]))


COLUMNS: dict[str, Mutation] = {
    "no names": (_drop_name, "video", False),
    "unknown column": (_column_of("labels", 0.0), "labels", False),
    "name null": (_cell("utterance", [None, " "]), "utterance", True),
    "name twice": (_name_twice, "id", False),
    "label": (_cell("label", BAD_LABELS), "label", True),
    "labels as words": (_column_of("label", "good"), "label", True),
    "split": (_cell("split", ["dve", "", "Train"]), "split", True),
    "text a number": (_column_of("text", 5), "text", True),
    "audio of words": (_column_of("audio", [["a"]]), "audio", False),
    "audio of numbers": (_column_of("audio", 1.0), "audio", False),
    "audio ragged": (_cell("audio", [[[1.0], [1.0, 2.0]], [[1.0] * 3, []]]), "audio", True),
    "vision width": (_cell("vision", [[[1.0] * 5], [[1.0] * 3] * 9]), "vision", True),
    "no rows": (_clear, "at least one", False),
}  # fmt: skip


def _line(change: Callable[[str, Spot], str]) -> Callable[[Any, Spot], None]:
    def apply(lines: Any, spot: Spot) -> None:
        lines[spot.position + 1] = change(lines[spot.position + 1], spot)

    return apply


def _rename_column(lines: Any, spot: Spot) -> None:
    lines[0] = lines[0].replace(spot.choice(["video_id", "text"]), "x")


def _bad_label(line: str, spot: Spot) -> str:
    return re.sub(r",[^,]*,Neutral", f",{spot.choice(BAD_LABELS)},Neutral", line)


def _worded_label(line: str, spot: Spot) -> str:
    return re.sub(r",[^,]*,Neutral", ",good,Neutral", line)


def _cut_line(line: str, spot: Spot) -> str:
    return line.rsplit(",", spot.choice([1, 2]))[0]


LABEL_FILE: dict[str, Mutation] = {
    "column missing": (_rename_column, "video_id|text", False),
    "short line": (_line(_cut_line), "line", False),
    "long line": (_line(lambda line, spot: line + ",more"), "line", False),
    "twice": (lambda lines, spot: lines.append(lines[spot.position + 1]), "twice", True),
    "label": (_line(_bad_label), "label", True),
    "label a word": (_line(_worded_label), "label", False),
    "mode": (_line(lambda line, spot: line + spot.choice(["s", " x"])), "mode", False),
    "open quote": (_line(lambda line, spot: line.replace('",', ",", 1)), "CSV", False),
    "no clip": (_line(lambda line, spot: re.sub(r",\d+,", ",,", line, count=1)), "clip_id", False),
    "only the head": (lambda lines, spot: lines.__delitem__(slice(1, None)), "at least", False),
}


def _write_padded(folder: Path, content: Any) -> list[str]:
    return [pickled(folder / "x.pkl", content)]


def _write_folds(folder: Path, folds: Any) -> list[str]:
    return [f"{name}={pickled(folder / f'{name}.pkl', fold)}" for name, fold in folds.items()]


def _write_parquet(folder: Path, columns: Any) -> list[str]:
    return [parquet(folder / "x.parquet", pa.table(columns))]


def _write_arrow(folder: Path, columns: Any) -> list[str]:
    return [arrow(folder / "x.arrow", pa.table(columns))]


def _write_labels(folder: Path, lines: Any) -> list[str]:
    file = folder / "labels.csv"
    file.write_text("\n".join(lines) + "\n")
    return [pickled(folder / "x.pkl", mult(ROWS)), "--text", str(file)]


def _label_lines() -> list[str]:
    path = Path("labels.csv")
    return label_file(path, ROWS).read_text().splitlines()


# For each format: how its content is made and written, and its mutations.
FORMATS: dict[str, tuple[Callable[[], Any], Callable[[Path, Any], list[str]], dict[str, Mutation]]]
FORMATS = {
    "mult": (lambda: mult(ROWS), _write_padded, PADDED | MULT),
    "mmsa": (lambda: mmsa(ROWS), _write_padded, PADDED | MMSA),
    "tuples": (lambda: {n: tuples(part) for n, part in PARTS.items()}, _write_folds, TUPLES),
    "parquet": (lambda: table(ROWS).to_pydict(), _write_parquet, COLUMNS),
    "arrow": (lambda: table(ROWS).to_pydict(), _write_arrow, COLUMNS),
    "labels": (_label_lines, _write_labels, LABEL_FILE),
}
SEEDS = 3
VARIANTS = [
    (kind, name, seed)
    for kind, (_, _, mutations) in FORMATS.items()
    for name in mutations
    for seed in range(SEEDS)
]
BYTES = [
    (kind, damage, seed)
    for kind in FORMATS
    for damage in ("truncated", "emptied", "overwritten")
    for seed in range(SEEDS)
]


def _spot(*names: object) -> Spot:
    random = np.random.default_rng([len(str(name)) * 1000 + ord(str(name)[0]) for name in names])
    split = list(PARTS)[int(random.integers(3))]
    # The last utterance is spared: taking it away is a mutation of its own.
    return Spot(split, int(random.integers(1, len(PARTS[split]) - 1)), random)


def _refused(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit) as left:
        main(["data", "convert", *arguments, "--out", str(folder / "out.arrow")])
    out, err = capsys.readouterr()
    assert left.value.code == 2, err
    assert out == ""
    assert err.startswith("hscl: error: ")
    assert err.count("\n") == 1, err
    assert sorted(folder.iterdir()) == before
    return err


@pytest.mark.parametrize(("kind", "name", "seed"), VARIANTS)
def test_damaged_content_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    name: str,
    seed: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    make, write, mutations = FORMATS[kind]
    mutate, field, in_one_utterance = mutations[name]
    spot = _spot(kind, name, seed)
    content = make()
    mutate(content, spot)

    message = _refused(tmp_path, write(tmp_path, content), capsys)

    assert re.search(field, message)
    if in_one_utterance:
        row = spot.row
        named = (
            f"video {row.video}, utterance {row.utterance}",
            f"utterance number {spot.index + 1}",
            f"utterance number {spot.position + 1}",
            f"video {PARTS[spot.split][0].video}, utterance 1: ",  # a whole column is wrong
            f"video {ROWS[0].video}, utterance 1: ",
        )
        assert any(words in message for words in named)


@pytest.mark.parametrize(("kind", "damage", "seed"), BYTES)
def test_damaged_bytes_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    damage: str,
    seed: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    make, write, _ = FORMATS[kind]
    arguments = write(tmp_path, make())
    random = np.random.default_rng(seed)
    path = Path(arguments[int(random.integers(len(arguments)))].split("=")[-1])
    path = tmp_path / "labels.csv" if kind == "labels" else path
    data = path.read_bytes()
    if damage == "truncated":
        # Text may end anywhere and still be text; inside a quoted field it may not.
        end = data.rindex(b'",') if kind == "labels" else int(random.integers(1, len(data)))
        path.write_bytes(data[:end])
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        start = int(random.integers(0, 6))  # from within the format's mark on
        path.write_bytes(
            data[:start] + random.bytes(64).replace(b"\n", b"\xff") + data[start + 64 :]
        )

    message = _refused(tmp_path, arguments, capsys)

    assert path.name in message


def test_there_are_enough_variants() -> None:
    count = len({*VARIANTS, *BYTES})
    print(f"{count} damaged files in {len(FORMATS)} formats")
    assert count >= 200


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_hostile_value_does_run_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(_Hostile(Path("was-run")), protocol))
    assert (tmp_path / "was-run").exists()
