"""What to think of facts: which are problems, which are warnings, and in which words."""

from dataclasses import replace
from typing import Any

import pytest
from check_reports import facts

from hscl.data.check.facts import LengthFacts, SplitFacts
from hscl.data.check.rules import find_problems, find_warnings

SOUND = facts().splits
PART = SOUND["train"]


def _sizes(*sizes: int) -> dict[str, SplitFacts]:
    names = ("train", "valid", "test")
    return {n: replace(PART, utterances=s, labelled=s) for n, s in zip(names, sizes, strict=True)}


def test_a_sound_set_is_without_both() -> None:
    assert find_problems(facts()) == find_warnings(facts()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content_digest": "b" * 64}, "the content is not what was converted"),
        ({"names_twice": ["v/1"]}, "utterances are there twice: v/1."),
        ({"splits": {"train": PART, "test": PART}}, "there is no utterance in valid"),
        ({"splits": SOUND | {"test": replace(PART, labelled=7)}}, "3 of 10 in test lack a label."),
        ({"crossing_videos": {"v": ["test", "train"]}}, "1 videos are in several splits"),
        ({"without_words": [str(k) for k in range(30)]}, "no utterance has words"),
        (
            {"too_large": {"audio": (7, ["v/1, feature 2: -1.7e+38"])}},
            "7 values of audio are 1e+10 or more, which is no measurement: v/1, feature 2: -1.7e",
        ),
    ],
)
def test_problems(changes: dict[str, Any], message: str) -> None:
    (problem,) = find_problems(facts(**changes))
    assert problem.startswith(message)


META = {"source": "test", "audio_width": 5, "vision_width": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"train": PART, "valid": PART}}, "there is no utterance in test"),
        ({"splits": SOUND | {"test": replace(PART, videos=1)}}, "test has one video"),
        ({"splits": SOUND | {"none": replace(PART, labelled=0)}}, "10 utterances are in no split"),
        ({"splits": SOUND | {"valid": replace(PART, labels={"0": 10})}}, "all labels of valid"),
        (
            {"splits": _sizes(1284, 230, 686)},
            "the sizes (1284, 230, 686) are nearly those of CMU-MO",
        ),
        ({"without_words": ["v/1", "v/2"]}, "2 have no words: v/1, v/2."),
        (
            {"splits": SOUND | {"test": replace(PART, modalities={"audio": LengthFacts(9, 1)})}},
            "1 of 30 have no audio.",
        ),
        ({"constant": {"audio": list(range(12))}}, "audio features that never change: 0, 1, 2, 3"),
        ({"duplicates": [["v/1", "w/1"]]}, "1 contents are there several times: v/1 = w/1."),
        ({"metadata": META | {"other_split": 4}}, "4 have another split in the label file"),
        ({"metadata": META | {"other_label": 4}}, "4 have another label in the label file"),
        ({"metadata": META | {"replaced": {"audio": 3}}}, "3 infinite or NaN values of audio"),
        ({"metadata": META | {"full": {"audio": 3, "vision": 0}}}, "3 have no padding of audio"),
        ({"metadata": META | {"beyond": {"audio": 3}}}, "3 have frames beyond the recorded"),
    ],
)
def test_warnings(changes: dict[str, Any], message: str) -> None:
    (warning,) = find_warnings(facts(**changes))
    assert warning.startswith(message)


def test_the_sizes_of_mosi_itself_are_no_warning() -> None:
    assert find_warnings(facts(splits=_sizes(1284, 229, 686))) == []


def test_frames_beyond_recorded_lengths_were_kept_or_cut_off() -> None:
    beyond = META | {"beyond": {"audio": 3}}
    assert find_warnings(facts(metadata=beyond))[0].endswith("they were kept.")
    recorded = beyond | {"lengths": "recorded"}
    assert find_warnings(facts(metadata=recorded))[0].endswith("they were cut off.")


def test_long_lists_of_names_are_cut() -> None:
    (warning,) = find_warnings(facts(without_words=[f"v/{k}" for k in range(9)]))
    assert warning == "9 have no words: v/0, v/1, v/2, v/3, v/4 and 4 more."


def test_a_set_with_vectors_and_without_words_is_one_that_some_configurations_read() -> None:
    own = PART.modalities | {"text_vectors": LengthFacts(present=10)}
    splits = {name: replace(part, modalities=own) for name, part in SOUND.items()}
    changes: dict[str, Any] = {"splits": splits, "without_words": [str(k) for k in range(30)]}
    assert find_problems(facts(**changes)) == []
    (warning,) = find_warnings(facts(**changes))
    assert 'only model.text.encoder = "file" reads this set' in warning


def test_what_a_conversion_cleaned_and_could_not_join_is_said_again() -> None:
    metadata = META | {"too_large": {"audio": 9}, "too_large_named": {"audio": ["v/1: 1e+30"]}}
    metadata |= {"unused": 3, "respelled": 2}
    said = " ".join(find_warnings(facts(metadata=metadata)))
    assert "9 values of audio of 1e+10 or more became 0: v/1: 1e+30 …." in said
    assert "3 lines of the label file name no utterance." in said
    assert "2 are spelled otherwise in the label file" in said
