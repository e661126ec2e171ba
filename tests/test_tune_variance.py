"""Where a study's variance is, from its tables."""

import json
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tune.pairing import last_events
from tune.simulated_studies import World, run_study
from tune.simulator import Effects
from tune.states import TrialState
from tune.study_spec import StudySpec
from tune.study_toml import parse_spec
from tune.variance import SEED, VarianceReport, analyse_variance

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
        "sampler": {"kind": kind, "trials": 40},
        "scheduler": {"kind": scheduler},
        "race": {"keep": 3, "seeds": 4},
        "confirm": {"seeds": 5},
    }
    if kind == "grid":
        del tree["race"], tree["scheduler"], tree["sampler"]["trials"]
        tree["space"] = {
            "loss.temperature": {"choice": [0.05, 0.2, 1.0]},
            "loss.alpha": {"choice": [0.1, 0.5]},
        }
    if kind == "list":
        del tree["race"], tree["scheduler"], tree["sampler"]["trials"], tree["space"]
        tree["known"] = [{"name": "hot", "loss.temperature": 1.0}]
    spec = parse_spec(tree)
    effects = Effects(seed=0.02, video=0.01, utterance=0.01, error=0.05)
    return spec, run_study(spec, World(3, effects=effects))[1]


def _report(*arguments: str) -> VarianceReport:
    return analyse_variance(*_study(*arguments))


def test_the_seeds_spread_is_pooled_within_configurations() -> None:
    spec, tables = _study()
    found = analyse_variance(spec, tables).seed
    groups: dict[str, list[float]] = {}
    reports = tables["reports"].to_pylist()
    for trial, outcome in last_events(tables["trials"]).items():
        if outcome.phase != "screen" and outcome.state is TrialState.DONE:
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
    assert not by_name["loss.alpha"].matters
    # The default may lie inside the space; it is one of the forty either way.
    assert found.complete + found.stopped == 40
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
    found = analyse_variance(spec, empty)
    assert found.seed is None
    assert found.shares == ()
    assert "Fewer than 10" in found.notes[0]
    none = tables | {name: tables[name].slice(0, 0) for name in ("trials", "reports")}
    assert analyse_variance(spec, none).shares == ()


def test_the_same_tables_give_the_same_answer_and_it_goes_into_json() -> None:
    spec, tables = _study()
    found = analyse_variance(spec, tables)
    assert found == analyse_variance(spec, tables)
    other = analyse_variance(spec, tables, np.random.default_rng(1))
    assert found.shares != other.shares
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["metric"] == "mae"


def test_failed_trials_and_unknown_points_are_left_out() -> None:
    spec, tables = _study()
    rows = tables["trials"].to_pylist()
    for row in rows[:20]:
        if row["state"] == "done":
            row["state"] = "failed"
    trials = pa.Table.from_pylist(rows, schema=tables["trials"].schema)
    found = analyse_variance(spec, tables | {"trials": trials})
    assert found.complete == 30
