"""What a driver settles before anything runs."""

import json
from pathlib import Path

import pytest
from synthetic import Data, study

from hscl.errors import InputError
from tune.engine.opening import SearchOptions, device_rows, finished, opening_rows
from tune.engine.recorder import Recorder
from tune.evidence.confirm_state import read_state
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.tables.folder import freeze
from tune.tables.storage import open_folder
from tune.tables.store import TableStore


def test_the_first_start_records_the_study_and_its_data_the_next_nothing_more(
    tmp_path: Path,
) -> None:
    spec, folder, asked = study(), open_folder(tmp_path), SearchOptions(out=str(tmp_path))
    assert finished(folder, spec, Data(), asked) is None
    recorder = Recorder(spec, TableStore(tmp_path))
    rows = opening_rows(recorder, Data(), asked, None)
    assert [row["kind"] for row in rows] == [Kind.SPECIFICATION, Kind.CODE, Kind.DATA]
    freeze(folder, spec)
    recorder.add_plan(rows)
    assert finished(folder, spec, Data(), asked) is None
    again = Recorder(spec, TableStore(tmp_path))
    assert opening_rows(again, Data(), asked, spec) == []


def test_what_a_trial_has_is_recorded_once_and_where_it_changes(tmp_path: Path) -> None:
    recorder = Recorder(study(), TableStore(tmp_path))
    for gpus, rows in ((1.0, 1), (1.0, 0), (0.5, 1), (0.5, 0), (0.0, 1)):
        added = device_rows(recorder.history, gpus)
        recorder.add_plan(added)
        assert [row["value"] for row in added] == [gpus] * rows


def test_speakers_of_test_who_are_not_new_are_recorded_with_the_data(tmp_path: Path) -> None:
    class Talkative(Data):
        def shared_speakers(self, spec: StudySpec) -> str:
            return "1 of test's 9 named speakers are in train or valid too: Ann"

    spec = study()
    recorder = Recorder(spec, TableStore(tmp_path))
    recorder.add_plan(opening_rows(recorder, Talkative(), SearchOptions(out="s"), None))
    told = " ".join(read_state(recorder.history).notes)
    assert "too: Ann; what is claimed is not about speakers who are new to the model." in told


def test_the_precision_of_trials_on_cpus_is_settled_where_a_study_begins(tmp_path: Path) -> None:
    class Fast(Data):
        def cpu_precision(self, spec: StudySpec) -> str:
            return "bf16"

    spec, asked = study(), SearchOptions(out=str(tmp_path))
    # On a cluster nobody knows what its nodes have.
    for begun, data, how, expected in (
        ("here", Fast(), asked, "bf16"),
        ("slow", Data(), asked, "fp32"),
        ("cluster", Fast(), SearchOptions(out="s", address="auto"), "fp32"),
    ):
        recorder = Recorder(spec, TableStore(tmp_path / begun))
        recorder.add_plan(opening_rows(recorder, data, how, None))
        for elsewhere in (Data(), Fast()):  # it goes on
            again = Recorder(spec, TableStore(tmp_path / begun))
            assert opening_rows(again, elsewhere, asked, spec) == []
            assert again.history.cpu_precision == expected


def test_more_is_a_row_with_both_digests_and_only_where_it_is_asked_for(tmp_path: Path) -> None:
    spec, more = study(), study(refine={"trials": 9})
    recorder = Recorder(spec, TableStore(tmp_path))
    freeze(open_folder(tmp_path), spec)
    recorder.add_plan(opening_rows(recorder, Data(), SearchOptions(out="s"), None))
    changed = Recorder(more, TableStore(tmp_path))
    asked = SearchOptions(out="s", more=True)
    (row,) = opening_rows(changed, Data(), asked, spec)
    told = json.loads(row["note"])
    assert (told["before"], told["digest"]) == (spec.digest, more.digest)
    with pytest.raises(InputError, match="is for a new study"):
        opening_rows(recorder, Data(), SearchOptions(out="s", warm_start="x"), spec)
