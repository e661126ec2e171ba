"""Rows are durable once appended, whatever is killed, and never come twice."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from places import HELPERS
from table_rows import report, sequence

from hscl.errors import InputError, RunError
from tune.tables.store import Part, TableStore


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "study")
    bucket: str = request.getfixturevalue("bucket")
    return f"{bucket}/study"


def test_rows_come_back_in_order_and_with_their_values(root: str) -> None:
    store = TableStore(root)
    store.append("reports", [report(1), report(2)])
    store.append("reports", [])
    store.append("reports", [report(3)])
    table = TableStore(root).read("reports")
    assert table["seq"].to_pylist() == [1, 2, 3]
    assert table["valid_mae"].to_pylist() == [1 / 7, 2 / 7, 3 / 7]
    assert table["valid_corr"].to_pylist() == [None] * 3
    assert TableStore(root).read("trials").num_rows == 0


def test_compaction_keeps_every_row_in_order_and_later_appends_follow(root: str) -> None:
    store = TableStore(root)
    for seq in range(5):
        store.append("reports", [report(seq)])
    store.compact()
    store.append("reports", [report(5)])
    store.compact("reports", whole=True)
    fresh = TableStore(root)
    fresh.append("reports", [report(6)])
    assert sequence(root) == list(range(7))


def test_any_arrow_reader_opens_the_folder(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    store.append("reports", [report(1)])
    (tmp_path / "tables/reports/.0.parquet.1.part").write_bytes(b"half a fi")
    store.append("reports", [report(2)])
    table = ds.dataset(tmp_path / "tables" / "reports").to_table()
    assert sorted(table["seq"].to_pylist()) == [1, 2]


def test_five_hundred_files_become_one(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    for seq in range(500):
        store.append("reports", [report(seq)])
    assert len(list((tmp_path / "tables/reports").iterdir())) == 1
    assert sequence(tmp_path) == list(range(500))


def test_a_file_larger_than_all_newer_ones_is_not_rewritten(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random(20_000)
    store = TableStore(tmp_path)
    store.append("reports", [report(i) | {"loss_total": x} for i, x in enumerate(noise)])
    (big,) = (tmp_path / "tables/reports").iterdir()
    inode = big.stat().st_ino
    for seq in range(20_000, 20_005):
        store.append("reports", [report(seq)])
    store.compact()
    assert len(list(big.parent.iterdir())) == 2
    assert big.stat().st_ino == inode
    assert sequence(tmp_path) == list(range(20_005))
    store.compact(whole=True)
    assert len(list(big.parent.iterdir())) == 1
    assert sequence(tmp_path) == list(range(20_005))


def test_a_row_is_rewritten_logarithmically_often_however_small_its_file_was(
    tmp_path: Path,
) -> None:
    store = TableStore(tmp_path)
    rewritten = 0
    rounds, each = 32, 4
    for turn in range(rounds):
        for seq in range(turn * each, (turn + 1) * each):
            store.append("reports", [report(seq)])
        before = {path.name for path in (tmp_path / "tables/reports").iterdir()}
        store.compact("reports")
        after = {path.name for path in (tmp_path / "tables/reports").iterdir()}
        for name in after - before:
            rewritten += pq.read_metadata(tmp_path / "tables/reports" / name).num_rows
    rows = rounds * each
    assert sequence(tmp_path) == list(range(rows))
    assert rewritten <= rows * (np.log2(rounds) + 1)  # all of them each time: rows * rounds / 2


def test_a_kill_between_merging_and_deleting_neither_loses_nor_doubles(tmp_path: Path) -> None:
    folder = tmp_path / "tables" / "reports"
    store = TableStore(tmp_path)
    for seq in range(4):
        store.append("reports", [report(seq)])
    shutil.copytree(folder, tmp_path / "parts")
    store.compact("reports")
    for part in list((tmp_path / "parts").iterdir())[::2]:  # half of them were not deleted yet
        shutil.copy(part, folder / part.name)
    (folder / ".00000004-00000004.parquet.17.part").write_bytes(b"PAR1")
    assert sequence(tmp_path) == [0, 1, 2, 3]
    after = TableStore(tmp_path)
    after.append("reports", [report(4)])
    after.compact("reports", whole=True)
    assert sequence(tmp_path) == [0, 1, 2, 3, 4]
    assert [path.name for path in folder.iterdir()] == ["00000000-00000004.parquet"]


def test_a_merge_of_merges_supersedes_them_all(tmp_path: Path) -> None:
    folder = tmp_path / "tables" / "reports"
    store = TableStore(tmp_path)
    for seq in range(6):
        store.append("reports", [report(seq)])
        if seq % 2:
            store.compact("reports", whole=True)
            shutil.copytree(folder, tmp_path / "old", dirs_exist_ok=True)
    shutil.copytree(tmp_path / "old", folder, dirs_exist_ok=True)
    assert len(list(folder.iterdir())) == 3
    assert sequence(tmp_path) == list(range(6))


WRITER = """
import sys
from tune.tables.store import Part, TableStore
sys.path.insert(0, sys.argv[2])
from table_rows import report, sequence
root = sys.argv[1]
seq = max(sequence(root), default=-1)
store = TableStore(root)
store.compact("reports")
while True:
    seq += 1
    store.append("reports", [report(seq)])
    print(seq, flush=True)
    if seq % 5 == 0:
        store.compact("reports", whole=seq % 15 == 0)
