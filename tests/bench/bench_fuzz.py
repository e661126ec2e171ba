"""What strangers' files do: study files, pickles, model folders, data sets, damaged and hostile.

`python tests/bench/bench_fuzz.py [STUDIES PICKLES MODELS DATA]` (500, 900, 100 and 200 without)
prints how each kind ended and every input that ended badly: with a traceback, after more than five
seconds, or (data sets) read with other rows. `tests/test_strangers.py` runs a sample.
"""

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from hscl.cli.main import main
from hscl.errors import HsclError

__all__ = ["data_sets", "ended", "model_folders", "pickles", "study_files"]

LIMIT_S = 5.0
_PATIENCE_S = 30
_STUDY = """[study]
name = "fuzz"
metric = "mae"
[base]
preset = "mosi"
"train.epochs" = 5
"model.text.finetune" = false
[space]
"loss.temperature" = { log_uniform = [0.03, 1.0] }
"train.lr" = { log_uniform = [1e-5, 1e-3] }
"train.batch_size" = { choice = [16, 32] }
[[known]]
name = "warm"
"loss.temperature" = 0.77
[sampler]
kind = "tpe"
trials = 20
[refine]
trials = 4
[confirm]
keep = 2
seeds = [1, 2, 3]
[resources]
cpus = 1
"""
_WORDS = [
    *("=", "[", "]", "{", "}", '"', ",", ".", "\n", "\0", "#", "nan", "inf", "-", "1e400", "true"),
    *("[[known]]\n", "[space]\n", "9" * 30, '"\\u0000"', '"\\u001b[31m"', "[/b]", "= = =", "''"),
    *('{ uniform = ["a", 1] }', "{ choice = [] }", "{ choice = [nan, 1] }", '"__class__"', "é"),
    *("{ log_uniform = [0, 1] }", "{ int = [1, 1e9] }", '"/dev/zero"', '"../../x"', "keep = 1e99"),
]


class _TooLongError(Exception):
    """The alarm rang."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise _TooLongError


def ended(action: Callable[[], object]) -> tuple[str, str]:
    """How an action on a stranger's file ended: "read", "refused", "TRACEBACK" or "SLOW"; why."""
    before = signal.signal(signal.SIGALRM, _ring)
    signal.alarm(_PATIENCE_S)
    began = time.process_time()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            action()
        outcome, why = "read", ""
    except HsclError as error:
        outcome, why = "refused", str(error)
    except SystemExit as left:
        outcome = {0: "read", 1: "refused", 2: "refused"}.get(int(left.code or 0), "TRACEBACK")
        why = said.getvalue()
    except _TooLongError:
        outcome, why = "SLOW", f"more than {_PATIENCE_S} s"
    except BaseException as error:  # noqa: BLE001 - this is what is looked for
        outcome, why = "TRACEBACK", f"{type(error).__name__}: {error!s:.300}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    seconds = time.process_time() - began
    if seconds > LIMIT_S and outcome != "TRACEBACK":
        outcome, why = "SLOW", f"{seconds:.1f} s; {why:.200}"
    if not why.isprintable() and any(not c.isprintable() and c != "\n" for c in said.getvalue()):
        outcome, why = "TRACEBACK", "a control character was printed"
    return outcome, why


def _damaged(content: bytes, rng: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(out) or 1)
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at : at + rng.choice([1, 3, 20])]
            case 2:
                out[at:at] = out[at : at + rng.choice([1, 8, 60])]
            case 3:
                out[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice([1, 4])))
            case _:
                del out[rng.randrange(len(out) or 1) :]
                out += b"." if rng.random() < 0.5 else b""
    return bytes(out)


