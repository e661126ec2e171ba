"""What a check of a small sound data set finds."""

from hscl.data.check.facts import CheckReport, LengthFacts, SplitFacts


def facts(**changes: object) -> CheckReport:
    """A small sound set, with changes."""
    audio = LengthFacts(present=10, missing=0, median=4.0, p95=9.0, longest=9)
    text = LengthFacts(present=10, missing=0, median=3.0, p95=5.0, longest=6)
    labels = dict(
        zip(("-3", "-2", "-1", "0", "+1", "+2", "+3"), (1, 1, 1, 4, 1, 1, 1), strict=True)
    )
    split = SplitFacts(10, 3, 10, labels, {"text": text, "audio": audio})
    values: dict[str, object] = {
        "path": "x.arrow",
        "digest": "a" * 64,
        "content_digest": "a" * 64,
        "metadata": {"source": "test", "audio_width": 5, "vision_width": None},
        "splits": {"train": split, "valid": split, "test": split},
        "constant": {"audio": []},
        "names_twice": [],
        "duplicates": [],
        "crossing_videos": {},
        "without_words": [],
        "too_large": {},
    }
    return CheckReport(**(values | changes))  # type: ignore[arg-type]
