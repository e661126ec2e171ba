"""Names of utterances: every form gives the same video and clip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscl.data.ids import Key, as_text, parse_id, printable


@pytest.mark.parametrize(
    ("text", "video", "clip", "running"),
    [
        ("03bSnISJMiM_11", "03bSnISJMiM", "11", False),
        ("_dI--eQ6qVU_24", "_dI--eQ6qVU", "24", False),
        ("-3g5yACwYnA$_$3", "-3g5yACwYnA", "3", False),
        ("a_b_c$_$01", "a_b_c", "01", False),
        ("100178[4]", "100178", "4", True),
        (" a[b]_7 ", "a[b]", "7", False),
    ],
)
def test_ids_are_taken_apart_at_the_last_mark(
    text: str,
    video: str,
    clip: str,
    running: bool,  # noqa: FBT001
) -> None:
    assert parse_id(text) == (Key(video, clip), running)


@given(st.text(min_size=1).filter(str.strip), st.integers(0, 999))
def test_whatever_a_video_is_called_its_clip_is_found(video: str, clip: int) -> None:
    video = video.strip()
    assert parse_id(f"{video}$_${clip}")[0] == Key(video, str(clip))


@pytest.mark.parametrize("text", ["", "_5", "video", "video_", "video_clip", "$_$", "[3]"])
def test_an_id_without_video_or_clip_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="must be VIDEO_CLIP"):
        parse_id(text)


def test_bytes_and_numpy_words_are_text() -> None:
    for value in (
        b"V_1",
        "V_1",
        np.str_("V_1"),
        np.bytes_(b"V_1"),
        np.array("V_1"),
        memoryview(b"V_1"),
    ):
        assert as_text(value) == "V_1"
    assert type(as_text(np.str_("V_1"))) is str


@pytest.mark.parametrize("value", [None, 3, 1.5, ["a"], np.array(["a", "b"])])
def test_other_values_are_no_text(value: object) -> None:
    with pytest.raises(ValueError, match="must be text, is"):
        as_text(value)


def test_a_key_reads_well_in_a_message() -> None:
    assert str(Key("v", "3")) == "video v, utterance 3"


def test_what_would_steer_a_terminal_is_not_printed() -> None:
    assert printable("a\nb\x1b[2Jc é") == "a\ufffdb\ufffd[2Jc é"
    assert str(Key("v\r", "3")) == "video v\ufffd, utterance 3"
