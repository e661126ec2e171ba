"""What a person asks of a driver through the study's folder."""

from pathlib import Path

import pytest

from tune.engine.requests import NOTE, STOP, leave, remove, waiting
from tune.tables.storage import open_folder


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_requests_wait_in_order_until_they_are_removed(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "disk" else request.getfixturevalue("bucket")
    folder = open_folder(root)
    assert waiting(folder) == []
    asked = [
        leave(folder, NOTE, "first – ü"),
        leave(folder, STOP, "a-1"),
        leave(folder, NOTE, "x"),
    ]
    assert waiting(folder) == asked
    remove(folder, asked[0])
    assert waiting(folder) == asked[1:]


def test_what_is_no_request_is_left_alone(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    for name, text in (
        ("a", b"\xff"),
        ("b", b"[]"),
        ("c", b'{"kind": "rm", "text": "", "who": ""}'),
    ):
        folder.write(f"requests/{name}.json", text)
    asked = leave(folder, NOTE, "n")
    assert waiting(folder) == [asked]
    assert len(folder.files("requests")) == 4
