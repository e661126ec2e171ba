"""Sources -> the rows of a data set: float32 frames, finite, of one width; and what that took."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from hscl.data.ids import Key
from hscl.data.readers.sources import FieldError, Frames, Source
from hscl.data.schema import SEQUENCES, Utterance

__all__ = ["TOO_LARGE", "Cleaning", "outliers"]

_LARGEST = np.finfo(np.float32).max
TOO_LARGE = 1e10
"""A finite value from here on is no measurement: it is taken for an infinity that was averaged.

Real features reach thousands; infinities that older programs replaced by the largest float stay
above this even as a mean over 10^28 frames, and squares of what is beyond 10^19 leave float32.
"""
_NAMED = 5  # examples by modality


def outliers(frames: npt.NDArray[np.float32], key: object) -> list[str]:
    """The values of an utterance that are too large, in words, the largest first.

    Args:
        frames: (L, width), finite.
        key: What names the utterance.
    """
    places = np.argwhere(np.abs(frames) >= TOO_LARGE)
    places = places[np.argsort(-np.abs(frames[tuple(places.T)]), kind="stable")]
    return [f"{key}, feature {column}: {frames[row, column]:g}" for row, column in places]


class Cleaning:
    """One pass over sources; afterwards it knows what there was to clean.

    Attributes:
        widths: Numbers in a frame, by modality; a modality without any frame is not there.
        missing: Number of utterances without audio, vision or text.
        zeroed: Number of those whose audio or vision was there, but all zero.
        replaced: Number of values that were infinite or NaN and became 0, by modality.
        too_large: Number of finite values of `TOO_LARGE` or more that became 0, by modality.
        too_large_named: Some of them, by modality: utterance, feature and value.
    """

    def __init__(self) -> None:
        self.widths: dict[str, int] = {}
        self.missing: Counter[str] = Counter()
        self.zeroed: Counter[str] = Counter()
        self.replaced: Counter[str] = Counter()
        self.too_large: Counter[str] = Counter()
        self.too_large_named: defaultdict[str, list[str]] = defaultdict(list)

    def rows(self, sources: Iterable[Source]) -> Iterator[Utterance]:
        """The cleaned rows of all sources, one by one.

        Args:
            sources: Read, and joined with words.

        Raises:
            FieldError: If frames have another width than those before, or text is no text.
        """
        for source in sources:
            nothing = [None] * len(source)
            columns = zip(
                source.keys,
                source.splits,
                source.labels,
                source.words,
                source.speakers or nothing,
                *(getattr(source, name) or nothing for name in SEQUENCES),
                strict=True,
            )
            for key, split, label, words, speaker, *sequences in columns:
                text = (words or "").strip() or None
                for field, value in (
                    ("video", key.video),
                    ("utterance", key.utterance),
                    ("text", text or ""),
                    ("speaker", speaker or ""),
                ):
                    if not _is_unicode(value):
                        raise FieldError(source.name, field, f"must be text, is {value!r}", key)
                self.missing["text"] += text is None
                audio, vision, vectors = (
                    self._frames(source.name, modality, frames, key)
                    for modality, frames in zip(SEQUENCES, sequences, strict=True)
                )
                yield Utterance(
                    key.video,
                    key.utterance,
                    split,
                    label,
                    text,
                    audio,
                    vision,
                    vectors,
                    speaker,
                )

    def _frames(
        self, name: str, modality: str, frames: Frames | None, key: Key
    ) -> npt.NDArray[np.float32] | None:
        if frames is None or not frames.size:
            self.missing[modality] += 1
            return None
        width = self.widths.setdefault(modality, frames.shape[1])
        if frames.shape[1] != width:
            raise FieldError(
                name, modality, f"must be {width} wide as the others, is {frames.shape[1]}", key
            )
        with np.errstate(over="ignore", invalid="ignore"):
            cleaned = np.array(frames, dtype=np.float32)
        # The largest float32 is what `nan_to_num` makes of infinity; older caches are full of it.
        bad = ~(np.abs(cleaned) < _LARGEST)
        if bad.any():
            cleaned[bad] = 0.0
            self.replaced[modality] += int(bad.sum())
        if named := outliers(cleaned, key):
            self.too_large[modality] += len(named)
            room = _NAMED - len(self.too_large_named[modality])
            self.too_large_named[modality] += named[: max(room, 0)]
            cleaned[np.abs(cleaned) >= TOO_LARGE] = 0.0
        if not cleaned.any():
            self.missing[modality] += 1
            self.zeroed[modality] += 1
            return None
        return cleaned


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
