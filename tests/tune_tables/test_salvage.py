"""What can still be read of a damaged study, and what is said about the rest."""

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_study import study as small
from study_factory import Simulated, write_study

from tune.evidence.gather import gather
from tune.states import TrialState
from tune.study.spec import StudySpec
from tune.tables.folder import read_study_file
from tune.tables.identity import specification_note
from tune.tables.reading import StudyTables
from tune.tables.salvage import LOST, salvage
from tune.tables.schemas import SCHEMAS
from tune.tables.storage import open_folder
from tune.tables.store import TableStore

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("salvage") / "study", Simulated(until="screen"))


@pytest.fixture
def study(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "study"))


def _spec(study: Path) -> StudySpec:
    return read_study_file(open_folder(study)).spec


def _more_reports(study: Path, trial_id: str) -> Path:
    """A second file of reports, of another trial."""
    rows = TableStore(study).read("reports").slice(0, 3).to_pylist()
    TableStore(study).append("reports", [row | {"trial_id": trial_id} for row in rows])
    return study / "tables/reports/00000001-00000001.parquet"


def test_a_sound_study_reads_as_the_table_store_reads_it(study: Path) -> None:
    saved = salvage(open_folder(study), _spec(study))
    assert saved.damages == ()
    for table in SCHEMAS:
        assert saved.tables[table].equals(TableStore(study).read(table))


@pytest.mark.parametrize("keep", [0, 10, -30])
def test_a_cut_file_is_named_and_the_others_are_read(study: Path, keep: int) -> None:
    whole = TableStore(study).read("reports")
    file = _more_reports(study, "cut")
    file.write_bytes(file.read_bytes()[:keep])
    saved = salvage(open_folder(study), _spec(study))
    assert [damage.file for damage in saved.damages] == [file.relative_to(study).as_posix()]
    assert str(saved.damages[0]).endswith(f"{LOST['reports']}.")
    assert saved.tables["reports"].equals(whole)


def test_damage_inside_a_file_with_a_sound_footer_is_found(study: Path) -> None:
    file = _more_reports(study, "garbled")
    content = bytearray(file.read_bytes())
    content[4:400] = b"\xff" * 396
    file.write_bytes(content)
    saved = salvage(open_folder(study), _spec(study))
    assert [damage.table for damage in saved.damages] == ["reports"]


def test_files_of_a_later_version_and_foreign_files_are_told_apart(study: Path) -> None:
    later = pq.read_table(study / "tables/trials/00000000-00000000.parquet")
    stamp = {b"hscl_table": b'{"table": "trials", "schema_version": 99}'}
    pq.write_table(
        later.replace_schema_metadata(stamp), study / "tables/trials/00000001-00000001.parquet"
    )
    pq.write_table(pa.table({"x": [1]}), study / "tables/plan/00000001-00000001.parquet")
    reasons = {
        damage.table: damage.reason for damage in salvage(open_folder(study), _spec(study)).damages
    }
    assert "newer hscl" in reasons["trials"]
    assert "foreign" in reasons["plan"]


def test_a_file_that_was_taken_away_leaves_a_gap_that_is_told(study: Path) -> None:
    _more_reports(study, "one")
    rows = TableStore(study).read("reports").slice(0, 1).to_pylist()
    TableStore(study).append("reports", [row | {"trial_id": "two"} for row in rows])
    (study / "tables/reports/00000001-00000001.parquet").unlink()
    saved = salvage(open_folder(study), _spec(study))
    (reason,) = [damage.reason for damage in saved.damages]
    assert reason.startswith("is missing")
    assert "00000001-00000001" in saved.damages[0].file


def test_an_unreadable_merged_file_gives_way_to_the_files_that_it_was_merged_from(
    study: Path,
) -> None:
    _more_reports(study, "one")
    whole = TableStore(study).read("reports")
    (study / "tables/reports/00000000-00000001.parquet").write_bytes(b"PAR1 half-written")
    saved = salvage(open_folder(study), _spec(study))
    assert len(saved.damages) == 1
    assert saved.tables["reports"].equals(whole)


def test_a_count_that_is_gone_is_said_by_every_reader_and_stops_nobody(tmp_path: Path) -> None:
    spec, store = small(), TableStore(tmp_path)
    note = specification_note(spec)
    store.append("plan", [{"seq": 0, "kind": "specification", "time": NOW, "note": note}])
    assert salvage(open_folder(tmp_path), spec).damages == ()
    (tmp_path / "tables/counts.json").unlink()
    (damage,) = salvage(open_folder(tmp_path), spec, for_history=True).damages
    assert str(damage).startswith("tables/counts.json is missing or damaged: files that are gone")
    StudyTables(open_folder(tmp_path), spec).refuse_damage()


