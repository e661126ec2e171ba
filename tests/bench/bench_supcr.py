"""SupCR with its gradient: the sorted form against the broadcast (M, M, M) form, in one run.

Prints milliseconds of one thread (its CPU time, best of several, the forms taking turns, so that
other load on the machine counts little) and the memory that each form needs on top of its inputs
(peak of a process of its own; Linux), for batches of N utterances, M = 2N.
Run: python tests/bench/bench_supcr.py
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from hscl.loss.contrastive import LabelOrder, released_supcr_loss, supcr_loss_of_views

COMPARED, ALONE = (32, 64, 128), (256, 512, 1024)
TEMPERATURE, TOLERANCE = 0.5, 1e-4


def sorted_form(views: Tensor, labels: Tensor) -> Tensor:
    """Ours, sorting included."""
    return supcr_loss_of_views(views, LabelOrder.of(labels, TOLERANCE), TEMPERATURE)


def broadcast_form(views: Tensor, labels: Tensor) -> Tensor:
    """The same loss over (anchor, positive, member) tensors, as the released code builds them."""
    unit = functional.normalize(views.flatten(0, 1), dim=1)
    logits = unit @ unit.T / TEMPERATURE
    y = labels.double().repeat(2)
    distances = (y[:, None] - y[None, :]).abs()
    own = torch.eye(len(y), dtype=torch.bool)
    members = distances[:, None, :] >= distances[:, :, None] - TOLERANCE
    members = members & ~own[:, None, :]
    denominators = (logits.exp()[:, None, :] * members).sum(dim=2).log()
    return (denominators - logits)[~own].mean()


def released_form(views: Tensor, labels: Tensor) -> Tensor:
    """The released code's variant, in our sorted form."""
    return released_supcr_loss(views.flatten(0, 1), labels.repeat(2), TEMPERATURE)


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sorted": sorted_form,
    "broadcast": broadcast_form,
    "released": released_form,
}


def inputs(count: int) -> tuple[Tensor, Tensor]:
    """Features (2, N, 128) as after ReLU, and labels on MOSI's grid."""
    generator = torch.Generator().manual_seed(count)
    views = torch.rand(2, count, 128, generator=generator).requires_grad_()
    return views, torch.randint(-15, 16, (count,), generator=generator) / 5


def milliseconds(names: tuple[str, ...], count: int, rounds: int) -> dict[str, float]:
    """Best time of value and gradient, the forms taking turns."""
    views, labels = inputs(count)
    best = dict.fromkeys(names, float("inf"))
    for _ in range(rounds):
        for name in names:
            start = time.process_time()
            torch.autograd.grad(FORMS[name](views, labels), views)
            best[name] = min(best[name], (time.process_time() - start) * 1e3)
    return best


def peak_mebibytes(name: str, count: int) -> float:
    """Memory of one value and gradient, in a process of its own."""
    command = [sys.executable, __file__, name, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure_here(name: str, count: int) -> float:
    """How far one value and gradient raise this process's peak, in MiB."""
    small, few = inputs(4)
    torch.autograd.grad(FORMS[name](small, few), small)  # whatever torch sets up once
    views, labels = inputs(count)
    before = _peak()
    torch.autograd.grad(FORMS[name](views, labels), views)
    return (_peak() - before) / 1024


def _peak() -> int:
    """Most memory that this process has held, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def main() -> None:
    """Print both tables."""
    print(f"SupCR with gradient, one CPU thread, torch {torch.__version__}")
    print(f"{'N':>5} {'sorted ms':>10} {'(M,M,M) ms':>11} {'ratio':>7} {'MiB':>8} {'(M,M,M)':>8}")
    for count in COMPARED:
        times = milliseconds(("sorted", "broadcast"), count, rounds=7)
        ours, theirs = (peak_mebibytes(name, count) for name in ("sorted", "broadcast"))
        ratio = times["broadcast"] / times["sorted"]
        print(
            f"{count:>5} {times['sorted']:>10.2f} {times['broadcast']:>11.1f} {ratio:>6.1f}x "
            f"{ours:>8.1f} {theirs:>8.1f}"
        )
    print(f"{'N':>5} {'sorted ms':>10} {'MiB':>8} {'released variant ms':>20} {'MiB':>8}")
    for count in ALONE:
        times = milliseconds(("sorted", "released"), count, rounds=3)
        ours, theirs = (peak_mebibytes(name, count) for name in ("sorted", "released"))
        print(
            f"{count:>5} {times['sorted']:>10.1f} {ours:>8.1f} {times['released']:>20.1f} "
            f"{theirs:>8.1f}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        print(_measure_here(sys.argv[1], int(sys.argv[2])))
    else:
        main()
