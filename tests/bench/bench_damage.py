"""Damages a study's tables in every way at hand and asks every command that reads them.

    .venv/bin/python tests/bench/bench_damage.py [--damages 500] [--seed 0]

Each damage is done to a fresh copy of a finished study of several parts a table, and every command
runs on it in this process. A command is right where it ends with one message and exit code 2, or
with 0 and a warning that names a damage, or with 0 and what it says of the sound study. Anything
else is counted and listed: a traceback, a silent difference, another exit code, more than 5 s.
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from study_factory import Simulated, write_study

from hscl.cli.main import main as hscl
from tune.engine.recorder import Recorder
from tune.tables.folder import frozen_spec
from tune.tables.reading import StudyTables
from tune.tables.schemas import SCHEMAS
from tune.tables.storage import open_folder
from tune.tables.store import TableStore

__all__ = ["COMMANDS", "Said", "ask", "damages", "judge", "sound_study"]

SLOW_S = 5.0
COMMANDS: dict[str, list[str]] = {
    "status": ["status", "STUDY"],
    "status --json": ["status", "STUDY", "--json"],
    **{f"table {name}": ["table", name, "STUDY"] for name in SCHEMAS},
    "trials": ["trials", "STUDY", "--format", "csv"],
    "compare": ["compare", "STUDY"],
    "compare --format csv": ["compare", "STUDY", "--format", "csv"],
    "report --markdown": ["report", "STUDY", "--markdown"],
    "export": ["export", "STUDY", "--out", "OUT"],
    "tensorboard": ["tensorboard", "STUDY", "--out", "LOGS"],
    "go on": [],
}
"""What is asked; "go on" is what `hscl search` does with the tables before it starts Ray."""

_UNCOUNTED = (
    "- The tables were written by a version that kept no count of their rows: a file that is gone "
    "from the end of one would not be missed.\n"
)

Damage = Callable[[Path], None]


@dataclass(frozen=True)
class Said:
    """What a command said: its exit code (None: a traceback), output, errors, and CPU seconds."""

    code: int | None
    out: str
    err: str
    seconds: float


def sound_study(folder: Path, parts: int = 4) -> Path:
    """A small finished study whose tables have several parts each, and its counts."""
    whole = write_study(
        folder / "whole", Simulated(trials=6, refined=3, confirm_seeds=6, videos=8, epochs=3)
    )
    study = folder / "study"
    study.mkdir()
    shutil.copy(whole / "study.toml", study)
    source, store = TableStore(whole), TableStore(study)
    for number in range(parts):
        for table in SCHEMAS:
            rows = source.read(table).to_pylist()
            share = rows[number * len(rows) // parts : (number + 1) * len(rows) // parts]
            store.append(table, share)
        store.commit()
    return study


def ask(name: str, study: Path) -> Said:
    """Run a command on a study, in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    began, code = time.process_time(), None
    scratch = study.parent / "out"
    scratch.mkdir()
    arguments = [
        {"STUDY": str(study), "OUT": f"{scratch}/best.toml", "LOGS": f"{scratch}/logs"}.get(
            word, word
        )
        for word in COMMANDS[name]
    ]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            hscl(arguments) if arguments else _go_on(study)
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what we look for
            err.write(f"{type(error).__name__}: {error}")
    out.flush()
    said = out.buffer.getvalue().decode()
    said += "".join(file.read_text() for file in scratch.glob("*.toml"))
    said = re.sub(r"20\d\d-\d\d-\d\d[ T]\d\d:\d\d\S*", "NOW", said)
    said = re.sub(r"last event .* ago", "last event NOW", said)
    shutil.rmtree(scratch)
    return Said(code, said.replace(str(study), "STUDY"), err.getvalue(), _seconds(began))


def judge(said: Said, sound: Said) -> str:
    """What is wrong with what a command said; empty: nothing."""
    if said.code is None:
        return "traceback"
    if said.seconds > SLOW_S:
        return "slow"
    if said.code == 2:
        return "" if f"\n{said.err}".count("\nhscl: error: ") == 1 else "no message"
    if said.code != 0:
        return "" if said.code == sound.code and said.err == sound.err else f"exit {said.code}"
    if "hscl: warning: " in said.err or said.out.replace(_UNCOUNTED, "") == sound.out:
        return ""
    return "silent difference"


