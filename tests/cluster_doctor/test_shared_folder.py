"""One output for all machines: each sees what the others wrote, and nothing is left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.doctor import shared_folder
from cluster.doctor.node_probe import HEAD, NodeProbe
from cluster.doctor.shared_folder import SharedFolder


@pytest.fixture
def head(tmp_path: Path) -> Iterator[SharedFolder]:
    """The head's file in an output that is there."""
    folder = SharedFolder(str(tmp_path / "new" / "run"), "w", HEAD)
    folder.write()
    yield folder
    folder.clear()
    assert list(tmp_path.iterdir()) == []


def test_what_the_head_wrote_is_seen_and_nothing_is_left_behind(
    head: SharedFolder, tmp_path: Path
) -> None:
    node, out = NodeProbe(), str(tmp_path / "new" / "run")
    assert "error" not in node.write(out, "w", "n1")
    assert head.sees("n1")
    node.clear()
    assert len(list(Path(out).iterdir())) == 1  # the head's


def test_an_output_that_is_another_folder_is_told(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_folder, "_PATIENCE_S", 0.0)
    node = NodeProbe()
    for where in (f"{tmp_path}/mine", f"{bucket}/run"):
        assert "is another folder" in node.write(where, "w", "n1")["error"]
        head = SharedFolder(where, "v", HEAD)  # a file of an earlier visit is not taken for it
        assert not head.sees("n1")
        node.clear()
    assert list(tmp_path.iterdir()) == []
