"""One name in several spellings: what spreadsheets and file managers do to names, undone safely.

A spreadsheet turns `0001` into `1` and, where a cell of the column is empty, pandas turns `1` into
`1.0`; names of files bring their ending along, and letters change case.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from hscl.data.ids import Key

__all__ = ["respelled"]

_NUMBER = re.compile(r"0*(\d+)(\.0+)?")
_ENDING = re.compile(r"\.(mp4|avi|mkv|mov|webm|wav|mp3|txt|csv)$", re.IGNORECASE)


def respelled(
    wanted: Iterable[Key],
    offered: Collection[Key],
    agree: Callable[[Key, Key], bool],
) -> dict[Key, Key]:
    """Pairs that name one utterance in different spellings.

    Args:
        wanted: All names of the features.
        offered: All names of the label file.
        agree: Whether what both know of an utterance (its label) is the same.

    Returns:
        For each of `wanted` that is not offered as it is, its other spelling; nothing at all
        where two names would become one, or one pair does not agree.
    """
    names = list(wanted)
    ours = {key: _plain(key) for key in names}
    theirs = {_plain(key): key for key in offered}
    if len(theirs) < len(offered) or max(Counter(ours.values()).values(), default=0) > 1:
        return {}
    known = set(offered)
    pairs = {
        key: theirs[plain] for key, plain in ours.items() if key not in known and plain in theirs
    }
    return pairs if all(agree(*pair) for pair in pairs.items()) else {}


def _plain(key: Key) -> Key:
    return Key(*(_plain_word(word) for word in key))


def _plain_word(word: str) -> str:
    bare = _ENDING.sub("", word.strip())
    number = _NUMBER.fullmatch(bare)
    return number[1] if number else bare.casefold()
