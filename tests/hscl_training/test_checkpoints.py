"""Checkpoints: whole or not at all, and never a pickle."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hscl.errors import InputError
from hscl.training.checkpoints import read_record, read_tensors, write_checkpoint


def test_tensors_and_values_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        "a/weight": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
        "a/step": torch.tensor(3.0),
        "b/half": torch.tensor([1.5], dtype=torch.bfloat16),
    }
    record = {"epoch": 3, "value": 0.1 + 0.2, "nested": {"ü": [1, None]}}
    path = write_checkpoint(tmp_path / "new" / "state.safetensors", tensors, record)
    assert read_record(path) == record
    back = read_tensors(path)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert read_tensors(path, "b/").keys() == {"half"}


def test_nothing_but_the_file_itself_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for value in range(3):
        write_checkpoint(path, {"x": torch.tensor(value)}, {"value": value})
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert read_record(path) == {"value": 2}


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, {"x": torch.ones(2)}, {"value": 1})
    with pytest.raises(TypeError):
        write_checkpoint(path, {"x": torch.zeros(2)}, {"value": object()})
    assert read_record(path) == {"value": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\x10\0\0\0\0\0\0\0{"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    for read in (read_record, read_tensors):
        with pytest.raises(InputError, match=r"broken\.safetensors must be a checkpoint"):
            read(path)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "x.safetensors", {"x": torch.ones(100)}, {})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError):
        read_tensors(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        read_record(tmp_path / "nowhere")


def test_a_foreign_safetensors_file_has_no_record(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="another program"):
        read_record(tmp_path / "foreign.safetensors")


_WRITER = """
import sys, torch
from pathlib import Path
from hscl.training.checkpoints import write_checkpoint
path = Path(sys.argv[1])
value = 0
while True:
    write_checkpoint(path, {"x": torch.full((200_000,), float(value))}, {"value": value})
    value += 1
    print(value, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    for delay in (0.0, 0.003, 0.011):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        with writer.stdout:
            writer.stdout.readline()
            time.sleep(delay)
            writer.kill()
            writer.wait()
        value = read_record(path)["value"]
        assert torch.equal(read_tensors(path)["x"], torch.full((200_000,), float(value)))


def test_the_record_is_json_that_other_programs_can_read(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "x.safetensors", {"x": torch.ones(1)}, {"epoch": 2})
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["hscl"]) == {"epoch": 2}


def test_whoever_may_read_other_new_files_may_read_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    path = write_checkpoint(tmp_path / "x.safetensors", {"x": torch.ones(1)}, {})
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


TOO_LARGE = """
import resource, signal, sys, torch
from pathlib import Path
from hscl.training.checkpoints import write_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_checkpoint(Path(sys.argv[1]), {"w": torch.zeros(100_000)}, {})
except OSError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_an_os_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c.safetensors", {"w": torch.ones(3)}, {"epoch": 1})
    done = subprocess.run(
        [sys.executable, "-c", TOO_LARGE, str(path)], capture_output=True, text=True, check=True
    )
    assert f"{path} can't be written" in done.stdout
    assert read_record(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]
