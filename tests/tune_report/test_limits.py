"""What a study cannot say is said, and how to do it again is there."""

import copy
from dataclasses import replace

import pyarrow as pa
import pytest
from study_factory import Simulated, evidence_of

from tune.report.limits import failures_of, limits_of, reproduction_of
from tune.study.toml import parse_spec

SEARCH = Simulated(trials=8, refined=3)


def _limits(what: Simulated) -> str:
    return " ".join(limits_of(evidence_of(what)).points)


def test_claims_are_tied_to_the_split_and_the_seed_of_the_screen() -> None:
    said = _limits(SEARCH)
    assert "neither was drawn anew" in said
    assert "one and the same seed" in said
    assert "says nothing about other videos" in said


def test_a_running_study_says_that_it_runs() -> None:
    said = _limits(Simulated(until="refine", trials=8, refined=3))
    assert "The study is not over" in said


def test_few_videos_and_few_seeds_are_said() -> None:
    said = _limits(Simulated(sampler="list", confirm_seeds=3, videos=3, epochs=3))
    assert "3 videos" in said
    assert "no verdict" in said


def test_an_undecided_study_says_what_would_decide_it() -> None:
    what = Simulated(trials=8, refined=3, gap=0.0, video_sd=0.1)
    assert "What would decide it" in _limits(what)


def test_collapses_are_those_of_a_last_epoch_and_none_is_left_out_without_a_word() -> None:
    evidence = evidence_of(SEARCH)
    history = copy.deepcopy(evidence.history)
    evidence, trials = replace(evidence, history=history), list(history.trials.values())
    for trial in trials[:22]:
        trial.collapsed = True
    (*_, said) = failures_of(evidence).points
    assert said.startswith("22 trials predicted one constant in their last epoch (no failure; ")
    assert said.endswith(" and 2 more.")
    for trial in trials[1:]:
        trial.collapsed = False
    (*_, said) = failures_of(evidence).points
    assert said.startswith("1 trial predicted one constant in its last epoch")
    assert said.endswith(f": {trials[0].trial_id}.")


def test_no_sentence_comes_twice() -> None:
    points = limits_of(evidence_of(SEARCH)).points
    assert len(points) == len(set(points))


def test_seeds_versions_digest_and_the_moment_that_test_was_opened_are_listed() -> None:
    (table,) = reproduction_of(evidence_of(SEARCH)).tables
    rows = {row[0]: row[1] for row in table.rows}
    spec = evidence_of(SEARCH).spec
    assert rows["Study digest"] == spec.digest
    plan = spec.seed_plan()
    assert str(plan.screen) == rows["Seeds, screen"]
    assert all(str(seed) in rows["Seeds, confirm"] for look in plan.looks for seed in look)
    assert rows["Test opened"].startswith("2026-03-02")
    assert rows["hscl that searched"]


def test_a_node_that_was_put_aside_is_named_with_the_reason() -> None:
    evidence = evidence_of(SEARCH)
    history = copy.deepcopy(evidence.history)
    said = "node broke: 10.77.0.2: host2 runs other code: torch 2.1, not 2.0"
    history.apply_event(evidence.tables["trials"].to_pylist()[0] | {"error": said})
    (table,) = reproduction_of(replace(evidence, history=history)).tables
    assert ("Node that differs or broke", history.broken_nodes.lines()[0]) in table.rows
    assert history.broken_nodes.lines() == (
        "10.77.0.2 broke 1 start: host2 runs other code: torch 2.1, not 2.0",
    )


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ("before this study began, by a", "before this study began, by a (when is not recorded)"),
        (
            "before this study began, on 2026-01-02 03:04 UTC by a",
            "before this study began, on 2026-01-02 03:04 UTC by a",
        ),
    ],
)
def test_when_an_earlier_study_opened_test_is_not_when_this_one_noted_it(
    note: str, said: str
) -> None:
    evidence = evidence_of(SEARCH)
    plan = evidence.tables["plan"]
    rows = plan.to_pylist()
    (opened,) = (row for row in rows if row["kind"] == "test_opened")
    opened["note"] = note
    changed = pa.Table.from_pylist(rows, schema=plan.schema)
    again = replace(evidence, tables={**evidence.tables, "plan": changed})
    (table,) = reproduction_of(again).tables
    assert {row[0]: row[1] for row in table.rows}["Test opened"] == said


def test_the_specification_that_is_shown_is_the_studys_own() -> None:
    import tomllib

    _, text = reproduction_of(evidence_of(SEARCH)).code
    assert parse_spec(tomllib.loads(text)).digest == evidence_of(SEARCH).spec.digest


@pytest.mark.parametrize("command", ["search", "compare", "report", "export"])
def test_the_commands_are_given(command: str) -> None:
    assert f"hscl {command} " in reproduction_of(evidence_of(SEARCH)).code[0]
