"""The rows of the `plan` table: what a study decides on its way, from the tables alone."""

from collections.abc import Sequence
from typing import Any

from tune.planner.race import end_round, ranking, standing
from tune.states import Kind, Phase, TrialState
from tune.study.seeds import SeedPlan
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import ConfigRecord

__all__ = [
    "begin_confirm",
    "begin_race",
    "begin_study",
    "look_row",
    "plan_row",
    "race_entrants",
    "race_members",
    "ranked_candidates",
    "round_rows",
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
    confirm = [seed for look in seeds.looks for seed in look]
    rows = (
        []
        if spec.compares_all
        else [plan_row(Kind.SEEDS, phase=Phase.SCREEN, seeds=[seeds.screen])]
    )
    if seeds.race:
        rows.append(plan_row(Kind.SEEDS, phase=Phase.RACE, seeds=seeds.race))
    if confirm:
        rows.append(plan_row(Kind.SEEDS, phase=Phase.CONFIRM, seeds=confirm))
    if spec.compares_all:
        note = f"{spec.sampler.trials} configurations, all against the default"
        return rows + _open_confirm(seeds, note)
    note = f"at most {spec.sampler.trials} configurations on one seed"
    begun = plan_row(Kind.PHASE_BEGUN, phase=Phase.SCREEN, seeds=[seeds.screen], note=note)
    return [*rows, begun]


def race_entrants(spec: StudySpec, history: History) -> list[ConfigRecord]:
    """Complete trials of the screen other than the default, the best `race.keep`, best first."""
    best = _complete(history)
    return best if spec.race.keep == "all" else best[: spec.race.keep]


def begin_race(spec: StudySpec, history: History, seeds: SeedPlan) -> list[Row]:
    """Who enters the race, and that it begins. The default enters whatever the screen said."""
    entrants = race_entrants(spec, history)
    rows = _finalists(history, Phase.RACE, [record.config_id for record in entrants])
    note = f"{len(entrants)} configurations and the default"
    return [*rows, plan_row(Kind.PHASE_BEGUN, phase=Phase.RACE, seeds=seeds.race, note=note)]


def race_members(history: History) -> list[str]:
    """Who is still in the race, the default first, then by rank in the screen."""
    dropped = {row["config_id"] for row in history.plan_rows(Kind.DROPPED)}
    entered = [row["config_id"] for row in history.plan_rows(Kind.FINALIST, Phase.RACE)]
    return [config_id for config_id in entered if config_id not in dropped]


def round_rows(history: History, members: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """Who leaves after the last of these seeds, and that it is decided."""
    losses = {config_id: _losses(history, config_id, seeds) for config_id in members}
    ended = end_round(losses, _default(history).config_id)
    rows = [
        plan_row(
            Kind.DROPPED,
            phase=Phase.RACE,
            config_id=gone.config_id,
            other_config_id=ended.leader,
            value=gone.p,
            note=f"after seed {len(seeds)}: {gone.reason}",
        )
        for gone in ended.dropped
    ]
    left = len(members) - len(rows)
    note = f"{left} of {len(members)} remain after seed {len(seeds)}"
    return [
        *rows,
        plan_row(
            Kind.ROUND,
            phase=Phase.RACE,
            config_id=ended.leader,
            seeds=seeds,
            value=len(seeds),
            note=note,
        ),
    ]


def ranked_candidates(history: History, seeds: SeedPlan) -> list[str]:
    """Configurations other than the default that may be confirmed, best first.

    After a race: those that stayed to its end by mean value over its seeds (a failed seed ranks
    last), then those dropped, the last dropped first. Without a race: the complete screen trials.
    """
    default = _default(history).config_id
    entered = [row["config_id"] for row in history.plan_rows(Kind.FINALIST, Phase.RACE)]
    if not entered:
        return [record.config_id for record in _complete(history)]
    losses = {
        config_id: [
            loss
            for seed in seeds.race
            if history.trial_of(config_id, seed) is not None
            for loss in _losses(history, config_id, [seed])
        ]
        for config_id in entered
        if config_id != default
    }
    finished = [one for one, mine in losses.items() if any(loss is not None for loss in mine)]
    return sorted(finished, key=lambda one: (-len(losses[one]), *standing(losses[one])))


def begin_confirm(spec: StudySpec, history: History, seeds: SeedPlan) -> list[Row]:
    """The winner, and if confirm has seeds: who is confirmed, the primary pair, the first look."""
    default = _default(history).config_id
    candidates = ranked_candidates(history, seeds)
    if not candidates:
        note = "no configuration other than the default completed; there is nothing to confirm"
        return [plan_row(Kind.WINNER, other_config_id=default, note=note)]
    winner = candidates[0]
    value, note = _winner_note(history, winner, seeds)
    rows = [
        plan_row(Kind.WINNER, config_id=winner, other_config_id=default, value=value, note=note)
    ]
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
    return rows + _open_confirm(seeds, f"{len(kept)} configurations and the default")


def _open_confirm(seeds: SeedPlan, note: str) -> list[Row]:
    first = seeds.looks[0]
    begun = plan_row(Kind.PHASE_BEGUN, phase=Phase.CONFIRM, seeds=first, note=note)
    return [begun, look_row(seeds, 0)]


def look_row(seeds: SeedPlan, index: int) -> Row:
    """The row that opens look `index`, counted from 0."""
    return plan_row(
        Kind.LOOK,
        phase=Phase.CONFIRM,
        seeds=seeds.looks[index],
        value=index + 1,
        note=f"look {index + 1} of {len(seeds.looks)}",
    )


def _finalists(history: History, phase: Phase, ranked: Sequence[str]) -> list[Row]:
    default = _default(history).config_id
    rows = []
    for rank, config_id in enumerate([default, *ranked]):
        trial = history.screen_trials.get(config_id)
        rows.append(
            plan_row(
                Kind.FINALIST,
                phase=phase,
                config_id=config_id,
                value=None if trial is None else trial.value,
                note=f"rank {rank}" if rank else "the default, whatever its rank",
            )
        )
    return rows


def _winner_note(history: History, winner: str, seeds: SeedPlan) -> tuple[float, str]:
    """The winner's mean valid value and how the default did on the same seeds."""
    if not history.plan_rows(Kind.FINALIST, Phase.RACE):
        trial = history.screen_trials[winner]
        return history.sign * history.loss(trial), "best complete trial of the screen; no race"
    default = _default(history).config_id
    failed, mean = standing(_losses(history, winner, seeds.race))
    value = history.sign * mean
    note = f"best mean valid {history.spec.study.metric} over {len(seeds.race)} race seeds"
    if failed:
        note = f"{note}, {failed} of them failed or not run"
    pair = {winner: _losses(history, winner, seeds.race)}
    pair[default] = _losses(history, default, seeds.race)
    theirs = history.sign * standing(pair[default])[1]
    first = ranking(pair)[0]
    behind = "the default did better" if first == default else "the default"
    return value, f"{note}: {value:.4f}; {behind}: {theirs:.4f}"


def _complete(history: History) -> list[ConfigRecord]:
    """Configurations with a complete screen trial and a value, best first, without the default."""
    done = [
        (history.loss(trial), record.number, record)
        for config_id, trial in history.screen_trials.items()
        if trial.state is TrialState.DONE and trial.value is not None
        for record in [history.configs[config_id]]
        if record.number > 0
    ]
    return [record for _, _, record in sorted(done, key=lambda item: item[:2])]


def _losses(history: History, config_id: str, seeds: Sequence[int]) -> list[float | None]:
    losses: list[float | None] = []
    for seed in seeds:
        trial = history.trial_of(config_id, seed)
        good = trial is not None and trial.state is TrialState.DONE and trial.value is not None
        losses.append(history.loss(trial) if trial is not None and good else None)
    return losses


def _default(history: History) -> ConfigRecord:
    record = history.default
    if record is None:
        raise RuntimeError("the default is proposed before anything is decided")
    return record
