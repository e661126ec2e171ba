"""Conversion of generated data in MOSEI's shape: seconds per 1,000 utterances and peak memory.

A pickle in MulT's layout (audio (N, 500, 74), vision (N, 500, 35), padded in front) at 5,000,
10,000 and 20,000 utterances, written and converted a part at a time. Both figures should not
grow with N: conversion is linear, its memory bounded. "own memory" is what the process holds
itself (RssAnon); pages of the mapped pickle are the kernel's, which takes them back when needed.
On a machine that does other things as well, the processor's seconds say more than the clock's.

Run: python tests/bench/bench_conversion.py [SIZE …]    (20,000 utterances need 12 GB of disk)
"""

import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

SHAPES = {"audio": (500, 74), "vision": (500, 35), "text": (50, 300)}
SHARES = {"train": 0.714, "valid": 0.082, "test": 0.204}
_PART = 250  # utterances


def write_mosei_like(path: Path, count: int, *, seed: int = 0) -> None:
    """A pickle in MulT's layout, written a part at a time.

    Args:
        path: Where to.
        count: Utterances in all splits together.
        seed: Of the generator.
    """
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(pickle.PROTO + b"\x04" + pickle.EMPTY_DICT)
        first = 0
        for split, share in SHARES.items():
            size = round(count * share)
            names = [f"video{(first + k) // 7}_{(first + k) % 7}" for k in range(size)]
            labels = np.rint(random.uniform(-9, 9, (size, 1, 1))).astype("f4") / np.float32(3)
            first += size
            _push(file, split)
            file.write(pickle.EMPTY_DICT)
            for field, values in (("id", np.array([[n] for n in names])), ("labels", labels)):
                _push(file, field)
                _push(file, values)
                file.write(pickle.SETITEM)
            for field, (rows, width) in SHAPES.items():
                _push(file, field)
                _write_array(file, (size, rows, width), _parts(size, rows, width, random))
                file.write(pickle.SETITEM)
            file.write(pickle.SETITEM)
        file.write(pickle.STOP)


def _push(file: BinaryIO, value: object) -> None:
    """A small value, without the frame and the end of a pickle of its own."""
    file.write(pickle.dumps(value, protocol=3)[2:-1])


def _write_array(
    file: BinaryIO, shape: tuple[int, ...], parts: Iterator[npt.NDArray[np.float32]]
) -> None:
    """A float32 array as NumPy pickles it, its bytes a part at a time."""
    file.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01")
    _push(file, shape)
    file.write(b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4\x89\x88tR(K\x03X\x01\x00\x00\x00<NNN")
    file.write(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + pickle.BINBYTES8)
    file.write((4 * int(np.prod(shape))).to_bytes(8, "little"))
    file.writelines(part.tobytes() for part in parts)
    file.write(b"tb")


def _parts(
    size: int, rows: int, width: int, random: np.random.Generator
) -> Iterator[npt.NDArray[np.float32]]:
    frames = random.standard_normal((rows, width), dtype=np.float32)
    for start in range(0, size, _PART):
        part = np.zeros((min(_PART, size - start), rows, width), np.float32)
        for target in part:
            length = int(np.clip(random.lognormal(4.8, 0.7), 5, rows))
            target[-length:] = frames[:length]
            target[-1, 0] = random.normal()
        yield part


def convert_measured(source: str, target: str) -> None:
    """Convert; print seconds, processor seconds, peak of own memory, and with mapped pages."""
    from hscl.data.convert import convert

    peaks = [0]
    running = threading.Event()
    running.set()

    def watch() -> None:
        while running.is_set():
            peaks[0] = max(peaks[0], _status("RssAnon"))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    convert([source], target)
    seconds = time.perf_counter() - began
    worked = time.process_time()
    running.clear()
    watcher.join()
    print(seconds, worked, peaks[0], _status("VmHWM"))


def _status(field: str) -> int:
    """MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) >> 10
    return 0


def _gigabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e9:.1f} GB"


def main(sizes: list[int]) -> None:
    """Print one line for each size, then the ratios of the last to the first."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            source, target = Path(folder, "mosei.pkl"), Path(folder, "mosei.arrow")
            write_mosei_like(source, size)
            ran = subprocess.run(
                [sys.executable, __file__, "--measure", str(source), str(target)],
                check=True,
                capture_output=True,
                text=True,
            )
            seconds, worked, own, mapped = (float(word) for word in ran.stdout.split())
            rate = 1000 * seconds / size
            results.append((rate, 1000 * worked / size, own))
            print(f"{size:6d} utterances: {seconds:6.1f} s, {rate:5.2f} s per 1,000 "
                  f"({1000 * worked / size:.2f} s of the processor's); peak "
                  f"{own:.0f} MiB own memory ({mapped:.0f} MiB with mapped pages); "
                  f"{_gigabytes(source)} -> {_gigabytes(target)}")  # fmt: skip
            source.unlink()
            target.unlink()
    ratios = [last / first for first, last in zip(results[0], results[-1], strict=True)]
    print(f"ratio of the last to the first: seconds per 1,000 {ratios[0]:.2f}, "
          f"of the processor's {ratios[1]:.2f}, own memory {ratios[2]:.2f}")  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        convert_measured(*sys.argv[2:4])
    else:
        main([int(word) for word in sys.argv[1:]] or [5000, 10_000, 20_000])
