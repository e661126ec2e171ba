"""An epoch of a training, and a whole small search, on a quiet machine and beside busy processes.

Seconds on the clock. The epoch (10 videos of MOSI with all frames, `run.threads = 0`) beside one
process that never waits, the search (demo data, frozen) beside one for each CPU; each quiet, busy,
quiet: about four minutes. Says nothing on a machine where others work: look at `uptime` first.
Run: python tests/bench/bench_busy.py [epoch|search …]    (the epoch needs the shared folder; set
HSCL_SHARED)
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

STUDY = """
[study]
seed = 1
[base]
"model.text.finetune" = false
"train.epochs" = 2
"train.batch_size" = 16
[space]
"loss.temperature" = { log_uniform = [0.03, 1.0] }
"train.lr" = { log_uniform = [1e-4, 3e-3] }
[sampler]
trials = 4
[refine]
trials = 0
[confirm]
seeds = 2
"""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that never wait."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def epoch(kind: str, folder: Path) -> float:
    """Seconds of the second epoch, in a process of its own."""
    asked = [sys.executable, __file__, "--epoch", kind, str(folder)]
    out = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    seconds, how = out.strip().splitlines()[-1].split(maxsplit=1)
    print(f"    {float(seconds):6.2f} s ({how})", flush=True)
    return float(seconds)


def train(kind: str, folder: str) -> None:
    """What that process does."""
    from real_data import ten_videos

    from hscl.config import Config
    from hscl.data.dataset import Dataset
    from hscl.training.loop import Training
    from hscl.training.prepared import prepare

    config = Config().with_overrides(
        {
            "model.text.finetune": kind == "fine-tuned",
            "train.batch_size": 32,
            "train.epochs": 2,
            "run.device": "cpu",
        }
    )
    training = Training(config, prepare(Dataset.open(ten_videos(Path(folder))), config), seed=1)
    _, last = list(training)
    print(last.seconds, training.how)


def search(folder: Path) -> float:
    """Seconds of a whole search."""
    data, study, out = folder / "demo.arrow", folder / "study.toml", folder / f"{time.time_ns()}"
    hscl = [sys.executable, "-c", "from hscl.cli.main import main; main()"]
    if not data.exists():
        subprocess.run(
            [*hscl, "data", "demo", "--out", str(data)], capture_output=True, check=True
        )
        study.write_text(STUDY)
    began = time.perf_counter()
    asked = [*hscl, "search", str(study), "--data", str(data), "--out", str(out)]
    subprocess.run(asked, capture_output=True, check=True)
    seconds = time.perf_counter() - began
    print(f"    {seconds:6.2f} s", flush=True)
    return seconds


def compared(name: str, run: Callable[[], float], beside: int) -> None:
    """Beside busy processes, between two quiet runs of which the quicker counts."""
    print(f"{name}: quiet, beside {beside} busy, quiet", flush=True)
    first = run()
    with busy(beside):
        loaded = run()
    print(f"  {loaded / min(first, run()):.2f} times the quiet one", flush=True)


def main() -> None:
    """Both, or what is named."""
    parts = sys.argv[1:] or ["epoch", "search"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "search" in parts:
            compared("a small search", partial(search, folder), len(os.sched_getaffinity(0)))
        if "epoch" in parts:
            from real_data import shared_data, ten_videos

            shared_data()
            ten_videos(folder)
            for kind in ("frozen", "fine-tuned"):
                compared(f"an epoch, {kind}", partial(epoch, kind, folder), 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--epoch"]:
        train(*sys.argv[2:4])
    else:
        main()
