"""Whole studies compared: the right pairs, the right split, and the same answer twice."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from calibrated.world import World, flat_surface, run_study
from study_factory import Simulated, evidence_of

from hscl.metrics import METRICS, metrics_of
from tune.evidence.comparison import StudyComparison, compare_study
from tune.evidence.pair import Role
from tune.planner.decisions import plan_row
from tune.simulate.runs import RandomEffects
from tune.states import Kind, Verdict
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.fold import fold


def _spec(kind: str, **confirm: Any) -> StudySpec:
    tree: dict[str, Any] = {
        "study": {"name": f"a {kind}"},
        "base": {"train.epochs": 4},
        "space": {"loss.temperature": {"log_uniform": [0.03, 1.0]}},
        "sampler": {"kind": kind, "trials": 8},
        "scheduler": {"kind": "none"},
        "refine": {"trials": 3},
        "confirm": {"seeds": 6} | confirm,
    }
    if kind in {"grid", "list"}:
        del tree["refine"], tree["sampler"]["trials"]
        tree["space"] = {"loss.temperature": {"choice": [0.1, 0.5, 1.0]}}
    if kind == "list":
        del tree["space"]
        tree["known"] = [
            {"name": "hot", "loss.temperature": 1.0},
            {"name": "no high", "loss.high": False},
        ]
    return parse_spec(tree)


def _compare(spec: StudySpec, tables: dict[str, pa.Table], **more: Any) -> StudyComparison:
    return compare_study(fold(spec, tables), tables["predictions"], **more)


@cache
def _compared(kind: str = "random", keep: int = 1, world: int = 1) -> StudyComparison:
    spec = _spec(kind, keep=keep)
    return _compare(spec, run_study(spec, World(world))[1])


def test_a_search_has_one_primary_pair_and_all_are_corrected_together() -> None:
    found = _compared(keep=3)
    assert found.primary is not None
    assert (found.primary.first, found.primary.second) == (found.winner, found.reference)
    assert found.primary.role is Role.PRIMARY
    p, m = found.primary.p_value, len(found.others) + 1
    assert found.joint
    assert found.primary.judgement.p_holm is not None
    assert p is not None
    assert p <= found.primary.judgement.p_holm <= min(1.0, m * p)
    assert found.primary.bootstrap is not None
    assert len(found.configs) == 4
    assert len(found.others) == 4 * 3 // 2 - 1
    assert all(
        pair.role is Role.SECONDARY and pair.judgement.p_holm is not None for pair in found.others
    )
    assert all(pair.first != found.reference for pair in found.others)


def test_a_study_that_claims_the_winner_alone_gives_no_other_verdict() -> None:
    spec = _spec("random", keep=3, claims="winner")
    found = _compare(spec, run_study(spec, World(1))[1])
    assert found.primary is not None
    assert found.primary.judgement.p_holm is None
    assert not found.joint
    assert {pair.verdict for pair in found.others} == {None}
    assert all("winner" in pair.judgement.reason for pair in found.others)


def test_a_study_from_before_these_rules_keeps_its_own() -> None:
    spec = _spec("random", keep=3)
    tables = run_study(spec, World(1))[1]
    old = spec.model_copy(update={"confirm": spec.confirm.model_copy(update={"claims": None})})
    found = _compare(old, tables)
    assert found.primary is not None
    assert found.primary.judgement.p_holm is None
    assert found.primary.judgement.collapse_bound is None
    assert all(pair.judgement.p_holm is not None for pair in found.others)


def test_a_study_on_ch_sims_has_its_metrics_on_predictions_within_its_range() -> None:
    spec = _spec("random")
    tables = run_study(spec, World(1))[1]
    history = fold(spec, tables)
    wide = compare_study(history, tables["predictions"])
    history.apply_plan(plan_row(Kind.DATA, note="digest", value=1.0))
    found = compare_study(history, tables["predictions"])
    assert found.metrics == metrics_of(1.0)
    assert {pair.metric for pair in found.other_metrics} == set(metrics_of(1.0)) - {"mae"}
    assert found.primary is not None
    assert wide.primary is not None
    runs = tables["predictions"].to_pandas()
    winner = runs[runs.trial_id.str.startswith(found.primary.first) & (runs.split == "test")]
    errors = (winner.prediction.clip(-1, 1) - winner.label).abs()
    assert found.primary.means[0] == pytest.approx(errors.groupby(winner.trial_id).mean().mean())
    assert found.primary.means[0] != wide.primary.means[0]


def test_other_metrics_of_the_primary_pair_have_intervals_and_no_verdict() -> None:
    found = _compared()
    assert {pair.metric for pair in found.other_metrics} == set(METRICS) - {"mae"}
    assert all(pair.verdict is None for pair in found.other_metrics)
    assert all(pair.new_videos is not None for pair in found.other_metrics)


def test_every_finalist_has_the_other_metrics_and_the_primary_pair_comes_first() -> None:
    found = _compared(keep=3)
    assert found.primary is not None
    several = len(METRICS) - 1
    pairs = [(pair.first, pair.second) for pair in found.other_metrics]
    assert pairs[:several] == [(found.primary.first, found.primary.second)] * several
    finalists = {config.config_id for config in found.configs} - {found.reference}
    assert len(finalists) == 3
    assert {(p.first, p.metric) for p in found.other_metrics} == {
        (config_id, metric) for config_id in finalists for metric in set(METRICS) - {"mae"}
    }
    assert {second for _, second in pairs} == {found.reference}


@pytest.mark.parametrize(("kind", "split"), [("list", "test"), ("grid", "valid")])
def test_tables_compare_all_with_the_reference(kind: str, split: str) -> None:
    found = _compared(kind)
    assert found.primary is None
    assert found.winner is None
    assert found.split == split
    assert {pair.second for pair in found.others} == {found.reference}
    assert len(found.others) == 2
    assert all(pair.role is Role.REFERENCE and pair.verdict for pair in found.others)
    assert len(found.other_metrics) == 2 * (len(METRICS) - 1)


def test_configurations_have_their_scores_by_seed() -> None:
    found = _compared()
    for config in found.configs:
        assert len(config.scores) == len(found.seeds) == 6
        known = [score for score in config.scores if score is not None]
        assert config.mean == pytest.approx(sum(known) / len(known))
        assert (config.failed, config.unfinished, config.planned) == (0, 0, 6)


def test_a_run_that_collapsed_is_said_to_widen_the_spread_between_seeds() -> None:
    spec = _spec("random")
    tables = run_study(spec, World(1))[1]
    before = _compare(spec, tables)
    assert before.winner is not None
    assert not any("spread between seeds" in note for note in before.notes)
    rows = tables["predictions"]
    trial = pc.equal(rows["trial_id"], f"{before.winner}-{before.seeds[1]}")
    constant = pc.if_else(trial, 3.0, rows["prediction"].cast("float64"))
    place = rows.column_names.index("prediction")
    constant = constant.cast(rows.schema.field("prediction").type)
    found = _compare(
        spec, tables | {"predictions": rows.set_column(place, "prediction", constant)}
    )
    assert [one.fallen for one in found.configs if one.config_id == found.winner] == [
        (before.seeds[1],)
    ]
    assert any("spread between seeds holds 1 run that collapsed" in note for note in found.notes)


def test_the_same_tables_give_the_same_answer() -> None:
    spec = _spec("random")
    _, tables = run_study(spec, World(1))
    # As text: a NaN, what could not be computed, is not equal to itself.
    assert repr(_compare(spec, tables)) == repr(_compare(spec, tables))


def test_while_confirm_runs_no_test_row_is_looked_at() -> None:
    spec = _spec("random")
    _, tables = run_study(spec, World(1))
    trials = tables["trials"]
    running = tables | {"trials": trials.slice(0, trials.num_rows - 1)}
    poisoned = tables["predictions"].to_pylist()
    for row in poisoned:
        if row["split"] == "test":
            row["prediction"] = 1e9
    schema = tables["predictions"].schema
    other = running | {"predictions": pa.Table.from_pylist(poisoned, schema=schema)}
    found = _compare(spec, running)
    assert found.split == "valid"
    assert not found.closed
    assert found.primary is not None
    assert found.primary.verdict is None
    assert repr(_compare(spec, other)) == repr(found)


def test_failures_are_counted_and_overrule_a_win() -> None:
    spec = _spec("random", seeds=8)
    run, tables = run_study(spec, World(3, effects=RandomEffects(video=0.0, seed=0.001)))
    found = _compare(spec, tables)
    assert found.primary is not None
    assert found.primary.verdict is Verdict.BETTER
    lost = f"{found.winner}-{found.seeds[0]}"
    rows = tables["trials"].to_pylist()
    for row in rows:
        if row["trial_id"] == lost and row["state"] == "done":
            row["state"] = "failed"
    trials = pa.Table.from_pylist(rows, schema=tables["trials"].schema)
    after = _compare(spec, tables | {"trials": trials})
    assert after.primary is not None
    assert after.primary.verdict is Verdict.UNDECIDED
    assert after.primary.failures == (1, 0)
    assert {config.failed for config in after.configs} == {0, 1}
    assert run.done is not None


@pytest.mark.parametrize("metric", ["mae", "acc2_has0", "f1_non0"])
def test_failed_runs_are_no_results_on_any_metric(metric: str) -> None:
    what = Simulated(metric=metric, gap=0, failures=6, confirm_seeds=10, trials=12, refined=3)
    found = evidence_of(what).comparison
    assert found is not None
    assert found.primary is not None
    assert found.primary.failures == (0, 6)
    assert [len(p.seeds) for p in (found.primary, *found.other_metrics)] == [4] * len(METRICS)
    default = found.configs[0]
    assert [score is None for score in default.scores].count(True) == default.failed == 6
    assert found.primary.verdict is None  # four pairs are too few


@pytest.mark.parametrize(
    ("until", "metric"), [("confirm", "mae"), ("confirm", "corr"), ("end", "corr")]
)
def test_without_any_predictions_there_are_configurations_but_no_values(
    until: str, metric: str
) -> None:
    evidence = evidence_of(
        Simulated(until=until, metric=metric, trials=8, refined=3, confirm_seeds=5)
    )
    tables = dict(evidence.tables)
    tables["predictions"] = tables["predictions"].slice(0, 0)
    found = _compare(evidence.spec, tables)
    pairs = [p for p in (found.primary, *found.others, *found.other_metrics) if p is not None]
    assert pairs
    assert {pair.seeds for pair in pairs} == {()}
    assert {pair.verdict for pair in pairs} == {None}
    assert {config.mean for config in found.configs} == {None}


def test_a_study_in_its_screen_compares_nothing_and_says_so() -> None:
    spec = _spec("random")
    _, tables = run_study(spec, World(1))
    plan = tables["plan"]
    early = plan.filter(pc.less(plan["seq"], 3))
    found = _compare(spec, tables | {"plan": early}, problems=["a note"])
    assert found.configs == ()
    assert found.primary is None
    assert found.others == ()
    assert "a note" in found.notes


def test_everything_goes_into_json() -> None:
    for kind in ("random", "list", "grid"):
        text = json.dumps(_compared(kind).to_dict(), allow_nan=False)
        back = json.loads(text)
        assert back["metric"] == "mae"
        assert back["mode"] == "min"
        assert back["phase"] == "confirm"
        assert len(back["others"]) == len(_compared(kind).others)


@pytest.mark.slow
def test_studies_of_equal_configurations_seldom_claim_a_difference() -> None:
    claims = 0
    for key in range(24):
        spec = _spec("random", seeds=5)
        world = World(key, flat_surface, RandomEffects(video=0.1))
        found = _compare(spec, run_study(spec, world)[1])
        assert found.primary is not None
        claims += found.primary.verdict in {Verdict.BETTER, Verdict.WORSE}
    # Nominal .05: more than five of 24 come by chance twice in a thousand times.
    assert claims <= 5


def test_a_table_of_two_is_about_its_only_pair_and_a_larger_one_about_none() -> None:
    compared = evidence_of(Simulated(sampler="list", confirm_seeds=3)).comparison
    assert compared is not None
    assert compared.asked is None
    two = replace(compared, others=compared.others[:1])
    assert two.asked is compared.others[0]
