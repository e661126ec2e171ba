"""How a training is executed: device, precision, threads, and what it takes of memory.

Nothing here is part of a configuration's identity, and nothing outlives its `with` block.
"""

import ctypes
import gc
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hscl.config import Config
from hscl.errors import InputError

__all__ = [
    "autocast",
    "choose_threads",
    "cpu_has_bf16",
    "cpu_threads",
    "idle_cpus",
    "peak_memory",
    "release_memory",
    "repeatable",
    "reset_peak_memory",
    "resolve_device",
    "resolve_precision",
    "share_memory",
]


_CPUS = Path("/proc/cpuinfo")
_BF16_ROWS = 32  # a MiniLM step of 32 took .80 of the time on one thread, one of 8 1.2 times


def resolve_device(name: str) -> torch.device:
    """The device that a name stands for on this machine.

    Args:
        name: "auto" (the first GPU where there is one), "cpu", "cuda" or "cuda:N".

    Returns:
        The device.

    Raises:
        InputError: A GPU is asked for that this machine does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            there = f"only cuda:0 … cuda:{count - 1}" if count else "no GPU that torch can use"
            raise InputError(
                f"run.device must be a device of this machine, but got {name!r} and there is "
                f"{there}; use 'auto' or 'cpu'"
            )
        device = torch.device("cuda", device.index or 0)
    return device


def resolve_precision(config: Config, device: torch.device) -> str:
    """What `run.precision` means for a configuration on a device: "fp32" or "bf16".

    "auto" is bf16 on GPUs that have it, and on CPUs that have it where it pays: for a text encoder
    that is trained, with enough utterances a forward pass to outweigh the conversions. A rule, and
    nothing that is timed: the same machine always decides the same.
    """
    run = config.run
    if run.precision != "auto":
        return run.precision
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        rows = min(config.train.batch_size, run.micro_batch or config.train.batch_size)
        fast = config.model.text.finetune and rows >= _BF16_ROWS and cpu_has_bf16()
    return "bf16" if fast else "fp32"


@cache
def cpu_has_bf16() -> bool:
    """Whether this machine's CPUs multiply bf16 by instructions of their own."""
    try:
        return "avx512_bf16" in _CPUS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


@contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Forward passes inside compute in this precision; weights and losses stay float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """A GPU takes algorithms that give the same bits each time, where it has them, in the block.

    So a training that is tried again after a failure, or goes on elsewhere, reports the numbers
    that stand in the tables. A CPU's are so by themselves. An algorithm that has no such form only
    warns: a retry that rounds otherwise is better than none.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # nobody reads it
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = filled
        torch.use_deterministic_algorithms(before, warn_only=warned)


_THREADS_AT_START = torch.get_num_threads()
_LOOK_S = 0.2  # twenty ticks of the kernel's clock
_TICKS = Path("/proc/stat")


def choose_threads(asked: int, *, finetunes: bool) -> int:
    """How many CPU threads a training or its predictions take.

    A frozen text encoder leaves thousands of small operations, of which most are over before a
    second thread has begun: one thread. A BERT's large ones are worth every CPU that is idle; a
    busy one would hold up all others at the end of each operation.

    Args:
        asked: `run.threads`; 0 leaves it to us.
        finetunes: Whether the text encoder itself is computed.

    Returns:
        What was asked for; else what this process, or `OMP_NUM_THREADS`, has been given; else by
        what is trained and by the load of the machine.
    """
    here = torch.get_num_threads()
    if asked or "OMP_NUM_THREADS" in os.environ or here != _THREADS_AT_START:
        return asked or here
    return min(here, idle_cpus()) if finetunes else 1


@cache
def idle_cpus() -> int:
    """How many of this process's CPUs nobody used as it first asked, 1 at least; takes 0.2 s.

    Asked once: a process that predicts again and again does not wait, and counts not itself.
    """
    if not hasattr(os, "sched_getaffinity"):
        return max(1, (os.cpu_count() or 1) - round(os.getloadavg()[0]))
    ours = os.sched_getaffinity(0)
    try:
        before = _ticks(_TICKS.read_text(encoding="ascii"))
        time.sleep(_LOOK_S)
        after = _ticks(_TICKS.read_text(encoding="ascii"))
    except OSError:  # a container may hide it
        return len(ours)
    idle = 0.0
    for cpu in ours & before.keys() & after.keys():
        passed, unused = (now - then for now, then in zip(after[cpu], before[cpu], strict=True))
        idle += unused / passed if passed else 1.0
    return max(1, round(idle))


def _ticks(text: str) -> dict[int, tuple[int, int]]:
    """For each CPU how much time there was since the machine started, and how much was idle."""
    lines = text.splitlines()
    fields = [line.split() for line in lines if line.startswith("cpu") and line[3].isdigit()]
    # user, nice, system, idle, waiting for input, …; what a guest takes is in the first two.
    ticks = {int(name[3:]): [int(value) for value in values[:8]] for name, *values in fields}
    return {cpu: (sum(values), values[3] + values[4]) for cpu, values in ticks.items()}


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """So many CPU threads inside the block, afterwards as many as before; 0 changes nothing."""
    before = torch.get_num_threads()
    if count and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def share_memory(device: torch.device, share: float) -> None:
    """Hold this process to its share of a GPU's memory, so that it takes none from its fellows.

    Args:
        device: Where the training runs; on a CPU nothing is held.
        share: Of one GPU, above 0; 1 and more is all of it.
    """
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, share), device)


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak: what torch allocated on a GPU, else what this process held.

    Args:
        device: Where the training runs.

    Returns:
        Bytes; on a CPU since the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new peak; a process's own can't be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def release_memory() -> None:
    """Give back to the machine what earlier trainings of this process have freed.

    Each may run in a thread of its own; the C library keeps a heap for each, full of holes, and a
    process of twenty trainings held four times what one needs. A GPU's cached blocks go too, for
    who shares it.
    """
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()  # a network is full of cycles, and what they hold would stay
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others have no such thing
    if trim is not None:
        trim(0)