def test_an_empty_folder_has_five_empty_tables(tmp_path: Path) -> None:
    saved = salvage(open_folder(tmp_path), small())
    assert {name: len(table) for name, table in saved.tables.items()} == dict.fromkeys(SCHEMAS, 0)


def test_reading_a_damaged_study_leaves_every_file_as_it_was(study: Path) -> None:
    _more_reports(study, "cut").write_bytes(b"")
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    salvage(open_folder(study), _spec(study))
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


def _rewrite(study: Path, table: str, changed: Callable[[pa.Table], pa.Table]) -> None:
    """Change a table's only file behind the table store's back."""
    file = study / f"tables/{table}/00000000-00000000.parquet"
    before = pq.read_table(file)
    pq.write_table(changed(before).replace_schema_metadata(before.schema.metadata), file)


def _nulls(table: pa.Table, name: str) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.nulls(len(table), pa.float64()))


def _complete(study: Path) -> list[str]:
    trials = salvage(open_folder(study), _spec(study)).history.trials
    return [name for name, trial in trials.items() if trial.state is TrialState.DONE]


@pytest.mark.parametrize("how", ["dropped", "nulled"])
def test_a_study_without_its_metric_is_damaged(study: Path, how: str) -> None:
    _rewrite(
        study,
        "reports",
        lambda t: t.drop_columns(["valid_mae"]) if how == "dropped" else _nulls(t, "valid_mae"),
    )
    (damage,) = gather(open_folder(study)).damages
    complete = len(_complete(study))
    assert str(damage).startswith(
        f"tables/reports has no valid_mae for {complete} of {complete} complete trials ("
    )
    assert "missing from curves" in str(damage)


def test_one_trial_without_the_metric_is_named(study: Path) -> None:
    name = _complete(study)[0]

    def without(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        gone = [r | {"valid_mae": None} if r["trial_id"] == name else r for r in rows]
        return pa.Table.from_pylist(gone, schema=table.schema)

    _rewrite(study, "reports", without)
    (damage,) = salvage(open_folder(study), _spec(study)).damages
    assert f"({name})" in damage.reason
    _rewrite(study, "reports", lambda table: _nulls(table, "valid_corr"))
    assert (
        len(salvage(open_folder(study), _spec(study)).damages) == 1
    )  # another metric decides nothing


def test_a_constant_prediction_has_no_correlation_and_is_no_damage(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", Simulated(until="screen", metric="corr"))
    _rewrite(study, "reports", lambda table: _nulls(table, "valid_corr"))
    assert len(salvage(open_folder(study), _spec(study)).damages) == 1

    def collapsed(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("collapsed")
        return table.set_column(place, "collapsed", pa.array([True] * len(table)))

    _rewrite(study, "reports", collapsed)
    assert salvage(open_folder(study), _spec(study)).damages == ()


def test_a_split_without_labels_is_damaged(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", Simulated(trials=6, refined=3))

    def without(table: pa.Table) -> pa.Table:
        rows = [r | {"label": None} if r["split"] == "test" else r for r in table.to_pylist()]
        return pa.Table.from_pylist(rows, schema=table.schema)

    _rewrite(study, "predictions", without)
    (damage,) = salvage(open_folder(study), _spec(study)).damages
    assert str(damage).startswith("tables/predictions has no label of the test split: no run can")


def test_two_labels_of_one_utterance_are_damage_and_take_the_verdict(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", Simulated(trials=6, refined=3))
    one = TableStore(study).read("predictions")["trial_id"][-1].as_py()

    def negated(table: pa.Table) -> pa.Table:
        test = [r["trial_id"] == one and r["split"] == "test" for r in table.to_pylist()]
        number = test.index(True) + 3
        rows = table.to_pylist()
        rows[number] |= {"label": -1.7}
        return pa.Table.from_pylist(rows, schema=table.schema)

    _rewrite(study, "predictions", negated)
    evidence = gather(open_folder(study))
    (damage,) = evidence.damages
    assert re.search(
        r"has two labels for 1 of \d+ utterances \(the first: test, video t00, utterance 3\): "
        r"trials were scored on different data",
        str(damage),
    )
    assert evidence.comparison is not None
    assert evidence.comparison.primary is not None
    assert evidence.comparison.primary.verdict is None
    assert "scored on different data" in evidence.comparison.primary.judgement.reason
