"""Optuna's own reader finds in the file what `hscl trials` lists."""

from pathlib import Path

import optuna
import pytest
from commands import Hscl
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from study_factory import Simulated, write_study

from tune.views.study import open_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    far = (("far", "loss.temperature", 5.0), ("off", "loss.high", False))
    what = Simulated(trials=6, epochs=3, confirm_seeds=5, refined=2, failures=1, known=far)
    return write_study(tmp_path_factory.mktemp("study") / "s", what)


@pytest.mark.parametrize("suffix", ["db", "log"])
def test_each_configuration_is_a_trial_with_the_numbers_of_the_table(
    folder: Path, tmp_path: Path, hscl: Hscl, suffix: str
) -> None:
    out = tmp_path / f"study.{suffix}"
    code, text, error = hscl("trials", str(folder), "--format", "optuna", "--out", str(out))
    assert code == 0, error
    assert str(out) in text
    storage = (
        f"sqlite:///{out}" if suffix == "db" else JournalStorage(JournalFileBackend(str(out)))
    )
    found = optuna.load_study(study_name=None, storage=storage)
    opened = open_study(folder)
    listed = opened.trials_table().to_pylist()
    assert found.study_name == "mosi temperature"
    assert found.direction.name == "MINIMIZE"
    assert [trial.number for trial in found.trials] == [row["number"] for row in listed]
    states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    for trial, row in zip(found.trials, listed, strict=True):
        assert trial.state is states[row["state"]]
        assert trial.user_attrs["config id"] == row["config_id"]
        assert trial.user_attrs["seeds"] == row["seeds"]
        assert trial.params == {n: row[n] for n in trial.params}
        assert {n for n in row if "." in n and row[n] is not None} == set(trial.params)
        seeds = [v for name, v in trial.user_attrs.items() if name.startswith("valid, seed")]
        assert sum(seeds) / len(seeds) == pytest.approx(row["valid"])
        if trial.state is TrialState.COMPLETE:
            assert trial.value == row["valid"]
            assert trial.intermediate_values[3] == pytest.approx(row["valid"])
            assert trial.duration is not None
    assert (
        found.best_trial.number
        == min((row for row in listed if row["state"] == "done"), key=lambda row: row["valid"])[
            "number"
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "must go to a new file"),
        (("--out", "{taken}"), "must go to a new file"),
        (("--out", "{nowhere}/x.db"), "must go to a new file"),
        (("--seeds", "--out", "{new}"), "leave out --seeds"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    folder: Path, tmp_path: Path, hscl: Hscl, arguments: tuple[str, ...], reason: str
) -> None:
    taken, here = tmp_path / "taken.db", {"nowhere": tmp_path / "no", "new": tmp_path / "new.db"}
    taken.write_text("mine")
    told = [one.format(taken=taken, **here) for one in arguments]
    for form in ("optuna", "mlflow"):
        code, _text, error = hscl("trials", str(folder), "--format", form, *told)
        assert code == 2
        assert reason in error
    assert taken.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [taken]
