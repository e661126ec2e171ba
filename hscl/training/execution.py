"""How a training is executed: device, precision, threads, and what it takes of memory.

Nothing here is part of a configuration's identity, and nothing outlives its `with` block.
"""

import ctypes
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hscl.config import RunConfig
from hscl.errors import InputError

__all__ = [
    "autocast",
    "cpu_threads",
    "peak_memory",
    "release_memory",
    "reset_peak_memory",
    "resolve_device",
    "resolve_precision",
]


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


def resolve_precision(run: RunConfig, device: torch.device) -> str:
    """What `run.precision` means on a device: "fp32" or "bf16"."""
    if run.precision != "auto":
        return run.precision
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if fast else "fp32"


@contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Forward passes inside compute in this precision; weights and losses stay float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield


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
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others have no such thing
    if trim is not None:
        trim(0)
