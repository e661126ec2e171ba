"""MLflow's own client finds in the file what `hscl trials` lists."""

import importlib.util
from pathlib import Path

import pytest
from commands import Hscl
from study_factory import Simulated, write_study

from tune.views.study import open_study

INSTALLED = importlib.util.find_spec("mlflow") is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    what = Simulated(trials=3, epochs=2, confirm_seeds=2, refined=1)
    return write_study(tmp_path_factory.mktemp("study") / "s", what)


@pytest.mark.skipif(INSTALLED, reason="MLflow is installed")
def test_without_mlflow_the_extra_is_named(folder: Path, tmp_path: Path, hscl: Hscl) -> None:
    out = tmp_path / "runs.db"
    code, _text, error = hscl("trials", str(folder), "--format", "mlflow", "--out", str(out))
    assert code == 2
    assert "pip install 'hscl-search[mlflow]'" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("default")  # its own, of SQLAlchemy
@pytest.mark.skipif(not INSTALLED, reason="MLflow is not installed")
def test_configurations_are_runs_with_their_trainings_nested_in_them(
    folder: Path, tmp_path: Path, hscl: Hscl
) -> None:
    from mlflow.tracking import MlflowClient

    out = tmp_path / "runs.db"
    code, _text, error = hscl("trials", str(folder), "--format", "mlflow", "--out", str(out))
    assert code == 0, error
    client = MlflowClient(tracking_uri=f"sqlite:///{out}")
    experiment = client.get_experiment_by_name("mosi temperature")
    assert experiment is not None
    # It was written elsewhere and moved: what is added to a run later must not go there.
    assert experiment.artifact_location == f"{out.as_uri()}.artifacts"
    runs = client.search_runs([experiment.experiment_id])
    nested = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    whole = {run.data.tags["config_id"]: run for run in runs if run not in nested}
    opened = open_study(folder)
    listed = opened.trials_table().to_pylist()
    assert set(whole) == {row["config_id"] for row in listed}
    for row in listed:
        run = whole[row["config_id"]]
        assert run.data.metrics["valid"] == pytest.approx(row["valid"])
        assert run.data.metrics["seeds"] == row["seeds"]
        assert float(run.data.params["loss.temperature"]) == row["loss.temperature"]
    assert {run.data.tags["trial_id"] for run in nested} == set(opened.history.trials)
    for run in nested:
        trial = opened.history.trials[run.data.tags["trial_id"]]
        curve = client.get_metric_history(run.info.run_id, "valid_mae")
        assert {point.step: point.value for point in curve} == trial.curve
        assert whole[trial.config_id].info.run_id == run.data.tags["mlflow.parentRunId"]
