"""Label ranges: CH-SIMS's is told by its signs, never by chance; two classes are no sentiment."""

import pytest

from hscl.data.ids import Key
from hscl.data.labels import refuse_binary, told_label_range
from hscl.data.readers.sources import Notes, Source
from hscl.errors import InputError

FIFTHS = [k / 5 for k in range(-5, 6)] * 3


def _source(
    labels: list[float],
    words: str | None = None,
    label_range: float | None = None,
    *,
    unimodal: bool = False,
) -> Source:
    count = len(labels)
    return Source(
        name="f",
        keys=[Key("v", str(k)) for k in range(count)],
        splits=["train"] * count,
        labels=[*labels],
        words=[words] * count,
        notes=Notes(label_range=label_range, unimodal=unimodal),
    )


@pytest.mark.parametrize(
    "source", [_source(FIFTHS, "我很喜欢 film"), _source(FIFTHS, unimodal=True)]
)
def test_chinese_words_or_unimodal_labels_tell_the_range_of_fifths(source: Source) -> None:
    found, (remark,) = told_label_range([source], None)
    assert found == 1.0
    assert "--label-range 3" in remark


@pytest.mark.parametrize(
    "source",
    [
        _source([*FIFTHS, 1.2], "我很喜欢"),
        _source([*FIFTHS, 0.25], "我很喜欢"),
        _source([*FIFTHS, 0.25], unimodal=True),
        _source(FIFTHS, "I like it"),
        _source([], "我很喜欢"),
    ],
)
def test_all_else_is_of_the_wide_range(source: Source) -> None:
    assert told_label_range([source], None)[0] == 3.0


def test_many_small_labels_without_a_sign_are_doubted() -> None:
    assert "--label-range 1" in told_label_range([_source(FIFTHS)], None)[1][0]
    assert told_label_range([_source(FIFTHS[:9])], None) == (3.0, [])


def test_what_is_said_stands_where_the_labels_fit() -> None:
    assert told_label_range([_source([0.33, -1.0])], 1.0) == (1.0, [])
    with pytest.raises(InputError, match=r"between -1 and 1 .* as far from 0 as 2\.4"):
        told_label_range([_source([0.4, -2.4])], 1.0)


def test_what_a_set_of_our_own_says_stands_where_the_labels_fit() -> None:
    one, three = _source([0.33, -1.0], label_range=1.0), _source(FIFTHS, "我很喜欢", 3.0)
    assert told_label_range([one], None) == (1.0, [])
    assert told_label_range([three], None) == (3.0, [])
    assert told_label_range([one], 3.0)[0] == 3.0
    assert told_label_range([three], 1.0)[0] == 1.0
    # What joins it without a range of its own is of the same one, unless it can't be.
    assert told_label_range([one, _source([0.5])], None)[0] == 1.0
    assert told_label_range([one, _source([2.5])], None)[0] == 3.0
    with pytest.raises(InputError, match=r"say 1 and 3; .* or say --label-range"):
        told_label_range([one, three], None)
    assert told_label_range([one, three], 3.0)[0] == 3.0


@pytest.mark.parametrize("two", [(0.0, 1.0), (-1.0, 1.0)])
def test_two_classes_are_refused_by_name(two: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"UR-FUNNY \(humor\) or MUStARD \(sarcasm\)"):
        refuse_binary([_source([*two] * 10)])
    for fine in ([*two] * 9, [two[0]] * 30, [*two] * 10 + [0.2]):
        refuse_binary([_source(fine)])
