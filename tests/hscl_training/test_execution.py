"""Device, precision, threads: explicit, checked, and gone when the block ends."""

import platform
import threading
from pathlib import Path

import pytest
import torch

from hscl.config import RunConfig
from hscl.errors import InputError
from hscl.training.execution import (
    autocast,
    cpu_threads,
    peak_memory,
    release_memory,
    reset_peak_memory,
    resolve_device,
    resolve_precision,
)

CPU = torch.device("cpu")


def test_auto_is_a_device_that_is_there() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected
    assert resolve_device("cpu") == CPU


def test_a_gpu_that_is_not_there_is_an_error_that_says_what_to_use() -> None:
    with pytest.raises(InputError, match=r"cuda:99.*use 'auto' or 'cpu'"):
        resolve_device("cuda:99")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_means_the_first_gpu() -> None:
    assert resolve_device("cuda") == torch.device("cuda", 0)


def test_precision_is_fp32_on_a_cpu_unless_asked_otherwise() -> None:
    assert resolve_precision(RunConfig(), CPU) == "fp32"
    assert resolve_precision(RunConfig(precision="bf16"), CPU) == "bf16"
    assert resolve_precision(RunConfig(precision="fp32"), torch.device("cuda")) == "fp32"


def test_autocast_holds_inside_its_block_alone() -> None:
    one = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (one @ one).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (one @ one).dtype == torch.float32
    assert (one @ one).dtype == torch.float32


def test_threads_are_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads()

    def failing() -> None:
        with cpu_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert torch.get_num_threads() == before
    with cpu_threads(0):
        assert torch.get_num_threads() == before


def test_peak_memory_grows_with_what_is_held() -> None:
    reset_peak_memory(CPU)
    before = peak_memory(CPU)
    assert before > 2**20
    held = torch.ones(2**26)  # 256 MiB
    after = peak_memory(CPU)
    assert after >= before
    assert after >= held.nbytes


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_a_training_in_another_thread_has_freed_goes_back_to_the_machine() -> None:
    survivors = []

    def train() -> None:
        # Blocks of a heap, as many small tensors are; what stays keeps its end from shrinking.
        blocks = [torch.ones(16_000) for _ in range(4_000)]
        survivors.append(blocks.pop())

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    held = _anonymous_memory()
    release_memory()
    assert held - _anonymous_memory() > 100 << 20
    assert float(survivors[0].sum()) == 16_000


def _anonymous_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
