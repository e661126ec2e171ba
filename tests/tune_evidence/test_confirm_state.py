"""Which runs may be compared at each moment of a study, and what is withheld until then."""

from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from calibrated.world import World, run_study

from tune.evidence.comparison import compare_study
from tune.evidence.confirm_state import read_state
from tune.evidence.sentences import several_text
from tune.states import Phase
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.fold import fold

Tables = dict[str, pa.Table]


@cache
def _study(kind: str = "random", seeds: int = 5, looks: int = 1) -> tuple[StudySpec, Tables]:
    tree: dict[str, Any] = {
        "study": {"name": "states"},
        "base": {"train.epochs": 4},
        "space": {"loss.temperature": {"log_uniform": [0.03, 1.0]}},
        "sampler": {"kind": kind, "trials": 6},
        "refine": {"trials": 3},
        "confirm": {"seeds": seeds, "looks": looks},
    }
    if kind == "grid":
        tree["space"] = {"loss.temperature": {"choice": [0.1, 0.5, 1.0]}}
        del tree["refine"], tree["sampler"]["trials"]
    if kind == "list":
        known = [{"name": str(low), "loss.temperature": low} for low in (0.1, 0.2)]
        tree |= {"space": {}, "known": known, "sampler": {"kind": "list"}}
        del tree["refine"]
    spec = parse_spec(tree)
    return spec, run_study(spec, World(1))[1]


def _until(tables: Tables, seq: int) -> Tables:
    """The tables as they were just before row `seq`."""
    names = ("trials", "plan", "reports")
    return tables | {n: tables[n].filter(pc.less(tables[n]["seq"], seq)) for n in names}


def _seq(tables: Tables, kind: str, phase: str | None = None) -> int:
    rows = tables["plan"].to_pylist()
    return next(int(r["seq"]) for r in rows if r["kind"] == kind and phase in {None, r["phase"]})


def test_a_finished_study_speaks_on_test_about_winner_and_default() -> None:
    spec, tables = _study()
    state = read_state(fold(spec, tables))
    assert (state.phase, state.split, state.closed) == (Phase.CONFIRM, "test", True)
    assert state.withheld == ""
    assert len(state.seeds) == 5
    assert state.primary == (state.winner, state.reference)
    assert state.members == (state.reference, state.winner)
    assert state.labels[state.members[0]] == "default"
    assert state.labels[state.members[1]].startswith("configuration ")


def test_one_missing_end_shuts_test_again() -> None:
    spec, tables = _study()
    last = max(tables["trials"]["seq"].to_pylist())
    state = read_state(fold(spec, _until(tables, last)))
    assert (state.split, state.closed) == ("valid", False)
    assert "9 of 10 runs have ended" in state.withheld
    assert any("test stays shut" in note for note in state.notes)


@pytest.mark.parametrize("part", [("phase_begun", "refine"), ("winner", None)])
def test_screen_and_refine_have_nothing_to_compare(part: tuple[str, str | None]) -> None:
    spec, tables = _study()
    state = read_state(fold(spec, _until(tables, _seq(tables, *part))))
    assert (state.phase, state.members, state.seeds) == (None, (), ())
    assert any("one seed" in note for note in state.notes)


def test_without_confirm_seeds_test_stays_closed_for_good() -> None:
    spec, tables = _study(seeds=0)
    state = read_state(fold(spec, tables))
    assert (state.phase, state.split) == (None, "valid")
    assert state.winner is not None
    assert state.primary == (state.winner, state.reference)
    assert state.withheld
    assert any("never opens test" in note for note in state.notes)


def test_a_grid_compares_on_valid_and_may_claim() -> None:
    spec, tables = _study("grid")
    state = read_state(fold(spec, tables))
    assert (state.split, state.closed, state.primary) == ("valid", True, None)
    assert state.withheld == ""
    assert len(state.members) == 3


@pytest.mark.parametrize("kind", ["grid", "list"])
@pytest.mark.parametrize("ran", [1, 2])
def test_a_table_is_open_while_configurations_are_still_to_come(kind: str, ran: int) -> None:
    """They are proposed one by one: all that are known have ended, but not all have run."""
    spec, tables = _study(kind, seeds=1)
    first = set(tables["configs"].slice(0, ran)["config_id"].to_pylist())
    part = tables | {
        name: tables[name].filter(pc.is_in(tables[name]["config_id"], pa.array(sorted(first))))
        for name in ("configs", "trials")
    }
    history = fold(spec, part)
    state = read_state(history)
    assert (len(state.members), state.closed, state.split) == (ran, False, "valid")
    assert state.withheld == f"confirm is not over: {ran} of 3 runs have ended"
    assert state.to_come == 3 - ran
    compared = compare_study(history, part["predictions"])
    assert several_text(compared, {}, "the default") == (
        f"So far: {ran} of 3 runs have ended; no verdict before all have."
    )
    whole = read_state(fold(spec, tables))
    assert (whole.closed, whole.to_come) == (True, 0)


