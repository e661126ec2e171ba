"""Names of utterances in all forms that files have: normalised to video and clip."""

import re
from typing import NamedTuple

import numpy as np

__all__ = ["Key", "as_text", "parse_id", "printable"]


class Key(NamedTuple):
    """What names an utterance.

    Attributes:
        video: Name of its video; may hold anything, underscores included.
        utterance: Name of the clip within the video.
    """

    video: str
    utterance: str

    def __str__(self) -> str:
        return printable(f"video {self.video}, utterance {self.utterance}")


# Greedy: video names hold underscores themselves, the last one counts.
_FORMS = (
    re.compile(r"(?P<video>.+)\$_\$(?P<clip>.+)", re.DOTALL),  # MMSA
    re.compile(r"(?P<video>.+)\[(?P<clip>\d+)\]"),  # CMU-MultimodalSDK: a running number
    re.compile(r"(?P<video>.+)_(?P<clip>\d+)"),  # MulT, MMIM, HSCL
)


def as_text(value: object) -> str:
    """A word from a file, that may be bytes (Python 2, or NumPy's type S) or text.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.ndarray) and value.size == 1:
        return as_text(value.item())
    raise ValueError(f"must be text, is {type(value).__name__} {str(value)[:40]!r}")


def printable(text: str) -> str:
    """Text from a file for a message: in one line, without what would steer a terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def parse_id(text: str) -> tuple[Key, bool]:
    """Take an id apart.

    Args:
        text: `VIDEO$_$CLIP`, `VIDEO[NUMBER]` or `VIDEO_CLIP`.

    Returns:
        The key, and whether its second part is only a running number: the multimodal SDK counts
        the segments of a video, which need not be the clip numbers of a label file.

    Raises:
        ValueError: If it has none of these forms.
    """
    for form in _FORMS:
        if match := form.fullmatch(text.strip()):
            return Key(match["video"], match["clip"]), form is _FORMS[1]
    raise ValueError(f"must be VIDEO_CLIP, VIDEO$_$CLIP or VIDEO[NUMBER], is {text[:60]!r}")
