"""Fetching brings a whole study, again brings what is new, and says what to do where it can't."""

from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from study_factory import Simulated, write_study

from cluster.connect.uris import checked_location
from cluster.jobs.fetching import fetch_study
from hscl.errors import InputError
from tune.study.toml import STUDY_FILE, dump_spec, load_spec, parse_spec
from tune.tables.storage import Folder, open_folder
from tune.tables.store import TableStore
from tune.views.study import open_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A finished study, with files that must not come along."""
    folder = tmp_path / "there"
    write_study(folder, Simulated())
    (folder / "lock.json").write_text("{}")
    (folder / "tables" / "trials" / ".0001.parquet.part").write_text("half")
    (folder / "checkpoints" / "a-1").mkdir(parents=True)
    (folder / "checkpoints" / "a-1" / "best.safetensors").write_bytes(b"weights")
    return folder


def _upload(folder: Path, uri: str) -> None:
    there = open_folder(uri)
    for path in folder.rglob("*"):
        if path.is_file():
            there.write(path.relative_to(folder).as_posix(), path.read_bytes())


def test_a_study_on_object_storage_comes_whole(study: Path, bucket: str, tmp_path: Path) -> None:
    _upload(study, f"{bucket}/runs/one")
    here = tmp_path / "here"
    copied = fetch_study(checked_location("--out", f"{bucket}/runs/one"), here, "head")
    brought = {p.relative_to(here).as_posix() for p in here.rglob("*") if p.is_file()}
    assert copied == len(brought)
    kept = {p.relative_to(study).as_posix() for p in study.rglob("*") if p.is_file()}
    assert kept - brought == {"lock.json", "tables/trials/.0001.parquet.part"}
    assert open_study(here).table("trials").equals(open_study(study).table("trials"))


def test_fetched_again_it_brings_what_is_new(study: Path, tmp_path: Path) -> None:
    here, where = tmp_path / "here", checked_location("--out", str(study))
    fetch_study(where, here, "head", checkpoints=False)
    assert not (here / "checkpoints").exists()
    rows = open_study(study).table("plan").to_pylist()
    last = rows[-1] | {"seq": 10**6, "note": "new"}
    TableStore(study).append("plan", [last])
    before = {p: p.stat().st_mtime_ns for p in (here / "tables").rglob("*.parquet")}
    fetch_study(where, here, "head", checkpoints=False)
    after = {p: p.stat().st_mtime_ns for p in (here / "tables").rglob("*.parquet")}
    assert len(after) == len(before) + 1
    assert all(after[path] == time for path, time in before.items())
    assert open_study(here).table("plan").to_pylist()[-1]["note"] == "new"


def test_files_that_were_merged_in_between_do_not_come_twice(study: Path, tmp_path: Path) -> None:
    store = TableStore(study)
    rows = open_study(study).table("plan").to_pylist()
    for number in range(5):
        store.append("plan", [rows[-1] | {"seq": 10**6 + number}])
    here, where = tmp_path / "here", checked_location("--out", str(study))
    fetch_study(where, here, "head")
    store.compact(whole=True)
    fetch_study(where, here, "head")
    for name in ("plan", "trials", "reports", "configs"):
        assert open_study(here).table(name).equals(open_study(study).table(name)), name


def test_a_folder_that_holds_another_study_is_refused_and_left_as_it_is(
    study: Path, tmp_path: Path
) -> None:
    other = write_study(tmp_path / "other", Simulated(name="other", seed=5))
    _assert_refused(study, other)


def test_the_same_study_begun_anew_is_another(study: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    fetch_study(checked_location("--out", str(study)), here, "head")
    rows = TableStore(study).read("plan").to_pylist()
    (study / "tables" / "counts.json").unlink()
    for part in (study / "tables" / "plan").glob("*.parquet"):
        part.unlink()
    later = [row | {"time": row["time"] + timedelta(days=1)} for row in rows]
    TableStore(study).append("plan", later)
    _assert_refused(study, here)


def test_a_study_that_has_decided_nothing_yet_is_told_by_its_file(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    spec = parse_spec({"space": {"loss.temperature": {"uniform": [0.1, 0.9]}}})
    (there / STUDY_FILE).write_text(dump_spec(spec))
    where = checked_location("--out", str(there))
    fetch_study(where, here, "head")
    (there / STUDY_FILE).write_text(dump_spec(spec.with_resources({"cpus": 2})))
    fetch_study(where, here, "head")
    assert load_spec(here / STUDY_FILE).resources.cpus == 2
    tree = spec.tree() | {"study": spec.tree()["study"] | {"seed": 7}}
    (there / STUDY_FILE).write_text(dump_spec(parse_spec(tree)))
    _assert_refused(there, here)


def test_rows_of_a_copy_that_went_on_are_not_overwritten(study: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    fetch_study(checked_location("--out", str(study)), here, "head")
    last = open_study(study).table("trials").to_pylist()[-1]
    TableStore(here).append("trials", [last | {"seq": 10**6, "error": "went on here"}])
    TableStore(study).append("trials", [last | {"seq": 10**6}])
    _assert_refused(study, here)


def test_a_study_that_asks_for_more_is_the_same(study: Path, tmp_path: Path) -> None:
    here, where = tmp_path / "here", checked_location("--out", str(study))
    fetch_study(where, here, "head")
    tree = open_study(study).spec.tree()
    tree["sampler"]["trials"] += 10
    (study / STUDY_FILE).write_text(dump_spec(parse_spec(tree)))
    fetch_study(where, here, "head")
    assert open_study(here).spec == parse_spec(tree)


def test_a_search_that_writes_meanwhile_is_brought_undamaged(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, last = TableStore(study), open_study(study).table("trials").to_pylist()[-1]
    copy, numbers = Folder.copy_to, count(10**6)

    def copy_while_it_writes(folder: Folder, name: str, target: Path) -> None:
        if name.startswith("checkpoints/"):
            store.append("trials", [last | {"seq": next(numbers)}])
            store.commit()
        copy(folder, name, target)

    monkeypatch.setattr(Folder, "copy_to", copy_while_it_writes)
    here, where = tmp_path / "here", checked_location("--out", str(study))
    for _ in range(2):
        fetch_study(where, here, "head")
        assert open_study(here).damages == ()


def test_what_is_lost_after_the_second_fetch_is_missed(study: Path, tmp_path: Path) -> None:
    """The counts are as long as before: they are brought all the same."""
    store, last = TableStore(study), open_study(study).table("trials").to_pylist()[-1]
    here, where = tmp_path / "here", checked_location("--out", str(study))
    for number in range(2):
        store.append("trials", [last | {"seq": 10**6 + number}])
        store.commit()
        fetch_study(where, here, "head")
    max((here / "tables" / "trials").glob("*.parquet")).unlink()
    (damage,) = open_study(here).damages
    assert damage.table == "trials"
    assert damage.blocks


def _assert_refused(there: Path, here: Path) -> None:
    """Fetching ends with exit code 2, and nothing is written."""
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="give another DIR") as caught:
        fetch_study(checked_location("--out", str(there)), here, "head")
    assert caught.value.exit_code == 2
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_folder_that_only_the_cluster_sees_ends_with_the_copy_lines(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"(?s)rsync -a 10.0.0.1:/nfs/runs/mosi/ .*kubectl cp"
    ) as caught:
        fetch_study(checked_location("--out", "/nfs/runs/mosi"), tmp_path / "here", "10.0.0.1")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "here").exists()


def test_a_folder_that_this_machine_sees_holds_no_study_yet(tmp_path: Path) -> None:
    where = checked_location("--out", str(tmp_path))
    with pytest.raises(InputError, match=r"has no study\.toml yet; it appears once") as caught:
        fetch_study(where, tmp_path / "here", "10.0.0.1")
    assert "must see" not in str(caught.value)
    assert not (tmp_path / "here").exists()


def test_an_empty_place_on_object_storage_holds_no_study(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no study\.toml"):
        fetch_study(checked_location("--out", f"{bucket}/nothing"), tmp_path, "head")


def test_storage_that_this_machine_may_not_open_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match="must be able to open"):
        fetch_study(checked_location("--out", "s3://bucket/run"), tmp_path, "head")