"""


def test_a_writer_killed_at_any_moment_has_lost_nothing_that_it_acknowledged(
    tmp_path: Path,
) -> None:
    acknowledged = -1
    for round_ in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(HELPERS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged = int(writer.stdout.readline())
            time.sleep(0.03 + 0.017 * round_)
            writer.send_signal(signal.SIGKILL)
            # A kill may cut the last line; a line without its end was not said.
            for line in writer.stdout.read().splitlines(keepends=True):
                if line.endswith("\n"):
                    acknowledged = int(line)
        seen = sequence(tmp_path)
        assert seen == list(range(len(seen)))
        assert acknowledged <= seen[-1] <= acknowledged + 1


def test_a_key_that_comes_twice_is_read_once_its_first_row(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    rows = [report(0, "b", 1), report(1, "a", 1), report(2, "b", 1), report(3, "b", 2)]
    store.append("reports", rows)
    store.append("reports", [report(4, "a", 1)])
    assert store.read("reports")["seq"].to_pylist() == [0, 1, 3]
    assert store.read("reports", columns=["seq", "valid_mae"])["seq"].to_pylist() == [0, 1, 3]


def test_columns_can_be_chosen_and_the_key_comes_along(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    assert store.read("reports", columns=["valid_mae"]).num_rows == 0
    store.append("reports", [report(0)])
    columns = store.read("reports", columns=["valid_mae"]).column_names
    assert sorted(columns) == ["epoch", "trial_id", "valid_mae"]


def test_parameters_of_several_types_are_read_as_text(tmp_path: Path) -> None:
    base = {"origin": "sampler", "config": "{}", "hscl_version": "1"}
    store = TableStore(tmp_path)
    store.append("configs", [base | {"config_id": "a", "number": 0, "p": 1}])
    store.append("configs", [base | {"config_id": "b", "number": 1, "p": "x", "q": None}])
    table = store.read("configs")
    assert table["p"].to_pylist() == ["1", "x"]
    store.compact("configs")
    assert store.read("configs").equals(table)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    store.append("reports", [report(0)])
    part = tmp_path / "tables/reports/00000000-00000000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"00000000-00000000\.parquet must be a whole Parquet"):
        store.read("reports")


def test_a_guard_that_refuses_keeps_everything_as_it_is(tmp_path: Path) -> None:
    def refuse() -> None:
        message = "the lock is gone"
        raise RunError(message)

    TableStore(tmp_path).append("reports", [report(0)])
    store = TableStore(tmp_path, guard=refuse)
    with pytest.raises(RunError, match="lock is gone"):
        store.append("reports", [report(1)])
    with pytest.raises(RunError, match="lock is gone"):
        store.compact()
    assert sequence(tmp_path) == [0]


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    store.append("reports", [report(0)])
    limit = 64 * 1024  # bytes a file may have: the system refuses more, as a full disk does
    script = f"""
import resource, signal
from tune.tables.store import Part, TableStore
from hscl.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
import sys; sys.path.insert(0, {str(HELPERS)!r})
from table_rows import report
store = TableStore({str(tmp_path)!r})
try:
    store.append("reports", [report(hash(str(i)) % 10**9) for i in range(30_000)])
except RunError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "then run the same command again" in done.stdout
    assert sequence(tmp_path) == [0]
    assert len(list((tmp_path / "tables/reports").iterdir())) == 1