def _with_look(tables: Tables, number: int) -> Tables:
    """The same runs as if their seeds had come in one more look."""
    rows = tables["plan"].to_pylist()
    seeds = next(r for r in rows if r["kind"] == "look")["seeds"]
    more = [
        r | {"seq": 9000 + n, "value": n + 1.0, "seeds": []}
        for n in range(1, number)
        for r in rows
        if r["kind"] == "look"
    ]
    assert seeds
    return tables | {"plan": pa.Table.from_pylist(rows + more, schema=tables["plan"].schema)}


@pytest.mark.parametrize(
    ("declared", "taken", "silent"), [(1, 1, False), (1, 2, True), (2, 2, False)]
)
def test_a_look_that_was_not_declared_gives_no_verdict(
    declared: int, taken: int, silent: int
) -> None:
    spec, tables = _study(looks=declared)
    state = read_state(fold(spec, _with_look(tables, taken)))
    assert state.looks_taken == taken
    assert bool(state.withheld) == silent
    if silent:
        assert "was not declared" in state.withheld


def _with_open_look(tables: Tables, seeds: list[int], ended: int) -> Tables:
    """A second look on these seeds, of whose runs so many have ended and one has begun."""
    plan = tables["plan"].to_pylist()
    look = next(row for row in plan if row["kind"] == "look")
    plan.append(look | {"seq": 9000, "value": 2.0, "seeds": seeds})
    trials = tables["trials"].to_pylist()
    confirm = {r["config_id"]: r for r in trials if r["seed"] in look["seeds"]}
    names = [(config_id, seed) for seed in seeds for config_id in confirm][: ended + 1]
    trials += [
        confirm[config_id]
        | {"seq": 9001 + n, "trial_id": f"{config_id}-{seed}", "seed": seed}
        | {"state": "done" if n < ended else "started"}
        for n, (config_id, seed) in enumerate(names)
    ]
    return tables | {
        "plan": pa.Table.from_pylist(plan, schema=tables["plan"].schema),
        "trials": pa.Table.from_pylist(trials, schema=tables["trials"].schema),
    }


@pytest.mark.parametrize("ended", [0, 3, 9])
def test_while_a_further_look_runs_the_one_before_it_speaks(ended: int) -> None:
    spec, tables = _study(looks=2)
    before = read_state(fold(spec, tables))
    state = read_state(fold(spec, _with_open_look(tables, [71, 72, 73, 74, 75], ended)))
    assert (state.split, state.closed, state.withheld) == ("test", True, "")
    assert (state.seeds, state.looks_taken) == (before.seeds, 1)
    told = f"Look 2 is open: {ended} of 10 runs have ended"
    assert [note for note in state.notes if note not in before.notes] == [
        f"{told}; until all have, what is said rests on the seeds before it."
    ]
    assert not any("stays shut" in note for note in state.notes)


def test_a_further_look_that_is_complete_adds_its_seeds() -> None:
    spec, tables = _study(looks=2)
    state = read_state(fold(spec, _with_open_look(tables, [71, 72], 4)))
    assert state.seeds == (*read_state(fold(spec, tables)).seeds, 71, 72)
    assert (state.closed, state.looks_taken) == (True, 2)
    assert not any("is open" in note for note in state.notes)


def test_an_earlier_opening_of_the_test_set_is_told() -> None:
    spec, tables = _study()
    rows = tables["plan"].to_pylist()
    opened = rows[0] | {"seq": -1, "kind": "test_opened", "note": "by study first"}
    plan = pa.Table.from_pylist([*rows, opened], schema=tables["plan"].schema)
    notes = read_state(fold(spec, tables | {"plan": plan})).notes
    assert "This test set was opened before: by study first." in notes
    opened["note"] = "before this study began, on 2026-03-02 09:41 UTC by first"
    plan = pa.Table.from_pylist([*rows, opened], schema=tables["plan"].schema)
    told = " ".join(read_state(fold(spec, {**tables, "plan": plan})).notes)
    assert "This test set was opened before this study began, on 2026-03-02 09:41 UTC" in told


def test_the_planners_words_make_no_claim() -> None:
    spec, tables = _study()
    rows = tables["plan"].to_pylist()
    for row in rows:
        if row["kind"] == "winner":
            row["note"] = "0.7812; the default did better: 0.7701"
    plan = pa.Table.from_pylist(rows, schema=tables["plan"].schema)
    text = " ".join(read_state(fold(spec, tables | {"plan": plan})).notes)
    assert "better" not in text
    assert "the default was ahead: 0.7701" in text
