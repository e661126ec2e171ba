"""`hscl cluster …` as a person uses it: dry runs, refusals, and a search from a real head."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster_checks import assert_complete, files_with
from cluster_head import RayHead

from cluster.connect.connection import connect
from cluster.connect.uris import checked_location
from cluster.jobs.records import JobRequest, JobSetup
from cluster.jobs.searches import submit_search
from cluster.jobs.shipping import pack
from hscl.cli.main import main
from hscl.data.demo import write_demo

STUDY = """
[study]
name = "small"
[base]
"model.modalities" = "text"
"model.text.finetune" = false
"loss.omega1" = 0.0
"loss.omega2" = 0.0
"train.epochs" = 3
[space]
"train.lr" = { log_uniform = [1e-4, 1e-2] }
[sampler]
kind = "random"
trials = 3
[refine]
trials = 0
[confirm]
seeds = 2
"""


def _hscl(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["cluster", *arguments])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


@pytest.fixture
def study(tmp_path: Path) -> str:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return str(path)


def test_a_dry_run_lists_what_would_travel_and_reaches_for_nothing(
    capsys: pytest.CaptureFixture[str], study: str
) -> None:
    places = ("--data", "s3://b/d.arrow", "--out", "/nfs/run", "--address", "http://nowhere:1")
    code, said, errors = _hscl(capsys, "submit", study, *places, "--dry-run")
    assert (code, errors) == (0, "")
    assert "study.toml" in said
    assert "hscl/cli/main.py" not in said
    assert "search --study study.toml --data s3://b/d.arrow --out /nfs/run" in said
    code, said, _ = _hscl(capsys, "submit", study, *places, "--dry-run", "--ship-code")
    assert "hscl/cli/main.py" in said
    assert ".arrow " not in said.replace("d.arrow --out", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "/d", "--out", "runs"], "--out must be an absolute path"),
        (["--data", "s3://a:b@c/d", "--out", "/o"], "must not carry credentials"),
        (["--data", "/d", "--out", "/o", "--address", "ray://h:10001"], "http://h:8265"),
        (["--data", "/d", "--out", "/o", "--address", "http://127.0.0.1:9"], "must answer at"),
        (["--data", "/d"], "--out"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], study: str, arguments: list[str], words: str
) -> None:
    code, _, errors = _hscl(capsys, "submit", study, *arguments)
    assert code == 2
    assert words in errors
    assert "Traceback" not in errors


def test_a_study_with_mistakes_is_refused_before_anything_is_reached(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text("[sampler]\nkind = 'tpee'\n")
    places = ("--data", "/d", "--out", "/o", "--address", "http://127.0.0.1:9")
    code, _, errors = _hscl(capsys, "submit", str(tmp_path / "bad.toml"), *places)
    assert code == 2
    assert "sampler.kind" in errors


def test_help_of_every_command_loads_neither_ray_nor_torch() -> None:
    names = ("submit", "status", "logs", "stop", "list", "resume", "fetch", "doctor", "template")
    commands = [[], *([name] for name in names), ["token"]]
    code = (
        "import sys\nfrom hscl.cli.main import main\n"
        f"for command in {commands!r}:\n"
        "    try: main(['cluster', *command, '--help'])\n"
        "    except SystemExit as done: assert done.code == 0\n"
        "assert not {'ray', 'torch', 'pyarrow', 'requests'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Raises" not in done.stdout


@pytest.mark.cluster
def test_the_commands_that_it_names_go_to_the_same_cluster(
    ray_head: RayHead, tmp_path: Path
) -> None:
    connection = connect(ray_head.address, ray_head.environment())
    places = checked_location("--data", "/d.arrow"), checked_location("--out", str(tmp_path))
    job = submit_search(connection, JobRequest(JobSetup(pack("", with_code=False)), "it", *places))
    address = ("--address", ray_head.address)
    followed = ray_head.hscl("cluster", "logs", job, "-f", *address)
    assert f"go on with: hscl cluster resume {job} {' '.join(address)}" in followed.stderr
    waits = JobSetup(pack("", with_code=False), python="sleep 600 #", stop_wait_s=1)
    job = submit_search(connection, JobRequest(waits, "it", *places))
    stopped = ray_head.hscl("cluster", "stop", job, *address)
    assert f"go on with: hscl cluster resume {job} {' '.join(address)}" in stopped.stdout


@pytest.mark.cluster
@pytest.mark.slow
def test_a_search_is_sent_off_watched_killed_resumed_and_brought_back(
    ray_head: RayHead, tmp_path: Path
) -> None:
    """The folder is seen by both sides here; the several hosts are in test_cluster_hosts."""
    write_demo(tmp_path / "demo.arrow")
    (ray_head.folder / "study.toml").write_text(STUDY)
    data, out = str(tmp_path / "demo.arrow"), tmp_path / "out"
    places = ("--data", data, "--out", str(out))
    address = ("--address", ray_head.address)
    sent = ray_head.hscl("cluster", "submit", "study.toml", *places, *address, "--ship-code")
    assert sent.returncode == 0, sent.stderr
    assert "confirm  " in sent.stdout  # the plan, worked out where the data are
    job = next(line for line in sent.stdout.splitlines() if "submitted" in line).split()[1]
    deadline = time.monotonic() + 240
    while not list(out.glob("tables/reports/*.parquet")):
        assert time.monotonic() < deadline, ray_head.hscl("cluster", "logs", *address).stdout
        time.sleep(0.2)
    os.kill(_driver_of(str(out)), signal.SIGKILL)
    while json.loads(ray_head.hscl("cluster", "list", "--json", *address).stdout)[0]["status"] in {
        "RUNNING",
        "PENDING",
    }:
        assert time.monotonic() < deadline
    resumed = ray_head.hscl("cluster", "resume", job, "--follow", *address)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    told = ray_head.hscl("cluster", "status", *address)
    assert f"{job.removesuffix('1')}2  SUCCEEDED  small" in told.stdout
    assert "small: done" in told.stdout
    fetched = ray_head.hscl("cluster", "fetch", "here", *address)
    assert fetched.returncode == 0, fetched.stderr
    figures = assert_complete(ray_head.folder / "here")
    assert figures["started again"] >= 1
    written = [ray_head.folder, tmp_path]
    assert files_with(ray_head.token, *written) == []


def _driver_of(out: str) -> int:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if "-m cluster.job_entry search" in line and out in line:
                return int(folder.name)
    raise AssertionError(f"no driver writes to {out}")
