"""Who speaks, from a file of its own: groups of utterances that are alike beyond their video.

A CSV file with the columns video_id and speaker, one line a video; or with clip_id as well, one
line an utterance. What it says stands; utterances that it does not name keep what they have.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hscl.data.readers.csv_lines import csv_lines
from hscl.data.readers.sources import FieldError, Source
from hscl.errors import InputError

__all__ = ["Groups", "join_groups", "read_groups"]

Groups = Mapping[tuple[str, str | None], str]
"""Speaker by video and clip; the clip is None where the whole video is meant."""

_NEEDED = ("video_id", "speaker")


def read_groups(path: Path) -> Groups:
    """Read a file of groups.

    Raises:
        InputError: It can't be read, lacks a column, or names nothing.
        FieldError: A line names no speaker, or a video or utterance for a second time.
    """
    groups: dict[tuple[str, str | None], str] = {}
    for number, line in csv_lines(path, _NEEDED):
        place = f"line {number}"
        video, speaker = ((line[name] or "").strip() for name in _NEEDED)
        clip = (line.get("clip_id") or "").strip() or None
        if not video or not speaker:
            raise FieldError(str(path), " and ".join(_NEEDED), "must not be empty", place)
        if (video, clip) in groups:
            raise FieldError(str(path), "video_id", f"{video} is there twice", place)
        groups[video, clip] = speaker
    if not groups:
        raise InputError(f"{path} must name the speaker of one video at least; it names none.")
    return groups


def join_groups(sources: list[Source], groups: Groups, name: str) -> list[Source]:
    """Give utterances their speakers.

    Args:
        sources: What the readers returned.
        groups: What `read_groups` returned.
        name: What messages call that file.

    Raises:
        InputError: It names no video of these features.
    """
    joined = []
    for source in sources:
        own = source.speakers or [None] * len(source)
        speakers = [
            groups.get((key.video, key.utterance), groups.get((key.video, None), speaker))
            for key, speaker in zip(source.keys, own, strict=True)
        ]
        joined.append(replace(source, speakers=speakers if any(speakers) else None))
    videos = {key.video for source in sources for key in source.keys}
    if not videos & {video for video, _ in groups}:
        there, ours = next(iter(groups))[0], min(videos, default="none")
        raise InputError(
            f"no line of {name} names a video of these features; it has {there!r}, the features "
            f"{ours!r}."
        )
    return joined
