"""Event files say what the tables say, the same bytes for the same rows."""

from datetime import UTC, datetime
from pathlib import Path

from event_files import experiment, scalars, session_groups
from synthetic import study
from tensorboard.plugins.hparams import api_pb2

from tune.states import TrialState
from tune.views.tensorboard_events import (
    end_record,
    experiment_file,
    hyperparameters,
    report_records,
    start_records,
)

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)


def rows(value: float) -> list[dict[str, float | int | None]]:
    return [
        {"epoch": e, "valid_mae": value / e, "valid_corr": None, "loss_total": 0.5, "seconds": 2.0}
        for e in (1, 2)
    ]


def test_the_seeds_of_a_configuration_are_one_session_group_with_their_mean(
    tmp_path: Path,
) -> None:
    spec = study()
    (tmp_path / "events.out.tfevents.x").write_bytes(experiment_file(spec))
    states = {"a-1": TrialState.DONE, "a-2": TrialState.FAILED, "b-1": TrialState.PRUNED}
    for number, (trial, state) in enumerate(states.items()):
        group = trial[0]
        params = hyperparameters(spec, spec.base.to_json(), f"configuration {group}")
        content = start_records(params, group, BEGAN) + report_records(rows(number + 1.0), BEGAN)
        (tmp_path / trial).mkdir()
        path = tmp_path / trial / "events.out.tfevents.x"
        path.write_bytes(content + end_record(state, BEGAN))
    groups = session_groups(tmp_path)
    assert sorted(groups) == ["a", "b"]
    assert sorted(s.name for s in groups["a"].sessions) == ["a-1", "a-2"]
    statuses = {session.name: session.status for g in groups.values() for session in g.sessions}
    assert statuses["a-1"] == statuses["b-1"] == api_pb2.STATUS_SUCCESS
    assert statuses["a-2"] == api_pb2.STATUS_FAILURE
    values = {v.name.tag: v.value for v in groups["a"].metric_values}
    assert values["valid/mae"] == (1.0 / 2 + 2.0 / 2) / 2
    hparams = groups["a"].hparams
    assert hparams["loss.temperature"].number_value == 0.5
    assert hparams["name"].string_value == "configuration a"


def test_curves_hold_every_value_and_leave_out_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a-1" / "events.out.tfevents.x"
    path.parent.mkdir()
    path.write_bytes(start_records({}, "a", BEGAN) + report_records(rows(1.0), BEGAN))
    found = scalars(tmp_path)["a-1"]
    assert found["valid/mae"] == [(1, 1.0), (2, 0.5)]
    assert found["loss/total"] == [(1, 0.5), (2, 0.5)]
    assert found["cost/seconds_per_epoch"] == [(1, 2.0), (2, 2.0)]
    assert "valid/corr" not in found


def test_the_experiment_lists_what_is_searched_with_its_domain(tmp_path: Path) -> None:
    spec = study(
        study={"metric": "corr"},
        space={
            "train.batch_size": {"int": [8, 64]},
            "loss.low": {"choice": [True, False]},
        },
        known=[{"name": "far", "loss.alpha": 0.9}],
    )
    (tmp_path / "events.out.tfevents.x").write_bytes(experiment_file(spec))
    told = experiment(tmp_path)
    domains = {info.name: info for info in told.hparam_infos}
    assert set(domains) == {
        "name",
        "loss.temperature",
        "loss.omega2",
        "train.batch_size",
        "loss.low",
        "loss.alpha",
    }
    temperature = domains["loss.temperature"].domain_interval
    assert (temperature.min_value, temperature.max_value) == (0.03, 1.0)
    assert len(domains["loss.low"].domain_discrete.values) == 2
    assert told.metric_infos[0].name.tag == "valid/corr"


def test_equal_rows_give_equal_bytes_however_they_arrive() -> None:
    both = report_records(rows(1.0), BEGAN)
    first, second = rows(1.0)
    assert report_records([first], BEGAN) + report_records([second], BEGAN, seconds=2.0) == both
