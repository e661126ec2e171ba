"""Event files say what the tables say, the same bytes for the same rows."""

from datetime import UTC, datetime
from pathlib import Path

from event_files import experiment, scalars, session_groups
from synthetic import study
from tensorboard.plugins.hparams import api_pb2

from tune.states import TrialState
from tune.views.tensorboard_events import (
    SEEDS,
    best_tag,
    experiment_file,
    header,
    report_records,
    row_records,
    value_record,
)

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)


def rows(value: float) -> list[dict[str, float | int | None]]:
    return [
        {"epoch": e, "valid_mae": value / e, "valid_corr": None, "loss_total": 0.5, "seconds": 2.0}
        for e in (1, 2)
    ]


def test_a_row_has_its_values_the_last_ones_and_how_its_configuration_stands(
    tmp_path: Path,
) -> None:
    spec = study()
    (tmp_path / "events.out.tfevents.x").write_bytes(experiment_file(spec))
    states = {"0": TrialState.DONE, "1": TrialState.FAILED, "2": TrialState.STARTED}
    for group, state in states.items():
        params = {"loss.temperature": 0.5, "trial.phase": "screen", "trial.state": str(state)}
        content = row_records(params, group, state, {best_tag("mae"): 0.9, SEEDS: 1})
        path = tmp_path / f"{group}-screen-{state}" / "events.out.tfevents.x"
        path.parent.mkdir()
        path.write_bytes(content + value_record({best_tag("mae"): 0.75, SEEDS: 2}))
    groups = session_groups(tmp_path)
    assert sorted(groups) == ["0", "1", "2"]
    assert [groups[n].sessions[0].status for n in sorted(groups)] == [
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_FAILURE,
        api_pb2.STATUS_UNKNOWN,
    ]
    values = {v.name.tag: v.value for v in groups["0"].metric_values}
    assert values == {"value/mae": 0.75, "value/seeds": 2.0}
    assert groups["0"].hparams["loss.temperature"].number_value == 0.5
    assert groups["0"].hparams["trial.state"].string_value == "done"


def test_curves_hold_every_value_and_leave_out_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a-1" / "events.out.tfevents.x"
    path.parent.mkdir()
    path.write_bytes(header(BEGAN.timestamp()) + report_records(rows(1.0), BEGAN))
    found = scalars(tmp_path)["a-1"]
    assert found["Valid/mae"] == [(1, 1.0), (2, 0.5)]
    assert found["loss/total"] == [(1, 0.5), (2, 0.5)]
    assert found["cost/seconds_per_epoch"] == [(1, 2.0), (2, 2.0)]
    assert "Valid/corr" not in found


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
        "trial.phase",
        "trial.state",
        "loss.temperature",
        "loss.omega2",
        "train.batch_size",
        "loss.low",
        "loss.alpha",
    }
    phases = [one.string_value for one in domains["trial.phase"].domain_discrete.values]
    assert set(phases) == {"screen", "refine", "confirm"}
    temperature = domains["loss.temperature"].domain_interval
    assert (temperature.min_value, temperature.max_value) == (0.03, 1.0)
    assert len(domains["loss.low"].domain_discrete.values) == 2
    assert [info.name.tag for info in told.metric_infos[:3]] == [
        "value/corr",
        "value/seeds",
        "value/sd",
    ]


def test_equal_rows_give_equal_bytes_however_they_arrive() -> None:
    both = report_records(rows(1.0), BEGAN)
    first, second = rows(1.0)
    assert report_records([first], BEGAN) + report_records([second], BEGAN, seconds=2.0) == both
