"""TensorBoard's files follow the tables: live, after a kill, and rebuilt from nothing."""

from collections import defaultdict
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
from tune.views.study import open_study
from tune.views.tensorboard import FOLDER, TensorBoard, rebuild


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    what = Simulated(trials=6, epochs=3, confirm_seeds=5, refined=3)
    return write_study(tmp_path_factory.mktemp("study") / "s", what)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_every_seed_of_every_configuration_is_there_grouped_with_all_its_epochs(
    folder: Path, tmp_path: Path
) -> None:
    opened = open_study(folder)
    rebuild(opened, tmp_path)
    expected = defaultdict(set)
    for row in opened.table("trials").to_pylist():
        expected[row["config_id"]].add(row["trial_id"])
    groups = session_groups(tmp_path)
    assert {n: {s.name for s in g.sessions} for n, g in groups.items()} == expected
    curves = scalars(tmp_path)
    for row in opened.table("reports").to_pylist():
        value = dict(curves[row["trial_id"]]["valid/mae"])[row["epoch"]]
        assert value == pytest.approx(row["valid_mae"], rel=1e-6)


def test_rebuilding_repairs_what_is_missing_or_cut_and_leaves_the_rest(
    folder: Path, tmp_path: Path
) -> None:
    rebuild(open_study(folder), tmp_path)
    whole = contents(tmp_path)
    cut, gone, kept, *_ = sorted(path for path in tmp_path.iterdir() if path.is_dir())
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
    assert len(live) == 2
    rebuild(open_study(tmp_path / "s"), tmp_path / "again")
    assert live == contents(tmp_path / "again")


def test_a_view_that_cannot_write_ends_nothing(tmp_path: Path) -> None:
    where = open_folder(tmp_path / "s")
    freeze(where, study())
    engine = Engine(Recorder(study(), TableStore(where)), lambda: 1)
    view = TensorBoard()
    view.begin(engine, where)
    assert engine.next_run("t1") is not None
    view.tick()
    for path in sorted((tmp_path / "s" / FOLDER).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    engine.on_message("t1", report(1, 1.0))
    engine.recorder.flush()
    view.tick()
    view.end()


def test_a_file_in_the_folders_place_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be a folder for TensorBoard"):
        rebuild(open_study(folder), tmp_path / "file")
