"""A trial's checkpoint and log: on a disk where they belong, on object storage whole."""

import logging
import os
from pathlib import Path

import pytest

from tune.tables.storage import open_folder
from tune.trial.files import TrialFiles


@pytest.fixture(params=["disk", "s3"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        (tmp_path / "study").mkdir()  # as the driver has made it before any worker comes
        return str(tmp_path / "study")
    bucket: str = request.getfixturevalue("bucket")
    return f"{bucket}/study"


def save(folder: Path, epoch: int) -> None:
    """As a training does: the best first, then the state that names it, then the old best goes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"best-{epoch}").write_text(f"weights {epoch}")
    (folder / "state").write_text(f"best-{epoch}")
    for old in folder.glob("best-*"):
        if old.name != f"best-{epoch}":
            old.unlink()


def test_a_checkpoint_is_found_by_the_next_attempt(study: str) -> None:
    with TrialFiles.opened(study, "a-1") as files:
        assert not files.has_checkpoint
        for epoch in (1, 2):
            save(files.checkpoint, epoch)
            files.publish_checkpoint()
    with TrialFiles.opened(study, "a-1") as files:
        assert files.has_checkpoint
        assert (files.checkpoint / "state").read_text() == "best-2"
        assert sorted(p.name for p in files.checkpoint.iterdir()) == ["best-2", "state"]
        save(files.checkpoint, 3)
        files.publish_checkpoint()
    there = open_folder(study).files("checkpoints/a-1")
    assert sorted(there) == ["best-3", "state"]
    with TrialFiles.opened(study, "other-1") as files:
        assert not files.has_checkpoint


def test_only_what_changed_goes_up_again(bucket: str) -> None:
    folder = open_folder(f"{bucket}/study")
    with TrialFiles.opened(f"{bucket}/study", "a-1") as files:
        save(files.checkpoint, 1)
        files.publish_checkpoint()
        folder.delete("checkpoints/a-1/best-1")
        (files.checkpoint / "state").write_text("changed")
        files.publish_checkpoint()
    assert sorted(folder.files("checkpoints/a-1")) == ["state"]


def test_what_python_code_prints_goes_to_the_log_and_every_attempt_is_kept(
    study: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for attempt in (1, 2):
        with TrialFiles.opened(study, "a-1") as files, files.logging() as log:
            files.note(f"attempt {attempt}")
            print("said by the training")
            logging.StreamHandler().stream.write("and by a library\n")
            assert log.fileno() > 0
    text = open_folder(study).read("logs/a-1.txt").decode()
    lines = ["said by the training", "and by a library"]
    assert text.splitlines() == ["attempt 1", *lines, "attempt 2", *lines]
    assert capsys.readouterr().out == ""


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with TrialFiles.opened(str(tmp_path), "a-1") as files, files.logging() as log:
        files.note("lost")
        print("lost")
        assert log.name == os.devnull
