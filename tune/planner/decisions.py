"""The rows of the `plan` table: what a study decides on its way, from the tables alone."""

from collections.abc import Sequence
from typing import Any

from hscl.metrics import DIGITS
from tune.search_model import Expected, Ranking, rank
from tune.states import Kind, Phase
from tune.stats.looks import plan_looks
from tune.study.allocation import allocation_of, rungs_of
from tune.study.seeds import SeedPlan
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import ConfigRecord

__all__ = [
    "begin_confirm",
    "begin_refine",
    "begin_study",
    "look_row",
    "look_seeds",
    "plan_row",
]

Row = dict[str, Any]


def plan_row(  # noqa: PLR0913 - one argument a column
    kind: Kind,
    *,
    phase: Phase | None = None,
    config_id: str | None = None,
    other_config_id: str | None = None,
    seeds: Sequence[int] | None = None,
    value: float | None = None,
    note: str | None = None,
) -> Row:
    """A row of `plan` without `seq` and `time`, which whoever appends it gives."""
    return {
        "kind": kind.value,
        "phase": None if phase is None else phase.value,
        "config_id": config_id,
        "other_config_id": other_config_id,
        "seeds": None if seeds is None else list(seeds),
        "value": None if value is None else float(value),
        "note": note,
    }


def begin_study(spec: StudySpec, seeds: SeedPlan) -> list[Row]:
    """All seeds, fixed before anything runs, and the first phase."""
    rows = (
        []
        if spec.compares_all
        else [plan_row(Kind.SEEDS, phase=Phase.SCREEN, seeds=[seeds.screen])]
    )
    if seeds.confirm:
        rows.append(plan_row(Kind.SEEDS, phase=Phase.CONFIRM, seeds=seeds.confirm))
    if spec.compares_all:
        note = f"{len(spec.compared_points)} configurations, all against the default"
        return rows + _open_confirm(spec, seeds, note)
    most = allocation_of(spec).screen_trials
    many = "configurations" if most is None else f"at most {most} configurations"
    each = "" if spec.sampler.per is None else f" for each {spec.sampler.per}"
    note = f"{many}{each} on one seed" + (", stopped early" if rungs_of(spec) else "")
    begun = plan_row(Kind.PHASE_BEGUN, phase=Phase.SCREEN, seeds=[seeds.screen], note=note)
    return [*rows, begun]


def begin_refine(history: History, seeds: SeedPlan) -> Row:
    """That the screen proposes nothing more and refine begins, on which seed."""
    proposed = len(history.configs)
    return plan_row(
        Kind.PHASE_BEGUN,
        phase=Phase.REFINE,
        seeds=[seeds.refine],
        value=proposed,
        note=f"after {proposed} configurations and {history.epochs} epochs",
    )


def begin_confirm(spec: StudySpec, history: History, seeds: SeedPlan) -> list[Row]:
    """The winner, and if confirm has seeds: who is confirmed, the primary pair, the first look."""
    if spec.sampler.per is not None:
        return _begin_table(spec, history, seeds)
    default = _default(history).config_id
    ranking = rank(history)
    if not ranking.others:
        note = "no configuration other than the default completed; there is nothing to confirm"
        return [plan_row(Kind.WINNER, other_config_id=default, note=note)]
    best = ranking.others[0]
    winner, candidates = best.config_id, [one.config_id for one in ranking.others]
    rows = [
        plan_row(
            Kind.WINNER,
            config_id=winner,
            other_config_id=default,
            value=best.value,
            note=_winner_note(ranking),
        )
    ]
    if ranking.default is not None and ranking.prefers_default:
        expected = ranking.default.value
        note = "the winner is the best other configuration, and confirm compares the two"
        rows.append(
            plan_row(
                Kind.PREFERRED,
                config_id=default,
                other_config_id=winner,
                value=expected,
                note=note,
            )
        )
    if not seeds.looks[0]:
        return rows
    kept = candidates if spec.confirm.keep == "all" else candidates[: spec.confirm.keep]
    rows += _finalists(history, Phase.CONFIRM, kept)
    rows.append(
        plan_row(
            Kind.PRIMARY,
            phase=Phase.CONFIRM,
            config_id=winner,
            other_config_id=default,
            value=spec.confirm.margin,
            note="winner against default; all other pairs are secondary",
        )
    )
    return rows + _open_confirm(spec, seeds, f"{len(kept)} configurations and the default")


