"""Sources -> the rows of a data set: float32 frames, finite, of one width; and what that took."""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from hscl.data.ids import Key
from hscl.data.readers.sources import FieldError, Frames, Source
from hscl.data.schema import Utterance

__all__ = ["Cleaning"]

_LARGEST = np.finfo(np.float32).max


class Cleaning:
    """One pass over sources; afterwards it knows what there was to clean.

    Attributes:
        widths: Numbers in a frame, by modality; a modality without any frame is not there.
        missing: Number of utterances without audio, vision or text.
        zeroed: Number of those whose audio or vision was there, but all zero.
        replaced: Number of values that were infinite or NaN and became 0, by modality.
    """

    def __init__(self) -> None:
        self.widths: dict[str, int] = {}
        self.missing: Counter[str] = Counter()
        self.zeroed: Counter[str] = Counter()
        self.replaced: Counter[str] = Counter()

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
                source.audio or nothing,
                source.vision or nothing,
                strict=True,
            )
            for key, split, label, words, audio, vision in columns:
                text = (words or "").strip() or None
                for field, value in (("id", str(key)), ("text", text or "")):
                    if not _is_unicode(value):
                        raise FieldError(source.name, field, f"must be text, is {value!r}", key)
                self.missing["text"] += text is None
                yield Utterance(
                    video=key.video,
                    utterance=key.utterance,
                    split=split,
                    label=label,
                    text=text,
                    audio=self._frames(source.name, "audio", audio, key),
                    vision=self._frames(source.name, "vision", vision, key),
                )

    def _frames(
        self, name: str, modality: str, frames: Frames | None, key: Key
    ) -> npt.NDArray[np.float32] | None:
        if frames is None or not len(frames):
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
