"""TensorBoard's files follow the tables: live, after a kill, and rebuilt from nothing."""

import shutil
from pathlib import Path

import pytest
from engine_steps import report
from event_files import scalars, session_groups
from study_factory import Simulated, write_study
from synthetic import study

from hscl.errors import InputError
from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.tables.folder import freeze
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.study import Study, open_study
from tune.views.tensorboard import FOLDER, TensorBoard, rebuild


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    what = Simulated(trials=6, epochs=3, confirm_seeds=5, refined=3)
    return write_study(tmp_path_factory.mktemp("study") / "s", what)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def names_of(opened: Study) -> dict[str, str]:
    """The name of each trial's run."""
    numbers = {record.config_id: record.number for record in opened.history.configs.values()}
    return {
        row["trial_id"]: f"{numbers[row['config_id']]}-{row['phase']}-s{row['seed']}"
        for row in opened.table("trials").to_pylist()
    }


def test_every_trial_is_a_run_named_after_what_it_is_with_all_its_epochs(
    folder: Path, tmp_path: Path
) -> None:
    opened = open_study(folder)
    rebuild(opened, tmp_path)
    curves, names = scalars(tmp_path), names_of(opened)
    assert set(names.values()) == {name for name in curves if not name.startswith("conf")}
    for row in opened.table("reports").to_pylist():
        value = dict(curves[names[row["trial_id"]]]["Valid/mae"])[row["epoch"]]
        assert value == pytest.approx(row["valid_mae"], rel=1e-6)


def test_each_configuration_is_a_row_with_the_numbers_of_every_other_page(
    folder: Path, tmp_path: Path
) -> None:
    opened = open_study(folder)
    rebuild(opened, tmp_path)
    groups = session_groups(tmp_path)
    listed = opened.trials_table().to_pylist()
    assert set(groups) == {str(row["number"]) for row in listed}
    for row in listed:
        group = groups[str(row["number"])]
        values = {v.name.tag: v.value for v in group.metric_values}
        assert values["value/mae"] == pytest.approx(row["valid"], rel=1e-6)
        assert values["value/seeds"] == row["seeds"]
        if row["valid_sd"] is not None:
            assert values["value/sd"] == pytest.approx(row["valid_sd"], rel=1e-6)
        told = group.hparams
        assert told["trial.state"].string_value == row["state"]
        assert told["trial.phase"].string_value == row["phases"].split(", ")[-1]
        assert told["loss.temperature"].number_value == row["loss.temperature"]
        assert "name" not in told
    of_best = {
        row["trial_id"]: row["valid_acc2_has0"]
        for row in sorted(opened.table("reports").to_pylist(), key=lambda row: -row["valid_mae"])
    }
    confirmed = next(row for row in listed if row["seeds"] == 5)
    runs = [
        of_best[trial.trial_id]
        for trial in opened.history.trials.values()
        if trial.config_id == confirmed["config_id"] and trial.phase == "confirm"
    ]
    values = {v.name.tag: v.value for v in groups[str(confirmed["number"])].metric_values}
    assert values["value/acc2_has0"] == pytest.approx(sum(runs) / 5, rel=1e-6)


def test_what_earlier_versions_wrote_is_removed_and_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    old, mine = tmp_path / "8cc13ba32644-70442", tmp_path / "notes"
    for path in (old / "events.out.tfevents.hscl", mine / "x.txt"):
        path.parent.mkdir()
        path.write_text("")
    rebuild(open_study(folder), tmp_path)
    assert not old.exists()
    assert (mine / "x.txt").exists()


def test_rebuilding_repairs_what_is_missing_or_cut_and_leaves_the_rest(
    folder: Path, tmp_path: Path
) -> None:
    rebuild(open_study(folder), tmp_path)
    whole = contents(tmp_path)
    cut, gone, kept, *_ = sorted(tmp_path.glob("*-s*"))
    file = next(cut.iterdir())
    file.write_bytes(file.read_bytes()[:-5])
    next(gone.iterdir()).unlink()
    inode = next(kept.iterdir()).stat().st_mtime_ns
    rebuild(open_study(folder), tmp_path)
    assert contents(tmp_path) == whole
    assert next(kept.iterdir()).stat().st_mtime_ns == inode


