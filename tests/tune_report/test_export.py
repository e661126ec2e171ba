"""What is exported for each verdict, what is said, and that training takes the file."""

import json
import shutil
import tomllib
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import yaml
from study_factory import Simulated, write_study

from hscl.config_toml import load_config, parse_config
from hscl.errors import InputError
from tune.evidence.comparison import compare_study
from tune.evidence.gather import Evidence, gather
from tune.evidence.pair import PairComparison
from tune.report.export import FORMATS, Export, choose, render
from tune.report.rows import Compared
from tune.states import Verdict
from tune.tables.fold import fold
from tune.tables.storage import open_folder
from tune.tables.store import TableStore

SMALL = {"trials": 8, "refined": 3, "video_sd": 0.01}
CASES = {
    "better": Simulated(gap=-0.2, **SMALL),  # type: ignore[arg-type]
    "worse": Simulated(gap=0.2, **SMALL),  # type: ignore[arg-type]
    "undecided": Simulated(gap=0.0, trials=8, refined=3, video_sd=0.2),
    "equivalent": Simulated(gap=0.0, margin=0.2, **SMALL),  # type: ignore[arg-type]
    "list": Simulated(sampler="list"),
    "refine": Simulated(until="refine", **SMALL),  # type: ignore[arg-type]
    "none": Simulated(trials=3, failures=2, refined=0),
}


@cache
def _study(case: str) -> tuple[Evidence, Compared]:
    folder = write_study(Path(mkdtemp()) / case, CASES[case])
    evidence = gather(open_folder(str(folder)))
    return evidence, _compared(evidence)


def _compared(evidence: Evidence) -> Compared:
    assert evidence.comparison is not None
    known = (evidence.choice, evidence.learnt)
    return Compared(evidence.where, "d1" * 32, evidence.comparison, 1, *known)


def _export(case: str, wanted: str | None = None) -> Export:
    evidence, compared = _study(case)
    return choose(evidence.history, evidence.tables, compared, wanted)


def _primary(case: str) -> PairComparison:
    primary = _study(case)[1].comparison.primary
    assert primary is not None
    return primary


@pytest.mark.parametrize("case", ["better", "undecided", "equivalent"])
def test_the_winner_is_exported_unless_it_is_worse(case: str) -> None:
    export = _export(case)
    assert export.verdict == case
    assert export.config.config_id == _primary(case).first
    assert export.evidence["exported"] == "winner"
    loud = export.lines[0].split(",")[0]
    assert (loud == case.upper()) == (case != "better")


def test_a_worse_winner_gives_the_default_and_says_so() -> None:
    export = _export("worse")
    pair = _primary("worse")
    assert pair.verdict is Verdict.WORSE
    assert export.config.config_id == pair.second
    assert export.evidence["exported"] == "default"
    assert export.evidence["config_id"] == pair.second
    assert export.verdict is None
    assert export.evidence["because"] == "worse"
    assert export.lines[0].startswith("Use the default: confirm finds configuration ")
    assert "is worse than the default" in export.lines[1]


def test_what_is_known_of_a_configuration_that_confirm_left_out_is_counted() -> None:
    evidence, compared = _study("better")
    history = evidence.history
    (other,) = [
        trial.config_id
        for trial in history.search_trials.values()
        if trial.value is not None and trial.config_id not in history.confirmed
    ][:1]
    tables = evidence.tables
    (line,) = choose(history, tables, compared, other).lines
    assert "was not compared with the default in confirm" in line
    assert f"{history.search_trials[other].value:.4f} over 1 seed in screen" in line
    # The same with further seeds, as a race before 0.2 gave them: all are counted, and those of
    # the default beside them.
    default = history.default
    assert default is not None
    more = deepcopy(history)
    for one in (other, default.config_id):
        for seed in (1, 2, 3):
            row = {"trial_id": f"{one}-{seed}", "config_id": one, "phase": "race", "seed": seed}
            more.apply_event(row | {"state": "started"})
            more.apply_report(row | {"epoch": 1, "valid_mae": 0.7 + seed / 100})
            more.apply_event(row | {"state": "done"})
    (line,) = choose(more, tables, compared, other).lines
    assert "valid MAE 0.7200 ± 0.0100 over 3 seeds in race" in line
    assert "of the default on the same seeds 0.7200 ± 0.0100 over 3 seeds" in line
    nothing = deepcopy(history)
    nothing.trials = {k: t for k, t in nothing.trials.items() if t.config_id != other}
    assert (
        "No training of it has reached a value."
        in choose(nothing, tables, compared, other).lines[0]
    )


