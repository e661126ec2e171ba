"""What a screen a model has cost, whom it chose, and that all pages show it."""

import json

import numpy as np
import pytest
from small_study import branched, study
from study_factory import Simulated, evidence_of

from hscl.errors import InputError
from tune.cli.evidence import _open
from tune.evidence.gather import Evidence
from tune.evidence.pair import Role
from tune.evidence.search.trials import trials_table
from tune.report.export import choose
from tune.report.headline import headline_of
from tune.report.tables import ablation_table
from tune.report.text import latex_table
from tune.states import Phase, Verdict

MODELS = Simulated(per_model=True, trials=4, confirm_seeds=6)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(MODELS)


def test_costs_are_sums_over_each_screens_own_trials(evidence: Evidence) -> None:
    reports = evidence.tables["reports"].to_pandas()
    events = evidence.tables["trials"].to_pandas()
    configs = evidence.tables["configs"].to_pandas().set_index("config_id")
    confirm = events[events.phase == Phase.CONFIRM]
    assert [one.value for one in evidence.branches] == ["hscl", "mult", "lf-dnn"]
    for one in evidence.branches:
        assert one.config_id is not None
        mine = set(configs.index[configs["model.kind"] == one.value])
        screened = events[events.config_id.isin(mine) & (events.phase == Phase.SCREEN)].trial_id
        epochs = reports[reports.trial_id.isin(screened)]
        assert (one.trainings, one.epochs) == (screened.nunique(), len(epochs))
        assert one.seconds == pytest.approx(epochs.seconds.sum())
        runs = confirm[confirm.config_id == one.config_id].trial_id
        each = reports[reports.trial_id.isin(runs)].groupby("trial_id").seconds.sum()
        assert one.training_s == pytest.approx(each.mean())
        assert one.parameters == 1_000 + configs.number[one.config_id]
        assert one.tuned is (configs.origin[one.config_id] == "sampler")


def test_all_winners_are_compared_with_that_of_the_default_and_with_no_other(
    evidence: Evidence,
) -> None:
    compared = evidence.comparison
    assert compared is not None
    first, *others = [one.config_id for one in evidence.branches]
    assert compared.reference == first
    assert compared.primary is None
    assert [(pair.first, pair.second) for pair in compared.others] == [(o, first) for o in others]
    assert {pair.role for pair in compared.others} == {Role.REFERENCE}
    p = sorted(pair.p_value or 1.0 for pair in compared.others)
    holm = np.maximum.accumulate(np.minimum(1.0, np.array(p) * [2, 1]))
    found = sorted(pair.judgement.p_holm or 1.0 for pair in compared.others)
    assert found == pytest.approx(holm)


def test_one_table_has_verdict_cost_and_parameters(evidence: Evidence) -> None:
    compared = evidence.comparison
    assert compared is not None
    table = ablation_table(compared, compared.names, evidence.branches)
    assert table.columns[2] == "Verdict"
    assert table.columns[-3:] == ("Its screen", "A training", "Parameters")
    rows = {row[0]: row for row in table.rows[:3]}
    assert len({len(row) for row in table.rows} | {len(table.columns)}) == 1
    verdicts = {"reference"} | {str(verdict) for verdict in Verdict} | {"no verdict"}
    for one in evidence.branches:
        assert one.config_id is not None
        row = rows[compared.names[one.config_id]]
        assert row[2] in verdicts
        assert row[-3].startswith("4 trainings, ")
        assert row[-1] == f"{one.parameters:,}"
    latex = latex_table(evidence, "hscl report")
    assert r"Its screen & A training & Parameters \\" in latex
    assert f"{evidence.branches[1].parameters:,} \\\\" in latex


def test_the_headline_names_whom_all_are_compared_with(evidence: Evidence) -> None:
    compared = evidence.comparison
    assert compared is not None
    assert compared.reference is not None
    name = compared.names[compared.reference]
    assert name.startswith("hscl ")  # the winner of HSCL's screen, "hscl (default)" or "hscl 4"
    told = f"Of 2 configurations against {name}, the winner of its screen, on videos like these"
    assert headline_of(evidence).startswith(told)


def test_the_default_of_several_screens_is_called_by_the_screen_that_it_is_of() -> None:
    assert branched().default_name == "hscl (default)"
    assert study().default_name == "default"


def test_one_name_of_the_default_stands_in_figures_lists_and_tables(evidence: Evidence) -> None:
    default = evidence.history.default
    assert default is not None
    assert evidence.labels[default.config_id].called == "hscl (default)"
    assert trials_table(evidence).to_pylist()[0]["name"] == "hscl (default)"


def test_json_has_the_screens_and_export_asks_for_one(evidence: Evidence) -> None:
    _, compared = _open(evidence.where)
    assert compared is not None
    told = json.loads(json.dumps(compared.to_dict()))
    assert [one["value"] for one in told["branches"]] == ["hscl", "mult", "lf-dnn"]
    assert told["use"] is None
    with pytest.raises(InputError, match=r"here each model\.kind has one of its own"):
        choose(evidence.history, evidence.tables, compared)
    chosen = choose(evidence.history, evidence.tables, compared, told["branches"][1]["config_id"])
    assert chosen.config.model.kind == "mult"


def test_a_study_without_screens_a_model_has_none() -> None:
    assert evidence_of(Simulated(trials=4, refined=1, confirm_seeds=2)).branches == ()
