"""The check for the eyes: all sizes are there, and names with brackets are printed as they are."""

import io
from dataclasses import replace
from typing import Any

from check_reports import facts
from rich.console import Console

from hscl.data.check.facts import LengthFacts
from hscl.data.check.tables import print_report


def _printed(**changes: object) -> str:
    stream = io.StringIO()
    print_report(facts(**changes), Console(file=stream, width=120))
    return stream.getvalue()


def test_sizes_lengths_and_labels_are_shown() -> None:
    printed = _printed()
    rows = [line.split("│")[1:-1] for line in printed.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert ["train", "10", "3", "10", "10", "10", "–", "–"] in cells
    assert ["audio", "test", "4", "9", "9", "0", "0"] in cells
    assert ["text", "test", "3", "5", "6", "0", "–"] in cells
    assert ["0", "4", "4", "4"] in cells
    assert "audio 5 wide, no vision; lengths from content" in printed
    assert "text: words (30 of 30)" in printed
    assert "sound: nothing to complain of." in printed


def test_problems_and_warnings_are_shown_whole() -> None:
    names = ["[red]v[3]"] * 3
    printed = _printed(problems=["a " * 80 + "end"], warnings=[f"have no words: {names}"])
    assert "problem: " + "a " * 80 + "end" in printed
    assert f"warning: have no words: {names}" in printed
    assert "sound" not in printed


def test_the_padding_of_each_file_is_shown() -> None:
    metadata = {"source": "t", "audio_width": 5, "vision_width": 20, "lengths": "recorded"}
    metadata |= {"padding": {"a.pkl": {"audio": "front", "vision": "back"}}}
    printed = _printed(metadata=metadata)
    assert "a.pkl: padded audio front, vision back" in printed
    assert "lengths from recorded" in printed


def test_which_kinds_of_text_a_set_has_and_another_label_range_are_shown() -> None:
    part = facts().splits["train"]
    vectors = LengthFacts(present=9, missing=1, median=4.0, p95=5.0, longest=6)
    only = {"text": LengthFacts(missing=10), "text_vectors": vectors}
    metadata: dict[str, Any] = {"source": "t", "audio_width": None, "vision_width": None}
    metadata |= {"text_width": 300, "label_range": 1.0}
    printed = _printed(splits={"train": replace(part, modalities=only)}, metadata=metadata)
    assert "text: its own vectors, 300 wide (9 of 10)" in printed
    assert "labels from −1 to 1" in printed
