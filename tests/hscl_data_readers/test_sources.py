"""What readers share: labels, sizes, sequences, and the form of their complaints."""

import numpy as np
import pytest

from hscl.data.readers.sources import FieldError, Listed, Padded, agreed_size, label_of
from hscl.errors import InputError


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (np.float32(-0.6), -0.6),
        (np.float64(-0.6), -0.6),
        (np.float16(0.2), 0.2),
        (np.array([[1.6]], np.float32), 1.6),
        (2, 2.0),
        (np.int64(-3), -3.0),
        (-0.0, 0.0),
    ],
)
def test_a_label_is_what_a_person_would_write(value: object, label: float) -> None:
    found = label_of("f", "label", value, "u")
    assert found == label
    assert str(found) == str(label)


@pytest.mark.parametrize("value", [3.01, -4, float("nan"), float("-inf"), np.float32(1e9)])
def test_a_label_out_of_range_is_named(value: object) -> None:
    with pytest.raises(FieldError, match=r"f, field 'label', u: a label must be finite and betw"):
        label_of("f", "label", value, "u")


@pytest.mark.parametrize("value", ["1.0", None, True, [1.0], np.array([1.0, 2.0])])
def test_a_label_that_is_no_number_is_named(value: object) -> None:
    with pytest.raises(FieldError, match="must be a number"):
        label_of("f", "label", value, "u")


def test_sizes_must_agree() -> None:
    assert agreed_size("f", [("id", 3), ("labels", 3)]) == 3
    with pytest.raises(FieldError, match=r"field 'labels': must speak of 3 utt.*'id'.*, has 2"):
        agreed_size("f", [("id", 3), ("labels", 2)])
    with pytest.raises(FieldError, match="at least one utterance"):
        agreed_size("f", [("id", 0)])


def test_a_field_error_names_file_field_and_utterance() -> None:
    error = FieldError("a.pkl", "audio", "must be 5 wide, is 4", "video v, utterance 3")
    assert str(error) == "a.pkl, field 'audio', video v, utterance 3: must be 5 wide, is 4."
    assert isinstance(error, InputError)


def test_sequences_can_be_read_twice() -> None:
    values = np.arange(24.0).reshape(2, 4, 3)
    padded = Padded(values, np.array([1, 0]), np.array([4, 0]))
    listed = Listed([values[0, 1:], None])
    for sequences in (padded, listed):
        for _ in range(2):
            first, second = sequences
            assert len(sequences) == 2
            assert np.array_equal(first, values[0, 1:])  # type: ignore[arg-type]
            assert second is None or not len(second)