def _begin_table(spec: StudySpec, history: History, seeds: SeedPlan) -> list[Row]:
    """The winner of each branch, and all of them for confirm: that of the default's comes first.

    A branch's default may be its winner; it has been tuned like all others, to no avail.
    """
    rows: list[Row] = []
    for value in history.branches:
        branch = history.branch(value)
        ranking, default = rank(branch), _default(branch).config_id
        chosen = ranking.others[0] if ranking.others else None
        if ranking.default is not None and ranking.default.complete and ranking.prefers_default:
            chosen = ranking.default
        name = f"{spec.sampler.per} = {value}"
        if chosen is None:
            note = f"no configuration with {name} completed"
            rows.append(plan_row(Kind.WINNER, other_config_id=default, note=note))
            continue
        rows.append(
            plan_row(
                Kind.WINNER,
                config_id=chosen.config_id,
                other_config_id=default,
                value=chosen.value,
                note=f"{name}, {ranking.note}: {_expected(chosen)}",
            )
        )
    winners = [row for row in rows if row["config_id"] is not None]
    if rows[0]["config_id"] is None or len(winners) < 2 or not seeds.looks[0]:
        return rows
    finalists = [
        plan_row(
            Kind.FINALIST,
            phase=Phase.CONFIRM,
            config_id=row["config_id"],
            value=history.search_trials[row["config_id"]].value,
            note=row["note"],
        )
        for row in winners
    ]
    note = f"the winners of {len(winners)} screens, all against the first"
    return [*rows, *finalists, *_open_confirm(spec, seeds, note)]


def _open_confirm(spec: StudySpec, seeds: SeedPlan, note: str) -> list[Row]:
    """All looks with their levels, that confirm begins, and its first look."""
    planned = _planned_looks(spec, seeds)
    begun = plan_row(Kind.PHASE_BEGUN, phase=Phase.CONFIRM, seeds=seeds.looks[0], note=note)
    return [*planned, begun, look_row([row["seeds"] for row in planned], 0)]


def _planned_looks(spec: StudySpec, seeds: SeedPlan) -> list[Row]:
    """When confirm is looked at, and what each look may claim.

    The rows of a table have equal numbers of seeds, all that were ordered: one look an order.
    """
    looks = plan_looks(len(seeds.looks[0]), len(seeds.looks), early=not spec.is_table)
    before = [0, *(look.pairs for look in looks)]
    return [
        plan_row(
            Kind.LOOK_PLANNED,
            phase=Phase.CONFIRM,
            seeds=seeds.confirm[start : look.pairs],
            value=look.level,
            note=f"look {number} of {len(looks)}: {look.pairs} pairs, level {look.level:g}",
        )
        for number, (start, look) in enumerate(zip(before, looks, strict=False), start=1)
    ]


def look_seeds(history: History, seeds: SeedPlan) -> Sequence[Sequence[int]]:
    """The seeds that each look adds: as planned, or an order each in studies from before 0.2."""
    return [look.seeds for look in history.planned_looks] or seeds.looks


def look_row(looks: Sequence[Sequence[int]], index: int) -> Row:
    """The row that opens look `index`, counted from 0, of looks that add these seeds."""
    return plan_row(
        Kind.LOOK,
        phase=Phase.CONFIRM,
        seeds=looks[index],
        value=index + 1,
        note=f"look {index + 1} of {len(looks)}",
    )


def _finalists(history: History, phase: Phase, ranked: Sequence[str]) -> list[Row]:
    default = _default(history).config_id
    rows = []
    for place, config_id in enumerate([default, *ranked]):
        trial = history.search_trials.get(config_id)
        rows.append(
            plan_row(
                Kind.FINALIST,
                phase=phase,
                config_id=config_id,
                value=None if trial is None else trial.value,
                note=f"rank {place}" if place else "the default, whatever its rank",
            )
        )
    return rows


def _winner_note(ranking: Ranking) -> str:
    """What is expected of the winner and of the default, and why."""
    best, default = ranking.others[0], ranking.default
    note = f"{ranking.note}: {_expected(best)}"
    if default is None:
        return f"{note}; the default did not complete"
    ahead = "the default was ahead" if ranking.prefers_default else "the default"
    return f"{note}; {ahead}: {_expected(default)}"


def _expected(one: Expected) -> str:
    """Such as "predicted 0.7421 ± 0.0080, observed 0.7389", or the observed value alone."""
    observed = f"observed {one.observed:.{DIGITS}f}"
    if not one.complete:
        observed += " when it was stopped"
    if one.sd is None:
        return observed
    return f"predicted {one.value:.{DIGITS}f} ± {one.sd:.{DIGITS}f}, {observed}"


def _default(history: History) -> ConfigRecord:
    record = history.default
    if record is None:
        raise RuntimeError("the default is proposed before anything is decided")
    return record
