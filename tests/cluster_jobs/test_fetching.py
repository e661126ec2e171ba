"""Fetching brings a whole study, again brings what is new, and says what to do where it can't."""

from pathlib import Path

import pytest
from study_factory import Simulated, write_study

from cluster.connect.uris import checked_location
from cluster.jobs.fetching import fetch_study
from hscl.errors import InputError
from tune.tables.storage import open_folder
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
    count = fetch_study(checked_location("--out", f"{bucket}/runs/one"), here, "head")
    brought = {p.relative_to(here).as_posix() for p in here.rglob("*") if p.is_file()}
    assert count == len(brought)
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


def test_a_folder_that_only_the_cluster_sees_ends_with_the_copy_lines(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"(?s)rsync -a 10.0.0.1:/nfs/runs/mosi/ .*kubectl cp"
    ) as caught:
        fetch_study(checked_location("--out", "/nfs/runs/mosi"), tmp_path / "here", "10.0.0.1")
    assert caught.value.exit_code == 2
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
