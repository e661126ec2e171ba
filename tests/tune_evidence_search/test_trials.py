"""The table of trials: each cell against a literal count over the study's own tables."""

import statistics
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from study_factory import Simulated, evidence_of

from tune.evidence.gather import Evidence
from tune.evidence.search.trials import trials_table
from tune.evidence.search.values import varied_names

WHAT = Simulated(trials=8, epochs=4, refined=3, confirm_seeds=5, failures=1, seed=1)
GONE_ON = ("screen", "refine", "confirm")


def _rows(evidence: Evidence, *, seeds: bool = False) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = trials_table(evidence, seeds=seeds).to_pylist()
    return rows


def _values(evidence: Evidence) -> dict[str, float]:
    """Each trial's best valid MAE, from the table of reports."""
    seen: dict[str, list[float]] = defaultdict(list)
    for row in evidence.tables["reports"].to_pylist():
        seen[row["trial_id"]].append(row["valid_mae"])
    return {trial_id: min(values) for trial_id, values in seen.items()}


@pytest.mark.parametrize("what", [WHAT, Simulated(sampler="list", confirm_seeds=5, epochs=3)])
def test_a_configuration_has_the_mean_of_its_complete_trials_of_its_furthest_phase(
    what: Simulated,
) -> None:
    evidence = evidence_of(what)
    values = _values(evidence)
    events = evidence.tables["trials"].to_pylist()
    last = {row["trial_id"]: row for row in events}
    for row in _rows(evidence):
        own = [event for event in last.values() if event["config_id"] == row["config_id"]]
        done = [event for event in own if event["state"] == "done"] or own
        far = max((event["phase"] for event in done), key=GONE_ON.index)
        counted = [values[event["trial_id"]] for event in done if event["phase"] == far]
        assert row["seeds"] == len(counted)
        assert row["valid"] == pytest.approx(statistics.fmean(counted))
        if len(counted) > 1:
            assert row["valid_sd"] == pytest.approx(statistics.stdev(counted))
        assert row["phases"].split(", ") == [
            phase for phase in GONE_ON if phase in {event["phase"] for event in own}
        ]
        assert row["failures"] == sum(event["state"] == "failed" for event in own)


def test_every_configuration_has_its_searched_values_and_what_is_expected_of_it() -> None:
    evidence = evidence_of(WHAT)
    configs = {row["config_id"]: row for row in evidence.tables["configs"].to_pylist()}
    rows = _rows(evidence)
    assert [row["number"] for row in rows] == list(range(len(configs)))
    for row in rows:
        stored = configs[row["config_id"]]
        assert {name: row[name] for name in evidence.spec.space} == {
            name: stored[name] for name in evidence.spec.space
        }
    assert evidence.learnt is not None
    model = evidence.learnt.model
    if model is not None:
        expected = model.expected(rows[3]["config_id"])
        assert expected is not None
        assert (rows[3]["predicted"], rows[3]["predicted_sd"]) == pytest.approx(expected)


def test_test_has_a_mean_only_once_a_look_at_confirm_is_over() -> None:
    def tested(until: str) -> list[int]:
        rows = _rows(evidence_of(replace(WHAT, until=until)))
        return [row["number"] for row in rows if row["test"] is not None]

    finished = evidence_of(WHAT)
    assert tested("refine") == tested("confirm") == []
    assert finished.comparison is not None
    assert tested("end") == sorted(one.number for one in finished.comparison.configs)
    means = {one.config_id: one.mean for one in finished.comparison.configs}
    rows = _rows(finished)
    assert {row["config_id"]: row["test"] for row in rows if row["test"] is not None} == means


def test_a_row_a_trial_adds_up_to_the_row_of_its_configuration() -> None:
    evidence = evidence_of(WHAT)
    trials = _rows(evidence, seeds=True)
    assert sorted(row["trial_id"] for row in trials) == sorted(evidence.history.trials)
    for row in _rows(evidence):
        own = [trial for trial in trials if trial["config_id"] == row["config_id"]]
        assert row["seconds"] == pytest.approx(sum(trial["seconds"] for trial in own))
        tests = [trial["test"] for trial in own if trial["test"] is not None]
        assert row["test"] == (pytest.approx(statistics.fmean(tests)) if tests else None)
    failed = [row for row in trials if row["state"] == "failed"]
    assert failed
    assert all("NonFiniteError" in row["error"] for row in failed)


def test_the_switches_of_an_ablation_are_columns_too() -> None:
    evidence = evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3))
    assert "loss.high" in varied_names(evidence.spec)
    rows = {row["name"]: row for row in _rows(evidence)}
    assert rows["default"]["loss.high"] is True
    assert rows["− high"]["loss.high"] is False
    assert rows["SupCon labels"]["loss.labels"] == "supcon"
