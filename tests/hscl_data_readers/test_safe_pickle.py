"""Pickles: what NumPy and plain containers write is read; nothing else is, and nothing is run."""

import builtins
import collections
import os
import pickle
import random
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hscl.data.readers.safe_pickle import read_pickle
from hscl.errors import InputError

PLAIN = {
    "text": ["a", "", "käse 🎬", "x" * 70_000],
    "numbers": [0, -1, 255, 70_000, 2**40, -(2**80), 1.5, float("inf"), True, None],
    "nested": ({"k": (1, 2, 3, 4)}, [], (), {}, (1,), (1, 2), [[[]]]),
    "bytes": [b"", b"ab\x00\xff", b"y" * 70_000],
    "set": {1, 2, 3},
    "frozen": frozenset(["q"]),
    "ordered": collections.OrderedDict(a=1, b=2),
    5: "a key that is a number",
}
ARRAYS: list[npt.NDArray[Any]] = [
    np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    np.arange(24, dtype=">f8").reshape(4, 6),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(200_000, dtype=np.float64).reshape(-1, 2),
    np.zeros((0, 5), np.float32),
    np.array(7, np.int64),
    np.array([True, False]),
    np.array(["abc", "ü"]),
    np.array([b"V_1", b"V_22"]),
    np.array(["a", None, [1, 2]], dtype=object),
    np.arange(10)[::2],
    np.array([1, 2], np.float16),
]


def _assert_same(got: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        assert isinstance(got, np.ndarray)
        assert got.shape == expected.shape
        assert got.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
        assert np.array_equal(got, expected) or got.tolist() == expected.tolist()
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        for key in expected:
            _assert_same(got[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert type(got) is type(expected)
        for a, b in zip(got, expected, strict=True):
            _assert_same(a, b)
    else:
        assert got == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_and_arrays_are_read_as_python_reads_them(
    tmp_path: Path, protocol: int
) -> None:
    value = {
        "plain": PLAIN,
        "arrays": ARRAYS,
        "twice": [ARRAYS[0], ARRAYS[0], np.dtype(np.float32).str],
        "scalars": [np.float32(1.5), np.int64(-3), np.str_("w"), np.bool_(True)],
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))

    _assert_same(read_pickle(path), pickle.loads(path.read_bytes()))


def test_the_pure_python_writer_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle._dumps([PLAIN, ARRAYS]))  # type: ignore[attr-defined]
    _assert_same(read_pickle(path), [PLAIN, ARRAYS])


@pytest.mark.parametrize(
    "data",
    [
        # What cPickle of Python 2.7 makes of an id and two float32 numbers, protocols 2 and 0.
        (
            b"\x80\x02}q\x01(U\x05audioq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\n"
            b"ndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02\x85cnumpy\ndtype\nq\x06U\x02f4K\x00"
            b"K\x01\x87Rq\x07(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00"
            b"\x00\x80?\x00\x00\x00\xc0tbU\x02idq\x08]q\tU\x03V_1q\nau."
        ),
        (
            b"(dp1\nS'audio'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n"
            b"(I0\ntS'b'\ntRp5\n(I1\n(I2\ntcnumpy\ndtype\np6\n(S'f4'\nI0\nI1\ntRp7\n(I3\nS'<'\nNNN"
            b"I-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00\\xc0'\ntbsS'id'\np8\n(lp9\n"
            b"S'V_1'\np10\nas."
        ),
    ],
)
def test_files_of_python_2_are_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "two.pkl"
    path.write_bytes(data)
    _assert_same(pickle.loads(data, encoding="bytes")[b"id"], [b"V_1"])  # the file is a true one

    value = read_pickle(path)

    _assert_same(value, {"audio": np.array([1, -2], "f4"), "id": [b"V_1"]})


def test_large_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps([ARRAYS[3]]))

    value = read_pickle(path)
    assert isinstance(value, list)
    base = array = value[0]
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, memoryview)
    assert not array.flags.writeable


def test_the_real_files_are_read_as_python_reads_them(shared: Path) -> None:
    for name in ("mosi_valid_fold_tuples.pkl", "mosi_data_noalign_10videos.pkl"):
        path = shared / "data" / "mosi" / name
        _assert_same(read_pickle(path), pickle.loads(path.read_bytes()))


class _Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class _Custom:
    """An object of a class of its own."""

    def __init__(self) -> None:
        self.value = 1


