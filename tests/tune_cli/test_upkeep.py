"""The commands `hscl stop`, `hscl note` and `hscl clean`."""

import json
from pathlib import Path

import pytest
from commands import Hscl
from study_factory import Simulated, write_study

from tune.display import bytes_text
from tune.engine.requests import STOP, waiting
from tune.tables.storage import open_folder
from tune.views.study import open_study

SMALL = {"trials": 4, "epochs": 3, "confirm_seeds": 2, "refined": 1}


@pytest.fixture
def running(tmp_path: Path) -> Path:
    return write_study(tmp_path / "s", Simulated(**SMALL, until="screen"))  # type: ignore[arg-type]


def test_a_trial_is_stopped_by_its_id_or_its_configurations_number(
    hscl: Hscl, running: Path
) -> None:
    history = open_study(running).history
    trial = next(iter(history.open.values()))
    number = history.configs[trial.config_id].number
    for name in (trial.trial_id, number):
        code, said, _ = hscl("stop", running, name)
        assert code == 0
        assert said.startswith(f"{trial.trial_id} ends with its next epoch; no driver runs now")
    asked = waiting(open_folder(running))
    assert [(one.kind, one.text) for one in asked] == [(STOP, trial.trial_id)] * 2


def test_what_can_not_be_stopped_is_refused_with_the_reason(hscl: Hscl, tmp_path: Path) -> None:
    what = Simulated(**SMALL, until="confirm")  # type: ignore[arg-type]
    folder = write_study(tmp_path / "s", what)
    history = open_study(folder).history
    ended = next(one for one in history.trials.values() if one.ended)
    confirmed = next(one for one in history.trials.values() if not one.phase.searches)
    for name, reason in (
        (ended.trial_id, "must be running, but is"),
        (confirmed.trial_id, "a training of confirm"),
        ("9999", "must be a trial's id or a configuration's number"),
    ):
        code, _, err = hscl("stop", folder, name)
        assert code == 2
        assert reason in err
    assert waiting(open_folder(folder)) == []


def test_a_note_waits_for_a_driver_and_status_shows_it_meanwhile(
    hscl: Hscl, running: Path
) -> None:
    assert hscl("note", running, " compare \n with [b] ")[0] == 0
    _, said, _ = hscl("status", running)
    assert "note: compare with [b] (" in said
    _, said, _ = hscl("status", running.parent)
    assert "compare with [b] (" in said
    assert hscl("note", running, " ")[0] == 2


def test_clean_says_how_much_and_frees_what_nothing_needs_any_more(
    hscl: Hscl, tmp_path: Path
) -> None:
    what = Simulated(**SMALL, until="confirm")  # type: ignore[arg-type]
    folder = write_study(tmp_path / "s", what)
    trials = open_study(folder).history.trials
    for trial_id in trials:
        path = folder / "checkpoints" / trial_id / "best-0001.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    tables = {p: p.read_bytes() for p in (folder / "tables").rglob("*.parquet")}
    searched = {name for name, one in trials.items() if one.phase.searches and one.ended}
    _, said, _ = hscl("clean", folder, "--json")
    assert json.loads(said) == {
        "checkpoints": sorted(searched),
        "bytes": 1000 * len(searched),
        "freed": False,
    }
    code, said, _ = hscl("clean", folder, "--yes")
    assert code == 0
    assert said.splitlines()[-1] == f"freed {bytes_text(1000 * len(searched))}"
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == set(trials) - searched
    hscl("clean", folder, "--all", "--yes")
    left = {path.name for path in (folder / "checkpoints").iterdir()}
    assert left == {name for name, one in trials.items() if not one.ended}
    assert {p: p.read_bytes() for p in (folder / "tables").rglob("*.parquet")} == tables
