"""What nothing will need goes; what a trial may still need stays."""

from pathlib import Path

import pytest
from study_factory import Simulated, write_study

from tune.engine.janitor import Janitor
from tune.tables.storage import Folder, open_folder
from tune.views.study import open_study


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "disk":
        return open_folder(tmp_path / "study")
    bucket: str = request.getfixturevalue("bucket")
    return open_folder(f"{bucket}/study")


def checkpoint(folder: Folder, trial_id: str) -> None:
    for name in ("state.safetensors", "best-0001.safetensors"):
        folder.write(f"checkpoints/{trial_id}/{name}", b"weights")


def test_ends_clear_as_much_as_their_kind_allows(folder: Folder) -> None:
    for name in ("done", "pruned", "failed", "started"):
        checkpoint(folder, name)
    with Janitor(folder) as janitor:
        janitor.on_rows("reports", [{"trial_id": "started"}])
        states = ("done", "pruned", "failed", "started")
        janitor.on_rows("trials", [{"trial_id": name, "state": name} for name in states])
    assert sorted(folder.folders("checkpoints")) == ["done", "started"]
    assert list(folder.files("checkpoints/done")) == ["best-0001.safetensors"]
    assert len(folder.files("checkpoints/started")) == 2


def test_a_start_clears_what_an_earlier_process_left(tmp_path: Path) -> None:
    study = open_study(write_study(tmp_path / "s", Simulated(trials=8, until="refine")))
    states = {t.trial_id: t.state for t in study.history.trials.values()}
    for trial_id in [*states, "unknown-1"]:
        checkpoint(study.folder, trial_id)
    with Janitor(study.folder) as janitor:
        janitor.sweep(study.history)
    left = {name: len(study.folder.files(f"checkpoints/{name}")) for name in states}
    assert {"done", "pruned"} <= set(states.values())
    expected = {"done": 1, "pruned": 0, "failed": 0, "started": 2}
    assert left == {name: expected[state] for name, state in states.items()}
    assert len(study.folder.files("checkpoints/unknown-1")) == 2


def test_a_folder_without_checkpoints_is_no_trouble(folder: Folder) -> None:
    with Janitor(folder) as janitor:
        janitor.on_rows("trials", [{"trial_id": "a-1", "state": "pruned"}])