def hostile_pickles(marker: Path) -> dict[str, bytes]:
    """Pickles that would leave `marker` behind, or call something, if they were run."""
    mark = f"open({str(marker)!r}, 'w').close()"
    touch = f"touch {marker}"
    values = {
        "exec": _Calls(exec, mark),
        "eval": _Calls(eval, mark),
        "system": _Calls(os.system, touch),
        "open": _Calls(open, str(marker), "w"),
        "getattr": _Calls(getattr, "text", "upper"),
        "import": _Calls(builtins.__import__, "antigravity"),
        "custom": _Custom(),
        "fraction": Fraction(1, 3),
        "numpy load": _Calls(np.load, str(marker), None, True),
        "inside a set of data": {"train": {"audio": [_Calls(exec, mark)]}},
    }
    pickles = {
        f"{name}, protocol {protocol}": pickle.dumps(value, protocol)
        for name, value in values.items()
        for protocol in (0, 2, 4)
    }
    code = mark.encode()
    pickles |= {
        "INST": b"(S" + repr(mark).encode() + b"\ni__builtin__\nexec\n.",
        "OBJ": b"(c__builtin__\nexec\nV" + code + b"\no.",
        "NEWOBJ": b"\x80\x02cbuiltins\nobject\n)\x81.",
        "EXT1": b"\x80\x02\x82\x01.",
        "PERSID": b"Phere\n.",
        "a nested name": b"\x80\x04\x8c\x05numpy\x8c\x0dcore.sys.exit\x93.",
        "a name that is close": b"cnumpy.core.multiarray\n_reconstruct2\n.",
        "a call of text": b"(S'x'\ntS'y'\nR.",
        "a state for a list": b"(l}b.",
        "an encoding": b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        "structured": pickle.dumps(np.zeros(2, dtype=[("a", "f4"), ("b", "O")])),
        "dates": pickle.dumps(np.zeros(2, dtype="M8[s]")),
        "a subclass": pickle.dumps(np.ma.masked_array([1, 2])),
    }
    return pickles


@pytest.mark.parametrize("name", hostile_pickles(Path("marker")))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "x.pkl"
    path.write_bytes(hostile_pickles(marker)[name])

    with pytest.raises(InputError, match=r"must hold only plain containers|must be a whole"):
        read_pickle(path)

    assert not marker.exists()


def test_the_hostile_pickles_of_these_tests_do_run_in_python(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(hostile_pickles(marker)["exec, protocol 2"])
    assert marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x04",
        b"]q\x00",
        b"not a pickle",
        b"\xff\xfe",
        b"(",
        b"t.",
        b"h\x05.",
        b"u.",
        b"\x86.",
        b"I12x\n.",
        b"I" + b"9" * 9999 + b"\n.",
        b"S'open\n.",
        b"}]]s.",
        b"X" + struct.pack("<I", 2**31) + b"short.",
        b"T" + struct.pack("<i", -5) + b"short.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"short.",
        b"X\x02\x00\x00\x00\xc3\x28.",
    ],
)
def test_a_damaged_pickle_is_one_clear_message(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.pkl"):
        read_pickle(path)


def test_a_missing_file_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read: No such file"):
        read_pickle(tmp_path / "nothing.pkl")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_random_damage_never_ends_in_another_error(tmp_path: Path, protocol: int) -> None:
    generator = random.Random(protocol)
    whole = pickle.dumps(
        {"audio": ARRAYS[0], "id": ["V_1", b"V_2"], "labels": [1.5, None]}, protocol
    )
    path = tmp_path / "x.pkl"
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(data[: generator.randint(1, len(data) * 2)])
        try:
            read_pickle(path)
        except InputError as error:
            assert "x.pkl" in str(error)  # noqa: PT017


def _features() -> bytes:
    values = np.random.default_rng(0).normal(size=(60, 200))
    return pickle.dumps({"audio": values, "text": ["a\nb"] * 50}, protocol=2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_features().replace(b"\n", b"\r\n"), "every line feed in it follows a carriage return"),
        ((b"\x80\x02" + _features() * 60).replace(b"\r\n", b"\n"), "no line feed in it follows"),
        (
            pickle.dumps({"labels": np.ones(9)}, protocol=0).replace(b"\n", b"\r\n"),
            "every line feed in it follows a carriage return",
        ),
    ],
    ids=["to CRLF", "to LF", "text to CRLF"],
)
def test_converted_line_ends_are_told(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(InputError, match=f"line ends were converted .*{message}.*binary mode"):
        read_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_was_cut_off_is_no_converted_one(tmp_path: Path, share: float) -> None:
    data = _features()
    (tmp_path / "x.pkl").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="must be a whole pickle"):
        read_pickle(tmp_path / "x.pkl")


def test_keys_may_be_none_or_tuples(tmp_path: Path) -> None:
    value = {None: 1, ("v", 2): [3], "a": {("b", None)}}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    assert read_pickle(tmp_path / "x.pkl") == value


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_what_numpy_1_16_0_wrote_is_read(tmp_path: Path, protocol: int) -> None:
    value = {"audio": np.arange(6.0).reshape(2, 3), "label": np.float32(0.5)}
    data = pickle.dumps(value, protocol)
    for core in (b"numpy.core", b"numpy._core"):
        data = data.replace(core + b".multiarray", b"numpy.core._multiarray_umath")
    assert b"_multiarray_umath" in data
    (tmp_path / "x.pkl").write_bytes(data)
    found = read_pickle(tmp_path / "x.pkl")
    assert isinstance(found, dict)
    assert np.array_equal(found["audio"], np.arange(6.0).reshape(2, 3))
    assert found["label"] == 0.5
