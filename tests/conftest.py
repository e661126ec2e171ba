"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest

_MISSING = "the shared folder with real data is missing (set HSCL_SHARED)"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real CMU-MOSI files and golden numbers, or a skip where it is missing."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("HSCL_SHARED", beside))
    if not (folder / "golden").is_dir():
        pytest.skip(_MISSING)
    return folder
