"""The judge of looks: what it reads, what it answers, and that it answers the same again."""

from typing import Any

import pyarrow as pa
import pytest
from calibrated.world import World, run_study

from hscl.config import Config
from tune.engine.judging import judging
from tune.simulate.runs import RandomEffects
from tune.simulate.study import SimulatedRun, Tables
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec


def _clear(config: Config) -> float:
    return 0.7 if config.loss.temperature < 0.3 else 0.9


def _alike(config: Config) -> float:
    return 0.8


WORLDS = {
    "verdict": World(1, _clear, RandomEffects(seed=0.01, video=0.02, utterance=0.0, error=0.1)),
    "out of reach": World(
        1, _alike, RandomEffects(seed=0.01, video=0.6, utterance=0.0, error=0.1)
    ),
}


def _spec(seeds: int = 10) -> StudySpec:
    tree: dict[str, Any] = {
        "base": {"train.epochs": 2},
        "space": {"loss.temperature": {"log_uniform": [0.03, 1.0]}},
        "sampler": {"kind": "random", "trials": 6},
        "confirm": {"seeds": seeds},
    }
    return parse_spec(tree)


def _before(run: SimulatedRun, seq: int) -> Tables:
    """The tables as a process left them that was killed before this row."""
    return {
        name: [row for row in rows if row.get("seq", -1) < seq]
        for name, rows in run.tables.items()
    }


@pytest.mark.parametrize("kind", list(WORLDS))
def test_killed_before_the_row_a_study_writes_the_same_row(kind: str) -> None:
    spec, world = _spec(), WORLDS[kind]
    run, tables = run_study(spec, world)
    (ended,) = run.history.plan_rows(Kind.CONFIRM_ENDED)
    again = SimulatedRun(
        spec,
        world.objective("mae", spec.longest_trial),
        tables=_before(run, ended["seq"]),
        judge=judging(lambda: tables["predictions"]),
    ).run()
    assert again.history.plan_rows(Kind.CONFIRM_ENDED) == [ended]
    assert len(again.history.trials) == len(run.history.trials)
    assert again.done == run.done


def test_without_a_judge_all_looks_are_taken() -> None:
    spec, world = _spec(), WORLDS["verdict"]
    run = SimulatedRun(spec, world.objective("mae", spec.longest_trial)).run()
    assert [len(look) for look in run.history.looks] == [6, 2, 2]
    assert not run.history.plan_rows(Kind.CONFIRM_ENDED)


def test_predictions_are_read_only_when_a_look_is_over() -> None:
    spec, world, asked = _spec(), WORLDS["verdict"], []

    def read() -> pa.Table:
        asked.append(len(run.history.looks))
        return run_study(spec, world)[1]["predictions"]

    run = SimulatedRun(spec, world.objective("mae", spec.longest_trial), judge=judging(read))
    run.run()
    assert asked == [1]
