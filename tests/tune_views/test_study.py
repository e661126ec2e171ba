"""A study folder as readers see it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from study_factory import Simulated, write_study

from hscl.errors import InputError
from tune.tables.lock import StudyLock
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.study import open_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "s", Simulated(failures=1))


def test_trials_are_each_ones_last_event_or_all_of_them(folder: Path) -> None:
    study = open_study(folder)
    events = study.table("trials", events=True).to_pylist()
    last = study.table("trials").to_pylist()
    expected = {row["trial_id"]: row for row in events}  # a later row replaces an earlier one
    assert {row["trial_id"]: row for row in last} == expected
    assert len(last) == len(expected) < len(events)


def test_columns_can_be_chosen_and_frames_are_pandas(folder: Path) -> None:
    study = open_study(folder)
    columns = study.table("trials", columns=["state"]).column_names
    assert sorted(columns) == ["seq", "state", "trial_id"]
    assert len(study.frame("reports")) == study.table("reports").num_rows


def test_any_arrow_reader_sees_the_same_reports(folder: Path) -> None:
    plain = ds.dataset(folder / "tables" / "reports").to_table()
    assert plain.num_rows == open_study(folder).table("reports").num_rows


def test_history_is_the_fold_of_the_tables(folder: Path) -> None:
    study = open_study(folder)
    assert study.history.epochs == study.table("reports").num_rows
    assert len(study.history.trials) == study.table("trials").num_rows


def test_status_is_plain_json(folder: Path) -> None:
    told = json.loads(json.dumps(open_study(folder).status()))
    assert told["state"] == "done"
    assert told["phase"] == "confirm"
    assert told["trials"]["failed"] == len(
        [row for row in open_study(folder).table("trials").to_pylist() if row["state"] == "failed"]
    )
    assert told["last_event"].startswith("2026-")
    assert told["driver"] is None


def test_the_status_is_that_of_now_however_often_it_is_asked_for(tmp_path: Path) -> None:
    what = Simulated(trials=6, epochs=3, confirm_seeds=0, refined=0, until="screen")
    folder = write_study(tmp_path / "s", what)
    where = open_folder(folder)
    with StudyLock(where):  # it runs, so that a rate is asked for
        study = open_study(folder)
        before = study.status()
        assert before["alive"] == "running"
        row = study.table("trials", events=True).to_pylist()[0]
        new = row | {"trial_id": f"{row['config_id']}-99", "seed": 99, "time": datetime.now(UTC)}
        started = new | {"seq": 10**6, "state": "started"}
        TableStore(where).append("trials", [started, new | {"seq": 10**6 + 1, "state": "failed"}])
        after = study.status()
    assert after["trials"]["failed"] == before["trials"]["failed"] + 1
    assert after["trials"] == open_study(folder).status()["trials"]


def test_reading_changes_nothing(folder: Path) -> None:
    def contents() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")
        }

    before = contents()
    study = open_study(folder)
    study.status()
    study.frame("predictions")
    assert contents() == before


def test_an_unknown_table_is_named_with_the_nearest(folder: Path) -> None:
    with pytest.raises(InputError, match="'trial' is no table of a study; did you mean 'trials'"):
        open_study(folder).table("trial")


def test_a_folder_without_a_study_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no study\.toml; begin one with: hscl search"):
        open_study(tmp_path)


def test_a_study_on_object_storage_reads_like_one_on_disk(folder: Path, bucket: str) -> None:
    there = open_folder(f"{bucket}/s")
    there.write("study.toml", (folder / "study.toml").read_bytes())
    for name in ("configs", "trials", "reports", "predictions", "plan"):
        TableStore(there).append(name, open_study(folder).table(name, events=True).to_pylist())
    remote, local = open_study(f"{bucket}/s"), open_study(folder)
    told, here = remote.status(), local.status()
    commands = told["use"].pop("commands"), here["use"].pop("commands")
    assert told == here
    assert commands[0][0].replace(remote.folder.uri, str(folder)) == commands[1][0]
    assert remote.table("predictions").num_rows == local.table("predictions").num_rows


def test_what_to_use_is_what_export_writes(folder: Path) -> None:
    study = open_study(folder)
    answer = study.answer()
    assert answer is not None
    assert study.best_config.config_id == answer.config_id
    assert study.best_params == {one.name: one.used for one in answer.values}
    assert study.best_params["loss.temperature"] == study.best_config.loss.temperature
    assert study.status()["use"]["config_id"] == answer.config_id
    comparison = study.comparison()
    assert comparison is not None
    assert comparison.winner == answer.config_id
    assert len(study.trials()) == study.table("configs").num_rows
    assert len(study.predictions.to_pandas()) == study.table("predictions").num_rows


def test_the_evidence_is_gathered_once_until_a_table_changes(tmp_path: Path) -> None:
    what = Simulated(until="screen", trials=4, refined=2, epochs=3)
    study = open_study(write_study(tmp_path / "s", what))
    once = study.comparison()
    assert study.comparison() is once
    TableStore(tmp_path / "s").append("plan", study.table("plan").slice(0, 1).to_pylist())
    assert study.comparison() is not once


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (Simulated(until="screen", trials=8, refined=3), "has not come so far"),
        (Simulated(sampler="list", confirm_seeds=5, epochs=3), "chooses none"),
    ],
)
def test_a_study_without_an_answer_has_no_best(what: Simulated, why: str, tmp_path: Path) -> None:
    study = open_study(write_study(tmp_path / "s", what))
    for name in ("best_config", "best_params"):
        with pytest.raises(InputError, match=why):
            getattr(study, name)
    assert study.answer() is None
    assert "have ended" in study._repr_html_()


def test_a_study_says_what_it_is_and_how_it_stands(folder: Path) -> None:
    study = open_study(folder)
    count = len(study.history.trials)
    assert repr(study) == f"<Study 'mosi temperature' at {folder}: done, {count} trials>"