def study_files(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Names and contents of study files.

    Args:
        count: How many.
        seed: Of the damage.
    """
    rng = random.Random(seed)
    known = "".join(f'[[known]]\nname = "k{i}"\n"loss.alpha" = 0.{i}\n' for i in range(3000))
    space = "".join(f'"loss.omega{i}" = {{ uniform = [0, 1] }}\n' for i in range(3000))
    hostile = {
        "known.toml": _STUDY.replace("[sampler]", known + "[sampler]"),
        "space.toml": _STUDY.replace("[[known]]", space + "[[known]]", 1),
        "deep.toml": ".".join("a" * 3000) + " = 1",
        "deep_base.toml": f"[base]\n{'.'.join('a' * 3000)} = 1",
        "lists.toml": "[space]\nx = " + "[" * 900 + "]" * 900,
        "deep.json": '{"space": ' * 900 + "1" + "}" * 900,
        "deep.yaml": "space: " + "[" * 50_000,
        "self.yaml": "space: &a {x: *a}",
        "laughs.yaml": "\n".join(
            [
                "a0: &a0 [1]",
                *(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 15)),
            ]
        ),
        "numbers.yaml": "sampler: {trials: 1e1, kind: random}\n1: 2",
        "null.toml": '[base]\npreset = "a\\u0000b.toml"',
        "zero.toml": '[base]\npreset = "/dev/zero"',
        "choices.toml": '[space]\n"train.batch_size" = { choice = ['
        + ",".join(map(str, range(1, 20_000)))
        + "] }",
        "seeds.toml": f"[confirm]\nseeds = {list(range(100_000))}",
        "grid.toml": '[sampler]\nkind = "grid"\n[space]\n'
        + "".join(
            f'"{name}" = {{ choice = {[i / 1000 for i in range(1, 900)]} }}\n'
            for name in (
                "loss.temperature",
                "loss.alpha",
                "loss.omega1",
                "loss.omega2",
                "train.lr",
            )
        ),
    }
    names = list(hostile)
    for number in range(count):
        if number < len(names):
            yield names[number], hostile[names[number]].encode()
        elif rng.random() < 0.5:
            yield "s.toml", _damaged(_STUDY.encode(), rng)
        else:
            lines = _STUDY.splitlines(keepends=True)
            for _ in range(rng.choice([1, 2, 5])):
                at = rng.randrange(len(lines))
                word = rng.choice(_WORDS)
                key = lines[at].split("=")[0]
                lines[at] = rng.choice(
                    [lines[at] + word, f"{key}= {word}\n", word + lines[at], ""]
                )
            yield "s.toml", "".join(lines).encode()


def _pickled() -> list[object]:
    rng = np.random.default_rng(0)
    rows = {
        split: {
            "raw_text": np.array(["fine", "well"]),
            "audio": rng.normal(size=(2, 3, 5)).astype("f4"),
            "vision": rng.normal(size=(2, 3, 20)).astype("f4"),
            "id": ["v$_$0", "v$_$1"],
            "regression_labels": np.array([0.5, -1.0], "f4"),
            "extra": np.array([{1, 2}, None], dtype=object),
        }
        for split in ("train", "valid", "test")
    }
    return [
        rows,
        {"train": [((["a"], rng.normal(size=(1, 20)), rng.normal(size=(1, 5))), 0.5, "v[0]")]},
    ]


def _hostile_pickles() -> Iterator[bytes]:
    """By hand, as no pickler writes them."""
    bomb = b"]q\x00" + b"".join(b"](h%c" % n + b"h%ceq%c" % (n, n + 1) for n in range(60))
    yield b"\x80\x02" + bomb + b"."
    tuples = b"K\x01q\x00" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
    yield b"\x80\x02" + tuples + b"."
    yield b"\x80\x02}" + tuples + b"K\x01s."  # as a key
    yield b"\x80\x02](" + tuples + b"e."
    yield b"\x80\x02]q\x00h\x00a."  # a list that holds itself
    yield b"\x80\x02}q\x00(K\x01h\x00u."
    yield b"\x80\x02" + b"(" * 100_000 + b"."
    yield b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    yield b"\x80\x02K\x01" + b"\x85" * 100_000 + b"."
    yield b"\x80\x02}K\x01" + b"\x85" * 100_000 + b"K\x01s."
    for name in (b"(K\x01K\x02t", tuples, b"]q\x00h\x00a", b"N", b"U\x0bS9999999999"):
        yield b"\x80\x02cnumpy\ndtype\n" + name + b"K\x00K\x01\x87R."
        yield (
            b"\x80\x02cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03"
            + name
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."
        )
        yield b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a" + name + b"\x86R."
        yield b"\x80\x02cbuiltins\nset\n" + name + b"\x85R."
    yield b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80."
    yield b"V\\ud800\n."
    yield b"\x80\x02X\xff\xff\xff\x7fa."
    yield b"L" + b"9" * 200_000 + b"L\n."
    yield b"cos\nsystem\n(S'touch ran'\ntR."
    yield b"\x80\x02cbuiltins\neval\n(S'1'\ntR."
    yield b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93."
    yield pickle.dumps(np.frombuffer(b"\xff\xff\xff\x7f" * 4, "<U1"))
    yield pickle.dumps({"train": {"raw_text": np.frombuffer(b"\xff\xff\xff\x7f" * 4, ">U1")}})


def pickles(count: int, seed: int = 0) -> Iterator[bytes]:
    """Contents of pickles.

    Args:
        count: How many.
        seed: Of the damage.
    """
    rng = random.Random(seed)
    hostile = list(_hostile_pickles())
    sound = [pickle.dumps(content, protocol=p) for content in _pickled() for p in range(6)]
    for number in range(count):
        yield hostile[number] if number < len(hostile) else _damaged(rng.choice(sound), rng)


_VALUES: list[Any] = [
    *(None, -1, 0, 10**9, 10**30, 1e308, float("nan"), "", "x" * 50, "\x1b[31m", [], {}, True),
    *([[]] * 3, {"a": {}}, "../../etc", "/dev/zero", [1] * 5000),
]


def _other_json(content: bytes, rng: random.Random) -> bytes:
    tree = json.loads(content)
    at: Any = tree
    while isinstance(at, dict | list) and at:
        key = rng.choice(list(at) if isinstance(at, dict) else list(range(len(at))))
        if rng.random() < 0.35 or not isinstance(at[key], dict | list) or not at[key]:
            if isinstance(at, dict) and rng.random() < 0.2:
                del at[key]
            else:
                at[key] = rng.choice(_VALUES)
            break
        at = at[key]
    return json.dumps(tree).encode()


def model_folders(count: int, model: Path, place: Path, seed: int = 0) -> Iterator[Path]:
    """A model folder, each time with other damage in one of its files.

    Args:
        count: How many.
        model: A sound one.
        place: Where the damaged one is put, again and again.
        seed: Of the damage.
    """
    rng = random.Random(seed)
    names = sorted(str(p.relative_to(model)) for p in model.rglob("*") if p.is_file())
    names = [name for name in names if not name.endswith((".md", ".jsonl"))]
    for number in range(count):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(model, place)
        path = place / names[number % len(names)]
        content = path.read_bytes()
        path.unlink()
        if number % 37 == 36:
            os.mkfifo(path)
        elif number % 41 == 40:
            path.symlink_to("/dev/zero")
        elif path.suffix == ".json" and number % 3:
            path.write_bytes(_other_json(content, rng))
        else:
            path.write_bytes(_damaged(content, rng))
        yield place


def _read_into(read: list[Any], path: Path) -> None:
    from hscl.data.dataset import Dataset

    read.append(Dataset.open(path).verify().table)


def data_sets(
    count: int, sound: Path, place: Path, seed: int = 0
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Open a data set as whatever begins does, each time with other damage in its file.

    Args:
        count: How many times.
        sound: A sound one.
        place: Where the damaged one is put, again and again.
        seed: Of the damage.

    Yields:
        What the damage was, and how it ended: as `ended`, or "SILENT" with other rows.
    """
    from hscl.data.dataset import Dataset

    rng, content = random.Random(seed), sound.read_bytes()
    wanted = Dataset.open(sound).verify().table
    for number in range(count):
        altered = bytearray(content)
        if number % 50 == 49:  # none, which is read
            pass
        elif number % 4:  # one byte, as a disk or a network alters it
            altered[rng.randrange(len(altered))] ^= 1 << rng.randrange(8)
        else:
            altered = bytearray(_damaged(content, rng))
        place.write_bytes(altered)
        read: list[Any] = []
        outcome, why = ended(partial(_read_into, read, place))
        if outcome == "read" and not read[0].equals(wanted):
            outcome = "SILENT"
        yield str(number), (outcome, why)


def _tally(kind: str, outcomes: Iterator[tuple[str, tuple[str, str]]]) -> bool:
    counts: Counter[str] = Counter()
    for name, (outcome, why) in outcomes:
        counts[outcome] += 1
        if outcome.isupper():
            print(f"  {kind} {name}: {outcome}: {why}", flush=True)
    print(f"{kind}: {sum(counts.values())}: {dict(counts)}", flush=True)
    return not any(outcome.isupper() for outcome in counts)


def _command(*arguments: object) -> Callable[[], None]:
    return lambda: main([str(argument) for argument in arguments])


def _run(studies: int, dumps: int, folders: int, sets: int) -> bool:
    from hscl.data.demo import write_demo
    from tune.study.toml import load_spec

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)

        def read_studies() -> Iterator[tuple[str, tuple[str, str]]]:
            for number, (file, content) in enumerate(study_files(studies)):
                path = root / file
                path.write_bytes(content)
                yield f"{number} {file}", ended(lambda path=path: load_spec(path))  # type: ignore[misc]

        def read_pickles() -> Iterator[tuple[str, tuple[str, str]]]:
            path = root / "features.pkl"
            for number, content in enumerate(pickles(dumps)):
                path.write_bytes(content)
                yield (
                    str(number),
                    ended(_command("data", "convert", path, "--out", root / "o.arrow")),
                )

        def read_models() -> Iterator[tuple[str, tuple[str, str]]]:
            data, model = root / "demo.arrow", root / "model"
            (root / "c.toml").write_text('"train.epochs" = 1\n"model.text.max_tokens" = 16\n')
            out = root / "predictions.jsonl"
            say = ("--data", data, "--overwrite", "--out", out)
            train = _command(
                "train", root / "c.toml", "--data", data, "--out", model, "--seeds", 1
            )
            for command in (train, _command("predict", model, *say)):
                with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
                    command()
            wanted = out.read_bytes()
            for number, folder in enumerate(model_folders(folders, model, root / "damaged")):
                outcome, why = ended(_command("predict", folder, *say))
                if outcome == "read" and out.read_bytes() != wanted:
                    outcome = "SILENT"
                yield str(number), (outcome, why)

        write_demo(root / "demo.arrow", utterances=60)
        sound = [
            _tally("data sets", data_sets(sets, root / "demo.arrow", root / "damaged.arrow")),
            _tally("study files", read_studies()),
            _tally("pickles", read_pickles()),
            _tally("model folders", read_models()),
        ]
        return all(sound) and not Path("ran").exists()


if __name__ == "__main__":
    wanted = [int(argument) for argument in sys.argv[1:]] or [500, 900, 100, 200]
    sys.exit(0 if _run(*wanted) else 1)