def test_files_written_live_are_those_that_a_rebuild_makes(tmp_path: Path) -> None:
    where = open_folder(tmp_path / "s")
    freeze(where, study())
    for first in (1, 3):  # the second process goes on with a trial of the first
        engine = Engine(Recorder(study(), TableStore(where)), lambda: 1)
        view = TensorBoard()
        view.begin(engine, where)
        assert engine.next_run("t1") is not None
        for epoch in range(first, first + 2):
            engine.on_message("t1", report(epoch, 1 / epoch, finished=epoch == 4))
            engine.recorder.flush()
            view.tick()
        view.end()
    live = contents(tmp_path / "s" / FOLDER)
    assert len(live) == 3
    rebuild(open_study(tmp_path / "s"), tmp_path / "again")
    again = contents(tmp_path / "again")
    # A row's file has had other values before, and says the same now.
    assert {name for name in live if live[name] != again[name]} <= {
        "configurations/0-screen-done/events.out.tfevents.hscl"
    }
    (row,) = session_groups(tmp_path / "s" / FOLDER).values()
    assert {v.name.tag: v.value for v in row.metric_values} == {
        "value/mae": 0.25,
        "value/seeds": 1.0,
    }
    assert row.hparams["trial.state"].string_value == "done"


def test_files_that_are_removed_while_the_study_runs_are_made_again(tmp_path: Path) -> None:
    where = open_folder(tmp_path / "s")
    freeze(where, study())
    engine, said = Engine(Recorder(study(), TableStore(where)), lambda: 1), list[str]()
    view = TensorBoard(said.append)
    view.begin(engine, where)
    for trial in ("t1", "t2", "t3"):  # the end of one and the start of the next come together
        assert engine.next_run(trial) is not None
        for epoch in (1, 2, 3, 4):
            engine.on_message(trial, report(epoch, 1 / epoch, finished=epoch == 4))
            if epoch == 2:
                engine.recorder.flush()
                view.tick()
        if trial == "t1":
            shutil.rmtree(tmp_path / "s" / FOLDER)
    engine.recorder.flush()
    view.end()
    rebuild(open_study(tmp_path / "s"), tmp_path / "again")
    assert scalars(tmp_path / "s" / FOLDER) == scalars(tmp_path / "again")
    assert not said


def test_a_file_that_is_removed_from_its_folder_is_written_whole_again(tmp_path: Path) -> None:
    where = open_folder(tmp_path / "s")
    freeze(where, study())
    engine = Engine(Recorder(study(), TableStore(where)), lambda: 1)
    view = TensorBoard()
    view.begin(engine, where)
    assert engine.next_run("t1") is not None
    for epoch in (1, 2):
        engine.on_message("t1", report(epoch, 1 / epoch))
        engine.recorder.flush()
        view.tick()
        (run,) = (tmp_path / "s" / FOLDER).glob("0-*/*")
        assert [step for step, _ in scalars(run.parent.parent)[run.parent.name]["Valid/mae"]] == [
            *range(1, epoch + 1)
        ]
        run.unlink()


def test_a_view_that_cannot_write_says_so_once_and_ends_nothing(tmp_path: Path) -> None:
    where = open_folder(tmp_path / "s")
    freeze(where, study())
    engine, said = Engine(Recorder(study(), TableStore(where)), lambda: 1), list[str]()
    view = TensorBoard(said.append)
    view.begin(engine, where)
    assert engine.next_run("t1") is not None
    engine.recorder.flush()
    view.tick()
    shutil.rmtree(tmp_path / "s" / FOLDER)
    (tmp_path / "s" / FOLDER).write_text("mine")
    for epoch in (1, 2):
        engine.on_message("t1", report(epoch, 1.0))
        engine.recorder.flush()
        view.tick()
    view.end()
    again = TensorBoard(said.append)
    again.begin(engine, where)
    assert len(said) == 2  # one a view
    for line in said:
        assert "must be a folder for TensorBoard, but is a file" in line
        assert line.endswith(f"make them with: hscl tensorboard {tmp_path / 's'}")
    assert (tmp_path / "s" / FOLDER).read_text() == "mine"


def test_a_file_in_the_folders_place_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be a folder for TensorBoard"):
        rebuild(open_study(folder), tmp_path / "file")
