"""A whole study with data and results on object storage, its driver killed on the way.

The S3 interface is moto's: one process that speaks S3's requests. It says nothing about S3's own
consistency, speed, limits or permissions.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster_checks import assert_complete

from hscl.data.demo import write_demo
from tune.tables.storage import open_folder
from tune.views.study import open_study

pytestmark = pytest.mark.cluster
STUDY = """
[study]
name = "storage"
[base]
"model.modalities" = "text"
"model.text.finetune" = false
"loss.omega1" = 0.0
"loss.omega2" = 0.0
"train.epochs" = 6
"train.patience" = 9
[space]
"train.lr" = { log_uniform = [1e-4, 1e-2] }
[sampler]
trials = 4
[refine]
trials = 2
[confirm]
seeds = 2
"""


def test_a_study_on_object_storage_survives_its_driver(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    write_demo(tmp_path / "demo.arrow")
    open_folder(bucket).write("demo.arrow", (tmp_path / "demo.arrow").read_bytes())
    (tmp_path / "demo.arrow").unlink()
    (tmp_path / "study.toml").write_text(STUDY)
    command = [
        *(str(Path(sys.executable).parent / "hscl"), "search", "study.toml"),
        *("--data", f"{bucket}/demo.arrow", "--out", f"{bucket}/runs/one"),
    ]
    with (tmp_path / "first.log").open("wb") as log:
        first = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        deadline = time.monotonic() + 300
        while not open_folder(f"{bucket}/runs/one/tables").files("reports"):
            assert first.poll() is None, (tmp_path / "first.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    told = open_study(f"{bucket}/runs/one").status()
    assert told["state"] == "unfinished"
    second = subprocess.run(
        [*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["state"] == "done"
    figures = assert_complete(f"{bucket}/runs/one")
    assert figures["started again"] >= 1
    left = open_folder(f"{bucket}/runs/one")
    assert {"configs", "trials", "reports", "predictions", "plan"} <= set(left.folders("tables"))
    assert left.folders("logs") == []
    assert left.files("logs")
