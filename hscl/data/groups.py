"""Who speaks, from a file of its own: groups of utterances that are alike beyond their video.

A CSV file with the columns video_id and speaker, one line a video; or with clip_id as well, one
line an utterance. What it says stands; utterances that it does not name keep what they have.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hscl.data.ids import Key, printable
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

    Returns:
        The sources with their speakers; a remark of the first says how many lines name nobody.

    Raises:
        InputError: It names no utterance of these features.
    """  # noqa: DOC502 - raised by _idle
    keys = [key for source in sources for key in source.keys]
    idle = _idle(groups, keys, name)
    joined = []
    for source in sources:
        own = source.speakers or [None] * len(source)
        speakers = [
            groups.get((key.video, key.utterance), groups.get((key.video, None), speaker))
            for key, speaker in zip(source.keys, own, strict=True)
        ]
        joined.append(replace(source, speakers=speakers if any(speakers) else None))
    if idle:
        remark = f"{len(idle)} lines of {name} name no utterance, such as {idle[0]}."
        notes = joined[0].notes
        joined[0] = replace(joined[0], notes=replace(notes, remarks=[*notes.remarks, remark]))
    return joined


def _idle(groups: Groups, keys: list[Key], name: str) -> list[str]:
    """The lines that name no utterance.

    Raises:
        InputError: Not one line does.
    """
    clips = {key.video: key.utterance for key in keys}
    named: set[tuple[str, str | None]] = {*keys, *((video, None) for video in clips)}
    idle = [line for line in groups if line not in named]
    if len(idle) == len(groups):
        video, clip = next((line for line in idle if line[0] in clips), idle[0])
        what = f"an utterance of these features; of video {video!r} it has {clip!r}"
        ours = clips.get(video)
        if ours is None:
            what, ours = f"a video of these features; it has {video!r}", min(clips)
        raise InputError(printable(f"no line of {name} names {what}, the features {ours!r}."))
    return [str(Key(video, clip)) if clip else printable(f"video {video}") for video, clip in idle]
