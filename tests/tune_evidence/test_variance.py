"""Where a study's variance is, from its tables."""

import json
import math
import tomllib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from calibrated.world import World, run_study

from hscl.config import Config
from tune.evidence.variance import (
    SEED,
    SeedWeight,
    VarianceReport,
    VarianceShare,
    analyse_variance,
    seed_weight_lines,
    weigh_seed,
)
from tune.simulate.runs import RandomEffects
from tune.simulate.study import simulate
from tune.states import TrialState
from tune.study.spec import StudySpec
from tune.study.toml import dump_spec, parse_spec
from tune.tables.fold import fold

Tables = dict[str, pa.Table]


@cache
def _study(
    kind: str = "random", scheduler: str = "none", metric: str = "mae"
) -> tuple[StudySpec, Tables]:
    tree: dict[str, Any] = {
        "study": {"metric": metric},
        "base": {"train.epochs": 4},
        "space": {
            "loss.temperature": {"log_uniform": [0.03, 1.0]},
            "loss.alpha": {"log_uniform": [0.01, 1.0]},
            "train.lr_text": {"log_uniform": [5e-6, 1e-4]},
        },
        "sampler": {"kind": kind, "trials": 46},
        "scheduler": {"kind": scheduler},
        "refine": {"trials": 4},
        "confirm": {"seeds": 5},
    }
    if kind == "grid":
        del tree["refine"], tree["scheduler"], tree["sampler"]["trials"]
        tree["space"] = {
            "loss.temperature": {"choice": [0.05, 0.2, 1.0]},
            "loss.alpha": {"choice": [0.1, 0.5]},
        }
    if kind == "list":
        del tree["refine"], tree["scheduler"], tree["sampler"]["trials"], tree["space"]
        tree["known"] = [{"name": "hot", "loss.temperature": 1.0}]
    spec = parse_spec(tree)
    effects = RandomEffects(seed=0.02, video=0.01, utterance=0.01, error=0.05)
    return spec, run_study(spec, World(3, effects=effects))[1]


def _report(*arguments: str) -> VarianceReport:
    return analyse_variance(fold(*_study(*arguments)))


def test_the_seeds_spread_is_pooled_within_configurations() -> None:
    spec, tables = _study()
    found = analyse_variance(fold(spec, tables)).seed
    groups: dict[str, list[float]] = {}
    reports = tables["reports"].to_pylist()
    for trial, outcome in fold(spec, tables).trials.items():
        if not outcome.phase.searches and outcome.state is TrialState.DONE:
            best = min(r["valid_mae"] for r in reports if r["trial_id"] == trial)
            groups.setdefault(outcome.config_id, []).append(best)
    several = [np.array(group) for group in groups.values() if len(group) > 1]
    squares = sum(group.var(ddof=1) * (group.size - 1) for group in several)
    freedom = sum(group.size - 1 for group in several)
    assert found is not None
    assert found.sd == pytest.approx(np.sqrt(squares / freedom))
    assert found.degrees_of_freedom == freedom
    assert found.low < found.sd < found.high


def test_a_search_gives_shares_and_curves_of_every_parameter() -> None:
    found = _report()
    names = [share.name for share in found.shares]
    assert names[0] == SEED
    assert {"loss.temperature", "loss.alpha", "train.lr_text"} <= set(names)
    assert [one.name for one in found.responses] == [
        "loss.temperature",
        "loss.alpha",
        "train.lr_text",
    ]
    by_name = {share.name: share for share in found.shares}
    assert by_name["train.lr_text"].part > by_name["loss.alpha"].part
    assert by_name["train.lr_text"].matters
    assert by_name["loss.alpha"].part < 0.1
    # The default may lie inside the space; it is one of the fifty either way.
    assert found.complete + found.stopped == 46 + 4
    assert "on one seed" in found.notes[0]


