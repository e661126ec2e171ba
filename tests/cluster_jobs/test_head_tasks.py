"""Questions that the head answers: asked as jobs, answered once, forgotten."""

import re
from pathlib import Path

import pytest
from cluster_head import RayHead

from cluster.connect.connection import Connection, asked, connect
from cluster.connect.uris import checked_location
from cluster.jobs.head_tasks import TaskResult, ask_head, check_search, failure, run_on_head
from cluster.jobs.records import JobRequest, JobSetup
from cluster.jobs.searches import search_jobs
from cluster.jobs.shipping import pack
from hscl.errors import InputError, RunError
from tune.study.toml import parse_spec

pytestmark = pytest.mark.cluster
SETUP = JobSetup(pack("", with_code=False))


@pytest.fixture(scope="module")
def connection(ray_head: RayHead) -> Connection:
    return connect(ray_head.address, ray_head.environment())


@pytest.fixture(scope="module")
def study(ray_head: RayHead) -> Path:
    folder = ray_head.folder / "study"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "0123456789ab-7.txt").write_text("epoch 1: über\nepoch 2\n")
    return folder


def _running_tasks(connection: Connection) -> set[str]:
    jobs = asked(connection.client.list_jobs)
    names = (job.submission_id or "" for job in jobs if not job.status.is_terminal())
    return {name for name in names if name.startswith("hscl-task-")}


def _searches(connection: Connection) -> set[str]:
    return {job.id for job in search_jobs(connection)}


def test_an_answer_comes_back_whole_and_the_task_is_forgotten(
    connection: Connection, study: Path
) -> None:
    arguments = ["trial-log", "--out", str(study), "--trial", "0123456789ab-7"]
    searches = _searches(connection)
    assert ask_head(connection, SETUP, arguments) == "epoch 1: über\nepoch 2\n"
    assert _running_tasks(connection) == set()
    assert _searches(connection) == searches  # a task is no search


def test_bad_input_there_is_bad_input_here(connection: Connection, study: Path) -> None:
    arguments = ["trial-log", "--out", str(study), "--trial", "0123456789ab-8"]
    with pytest.raises(InputError, match="did you mean '0123456789ab-7'") as caught:
        ask_head(connection, SETUP, arguments)
    assert "Traceback" not in str(caught.value)


def test_shipped_packages_are_the_ones_that_run(connection: Connection, ray_head: RayHead) -> None:
    setup = JobSetup(pack("", with_code=True), python="python -v")
    out = str(ray_head.folder / "none")
    outcome = run_on_head(connection, setup, ["trial-log", "--out", out, "--trial", "x"])
    loaded = [
        line for line in outcome.output.splitlines() if line.startswith("# code object from")
    ]
    # From source, or from bytecode beside it.
    ours = [line for line in loaded if re.search(r"/(__pycache__/)?(job_entry|main)\.", line)]
    ours = [line for line in ours if "/cluster/" in line or "/hscl/cli/" in line]
    assert outcome.exit_code == 2
    assert ours
    assert all("py_modules_files" in line for line in ours)


def test_a_python_that_is_not_there_is_named(connection: Connection) -> None:
    with pytest.raises(InputError, match="'/opt/none/python' must run on the cluster's head"):
        ask_head(connection, JobSetup(SETUP.shipment, python="/opt/none/python"), ["status"])


def test_a_python_without_our_packages_is_told_to_ship_them(connection: Connection) -> None:
    with pytest.raises(InputError, match="--ship-code"):
        ask_head(connection, JobSetup(SETUP.shipment, python="python -I -S"), ["status"])


def test_a_task_that_takes_too_long_is_stopped(connection: Connection) -> None:
    setup = JobSetup(SETUP.shipment, python="sleep 600 #")
    with pytest.raises(RunError, match="within 4 s"):
        run_on_head(connection, setup, ["status"], timeout_s=4)
    assert _running_tasks(connection) == set()


@pytest.mark.parametrize(
    ("code", "output", "kind", "words"),
    [
        (2, "noise\nhscl: error: a key\nis wrong\n", InputError, "a key\nis wrong"),
        (1, "hscl: error: disk full", RunError, "disk full"),
        (1, "Traceback …\nKeyError: 'x'\n", RunError, "KeyError: 'x'"),
        (137, "", RunError, "ended without a word"),
        (1, "/usr/bin/python: No module named cluster", InputError, "--ship-code"),
    ],
)
def test_failures_keep_their_message_and_kind(
    code: int, output: str, kind: type[Exception], words: str
) -> None:
    found = failure(TaskResult(code, output), "python")
    assert type(found) is kind
    assert words in str(found)
    assert failure(TaskResult(0, ""), "python") is None


pytestmark = pytest.mark.cluster
SPEC = parse_spec({"space": {"loss.temperature": {"uniform": [0.1, 0.9]}}})


def test_data_that_the_head_cannot_see_are_named_and_nothing_is_submitted(
    connection: Connection, tmp_path: Path
) -> None:
    request = JobRequest(
        JobSetup(pack(SPEC, with_code=False)),
        "mine",
        checked_location("--data", "/on/the/laptop/only.arrow"),
        checked_location("--out", str(tmp_path / "out")),
    )
    with pytest.raises(InputError, match=r"on the cluster: /on/the/laptop/only\.arrow"):
        check_search(connection, request)
    assert not (tmp_path / "out").exists()
    assert all(job.out != request.out.uri for job in search_jobs(connection))
