"""What a study's seeds and its test set can detect at all, known before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tune.display import count, listing
from tune.stats.looks import FALSE_CLAIMS, plan_looks
from tune.stats.power import FEWEST_PAIRS, FEWEST_VIDEOS, detectable_in_seed_sds
from tune.study.size import size_of
from tune.study.spec import StudySpec

if TYPE_CHECKING:
    from tune.simulate.sample_size import SeedsAndVideos

__all__ = ["Detection", "detection", "detection_lines"]

_MARGIN = 0.02  # what one would ask for where a study declares none


@dataclass(frozen=True)
class Detection:
    """What four of five studies of this size find.

    Attributes:
        pairs: Seeds on which confirm compares two configurations.
        comparisons: Configurations that are compared with the default; 0: nothing is.
        looks: After how many pairs confirm is looked at until its seeds have run.
        alpha: Level of one comparison at the last of them; a table's share it.
        test_videos: None where test stays closed.
        seed_sds: The difference that is found on this test set (valid where test stays closed), in
            standard deviations of one seed's paired difference; None with too few seeds.
        here: The same in units of MAE, if seeds vary as on MOSI; None for another metric.
        difference: The true MAE difference that is found on videos like these, if differences vary
            as on MOSI; None with too few seeds or videos, or for another metric.
        any_seeds: The same with any number of seeds: the test set's own limit.
        margin: The study's, 0 for none.
        enough: Seeds and test videos that find one margin (see `sample_size.Detectable`).
    """

    pairs: int
    comparisons: int
    looks: tuple[int, ...]
    alpha: float
    test_videos: int | None
    seed_sds: float | None = None
    here: float | None = None
    difference: float | None = None
    any_seeds: float | None = None
    margin: float = 0.0
    enough: "SeedsAndVideos | None" = None


def detection(spec: StudySpec, test_lengths: Sequence[int] | None) -> Detection:
    """What a study can find.

    Args:
        spec: The study.
        test_lengths: Utterances of each test video; None where test stays closed.
    """
    size = size_of(spec)
    planned = plan_looks(max(size.pairs, 1), size.looks, early=not spec.is_table)
    looks = tuple(look for look in planned if look.pairs <= size.pairs)
    # Holm gives the first of its comparisons this level; one that alone differs has no better one.
    shared = _family(spec, size.comparisons)
    alpha = looks[-1].level / shared if looks else FALSE_CLAIMS
    videos = None if test_lengths is None else len(test_lengths)
    pairs = tuple(look.pairs for look in looks)
    found = Detection(size.pairs, size.comparisons, pairs, alpha, videos)
    if size.pairs < FEWEST_PAIRS or not size.comparisons:
        return found
    found = replace(found, seed_sds=detectable_in_seed_sds(size.pairs, alpha), margin=size.margin)
    if test_lengths is None or len(test_lengths) < FEWEST_VIDEOS or spec.study.metric != "mae":
        return found
    from tune.simulate.sample_size import (  # noqa: PLC0415 - statistics, where needed only
        detectable_with,
        spread_as_on_mosi,
    )

    spread = spread_as_on_mosi(test_lengths)
    seed_sd = (spread.expected(size.pairs, len(test_lengths)).ms_seed / len(test_lengths)) ** 0.5
    new_videos = detectable_with(size.pairs, test_lengths, size.margin or _MARGIN, alpha)
    return replace(
        found,
        here=found.seed_sds * seed_sd if found.seed_sds is not None else None,
        difference=new_videos.difference,
        any_seeds=new_videos.any_seeds,
        enough=new_videos.enough,
    )


def _family(spec: StudySpec, comparisons: int) -> int:
    """How many comparisons share the 5 % of false claims."""
    if spec.is_table:
        return max(1, comparisons)
    # Of several finalists and the default, every pair.
    return comparisons * (comparisons + 1) // 2 if spec.confirm.claims == "all" else 1


def detection_lines(
    spec: StudySpec, test_lengths: Sequence[int] | None, unit: str = "video"
) -> list[str]:
    """The same in words.

    Args:
        spec: The study.
        test_lengths: Utterances of each test video or speaker; None where test stays closed.
        unit: Which of these.
    """
    found = detection(spec, test_lengths)
    if not found.pairs or not found.comparisons:
        return ["  evidence none: confirm has no seeds or nothing to compare"]
    if found.seed_sds is None:
        return [
            f"  evidence {found.pairs} seeds give no verdict: at least {FEWEST_PAIRS} are needed"
        ]
    many = spec.is_table and found.comparisons > 1
    each = f", in each of {found.comparisons} comparisons" if many else ""
    lines = [f"  evidence {found.pairs} pairs of seeds find, in four of five studies{each}:"]
    lines.append(f"           {_this_set(found)}")
    lines += [f"           {line}" for line in _new_videos(found, unit)]
    lines.append(f"           {_promise(spec, found.comparisons)}")
    if len(found.looks) > 1:
        looks = listing([str(pairs) for pairs in found.looks])
        lines.append(
            f"           confirm is looked at after {looks} pairs and ends when more seeds cannot "
            "change its answer"
        )
    return lines


def _this_set(found: Detection) -> str:
    """What is found on this very test set: in the metric's units where its spread is known."""
    where = "valid" if found.test_videos is None else "test"
    if found.here is None:
        return (
            f"on this {where} set a difference {found.seed_sds:.2g} times as large as its own "
            "scatter from seed to seed (sd)"
        )
    return (
        f"on this {where} set a MAE difference of about {found.here:.3f}, if seeds vary as on MOSI"
    )


def _promise(spec: StudySpec, comparisons: int) -> str:
    """Which rate of false claims holds for the study."""
    family = _family(spec, comparisons)
    if family > 1:
        return f"at most 5 % of such studies claim anything falsely, of {family} comparisons"
    if comparisons > 1 and not spec.is_table:
        return (
            "at most 5 % of such studies claim falsely: of the winner against the default, and "
            "nothing is claimed of other pairs"
        )
    return "at most 5 % of such studies claim a difference falsely"


def _new_videos(found: Detection, unit: str) -> list[str]:
    videos = found.test_videos
    if videos is None:
        return []
    if videos < FEWEST_VIDEOS:
        return [
            (
                f"on {unit}s like these it can show nothing: test has "
                f"{count(videos, unit)}, and a claim needs at least {FEWEST_VIDEOS}"
            )
        ]
    if found.difference is None or found.any_seeds is None:
        return [
            (
                f"on {unit}s like these the {videos} test {unit}s set a limit that more seeds do "
                "not lift; hscl simulate --from DIR plans with a finished study's spread"
            )
        ]
    limit = f"{found.any_seeds:.3f} with any number of seeds"
    many = f"these {videos} test {unit}s"
    lines = [f"on {unit}s like these about {found.difference:.3f} with {many} ({limit})"]
    if found.difference > found.margin > 0.0:
        below = f"what is smaller stays 'undecided'; one margin ({found.margin:g}) needs"
        if found.enough is None:
            lines.append(f"{below} more seeds, with any number of {unit}s")
        else:
            lines.append(
                f"{below} about {_rounded(found.enough.videos)} such {unit}s and "
                f"{found.enough.seeds} seeds"
            )
    return lines


def _rounded(videos: int) -> str:
    """A planned number: two digits are more than is known of it."""
    return f"{float(f'{videos:.2g}'):,.0f}"
