"""Several hosts for real: a laptop sends a search to a head and a worker, and things go wrong.

Three network namespaces (see `cluster_hosts`), Ray in token mode, real MOSI (10 videos), data and
results on an S3 interface or in a folder that the laptop does not have.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_checks import assert_complete, files_with
from cluster_hosts import ADDRESSES, BIN, DASHBOARD, Hosts, missing

_MISSING = missing()
pytestmark = [
    pytest.mark.hosts,
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING)),
]
ADDRESS = ("--address", f"http://{ADDRESSES['head']}:{DASHBOARD}")
HSCL = str(BIN / "hscl")
STUDY = """
[study]
name = "hosts"
[base]
"model.text.finetune" = false
"train.epochs" = 6
"train.patience" = 20
"train.batch_size" = 32
"model.audio.layers" = 1
"model.vision.layers" = 1
[space]
"loss.temperature" = { log_uniform = [0.03, 1.0] }
"loss.alpha" = { log_uniform = [0.01, 1.0] }
[sampler]
kind = "random"
trials = 5
[refine]
trials = 2
[confirm]
seeds = 2
"""


@pytest.fixture(scope="module")
def hosts(shared: Path) -> Iterator[Hosts]:
    """The cluster, with MOSI in its folder and in its bucket; the study is the laptop's."""
    with Hosts() as machines:
        machines.start_storage()
        machines.start_head()
        machines.start_worker()
        mosi = shared / "data" / "mosi"
        pickle, words = mosi / "mosi_data_noalign_10videos.pkl", mosi / "MOSI-label.csv"
        here = machines.cluster / "mosi.arrow"
        convert = (HSCL, "data", "convert", str(pickle), "--text", str(words), "--out", str(here))
        done = machines.run("head", *convert)
        assert done.returncode == 0, done.stderr
        upload = (
            "import sys; from tune.tables.storage import open_folder; "
            "open_folder('s3://bucket').write('mosi.arrow', open(sys.argv[1], 'rb').read())"
        )
        done = machines.run("head", str(BIN / "python"), "-c", upload, str(here))
        assert done.returncode == 0, done.stderr
        (machines.laptop / "study.toml").write_text(STUDY)
        yield machines


