"""The rows of the plan table."""

from typing import Any

import pytest
from small_study import study

from hscl.config import Config
from tune.planner.decisions import begin_study, plan_row, ranked_candidates, round_rows
from tune.planner.proposals import config_row
from tune.states import Kind, Origin, Phase
from tune.study.spec import StartPoint, StudySpec
from tune.tables.history import History

COLUMNS = {"kind", "phase", "config_id", "other_config_id", "seeds", "value", "note"}


class Raced:
    """A study in its race, every trial of which ended as a test says."""

    def __init__(self, spec: StudySpec, results: list[list[float | None]]) -> None:
        self.spec = spec
        self.seeds = spec.seed_plan()
        self.history = History(spec)
        self.ids: list[str] = []
        for number, its in enumerate(results):
            config = Config().with_overrides({"loss.alpha": 0.1 + number})
            start = StartPoint(f"c{number}", Origin.SAMPLER, config)
            self.history.apply_config(config_row(spec, start, number))
            self.ids.append(config.config_id)
            self.plan(Kind.FINALIST, phase=Phase.RACE, config_id=config.config_id)
            for seed, value in zip(self.seeds.race, its, strict=False):
                self.trial(config.config_id, seed, value)

    def plan(self, kind: Kind, **columns: Any) -> None:
        self.history.apply_plan({"seq": 0} | plan_row(kind, **columns))

    def trial(self, config_id: str, seed: int, value: float | None) -> None:
        event = {
            "trial_id": f"{config_id}-{seed}",
            "config_id": config_id,
            "phase": "race",
            "seed": seed,
            "attempt": 1,
        }
        self.history.apply_event(event | {"state": "started"})
        if value is not None:
            report = {"trial_id": event["trial_id"], "epoch": 1, "finished": True}
            self.history.apply_report(report | {f"valid_{self.spec.study.metric}": value})
        self.history.apply_event(event | {"state": "failed" if value is None else "done"})


def test_a_row_has_every_column_but_those_of_whoever_appends_it() -> None:
    row = plan_row(Kind.WINNER, phase=Phase.CONFIRM, seeds=(1, 2), value=3)
    assert set(row) == COLUMNS
    assert row["kind"] == "winner"
    assert type(row["kind"]) is str
    assert type(row["phase"]) is str
    assert row["seeds"] == [1, 2]
    assert type(row["value"]) is float


def test_a_table_study_begins_with_confirm_and_its_first_look() -> None:
    spec = study('[[known]]\n"loss.high" = false', sampler="list")
    rows = begin_study(spec, spec.seed_plan())
    assert [(row["kind"], row["phase"]) for row in rows] == [
        ("seeds", "confirm"),
        ("phase_begun", "confirm"),
        ("look", "confirm"),
    ]


@pytest.mark.parametrize("metric", ["mae", "corr"])
def test_candidates_are_ranked_by_their_mean_with_failures_last(metric: str) -> None:
    spec = study(f'study.metric = "{metric}"\nrace = {{ keep = 3, seeds = 3 }}')
    good, bad = (0.4, 0.6) if metric == "mae" else (0.6, 0.4)
    raced = Raced(
        spec,
        [[good] * 3, [bad, bad, bad], [good, good, None], [good, bad, bad], [None] * 3],
    )
    _, worse, failed_once, better, _ = raced.ids
    assert ranked_candidates(raced.history, raced.seeds) == [better, worse, failed_once]


def test_those_who_stayed_come_before_those_who_left() -> None:
    spec = study("race = { keep = 3, seeds = 4 }")
    raced = Raced(spec, [[0.5] * 4, [0.1] * 3, [0.6] * 4])
    raced.plan(Kind.DROPPED, phase=Phase.RACE, config_id=raced.ids[1])
    assert ranked_candidates(raced.history, raced.seeds) == [raced.ids[2], raced.ids[1]]


def test_a_round_names_who_leaves_against_whom_and_why() -> None:
    spec = study("race = { keep = 3, seeds = 5 }")
    raced = Raced(
        spec, [[0.5, 0.51, 0.49], [0.4, 0.41, 0.39], [0.7, 0.71, 0.7], [0.4, None, None]]
    )
    rows = round_rows(raced.history, raced.ids, raced.seeds.race[:3])
    gone = {row["config_id"]: row for row in rows if row["kind"] == "dropped"}
    assert set(gone) == {raced.ids[2], raced.ids[3]}
    assert all(row["other_config_id"] == raced.ids[1] for row in gone.values())
    assert "one-sided paired t" in gone[raced.ids[2]]["note"]
    assert gone[raced.ids[2]]["value"] < 0.05 / 3
    assert "failed on 2 seeds" in gone[raced.ids[3]]["note"]
    last = rows[-1]
    assert (last["kind"], last["config_id"], last["value"]) == ("round", raced.ids[1], 3)
    assert last["note"] == "2 of 4 remain after seed 3"