def test_a_winner_that_fails_more_often_gives_the_default() -> None:
    evidence, _ = _study("better")
    winner = _primary("better").first
    trials = evidence.tables["trials"].to_pylist()
    lost = [row for row in trials if row["config_id"] == winner and row["phase"] == "confirm"]
    lost[-1]["state"] = "failed"
    table = evidence.tables["trials"].from_pylist(trials, schema=evidence.tables["trials"].schema)
    tables = {**evidence.tables, "trials": table}
    history = fold(evidence.spec, tables)
    comparison = compare_study(history, tables["predictions"])
    again = replace(evidence, tables=tables, history=history, comparison=comparison)
    export = choose(history, tables, _compared(again))
    assert export.evidence["exported"] == "default"
    assert export.evidence["because"] == "failures"
    assert "1 of 10 runs of configuration" in export.lines[0]
    assert "gave no result, 0 of its own" in export.lines[0]
    assert export.evidence["failures"] == 1


@pytest.mark.parametrize("case", ["better", "worse", "undecided"])
@pytest.mark.parametrize("form", FORMATS)
def test_training_takes_the_file_as_it_is(case: str, form: str, tmp_path: Path) -> None:
    export = _export(case)
    path = tmp_path / f"best.{form}"
    path.write_text(render(export, form), encoding="utf-8")
    assert load_config(path) == export.config
    assert load_config(path).config_id == export.evidence["config_id"]


def test_all_formats_hold_the_same_evidence() -> None:
    export = _export("better")
    toml = tomllib.loads(render(export, "toml"))
    assert toml == json.loads(render(export, "json"))
    assert toml == yaml.safe_load(render(export, "yaml"))


def test_the_evidence_holds_verdict_intervals_failures_digests_versions_and_seeds() -> None:
    evidence, _ = _study("undecided")
    pair = _primary("undecided")
    known = tomllib.loads(render(_export("undecided"), "toml"))["evidence"]
    assert pair.new_videos is not None
    assert pair.this_test_set is not None
    assert known["verdict"] == "undecided"
    assert known["on_videos_like_these"]["low"] == pair.new_videos.low
    assert known["on_this_test_set"]["high"] == pair.this_test_set.high
    assert known["on_this_test_set"]["sign_flip_p"] == pair.sign_flip_p
    assert (known["failures"], known["failures_against"]) == (0, 0)
    assert known["study_digest"] == evidence.spec.digest
    assert known["data_digest"] == "d1" * 32
    assert known["versions"]["numpy"]
    plan = evidence.spec.seed_plan()
    assert set(known["seeds"]) == set(plan.all)
    assert set(pair.seeds) <= set(known["seeds"])


def test_better_is_written_only_where_it_is_the_verdict() -> None:
    for case in CASES:
        if case in {"refine", "list", "none"}:
            continue
        text = render(_export(case), "toml").split("[evidence]")[1]
        assert ("better" in text.lower()) == (case == "better"), case


def test_any_configuration_can_be_asked_for_by_id_number_or_name() -> None:
    config_id = _study("list")[0].tables["configs"].to_pylist()[2]["config_id"]
    for wanted in (config_id, config_id[:6], "2", "− low"):
        export = _export("list", wanted)
        assert export.config.config_id == config_id
        assert export.evidence["exported"] == "chosen"
        assert export.evidence["configuration"] == "− low"
        assert "on_videos_like_these" in export.evidence


def test_a_configuration_that_was_only_screened_is_said_to_be_unconfirmed() -> None:
    evidence, compared = _study("better")
    seen = compared.comparison.names
    other = next(
        row["config_id"]
        for row in evidence.tables["configs"].to_pylist()
        if row["config_id"] not in seen
    )
    export = _export("better", other)
    assert export.lines[0].startswith("NOT CONFIRMED")
    assert export.evidence["verdict"] == "none"
    assert export.verdict is None


def test_the_default_itself_makes_no_claim() -> None:
    export = _export("better", "0")
    assert export.verdict is None
    assert export.evidence["verdict"] == "none"
    assert parse_config(render(export, "toml")).config_id == _primary("better").second


def test_a_configuration_whose_settings_are_lost_is_refused_and_no_other_is(
    tmp_path: Path,
) -> None:
    folder = write_study(tmp_path / "study", CASES["better"])
    rows = gather(open_folder(str(folder))).tables["configs"].to_pylist()
    winner = _primary("better").first
    shutil.rmtree(folder / "tables/configs")
    store = TableStore(folder)
    for row in rows:  # a file each
        store.append("configs", [row])
        if row["config_id"] == winner:
            damaged = max((folder / "tables/configs").glob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-50])
    evidence = gather(open_folder(str(folder)))
    compared = _compared(evidence)
    for wanted in (None, winner):
        with pytest.raises(InputError, match=f"{winner} must have its settings .* are lost"):
            choose(evidence.history, evidence.tables, compared, wanted)
    default = choose(evidence.history, evidence.tables, compared, "0")
    assert default.config == _export("better", "0").config


@pytest.mark.parametrize(
    ("case", "wanted", "said"),
    [
        ("list", None, "chooses none; say which one"),
        ("refine", None, "its search is not over"),
        ("none", None, "is over without one: no configuration other .* --config ID"),
        ("better", "nonsense", "no configuration is called so"),
        ("better", "", "no configuration is called so"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_next_step(
    case: str, wanted: str | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        _export(case, wanted)
