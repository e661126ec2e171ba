"""What may be wrong with runs and videos beyond seeds and videos that vary: drawn, and said."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from hscl.errors import InputError
from tune.evidence.pair import Role, Rules, compare_pair
from tune.evidence.pairing import Runs
from tune.evidence.verdicts import judge, judge_together
from tune.simulate.runs import (
    RandomEffects,
    draw_linear_runs,
    uneven_layout,
    video_layout,
)
from tune.states import TrialState, Verdict
from tune.stats.power import Spread

__all__ = ["PER_VIDEO", "Trouble", "draw_own", "runs_of", "trouble_lines"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PER_VIDEO = 22
"""Utterances of a video, as in MOSI."""

_CANDIDATES = 32  # equal configurations, of which valid chooses one


@dataclass(frozen=True)
class Trouble:
    """What may be wrong with runs and videos beyond what `Spread` has.

    Attributes:
        collapse: Proportion of one configuration's runs that collapse; the gap holds for the mean
            over all its runs.
        failures: Proportion of one configuration's runs that fail, its worst ones; as many of the
            other's fail at random.
        speakers: Whose videos they are; 0: each has its own.
        speaker_sd: Of the difference between speakers, beyond that between videos.
        speakers_named: The data say who speaks, so that the speaker is the unit.
        uneven: Standard deviation of the logarithm of the videos' lengths; 0: as in MOSI.
        finalists: Configurations that are compared with the default, and with each other.
        styles: That valid and test share, where valid chooses the winner; 0: none.
        style_sd: Of the difference between styles.
    """

    collapse: float = 0.0
    failures: float = 0.0
    speakers: int = 0
    speaker_sd: float = 0.05
    speakers_named: bool = False
    uneven: float = 0.0
    finalists: int = 1
    styles: int = 0
    style_sd: float = 0.05

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Trouble":
        """From options of these names, among others.

        Raises:
            InputError: They can't be simulated together.
        """
        made = cls(**{each.name: options[each.name] for each in fields(cls)})
        runs = made.collapse or made.failures or made.speakers
        if (made.finalists > 1) + bool(made.styles) + bool(runs) > 1:
            raise InputError(
                "--finalists, --styles, and what goes wrong with runs and speakers (--collapse, "
                "--failures, --speakers) must be simulated one at a time; run it once for each"
            )
        return made

    def draw(
        self, rng: np.random.Generator, spread: Spread, seeds: int, videos: int, gap: float
    ) -> Runs:
        """One study's runs: "a", the winner, against "b", the default, and further finalists.

        Args:
            rng: The source of all draws.
            spread: What varies between seeds and videos.
            seeds: Confirm seeds.
            videos: Test videos.
            gap: The true difference of a and b, for new seeds and videos (and styles).
        """
        layout = video_layout(videos, PER_VIDEO * videos)
        lengths = np.bincount(layout)
        evenness = lengths.sum() ** 2 / (lengths**2).sum() / lengths.size
        effects = RandomEffects(
            seed=spread.seed**0.5,
            # The spread's video part holds what unequal lengths add to it.
            video=(spread.video * evenness) ** 0.5,
            utterance=0.0,
            error=(spread.error * PER_VIDEO) ** 0.5,
            collapse=(self.collapse, 0.0),
            worst_fail=self.failures,
            speakers=self.speakers,
            speaker=self.speaker_sd,
        )
        if self.uneven:
            layout = uneven_layout(rng, self.uneven, videos, PER_VIDEO * videos)
        if self.finalists > 1:
            own = draw_own(effects, rng, self.finalists + 1, seeds, layout)
            own[0] -= gap
            return runs_of("abcdefghijk"[: self.finalists + 1], own, layout)
        if self.styles:
            return self._chosen(rng, effects, seeds, layout, gap)
        runs, _here = draw_linear_runs(rng, effects, seeds=seeds, layout=layout, gap=gap)
        if self.speakers and self.speakers_named:
            runs = replace(runs, videos=layout % self.speakers, unit="speaker")
        return runs

    def _chosen(
        self,
        rng: np.random.Generator,
        effects: RandomEffects,
        seeds: int,
        layout: IntArray,
        gap: float,
    ) -> Runs:
        """The best on valid of equal configurations, where valid's styles are those of test."""
        videos = int(layout[-1]) + 1
        # The last one is the default: each has half of a difference's variance.
        of_style = rng.normal(0.0, self.style_sd * 0.5**0.5, (_CANDIDATES + 1, self.styles))
        shown = np.arange(videos) % self.styles
        shares = np.bincount(shown[layout], minlength=self.styles) / layout.size
        luck = rng.normal(0.0, effects.video * (0.5 / videos) ** 0.5, _CANDIDATES)
        luck += rng.normal(0.0, effects.seed * 0.5**0.5, _CANDIDATES)
        winner = int(np.argmin(of_style[:-1] @ shares + luck))
        own = draw_own(effects, rng, 2, seeds, layout)
        own += of_style[[winner, -1]][:, shown[layout]][:, None, :]
        own[0] -= gap
        return runs_of("ab", own, layout)

    def claims(self, runs: Runs, rules: Rules, *, every: bool) -> bool:
        """Whether a difference is claimed, by the code that judges real studies.

        Args:
            runs: Of one study.
            rules: What was fixed beforehand.
            every: A claim on any pair counts; else only one on winner against default.
        """
        pairs = [compare_pair(runs, ("a", "b"), "mae", rules)]
        if self.finalists == 1:
            judged = [judge(pairs[0], rules)]
        else:
            others = [pair for pair in combinations(runs.config_ids, 2) if pair != ("a", "b")]
            role = Role.SECONDARY
            pairs += [compare_pair(runs, pair, "mae", rules, role=role) for pair in others]
            judged = judge_together(pairs, rules)
        told = judged if every else judged[:1]
        return any(one.verdict in {Verdict.BETTER, Verdict.WORSE} for one in told)