def test_stopped_trials_are_counted_apart_and_have_bounds() -> None:
    found = _report("random", "asha")
    assert found.stopped > 10
    assert f"{found.stopped} of them stopped early" in found.notes[0]
    assert all(len(one.observed) == found.complete for one in found.responses)


def test_a_metric_of_which_more_is_wanted_keeps_its_sign() -> None:
    found = _report("random", "none", "corr")
    for one in found.responses:
        assert all(0 < value < 1 for value in one.mean)
        assert all(
            low < mean < high for low, mean, high in zip(one.low, one.mean, one.high, strict=True)
        )
        assert all(0 < value <= 1 for _, value in one.observed)


def test_a_grid_is_analysed_exactly() -> None:
    found = _report("grid")
    assert [share.name for share in found.shares] == [
        SEED,
        "loss.temperature",
        "loss.alpha",
        "loss.temperature × loss.alpha",
    ]
    assert sum(share.part for share in found.shares) == pytest.approx(1.0)
    assert "6 configurations on 5 seeds" in found.notes[0]


def test_a_list_has_the_seeds_spread_only() -> None:
    found = _report("list")
    assert found.seed is not None
    assert found.shares == ()
    assert "no space" in found.notes[0]


def test_a_study_that_has_just_begun_says_that_nothing_is_known() -> None:
    spec, tables = _study()
    empty = tables | {name: tables[name].slice(0, 3) for name in ("trials", "reports")}
    found = analyse_variance(fold(spec, empty))
    assert found.seed is None
    assert found.shares == ()
    assert "Fewer than 10" in found.notes[0]
    none = tables | {name: tables[name].slice(0, 0) for name in ("trials", "reports")}
    assert analyse_variance(fold(spec, none)).shares == ()


def test_the_same_tables_give_the_same_answer_and_it_goes_into_json() -> None:
    spec, tables = _study()
    found = analyse_variance(fold(spec, tables))
    assert found == analyse_variance(fold(spec, tables))
    other = analyse_variance(fold(spec, tables), np.random.default_rng(1))
    assert found.shares != other.shares
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["metric"] == "mae"


def test_failed_trials_and_unknown_points_are_left_out() -> None:
    spec, tables = _study()
    rows = tables["trials"].to_pylist()
    for row in rows[:20]:
        if row["state"] == "done":
            row["state"] = "failed"
    trials = pa.Table.from_pylist(rows, schema=tables["trials"].schema)
    found = analyse_variance(fold(spec, tables | {"trials": trials}))
    assert found.complete == 50 - 10