def damages(rng: np.random.Generator) -> Iterator[tuple[str, Damage]]:
    """Every kind for every table, without end; those with chance in them differ each time."""
    while True:
        for table in SCHEMAS:
            for kind, damage in _KINDS.items():
                number, chance = int(rng.integers(4)), int(rng.integers(2**31))

                def apply(
                    study: Path, *, damage: _Kind = damage, at: tuple[str, int, int] = (
                        table, number, chance,
                    )
                ) -> None:  # fmt: skip
                    damage(study / "tables", at[0], at[1], np.random.default_rng(at[2]))

                yield f"{kind}, part {number} of {table}", apply


_Kind = Callable[[Path, str, int, np.random.Generator], None]


def _part(tables: Path, table: str, number: int) -> Path:
    return tables / table / f"{number:08d}-{number:08d}.parquet"


def _gone(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    _part(tables, table, number).unlink()


def _tail_gone(tables: Path, table: str, _: int, __: np.random.Generator) -> None:
    _part(tables, table, 3).unlink()


def _all_gone(tables: Path, table: str, _: int, __: np.random.Generator) -> None:
    shutil.rmtree(tables / table)


def _cut(tables: Path, table: str, number: int, rng: np.random.Generator) -> None:
    part = _part(tables, table, number)
    part.write_bytes(part.read_bytes()[: int(rng.integers(part.stat().st_size))])


def _byte(tables: Path, table: str, number: int, rng: np.random.Generator) -> None:
    part = _part(tables, table, number)
    content = bytearray(part.read_bytes())
    content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
    part.write_bytes(content)


def _block(tables: Path, table: str, number: int, rng: np.random.Generator) -> None:
    part = _part(tables, table, number)
    content = bytearray(part.read_bytes())
    first = int(rng.integers(len(content)))
    content[first : first + 512] = rng.bytes(len(content[first : first + 512]))
    part.write_bytes(content)


def _other_table(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    other = next(name for name in SCHEMAS if name != table)
    shutil.copy(_part(tables, other, number), _part(tables, table, number))


def _twice(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    shutil.copy(_part(tables, table, (number + 1) % 4), _part(tables, table, number))


def _renumbered(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    part = _part(tables, table, number)
    part.rename(part.with_name("00000007-00000009.parquet"))


def _odd_names(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    for name in ("²-².parquet", "٣-٣.parquet", "0-0.parquet", "a.parquet", "00000002.parquet"):
        shutil.copy(_part(tables, table, number), tables / table / name)


def _backwards(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    shutil.copy(_part(tables, table, number), tables / table / "00000009-00000004.parquet")


def _folder(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    part = _part(tables, table, number)
    part.unlink()
    part.mkdir()


def _loop(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    part = _part(tables, table, number)
    part.unlink()
    part.symlink_to(part.name)


def _rewrite(part: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(part)), part)


def _stamp(stamp: bytes | None) -> _Kind:
    def damage(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
        metadata = None if stamp is None else {b"hscl_table": stamp}
        part = _part(tables, table, number)
        _rewrite(part, lambda rows: rows.replace_schema_metadata(metadata))

    return damage


def _column(change: Callable[[pa.Table, str], pa.Table]) -> _Kind:
    def damage(tables: Path, table: str, number: int, rng: np.random.Generator) -> None:
        required = [field.name for field in SCHEMAS[table] if not field.nullable]
        name = required[int(rng.integers(len(required)))]
        if change is _foreign_word:
            name = next((word for word in ("origin", "state", "phase") if word in required), name)
        _rewrite(_part(tables, table, number), lambda rows: change(rows, name))

    return damage


def _replaced(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, pa.field(name, column.type), column)


def _nulls(rows: pa.Table, name: str) -> pa.Table:
    return _replaced(rows, name, pa.nulls(len(rows), rows.schema.field(name).type))


def _typed(rows: pa.Table, name: str) -> pa.Table:
    return _replaced(rows, name, pa.array([b"\xff\x00"] * len(rows)))


def _foreign_word(rows: pa.Table, name: str) -> pa.Table:
    if name not in {"origin", "state"}:
        return rows.drop_columns([name])
    return _replaced(rows, name, pa.array(["[/b]\x1b[31m"] * len(rows)))


def _empty_file(tables: Path, table: str, number: int, _: np.random.Generator) -> None:
    _part(tables, table, number).write_bytes(b"")


def _counts(content: str | None) -> _Kind:
    def damage(tables: Path, _: str, __: int, ___: np.random.Generator) -> None:
        file = tables / "counts.json"
        file.unlink()
        if content is not None:
            file.write_text(content)

    return damage


def _too_many(tables: Path, table: str, _: int, __: np.random.Generator) -> None:
    file = tables / "counts.json"
    told = json.loads(file.read_text())
    told["appends"][table] += 3
    file.write_text(json.dumps(told))


_KINDS: dict[str, _Kind] = {
    "gone": _gone,
    "tail gone": _tail_gone,
    "table gone": _all_gone,
    "cut": _cut,
    "one byte": _byte,
    "another byte": _byte,
    "a third byte": _byte,
    "512 bytes": _block,
    "empty": _empty_file,
    "of another table": _other_table,
    "another part's rows": _twice,
    "renumbered": _renumbered,
    "files of odd names": _odd_names,
    "last before first": _backwards,
    "a folder": _folder,
    "a link to itself": _loop,
    "no stamp": _stamp(None),
    "a stamp that is no JSON": _stamp(b"\xff{"),
    "a stamp that is a list": _stamp(b"[1, 2]"),
    "a version in words": _stamp(b'{"table": "trials", "schema_version": "new"}'),
    "a required column gone": _column(lambda rows, name: rows.drop_columns([name])),
    "a required column null": _column(_nulls),
    "a required column of bytes": _column(_typed),
    "foreign words": _column(_foreign_word),
    "counts gone": _counts(None),
    "counts no JSON": _counts("{"),
    "counts a list": _counts("[]"),
    "counts in words": _counts('{"appends": {"trials": "many"}, "rows": {}}'),
    "counts of more": _too_many,
}


def _go_on(study: Path) -> None:
    """What a driver does with the tables before anything starts.

    Raises:
        SystemExit: 2, where it refuses; its message is on standard error.
    """
    from hscl.errors import HsclError

    try:
        spec = frozen_spec(open_folder(study))
        assert spec is not None
        store = TableStore(study)
        StudyTables(open_folder(study), spec).refuse_damage()
        history = Recorder(spec, store).history
    except HsclError as error:
        print(f"hscl: error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    told = [(t.trial_id, t.state, t.value, t.error) for t in history.trials.values()]
    print(told, list(history.configs), [(row["kind"], row["note"]) for row in history.plan])


def _seconds(began: float) -> float:
    return time.process_time() - began


def run(count: int, seed: int) -> Counter[str]:
    """So many damages, every command on each; what was wrong is printed."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bench-damage-") as name:
        room = Path(name)
        study = sound_study(room / "sound")
        place = room / "damaged" / "study"
        shutil.copytree(study, place)
        sound = {command: ask(command, place) for command in COMMANDS}
        failed = {command: said.err for command, said in sound.items() if said.code != 0}
        assert not failed, failed
        for number, (what, damage) in enumerate(damages(np.random.default_rng(seed))):
            if number == count:
                break
            shutil.rmtree(place)
            shutil.copytree(study, place)
            damage(place)
            for command, before in sound.items():
                said = ask(command, place)
                wrong = judge(said, before)
                counts["asked"] += 1
                counts[wrong or f"right, exit {said.code}"] += 1
                if wrong:
                    print(f"{wrong}: hscl {command}: {what}: {said.err.strip()[-300:]}")
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(run(given.damages, given.seed), indent=2))
