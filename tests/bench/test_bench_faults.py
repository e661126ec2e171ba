"""A sample of the faults of `bench_faults.py`: after each the study ends with the same tables."""

from pathlib import Path

import pytest
from bench_faults import Fault, after_fault, operations, view


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("faults") / "study"
    assert set(operations(where)) == {"write", "fsync", "rename"}
    return where


@pytest.mark.parametrize(
    ("kind", "number", "killed"),
    [("write", 12, False), ("fsync", 30, True), ("rename", 45, False), ("rename", 55, True)],
)
def test_after_a_fault_the_tables_become_those_of_the_undisturbed_study(
    undisturbed: Path, tmp_path: Path, kind: str, number: int, *, killed: bool
) -> None:
    said = after_fault(tmp_path / "study", Fault(kind, number, killed=killed))
    assert "killed" in said if killed else "No space left on device" in said
    assert view(tmp_path / "study") == view(undisturbed)