def _with(table: pa.Table, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> pa.Table:
    """A table whose rows are changed one by one."""
    rows = [row | changed(row) for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, schema=table.schema)


def _screened(spec: StudySpec, tables: Tables, state: TrialState) -> list[str]:
    return [
        trial
        for trial, outcome in fold(spec, tables).trials.items()
        if outcome.phase.searches and outcome.state is state
    ]


@pytest.mark.parametrize("value", [0.5, 0.4827])
def test_a_search_whose_runs_all_end_with_the_same_value_says_so(value: float) -> None:
    spec, tables = _study("random", "none", "acc2_has0")
    level = _with(tables["reports"], lambda row: {"valid_acc2_has0": value})
    found = analyse_variance(fold(spec, tables | {"reports": level}))
    assert found.notes == ("Every run ended with the same value.",)
    assert (found.shares, found.responses) == ((), ())
    assert (found.complete, found.stopped) == (50, 0)


def test_one_complete_trial_says_nothing_of_where_stopped_ones_would_have_ended() -> None:
    spec, tables = _study("random", "asha")
    failed = set(_screened(spec, tables, TrialState.DONE)[1:])
    trials = _with(
        tables["trials"],
        lambda row: (
            {"state": "failed"} if row["trial_id"] in failed and row["state"] == "done" else {}
        ),
    )
    found = analyse_variance(fold(spec, tables | {"trials": trials}))
    assert found.complete == 1
    assert found.stopped == len(_screened(spec, tables, TrialState.PRUNED)) > 10
    assert found.responses == ()
    assert f"Of {1 + found.stopped} trials of the search 1 ran to the end" in found.notes[0]


def test_stopped_trials_without_bounds_are_left_out_and_told() -> None:
    spec, tables = _study("tpe", "asha")
    complete = _screened(spec, tables, TrialState.DONE)
    epochs = dict.fromkeys(_screened(spec, tables, TrialState.PRUNED), 0)
    for row in tables["reports"].to_pylist():
        if row["trial_id"] in epochs:
            epochs[row["trial_id"]] = max(epochs[row["trial_id"]], row["epoch"])
    lost = sum(epoch == 1 for epoch in epochs.values())
    late = _with(
        tables["reports"],
        lambda row: (
            {"valid_mae": None} if row["trial_id"] in complete and row["epoch"] == 1 else {}
        ),
    )
    found = analyse_variance(fold(spec, tables | {"reports": late}))
    assert (found.complete, found.stopped) == (len(complete), len(epochs))
    assert all(len(one.observed) == found.complete for one in found.responses)
    assert found.responses
    assert lost > 1
    assert f"{lost} stopped trials are left out" in " ".join(found.notes)


def test_a_space_in_which_nothing_varies_is_not_said_to_have_few_trials() -> None:
    spec, tables = _study()
    tree = tomllib.loads(dump_spec(spec)) | {"space": {"loss.alpha": {"choice": [0.1]}}}
    point = json.loads(spec.base.to_json())
    point["loss"]["alpha"] = 0.1
    rows = [row | {"config": json.dumps(point)} for row in tables["configs"].to_pylist()]
    configs = pa.Table.from_pylist(rows, schema=tables["configs"].schema)
    found = analyse_variance(fold(parse_spec(tree), tables | {"configs": configs}))
    assert found.complete == 50
    assert found.notes == (
        "No parameter of the space can take a second value: nothing can be compared.",
    )


def _of_rough_surface(seeds: int) -> VarianceReport:
    """A search over a surface that no smooth curve follows; the seed has 2 % of its variance."""
    space: dict[str, Any] = {
        "loss.temperature": {"log_uniform": [0.03, 1.0]},
        "loss.omega1": {"uniform": [0.0, 1.0]},
    }
    sections: dict[str, Any] = {
        "sampler": {"kind": "random", "trials": 40},
        "scheduler": {"kind": "none"},
        "refine": {"trials": 0},
        "confirm": {"seeds": seeds},
    }
    spec = parse_spec({"base": {"train.epochs": 2}, "space": space, **sections})

    def objective(config: Config, seed: int, epoch: int) -> float:
        tau, omega = math.log(config.loss.temperature), config.loss.omega1
        luck = np.random.default_rng([seed, int(1e9 * omega)]).normal()
        return 0.8 + 0.05 * math.sin(9 * tau) * math.cos(9 * omega) + 0.1 / epoch + 0.003 * luck

    return analyse_variance(simulate(spec, objective).history)


def test_what_no_parameter_explains_is_not_taken_for_the_seeds() -> None:
    report = _of_rough_surface(seeds=6)
    weight = weigh_seed(report)
    assert weight is not None
    assert weight.seed is not None
    assert report.seed is not None
    values = report.responses[0].observed
    whole = np.var([value for _, value in values])
    assert weight.seed == pytest.approx(report.seed.sd**2 / whole, abs=0.01)
    assert weight.unexplained > 0.9
    assert sum(one.part for one in report.shares) == pytest.approx(1.0, abs=0.02)
    said = seed_weight_lines(weight)[0]
    assert said.startswith("No single parameter is shown to matter as much as the seed, which is")
    assert "is what the configuration does, or luck, that no parameter explains." in said


def test_nothing_is_said_of_a_seed_that_never_changed() -> None:
    report = _of_rough_surface(seeds=0)
    weight = weigh_seed(report)
    assert weight is not None
    assert (weight.seed, weight.above_seed) == (None, ())
    assert SEED not in [one.name for one in report.shares]
    said = seed_weight_lines(weight)[0]
    assert said.startswith("How much is the seed is not known, as no configuration ran on two:")


def _weighed(**matters: tuple[float, bool | None]) -> tuple[SeedWeight, str]:
    """The weight and what is said, of parameters with these parts; the seed has the rest."""
    seed = 1.0 - sum(part for part, _ in matters.values())
    shares = [VarianceShare(SEED, seed)]
    shares += [VarianceShare(f"train.{n}", part, matters=m) for n, (part, m) in matters.items()]
    weight = weigh_seed(VarianceReport("mae", None, tuple(shares), (), 20, 0, ()))
    assert weight is not None
    return weight, " ".join(seed_weight_lines(weight))


def test_nothing_matters_as_much_as_the_seed_is_an_answer() -> None:
    weight, said = _weighed(lr=(0.06, False), patience=(0.04, False))
    assert weight.seed == pytest.approx(0.9)
    assert (weight.worth_tuning, weight.above_seed) == ({}, ())
    assert said.startswith("Nothing here matters as much as the seed: it is 90 % of the variance")
    assert "all that was searched together 10 %" in said
    assert "Worth tuning: no parameter's effect is shown to exceed chance." in said


def test_an_estimate_never_claims_that_the_seed_is_everything() -> None:
    _, said = _weighed(lr=(0.001, False))
    assert "it is more than 99 % of the variance" in said
    assert "all that was searched together < 1 %" in said


def test_what_is_worth_tuning_is_named_even_where_the_seed_is_more() -> None:
    weight, said = _weighed(lr=(0.2, True), patience=(0.1, True), epochs=(0.05, False))
    assert list(weight.worth_tuning) == ["train.lr", "train.patience"]
    assert weight.above_seed == ()
    assert said.startswith("Nothing here matters as much as the seed: it is 65 %")
    assert "Worth tuning: learning rate (20 %) and train.patience (10 %)" in said


def test_a_parameter_that_matters_more_than_the_seed_comes_first() -> None:
    weight, said = _weighed(patience=(0.1, True), lr=(0.5, True))
    assert list(weight.worth_tuning) == ["train.lr", "train.patience"]
    assert weight.above_seed == ("train.lr",)
    assert said.startswith("Learning rate matters more than the seed, which is 40 % of the")


def test_a_parameter_is_not_more_than_the_seed_where_both_show_the_same_share() -> None:
    weight, said = _weighed(lr=(0.501, True))
    assert weight.above_seed == ("train.lr",)
    assert said.startswith("Learning rate matters as much as the seed, which is 50 % of the")
    assert "Worth tuning: learning rate (50 %)" in said


def test_a_large_part_that_chance_explains_is_not_worth_tuning() -> None:
    weight, said = _weighed(lr=(0.6, False))
    assert (weight.worth_tuning, weight.above_seed) == ({}, ())
    assert said.startswith("No single parameter is shown to matter as much as the seed")


def test_interactions_are_not_tested_and_nothing_is_said_without_tests() -> None:
    weight, _ = _weighed(**{"lr": (0.1, True), "lr × train.patience": (0.3, None)})
    assert list(weight.worth_tuning) == ["train.lr"]
    assert weigh_seed(_report("list")) is None


@pytest.mark.parametrize("arguments", [("random",), ("grid",)])
def test_a_search_and_a_grid_say_it_of_what_they_found(arguments: tuple[str, ...]) -> None:
    report = _report(*arguments)
    weight = weigh_seed(report)
    assert weight is not None
    parts = {one.name: one.part for one in report.shares}
    called = {one.name for one in report.shares if one.matters}
    assert {*weight.worth_tuning} == called
    assert weight.seed == parts[SEED]
    assert {*weight.above_seed} == {name for name in called if parts[name] > parts[SEED]}
    assert json.loads(json.dumps(weight.to_dict()))["worth_tuning"] == weight.worth_tuning