def test_the_schema_version_is_in_every_file_after_compaction_too(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    store.append("reports", [report(0)])
    store.append("reports", [report(1)])
    store.compact()
    (path,) = (tmp_path / "tables/reports").iterdir()
    schema = pq.read_schema(path)
    assert b'"schema_version": 1' in schema.metadata[b"hscl_table"]
    assert schema.field("valid_mae").type == pa.float64()


def part(root: Path, number: int, table: str = "reports") -> Path:
    return root / f"tables/{table}/{number:08d}-{number:08d}.parquet"


def counted(root: Path, appends: int = 4) -> TableStore:
    """Tables of two reports an append, counted as a driver does after each flush."""
    store = TableStore(root)
    for number in range(appends):
        store.append("reports", [report(2 * number), report(2 * number + 1)])
        store.commit()
    return store


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_file_that_is_gone_is_missed_at_the_end_too(tmp_path: Path, number: int) -> None:
    counted(tmp_path)
    assert TableStore(tmp_path).holes() == {}
    part(tmp_path, number).unlink()
    (hole,) = TableStore(tmp_path).holes()["reports"]
    assert (hole.part.first, hole.part.last, hole.rows, hole.of) == (number, number, 2, 8)
    name = f"{number:08d}-{number:08d}"
    said = rf"reports/{name}\.parquet is missing, and with it 2 of the table's 8 rows\nput"
    with pytest.raises(InputError, match=said):
        TableStore(tmp_path).check_whole()
    with pytest.raises(InputError, match=said):
        TableStore(tmp_path).append("reports", [report(9)])
    assert TableStore(tmp_path).holes() == {"reports": [hole]}, "the trace is there still"


def test_a_whole_table_that_is_gone_is_missed(tmp_path: Path) -> None:
    counted(tmp_path).compact(whole=True)
    shutil.rmtree(tmp_path / "tables/reports")
    (hole,) = TableStore(tmp_path).holes()["reports"]
    assert (hole.part.name, hole.rows, hole.of) == ("00000000-00000003.parquet", 8, 8)


@pytest.mark.parametrize("whole", [False, True])
def test_compaction_leaves_a_hole_open(tmp_path: Path, *, whole: bool) -> None:
    store = counted(tmp_path, 6)
    part(tmp_path, 2).unlink()
    store.compact("reports", whole=whole)
    (hole,) = TableStore(tmp_path).holes()["reports"]
    assert hole.part == Part(2, 2)
    names = {path.name for path in (tmp_path / "tables/reports").iterdir()}
    assert "00000003-00000005.parquet" in names
    assert ("00000000-00000001.parquet" in names) is whole


def test_a_kill_between_a_flush_and_its_count_is_no_hole_and_is_counted_later(
    tmp_path: Path,
) -> None:
    store = counted(tmp_path, 2)
    store.append("reports", [report(4)])  # killed before it counted
    again = TableStore(tmp_path)
    assert again.holes() == {}
    again.append("reports", [report(5)])
    again.commit()
    assert TableStore(tmp_path).counted_rows()["reports"] == 6
    part(tmp_path, 3).unlink()
    assert list(TableStore(tmp_path).holes()) == ["reports"]


def test_tables_that_no_version_counted_are_counted_from_the_next_row_on(tmp_path: Path) -> None:
    store = counted(tmp_path, 3)
    (tmp_path / "tables/counts.json").unlink()
    part(tmp_path, 2).unlink()
    assert TableStore(tmp_path).holes() == {}, "nobody can know"
    assert TableStore(tmp_path).counted_rows() == {}
    TableStore(tmp_path).append("reports", [report(6)])
    assert TableStore(tmp_path).counted_rows()["reports"] == 4
    assert store.holes() == {}


@pytest.mark.parametrize(
    "name", ["²-².parquet", "٣-٣.parquet", "0-0.parquet", "00000009-00000004.parquet", "a.parquet"]
)
def test_files_of_other_names_are_no_parts(tmp_path: Path, name: str) -> None:
    counted(tmp_path)
    shutil.copy(part(tmp_path, 0), part(tmp_path, 0).with_name(name))
    assert sequence(tmp_path) == list(range(8))
    assert TableStore(tmp_path).holes() == {}


def test_one_changed_bit_in_a_file_is_noticed(tmp_path: Path) -> None:
    counted(tmp_path, 1)
    content = bytearray(part(tmp_path, 0).read_bytes())
    value = np.float64(1 / 7).tobytes()  # stands as it is: few rows are not packed
    place = content.index(value)
    content[place + 6] ^= 1
    part(tmp_path, 0).write_bytes(content)
    with pytest.raises(InputError, match=r"must be a whole Parquet file, but: .*put it back"):
        TableStore(tmp_path).read("reports")


@pytest.mark.parametrize("stamp", [None, b"\xff{", b"[1, 2]", b'{"table": "reports"}', b'"x"'])
def test_a_stamp_that_is_not_ours_is_one_message(tmp_path: Path, stamp: bytes | None) -> None:
    counted(tmp_path, 1)
    rows = pq.read_table(part(tmp_path, 0))
    metadata = None if stamp is None else {b"hscl_table": stamp}
    pq.write_table(rows.replace_schema_metadata(metadata), part(tmp_path, 0))
    with pytest.raises(InputError, match="but is a foreign file"):
        sequence(tmp_path)
