"""Device, precision, threads: explicit, checked, and gone when the block ends."""

import gc
import os
import platform
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from hscl.config import Config
from hscl.errors import InputError
from hscl.training import execution
from hscl.training.execution import (
    autocast,
    choose_threads,
    cpu_has_bf16,
    cpu_threads,
    idle_cpus,
    peak_memory,
    release_memory,
    repeatable,
    reset_peak_memory,
    resolve_device,
    resolve_precision,
    share_memory,
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


@pytest.mark.parametrize(
    ("has_it", "changes", "expected"),
    [
        (True, {}, "bf16"),
        (True, {"train.batch_size": 31}, "fp32"),
        (True, {"run.micro_batch": 31}, "fp32"),
        (True, {"run.micro_batch": 32}, "bf16"),
        (True, {"model.text.finetune": False}, "fp32"),
        (True, {"run.precision": "fp32"}, "fp32"),
        (False, {}, "fp32"),
        (False, {"run.precision": "bf16"}, "bf16"),
    ],
)
def test_a_cpu_takes_bf16_where_it_has_it_and_much_is_multiplied_unless_asked_otherwise(
    *, has_it: bool, changes: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "cpu_has_bf16", lambda: has_it)
    config = Config().with_overrides({"train.batch_size": 32} | changes)
    assert resolve_precision(config, CPU) == expected


def test_what_holds_itself_in_a_circle_is_gone_before_a_gpus_memory_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Network:
        def __init__(self) -> None:
            self.myself = self

    held = weakref.ref(Network())
    seen: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(held()))
    gc.disable()
    try:
        release_memory()
    finally:
        gc.enable()
    assert seen == [None]


def test_a_cpu_has_bf16_where_its_kernel_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(execution, "_CPUS", flags)
    found = []
    for text in (None, "flags : avx512f avx512_vnni", "flags : avx512f avx512_bf16"):
        if text is not None:
            flags.write_text(text)
        cpu_has_bf16.cache_clear()
        found.append(cpu_has_bf16())
    cpu_has_bf16.cache_clear()
    assert found == [False, False, True]


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


def test_what_was_asked_or_given_decides_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    assert choose_threads(7, finetunes=False) == 7
    monkeypatch.setenv("OMP_NUM_THREADS", str(before))
    assert choose_threads(0, finetunes=False) == before
    monkeypatch.delenv("OMP_NUM_THREADS")
    with cpu_threads(before + 3):
        assert choose_threads(0, finetunes=True) == before + 3


def test_a_frozen_encoder_takes_one_thread_and_a_trained_one_the_idle_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    cpus = sorted(os.sched_getaffinity(0))
    # As the kernel has it: user, nice, system, idle, waiting, interrupts, soft ones, stolen.
    ticks = tmp_path / "stat"
    monkeypatch.setattr(execution, "_TICKS", ticks)
    monkeypatch.setattr(execution, "_THREADS_AT_START", 5)
    for busy in (0, 1, len(cpus)):
        lines = [f"cpu{cpu} 0 0 0 0 0 0 0 0 0 0" for cpu in [*cpus, 999]]
        ticks.write_text("\n".join(["cpu 0 0 0 0", *lines, "intr 9"]))

        def later(_: float, busy: int = busy) -> None:
            used = [f"cpu{cpu} 15 0 4 1 0 0 0 0 0 0" for cpu in cpus[:busy]]
            idle = [f"cpu{cpu} 1 0 0 18 1 0 0 0 0 0" for cpu in [*cpus[busy:], 999]]
            ticks.write_text("\n".join(["cpu 0 0 0 0", *used, *idle, "intr 9"]))

        monkeypatch.setattr("hscl.training.execution.time.sleep", later)
        idle_cpus.cache_clear()
        expected = max(1, len(cpus) - busy)
        with cpu_threads(5):
            assert choose_threads(0, finetunes=True) == min(5, expected)
            assert choose_threads(0, finetunes=False) == 1
    ticks.unlink()
    idle_cpus.cache_clear()
    assert idle_cpus() == len(cpus)
    idle_cpus.cache_clear()


def test_waiting_threads_let_go_of_their_cpu_from_the_first_import_on() -> None:
    program = (
        "import hscl, os, sys; print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'], "
        "os.environ['CUBLAS_WORKSPACE_CONFIG'], 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={k: v for k, v in os.environ.items() if not k.startswith(("OMP", "KMP", "CUBLAS"))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["PASSIVE", "0", ":4096:8", "False"]


@pytest.mark.parametrize("strictly", [False, True])
def test_a_gpu_repeats_its_bits_inside_the_block_and_a_cpu_is_left_alone(
    *, strictly: bool
) -> None:
    memory: Any = torch.utils.deterministic

    def state() -> tuple[bool, bool, bool]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            memory.fill_uninitialized_memory,
        )

    torch.use_deterministic_algorithms(strictly)
    try:
        before = state()
        with repeatable(CPU):
            assert state() == before
        with repeatable(torch.device("cuda", 0)):
            assert state() == (True, True, False)
        assert state() == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_share_of_a_gpu_is_a_share_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[tuple[float, torch.device]] = []

    def hold(share: float, device: torch.device) -> None:
        held.append((share, device))

    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", hold)
    gpu = torch.device("cuda", 1)
    for share in (0.25, 1.0, 2.0):
        share_memory(gpu, share)
    share_memory(CPU, 0.0)
    assert held == [(0.25, gpu), (1.0, gpu), (1.0, gpu)]


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
