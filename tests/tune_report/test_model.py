"""A report's parts are plain, whole and unchangeable."""

from dataclasses import FrozenInstanceError

import pytest

from tune.report.model import ReportSection, TextTable


def test_a_row_with_a_cell_too_many_or_too_few_is_refused() -> None:
    TextTable(("a", "b"), (("1", "2"), ("3", "4")))
    for row in (("1",), ("1", "2", "3")):
        with pytest.raises(ValueError, match="must have 2 cells"):
            TextTable(("a", "b"), (("1", "2"), row))


def test_a_section_is_empty_but_for_what_it_is_given_and_stays_as_it_is() -> None:
    section = ReportSection("limits", "What this study cannot say")
    given = {"name": section.name, "title": section.title}
    assert {k: v for k, v in vars(section).items() if v} == given
    with pytest.raises(FrozenInstanceError):
        section.title = "x"  # type: ignore[misc]
