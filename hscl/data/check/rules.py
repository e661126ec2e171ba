"""What to think of the facts on a data set: problems spoil a study, warnings are worth knowing."""

from collections.abc import Iterator

from hscl.data.check.facts import NO_SPLIT, CheckReport
from hscl.data.cleaning import TOO_LARGE
from hscl.data.schema import SPLITS

__all__ = ["find_problems", "find_warnings"]

_PUBLISHED_SIZES = {
    "CMU-MOSI": (1284, 229, 686),
    "CMU-MOSEI": (16326, 1871, 4659),
    "CMU-MOSEI (aligned export of the SDK)": (16265, 1869, 4643),
}
_FEWEST_SPEAKERS = 8  # as `tune.stats.power.FEWEST_VIDEOS`, which this package does not know
_MODALITIES = ("audio", "vision")


def find_problems(facts: CheckReport) -> list[str]:
    """What would spoil a study on this data set.

    Args:
        facts: With or without messages of its own.
    """
    return [
        *_damage(facts),
        *_unusable_splits(facts),
        *_leaks(facts),
        *_no_text(facts),
        *_too_large(facts),
    ]


def find_warnings(facts: CheckReport) -> list[str]:
    """What to know before a study on this data set.

    Args:
        facts: With or without messages of its own.
    """
    return [
        *_odd_splits(facts),
        *_odd_sizes(facts),
        *_speakers(facts),
        *_gaps(facts),
        *_useless_features(facts),
        *_conversion(facts),
    ]


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _damage(facts: CheckReport) -> Iterator[str]:
    if facts.content_digest != facts.digest:
        yield (
            f"the content is not what was converted: its digest is {facts.content_digest[:12]}…, "
            f"the stored one {facts.digest[:12]}…; convert it again."
        )
    if facts.names_twice:
        yield f"utterances are there twice: {_some(facts.names_twice)}."


def _unusable_splits(facts: CheckReport) -> Iterator[str]:
    for name in ("train", "valid"):
        if name not in facts.splits:
            yield f"there is no utterance in {name}; a study needs some."
    for name, split in facts.splits.items():
        unlabelled = split.utterances - split.labelled
        if unlabelled and name != NO_SPLIT:
            yield f"{unlabelled} of {split.utterances} in {name} lack a label."


def _leaks(facts: CheckReport) -> Iterator[str]:
    if facts.crossing_videos:
        named = [f"{video} ({', '.join(s)})" for video, s in facts.crossing_videos.items()]
        yield f"{len(named)} videos are in several splits, which leaks: {_some(named)}."


def _no_text(facts: CheckReport) -> Iterator[str]:
    if len(facts.without_words) == facts.utterances and not _vectors(facts):
        yield "no utterance has words, and every configuration needs them; convert with --text."


def _vectors(facts: CheckReport) -> int:
    return sum(
        split.modalities["text_vectors"].present
        for split in facts.splits.values()
        if "text_vectors" in split.modalities
    )


def _too_large(facts: CheckReport) -> Iterator[str]:
    for modality, (count, named) in facts.too_large.items():
        yield (
            f"{count} values of {modality} are {TOO_LARGE:g} or more, which is no measurement: "
            f"{'; '.join(named)}{'' if len(named) == count else ' …'}; convert the source again, "
            "they become 0."
        )


def _odd_splits(facts: CheckReport) -> Iterator[str]:
    if "test" not in facts.splits:
        yield "there is no utterance in test: a study can't confirm its winner."
    elif facts.splits["test"].videos < 2:
        yield "test has one video: nothing can be said about other videos."
    if NO_SPLIT in facts.splits:
        count = facts.splits[NO_SPLIT].utterances
        yield f"{count} utterances are in no split; only predict uses them."
    for name, split in facts.splits.items():
        if split.labelled and max(split.labels.values()) == split.labelled:
            yield f"all labels of {name} are alike when rounded."


def _speakers(facts: CheckReport) -> Iterator[str]:
    if facts.crossing_speakers:
        named = [f"{who} ({', '.join(s)})" for who, s in facts.crossing_speakers.items()]
        yield (
            f"speakers in several splits, so that no claim is about new ones: {len(named)}; "
            f"{_some(named)}."
        )
    test = facts.speakers.get("test")
    if test is not None and test < _FEWEST_SPEAKERS:
        yield (
            f"speakers in test: {test}, and fewer than {_FEWEST_SPEAKERS} say nothing about new "
            "ones: a study gives no verdict."
        )


def _odd_sizes(facts: CheckReport) -> Iterator[str]:
    sizes = tuple(facts.splits[n].utterances if n in facts.splits else 0 for n in SPLITS)
    for known, expected in _PUBLISHED_SIZES.items():
        if sum(a == b for a, b in zip(sizes, expected, strict=True)) == 2:
            yield f"the sizes {sizes} are nearly those of {known}, {expected}."


def _gaps(facts: CheckReport) -> Iterator[str]:
    if len(facts.without_words) == facts.utterances and _vectors(facts):
        yield (
            'no utterance has words: only model.text.encoder = "file" reads this set, its own '
            "text vectors; convert with --text for other encoders."
        )
    if 0 < len(facts.without_words) < facts.utterances:
        yield f"{len(facts.without_words)} have no words: {_some(facts.without_words)}."
    for modality in _MODALITIES:
        missing = sum(
            split.modalities[modality].missing
            for split in facts.splits.values()
            if modality in split.modalities
        )
        if missing:
            yield f"{missing} of {facts.utterances} have no {modality}."


def _useless_features(facts: CheckReport) -> Iterator[str]:
    for modality, features in facts.constant.items():
        if features:
            listed = _some([str(feature) for feature in features], 10)
            yield f"{modality} features that never change: {listed}."
    if facts.duplicates:
        named = [" = ".join(names) for names in facts.duplicates]
        yield f"{len(named)} contents are there several times: {_some(named)}."


def _conversion(facts: CheckReport) -> Iterator[str]:
    for topic, words in (
        ("other_split", "have another split in the label file; the feature file's stands"),
        ("other_label", "have another label in the label file; the feature file's stands"),
        ("respelled", "are spelled otherwise in the label file, and were taken for the same"),
        ("unused", "lines of the label file name no utterance"),
    ):
        if count := facts.metadata.get(topic):
            yield f"{count} {words}."
    kept = "cut off" if facts.metadata.get("lengths") == "recorded" else "kept"
    for modality, named in facts.metadata.get("too_large_named", {}).items():
        count = facts.metadata["too_large"][modality]
        yield (
            f"{count} values of {modality} of {TOO_LARGE:g} or more became 0: "
            f"{'; '.join(named)}{'' if len(named) == count else ' …'}."
        )
    for topic, words in (
        ("replaced", "infinite or NaN values of {} became 0."),
        ("full", "have no padding of {}; they may have been cut."),
        ("beyond", "have frames beyond the recorded length of {}; they were " + kept + "."),
    ):
        for modality, count in facts.metadata.get(topic, {}).items():
            if count:
                yield f"{count} {words.format(modality)}"
