"""What a study has cost, against literal sums over its rows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from study_factory import Simulated, evidence_of

from tune.evidence.search.cost import StudyCost, cost_of, cost_text
from tune.states import Kind
from tune.tables.fold import fold
from tune.tables.schemas import SCHEMAS

WHAT = Simulated(trials=8, epochs=4, refined=3, confirm_seeds=5, failures=1, seed=1)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _cost(trials: list[dict[str, Any]], reports: list[dict[str, Any]]) -> StudyCost:
    """Of another course of events; the sums by phase stay those of the study."""
    evidence = evidence_of(WHAT)
    tables = {
        "trials": pa.Table.from_pylist(trials, schema=SCHEMAS["trials"]),
        "reports": pa.Table.from_pylist(reports, schema=SCHEMAS["reports"]),
    }
    return cost_of(evidence.history, tables)


def _event(trial: str, state: str, minute: float, attempt: int = 1) -> dict[str, Any]:
    return {
        "trial_id": trial,
        "state": state,
        "attempt": attempt,
        "time": NOON + timedelta(minutes=minute),
    }


def test_each_phase_has_its_trainings_epochs_and_seconds() -> None:
    evidence = evidence_of(WHAT)
    phase_of = {row["trial_id"]: row["phase"] for row in evidence.tables["trials"].to_pylist()}
    reports = evidence.tables["reports"].to_pylist()
    cost = cost_of(evidence.history, evidence.tables)
    assert [phase.phase for phase in cost.phases] == ["screen", "refine", "confirm"]
    for phase in cost.phases:
        own = [row for row in reports if phase_of[row["trial_id"]] == phase.phase]
        assert phase.trainings == list(phase_of.values()).count(phase.phase)
        assert phase.epochs == len(own)
        assert phase.seconds == pytest.approx(sum(row["seconds"] for row in own))
    assert cost.trainings == len(phase_of)
    assert cost.epochs == len(reports)


def test_time_counts_once_where_trials_run_side_by_side_and_pauses_not_at_all() -> None:
    trials = [
        _event("a", "started", 0),
        _event("b", "started", 1),
        _event("a", "done", 6),
        _event("b", "pruned", 10),
        _event("c", "started", 100),  # the next day, so to say
        _event("c", "done", 103),
    ]
    assert _cost(trials, []).wall_s == 60 * (10 + 3)


def test_an_attempt_that_was_killed_took_the_epochs_that_it_reported() -> None:
    trials = [_event("a", "started", 0), _event("a", "started", 60, 2), _event("a", "done", 61, 2)]
    reports = [
        {"trial_id": "a", "epoch": epoch, "attempt": 1, "seconds": 30.0} for epoch in (1, 2, 3)
    ]
    assert _cost(trials, reports).wall_s == 90 + 60


def test_hours_are_those_of_the_devices_that_a_trial_takes() -> None:
    evidence = evidence_of(WHAT)
    for resources, device, each in (
        ({"gpus": 0.5}, "GPU", 0.5),
        ({"gpus": 0.0, "cpus": 4.0}, "CPU", 4.0),
        ({"gpus": None}, "", 1.0),
    ):
        history = evidence.history
        spec = history.spec
        history.spec = spec.with_resources(resources)
        cost = cost_of(history, evidence.tables)
        history.spec = spec
        assert cost.device == device
        assert cost.hours == pytest.approx(cost.seconds / 3600 * each)
        assert (f"{device} hours" in cost_text(cost)) == bool(device)


def test_where_gpus_are_not_given_the_hours_are_those_of_what_the_driver_found() -> None:
    evidence = evidence_of(WHAT)
    for found, device, each in (
        ((1.0,), "GPU", 1.0),
        ((0.5, 0.5), "GPU", 0.5),
        ((0.0,), "CPU", 1.0),
        ((1.0, 0.0), "", 1.0),  # and nobody knows which trial had which
    ):
        plan = pa.Table.from_pylist(
            [
                *evidence.tables["plan"].to_pylist(),
                *(
                    {"seq": 10**6 + n, "kind": Kind.DEVICES, "value": v}
                    for n, v in enumerate(found)
                ),
            ],
            schema=SCHEMAS["plan"],
        )
        cost = cost_of(fold(evidence.spec, {**evidence.tables, "plan": plan}), evidence.tables)
        assert cost.device == device
        assert cost.hours == pytest.approx(cost.seconds / 3600 * each)


def test_what_has_not_begun_has_cost_nothing() -> None:
    nothing = replace(cost_of(evidence_of(WHAT).history, evidence_of(WHAT).tables), phases=())
    assert cost_text(nothing) == "It has cost nothing yet."
