"""What a node says about itself is tried for real, and a failure is an answer."""

from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from cluster.doctor.node_probe import PACKAGES, NodeProbe
from hscl.data.dataset import Dataset
from hscl.data.demo import write_demo

PROBE = NodeProbe()


def test_software_memory_and_disk_are_this_machines() -> None:
    facts = PROBE.facts()
    assert set(facts["packages"]) == set(PACKAGES)
    assert facts["packages"]["torch"] == version("torch")
    assert 0 < facts["memory_free"] <= facts["memory_total"]
    assert 0 < facts["disk"]["free"] <= facts["disk"]["total"]


def test_a_token_file_that_others_can_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    for mode, said in ((0o600, ""), (0o640, f"{path} has mode 0640")):
        path.chmod(mode)
        assert PROBE.facts()["exposed"] == said
    path.unlink()
    assert not PROBE.facts()["exposed"]


def test_data_are_opened_and_their_digest_told(tmp_path: Path) -> None:
    path = tmp_path / "demo.arrow"
    write_demo(path)
    told = PROBE.data(str(path))
    assert told["digest"] == Dataset.open(path).digest
    assert told["rows"] == len(Dataset.open(path))
    assert "there is no such file" in PROBE.data(str(tmp_path / "gone.arrow"))["error"]
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in PROBE.data(str(path))["error"]


def test_data_on_object_storage_are_read_too(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tune.tables.storage import open_folder

    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))
    write_demo(tmp_path / "demo.arrow")
    open_folder(bucket).write("demo.arrow", (tmp_path / "demo.arrow").read_bytes())
    told = PROBE.data(f"{bucket}/demo.arrow")
    assert told["digest"] == Dataset.open(tmp_path / "demo.arrow").digest


def test_the_packaged_encoder_is_loaded_and_a_missing_one_told() -> None:
    told = PROBE.encoder("minilm")
    assert told["width"] == 384
    assert len(told["digest"]) == 64
    assert "does not exist" in PROBE.encoder("/no/such/encoder")["error"]


def test_an_output_that_cannot_be_written_is_told(bucket: str) -> None:
    assert "another folder" not in NodeProbe().write("/proc/hscl", "w", "n1")["error"]
    assert "another folder" not in NodeProbe().write("s3://no-such-bucket/run", "w", "n1")["error"]


def test_gpus_are_the_ones_that_torch_computes_on() -> None:
    assert len(PROBE.gpus()["names"]) == torch.cuda.device_count()


def test_a_megabyte_is_a_megabyte() -> None:
    assert PROBE.read(PROBE.make()) == 1_000_000
