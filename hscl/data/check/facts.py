"""What the check of a data set knows: facts by split and modality, and what to think of them."""

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["NO_SPLIT", "CheckReport", "LengthFacts", "SplitFacts"]

NO_SPLIT = "none"  # stands for utterances without a split


@dataclass(frozen=True)
class LengthFacts:
    """Lengths of one modality in one split, in frames (words for text).

    Attributes:
        present: Number of utterances that have the modality.
        missing: Number that lack it.
        median: Of the lengths of those that have it; None where there is none.
        p95: Their 95th percentile, likewise.
        longest: Likewise.
        zero_frames: Number of all-zero frames inside sequences.
    """

    present: int = 0
    missing: int = 0
    median: float | None = None
    p95: float | None = None
    longest: int | None = None
    zero_frames: int = 0


@dataclass(frozen=True)
class SplitFacts:
    """One split.

    Attributes:
        utterances: How many.
        videos: Of how many videos.
        labelled: How many utterances have a label.
        labels: Number of labels nearest to each of −3 … 3 (halves to the even number, as Acc-7),
            or of −1, −0.8 … 1.
        modalities: Lengths of "text" (words), "audio", "vision" and "text_vectors".
    """

    utterances: int = 0
    videos: int = 0
    labelled: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    modalities: dict[str, LengthFacts] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        path: The file.
        digest: Of its content, as stored.
        content_digest: Of its content, as found; the same in a sound file.
        metadata: What the conversion wrote.
        splits: Facts on train, valid, test, and "none" for utterances without a split.
        constant: Features that never change in train (all of it, where there is none), by
            modality, counted from 0.
        names_twice: Utterances whose name another one has.
        duplicates: Groups of utterances with the same content under different names.
        crossing_videos: Videos with utterances in several splits.
        speakers: How many there are in each split, where the set names any; a video of which it
            names none counts as one.
        crossing_speakers: Speakers with utterances in several splits.
        without_words: Utterances without words.
        too_large: Number of values that are no measurement, and some of them, by modality.
        problems: What would spoil a study.
        warnings: What to know before one.
    """

    path: str
    digest: str
    content_digest: str
    metadata: dict[str, Any]
    splits: dict[str, SplitFacts]
    constant: dict[str, list[int]]
    names_twice: list[str]
    duplicates: list[list[str]]
    crossing_videos: dict[str, list[str]]
    without_words: list[str]
    too_large: dict[str, tuple[int, list[str]]]
    speakers: dict[str, int] = field(default_factory=dict)
    crossing_speakers: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def utterances(self) -> int:
        """How many in all."""
        return sum(split.utterances for split in self.splits.values())

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)