def _laptop(hosts: Hosts, *command: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    return hosts.run("laptop", HSCL, "cluster", *command, *ADDRESS, timeout=1200, **changed)


def _submit(hosts: Hosts, data: str, out: str, *more: str) -> str:
    done = _laptop(hosts, "submit", "study.toml", "--data", data, "--out", out, *more)
    assert done.returncode == 0, done.stderr
    return next(line for line in done.stdout.splitlines() if "submitted" in line).split()[1]


def _status(hosts: Hosts, job: str) -> dict[str, Any]:
    done = _laptop(hosts, "status", job, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _wait_for_epochs(hosts: Hosts, folder: Path, count: int, seconds: float = 600) -> None:
    """Until a search has written some reports into a folder of the cluster."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if sum(1 for _ in (folder / "tables" / "reports").glob("*.parquet")) >= count:
            return
        time.sleep(0.3)
    raise AssertionError(f"no {count} reports in {folder}")


def _wait_until_ended(hosts: Hosts, job: str, seconds: float = 1200) -> str:
    deadline = time.monotonic() + seconds
    while True:
        done = _laptop(hosts, "list", "--json")
        states = {one["id"]: one["status"] for one in json.loads(done.stdout)}
        if states[job] not in {"PENDING", "RUNNING"} or time.monotonic() > deadline:
            return str(states[job])
        time.sleep(2)


def _complete(hosts: Hosts, folder: Path, name: str) -> dict[str, Any]:
    figures = assert_complete(folder)
    print(f"\n{name}: {figures}")  # shown by pytest -s, for whoever wants the figures
    return figures


def test_without_a_token_or_with_a_wrong_one_nothing_is_sent(hosts: Hosts) -> None:
    submit = ("submit", "study.toml", "--data", "s3://bucket/mosi.arrow", "--out", "s3://bucket/x")
    for changed, words in (
        ({"HOME": "/nonexistent"}, "asks for its token"),
        ({"RAY_AUTH_TOKEN": "f" * 64}, "refused the one from RAY_AUTH_TOKEN"),
    ):
        done = _laptop(hosts, *submit, **changed)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert "no searches" in _laptop(hosts, "list").stdout


def test_the_whole_way_from_the_laptop_with_results_on_object_storage(hosts: Hosts) -> None:
    data, out = "s3://bucket/mosi.arrow", "s3://bucket/runs/one"
    done = _laptop(hosts, "doctor", "study.toml", "--data", data, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on 2 nodes" in done.stdout
    assert "cost: at most" in done.stdout
    job = _submit(hosts, data, out)
    again = _laptop(hosts, "submit", "study.toml", "--data", data, "--out", out)
    assert again.returncode == 2
    assert job in again.stderr
    follower = hosts.start(
        "laptop",
        (HSCL, "cluster", "logs", job, "-f", *ADDRESS),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 600
    while (told := _status(hosts, job))["study"] is None or told["study"]["epochs"] < 4:
        assert time.monotonic() < deadline, told
        time.sleep(1)
    assert told["job"]["status"] == "RUNNING"
    assert told["cluster"]["nodes"] == 2
    assert told["cluster"]["used"]["CPU"] > 0
    stopped = _laptop(hosts, "stop", job)
    assert stopped.returncode == 0, stopped.stderr
    assert "STOPPED" in stopped.stdout
    printed, errors = follower.communicate(timeout=60)
    assert follower.returncode == 1
    assert "was stopped; go on with: hscl cluster resume" in errors
    assert "screen" in printed
    assert _status(hosts, job)["study"]["state"] == "unfinished"
    resumed = _laptop(hosts, "resume", job, "--follow")
    assert resumed.returncode == 0, resumed.stderr
    assert "winner" in resumed.stdout
    second = next(line for line in resumed.stdout.splitlines() if "submitted" in line).split()[1]
    assert second == job.removesuffix("-1") + "-2"
    fetched = _laptop(hosts, "fetch", second, "here")
    assert fetched.returncode == 0, fetched.stderr
    figures = _complete(hosts, hosts.laptop / "here", "object storage, stopped and resumed")
    assert set(figures["hosts"]) == {"head", "worker"}
    table = hosts.run("laptop", HSCL, "table", "trials", "here")
    trial = table.stdout.splitlines()[1].split(",")[1]
    shown = _laptop(hosts, "logs", second, "--trial", trial)
    assert shown.returncode == 0, shown.stderr
    assert "attempt 1 on " in shown.stdout
    assert "epoch 1: valid mae" in shown.stdout


def test_a_folder_that_only_the_cluster_sees_is_copied_by_the_line_it_prints(hosts: Hosts) -> None:
    out = hosts.cluster / "seen-by-the-cluster-only"
    job = _submit(hosts, str(hosts.cluster / "mosi.arrow"), str(out), "--no-check")
    done = _laptop(hosts, "fetch", job, "there")
    assert done.returncode == 2
    assert f":{out}/ there/" in done.stderr
    assert "kubectl cp" in done.stderr
    assert _laptop(hosts, "stop", job).returncode == 0


def test_the_worker_dies_and_its_trials_go_on_at_the_head(hosts: Hosts) -> None:
    out = hosts.cluster / "worker-killed"
    job = _submit(hosts, str(hosts.cluster / "mosi.arrow"), str(out), "--no-check")
    _wait_for_epochs(hosts, out, 4)
    hosts.kill("worker")
    assert _wait_until_ended(hosts, job) == "SUCCEEDED"
    figures = _complete(hosts, out, "worker killed")
    assert figures["hosts"]["head"] > 0
    hosts.start_worker()


def test_the_driver_dies_and_resume_goes_on(hosts: Hosts) -> None:
    out = hosts.cluster / "driver-killed"
    job = _submit(hosts, str(hosts.cluster / "mosi.arrow"), str(out), "--no-check")
    _wait_for_epochs(hosts, out, 4)
    os.kill(_driver_of(hosts, str(out)), signal.SIGKILL)
    assert _wait_until_ended(hosts, job) == "FAILED"
    resumed = _laptop(hosts, "resume", job, "--follow")
    assert resumed.returncode == 0, resumed.stderr
    _complete(hosts, out, "driver killed")


def test_the_network_to_the_worker_is_cut_for_a_minute(hosts: Hosts) -> None:
    out = hosts.cluster / "cable-cut"
    job = _submit(hosts, str(hosts.cluster / "mosi.arrow"), str(out), "--no-check")
    _wait_for_epochs(hosts, out, 4)
    hosts.cut("worker")
    time.sleep(60)
    hosts.mend("worker")
    assert _wait_until_ended(hosts, job) == "SUCCEEDED"
    _complete(hosts, out, "worker's cable cut for 60 s")
    hosts.kill("worker")
    hosts.start_worker()


def test_the_laptop_is_gone_and_the_search_does_not_notice(hosts: Hosts) -> None:
    out = hosts.cluster / "laptop-gone"
    job = _submit(hosts, str(hosts.cluster / "mosi.arrow"), str(out), "--no-check")
    follower = hosts.start(
        "laptop", (HSCL, "cluster", "logs", job, "-f", *ADDRESS), stdout=subprocess.DEVNULL
    )
    _wait_for_epochs(hosts, out, 2)
    hosts.cut("laptop")
    hosts.kill("laptop")
    follower.wait(timeout=30)
    time.sleep(5)
    hosts.mend("laptop")
    assert _wait_until_ended(hosts, job) == "SUCCEEDED"
    _complete(hosts, out, "laptop gone")


def test_the_token_stands_in_no_file_but_its_own(hosts: Hosts) -> None:
    """Last: everything above has written its logs, tables and Ray's own session folders."""
    assert files_with(hosts.token, hosts.cluster, hosts.laptop) == []
    assert sum(1 for path in hosts.cluster.rglob("*") if path.is_file()) > 100
    stored = hosts.run(
        "head",
        str(BIN / "python"),
        "-c",
        "import sys; from pyarrow import fs; from tune.tables.storage import open_folder;"
        "f = open_folder('s3://bucket'); n = 0\n"
        "for i in f.filesystem.get_file_info(fs.FileSelector('bucket', recursive=True)):\n"
        "    if i.is_file:\n"
        "        n += 1\n"
        "        content = f.filesystem.open_input_stream(i.path).read()\n"
        "        assert sys.argv[1].encode() not in content, i.path\n"
        "print(n)",
        hosts.token,
    )
    assert stored.returncode == 0, stored.stderr
    assert int(stored.stdout) > 10


def _driver_of(hosts: Hosts, out: str) -> int:
    for process in hosts.processes("head"):
        line = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if "cluster.job_entry search" in line and out in line:
            return process
    raise AssertionError(f"no driver writes to {out}")
