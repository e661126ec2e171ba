"""A training step, or an epoch, of this checkout against the same of an earlier commit.

Two processes, one for each checkout, take turns over the same batches of real MOSI, on one thread;
what is compared is the processor's time, so that other load on the machine counts little. Frozen:
MOSI's 2,199 utterances with pooled audio, and the 10 videos with all frames. Fine-tuned: MiniLM on
the 10 videos. Then the gradients of both in float64, without dropout, parameter by parameter.
Run: python tests/bench/bench_before.py [KIND …]    (such as "frozen 32"; needs git and the shared
folder; set HSCL_SHARED)
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BEFORE = "2baed25"
KINDS = ("frozen 32", "frozen 128", "frames 32", "frames 128", "fine 32", "fine 128")
EPOCHS = ("frozen-epoch 32", "fine-epoch 32")  # with validation
ROUNDS = 6
STEPS = 4
_ZERO = 1e-12  # rounding leaves 1e-18
_HERE = Path(__file__).resolve()


def worker(kind: str, out: str) -> None:
    """Answers each line on standard input with the CPU milliseconds of a step or an epoch."""
    import tempfile

    import numpy as np
    import torch
    from real_data import official_folds, ten_videos

    from hscl.config import Config
    from hscl.data.dataset import Dataset
    from hscl.model.contract import Targets
    from hscl.training.loop import Training
    from hscl.training.prepared import prepare

    torch.set_num_threads(1)
    name, size = kind.split()
    name, _, whole = name.partition("-")
    overrides: dict[str, Any] = {
        "model.text.finetune": name == "fine",
        "model.modalities": "text+audio" if name == "frozen" else "text+audio+vision",
        "train.batch_size": int(size),
        "run.device": "cpu",
        "run.precision": "fp32",
        "run.threads": 1,
    }
    with tempfile.TemporaryDirectory() as folder:
        open_data = official_folds if name == "frozen" else ten_videos
        config = Config().with_overrides(overrides)
        data = prepare(Dataset.open(open_data(Path(folder))), config)
        training = Training(config, data, seed=1)
        generator = np.random.default_rng(0)
        batches = [generator.permutation(len(data.train))[: int(size)] for _ in range(STEPS)]

        still = copy_without_dropout(training.network)
        batch = training._feed.batch(data.train, batches[0])
        changes = {n: v.double() for n, v in vars(batch).items() if _is_floating(v)}
        # Not the loop's own backward pass, whose losses are in float32.
        assert batch.labels is not None
        output = still(type(batch)(**{**vars(batch), **changes}))
        still.loss(output, Targets(batch.rows, batch.labels.double()))["total"].backward()
        gradients = {n: p.grad.numpy() for n, p in still.named_parameters() if p.grad is not None}
        np.savez(out, **gradients)

        training.network.train()
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.process_time()
            if whole:
                training._run_epoch()
            else:
                for step, rows in enumerate(batches):
                    one_step(training, rows, step)
            parts = 1 if whole else len(batches)
            print((time.process_time() - began) / parts * 1e3, flush=True)


def one_step(training: Any, rows: Any, step: int) -> None:
    """As the epoch loop of either checkout has it."""
    if hasattr(training, "_step"):
        training._step(rows, None, 1, step)
    else:
        training._finish(*training._launch(training._parts(rows, None)), 1, step)


def _is_floating(value: Any) -> bool:
    return value is not None and value.is_floating_point()


def copy_without_dropout(network: Any) -> Any:
    """A copy in float64 that draws nothing."""
    import copy

    import torch

    still = copy.deepcopy(network).double().train()
    for module in still.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return still


def compared(kind: str, trees: tuple[Path, Path], folder: Path) -> dict[str, float]:
    """Milliseconds before and after, the ratio, and the largest difference of a gradient."""
    import numpy as np

    outs = [folder / f"{side}.npz" for side in ("before", "after")]
    processes = [
        subprocess.Popen(
            [sys.executable, str(_HERE), "--worker", kind, str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        )
        for tree, out in zip(trees, outs, strict=True)
    ]
    for process in processes:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            sys.exit("a worker did not begin; is the shared folder there?")
    spent: list[list[float]] = [[], []]
    for turn in range(ROUNDS + 1):
        for times, process in zip(spent, processes, strict=True):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            value = float(process.stdout.readline())
            if turn:  # the first warms up
                times.append(value)
    for process in processes:
        process.communicate()
    before, after = (dict(np.load(out)) for out in outs)
    # The gradient of a bias of keys is 0 but for rounding: softmax ignores it.
    largest = {name: float(np.abs(old).max()) for name, old in before.items()}
    apart = max(
        float(np.abs(after.get(name, np.zeros_like(old)) - old).max() / largest[name])
        for name, old in before.items()
        if largest[name] > _ZERO
    )
    pairs = [old / new for old, new in zip(*spent, strict=True)]
    least = [min(times) for times in spent]
    return {
        "before": least[0],
        "after": least[1],
        "ratio": statistics.median(pairs),
        "gradients apart": apart if set(after) <= set(before) else float("nan"),
    }


def main() -> None:
    """Each kind, or those that are named."""
    import tempfile

    from real_data import shared_data

    shared_data()
    here = _HERE.parents[2]
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        before.mkdir()
        whole = ["git", "-C", str(here), "archive", BEFORE]
        archive = subprocess.run(whole, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x", "-C", str(before)], input=archive, check=True)
        for kind in sys.argv[1:] or KINDS + EPOCHS:
            found = compared(kind, (before, here), Path(folder))
            print(kind, {name: float(f"{value:.3g}") for name, value in found.items()}, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:4])
    else:
        main()