def draw_own(
    effects: RandomEffects, rng: np.random.Generator, count: int, seeds: int, layout: IntArray
) -> FloatArray:
    """(count, seeds, U) what each configuration has of its own; half a difference's variance."""
    half, videos = 0.5**0.5, int(layout[-1]) + 1
    error = rng.normal(0.0, effects.video * half, (count, 1, videos))[..., layout]
    error = error + rng.normal(0.0, effects.seed * half, (count, seeds, 1))
    return error + rng.normal(0.0, effects.error * half, (count, seeds, layout.size))


_BASE_ERROR = 3.0  # so large that no error turns negative: |error| stays linear in its parts


def runs_of(names: str, own: FloatArray, layout: IntArray) -> Runs:
    """Complete runs (C, S, U) of configurations, each named by a letter, on labels of 0."""
    return Runs(
        split="test",
        config_ids=tuple(names),
        seeds=tuple(range(own.shape[1])),
        utterances=tuple(map(str, range(layout.size))),
        videos=layout,
        labels=np.zeros(layout.size),
        predictions=_BASE_ERROR + own,
        states=tuple((TrialState.DONE,) * own.shape[1] for _ in names),
    )


def trouble_lines(trouble: Trouble) -> list[str]:
    """What the simulated shares mean where something is wrong; nothing where nothing is."""
    lines = []
    if trouble.collapse:
        lines.append(
            f"Simulated: {100.0 * trouble.collapse:g} % of one configuration's runs collapse. "
            "Where none was seen to, a claim is about runs that do not collapse, and is not "
            "false as it is worded though the means over all runs differ by less."
        )
    if trouble.failures:
        lines.append(
            f"Simulated: the worst {100.0 * trouble.failures:g} % of one configuration's runs "
            "fail, and as many of the other's at random."
        )
    if trouble.speakers and not trouble.speakers_named:
        lines.append(
            f"Simulated: the videos are {trouble.speakers} speakers', and the data do not say "
            "whose."
        )
    if trouble.finalists > 1:
        lines.append(
            f"Simulated: {trouble.finalists} finalists are compared with the default and with "
            "each other, corrected by Holm. Found is the winner against the default; a false "
            "claim is one on any pair where all are equal."
        )
    if trouble.styles:
        lines.append(
            f"Simulated: valid and test share {trouble.styles} styles, and the winner is the best "
            f"of {_CANDIDATES} equal configurations on valid. What it owes to these styles is no "
            "gain on others, and no interval covers that: a false claim is one about new styles."
        )
    if lines or trouble.uneven or trouble.speakers:
        lines.append("What is computed, not simulated, knows nothing of this.")
    return lines
