"""What closes a hole: rows of every table lost at every place, and the study gone on with."""

import json
from typing import Any

import pytest
from small_study import noisy, study

from hscl.errors import InputError
from tune.planner.repair import Repair, plan_repair
from tune.simulate.study import SimulatedRun, Tables
from tune.states import Kind, Phase, TrialState
from tune.tables.memory import MemoryStore
from tune.tables.store import Hole, Part

SPEC = study("sampler.trials = 5\nrefine.trials = 1\nconfirm.seeds = 2", epochs=3)
WHOLE = SimulatedRun(SPEC, noisy()).run()
MOMENTS = {"screen": 7, "refine": 13, "confirm": 20}
"""Epochs after which the driver was killed."""


def _lost(moment: str, table: str, place: str) -> tuple[Tables, Hole]:
    """The rows of a killed study without some of a table's, and the hole they leave."""
    tables = {name: list(rows) for name, rows in _killed(moment).items()}
    rows = tables[table]
    third = max(1, len(rows) // 3)
    start = {"head": 0, "middle": third, "tail": len(rows) - third}[place]
    if table == "plan":  # rows that belong together are in one file, and the first is not lost
        start = max(start, sum(row["kind"] in {Kind.SEEDS, Kind.PHASE_BEGUN} for row in rows[:3]))
        third = len(rows) - start
    tables[table] = rows[:start] + rows[start + third :]
    number = 0 if place == "head" else 3
    return tables, Hole(Part(number, number), third, len(rows))


def _killed(moment: str) -> Tables:
    return SimulatedRun(SPEC, noisy()).run(MOMENTS[moment]).tables


def _repaired(tables: Tables, table: str, hole: Hole) -> tuple[Tables, Repair]:
    store = MemoryStore(tables)
    read = {name: store.read(name) for name in store.tables}
    logged = {row["config_id"]: row["config"] for row in WHOLE.tables["configs"]}
    began = {row["config_id"] for row in _begun(tables)}
    known = {name: config for name, config in logged.items() if name in began}
    found = plan_repair(SPEC, read, {table: [hole]}, lambda: known)
    return {name: [*rows, *found.rows.get(name, [])] for name, rows in tables.items()}, found


def _begun(tables: Tables) -> list[dict[str, Any]]:
    """A log is there of every trial that began."""
    reported = {row["trial_id"] for row in tables["reports"]}
    rows = [row for row in WHOLE.tables["trials"] if row["trial_id"] in reported]
    return [*rows, *tables["trials"]]


def _ends(tables: Tables) -> dict[str, tuple[str, str, int]]:
    return {r["trial_id"]: (r["phase"], r["state"], r["seed"]) for r in tables["trials"]}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("place", ["head", "middle", "tail"])
@pytest.mark.parametrize("table", ["trials", "configs"])
def test_lost_trials_and_configurations_come_back_and_the_study_ends_as_if_nothing_had_happened(
    table: str, place: str, moment: str
) -> None:
    tables, hole = _lost(moment, table, place)
    repaired, _ = _repaired(tables, table, hole)
    done = SimulatedRun(SPEC, noisy(), tables=repaired).run()
    assert _ends(done.tables) == _ends(WHOLE.tables)
    assert done.history.winner == WHOLE.history.winner
    told = {row["config_id"]: (row["number"], row["config"]) for row in done.tables["configs"]}
    assert told == {r["config_id"]: (r["number"], r["config"]) for r in WHOLE.tables["configs"]}
    keys = [(row["trial_id"], row["epoch"]) for row in done.tables["reports"]]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("place", ["head", "middle", "tail"])
def test_a_study_that_lost_reports_goes_on_to_its_end_and_says_how_many(
    place: str, moment: str
) -> None:
    tables, hole = _lost(moment, "reports", place)
    repaired, found = _repaired(tables, "reports", hole)
    note = json.loads(repaired["plan"][-1]["note"])
    assert note["lost"]["reports"]["rows"] == hole.rows
    done = SimulatedRun(SPEC, noisy(), tables=repaired).run()
    assert done.done is not None
    ends = _ends(done.tables)
    assert set(ends) >= set(found.again)
    assert {state for _, state, _ in ends.values()} <= {TrialState.DONE, TrialState.PRUNED}
    if moment == "screen" and place == "tail":  # whoever lost its end trains again
        assert done.tables["reports"][-1]["trial_id"] in _ends(WHOLE.tables)
        assert ends.keys() == _ends(WHOLE.tables).keys()


@pytest.mark.parametrize("moment", ["screen", "refine"])
def test_lost_decisions_of_a_search_are_made_again_and_come_out_the_same(moment: str) -> None:
    tables, hole = _lost(moment, "plan", "middle")
    repaired, _ = _repaired(tables, "plan", hole)
    done = SimulatedRun(SPEC, noisy(), tables=repaired).run()
    assert _ends(done.tables) == _ends(WHOLE.tables)
    assert done.history.refined_from == WHOLE.history.refined_from
    assert done.history.winner == WHOLE.history.winner
    assert done.history.looks == WHOLE.history.looks


def test_decisions_of_a_study_that_confirms_and_the_first_ones_of_any_are_not_made_again() -> None:
    tables, hole = _lost("confirm", "plan", "middle")
    with pytest.raises(InputError, match="whose confirm has begun"):
        _repaired(tables, "plan", hole)
    tables, _ = _lost("screen", "plan", "middle")
    with pytest.raises(InputError, match="bind the study to its specification"):
        _repaired(tables, "plan", Hole(Part(0, 1)))


def test_a_configuration_that_nothing_tells_of_is_refused_by_its_name() -> None:
    tables, hole = _lost("screen", "configs", "middle")
    store = MemoryStore(tables)
    read = {name: store.read(name) for name in store.tables}
    lost = {row["config_id"] for row in WHOLE.tables["configs"]}
    lost -= {row["config_id"] for row in tables["configs"]}
    with pytest.raises(InputError, match=f"configuration ({'|'.join(lost)}) has trials"):
        plan_repair(SPEC, read, {"configs": [hole]}, dict)


def test_a_run_of_confirm_without_its_predictions_is_begun_again() -> None:
    store = MemoryStore(WHOLE.tables)
    read = {name: store.read(name) for name in store.tables}
    found = plan_repair(SPEC, read, {"predictions": [Hole(Part(1, 1), 9, 36)]}, dict)
    confirmed = {t.trial_id for t in WHOLE.history.trials.values() if t.phase is Phase.CONFIRM}
    assert set(found.again) == confirmed
    assert {row["state"] for row in found.rows["trials"]} == {TrialState.STARTED}


def test_a_repair_that_was_killed_says_once_what_is_lost() -> None:
    tables, hole = _lost("screen", "trials", "head")
    once, _ = _repaired(tables, "trials", hole)
    twice, found = _repaired(once, "trials", hole)
    assert twice == once
    assert found.again == ()
