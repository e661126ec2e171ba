"""Short questions to the cluster that only it can answer, asked as jobs and forgotten.

What comes from tables is computed where the tables are: this machine needs the job interface and
nothing else. Each task is a job of its own that prints one answer and is deleted afterwards.
"""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from ray.job_submission import JobDetails, JobStatus

from cluster.connect.connection import Connection, RefusalError, asked
from cluster.jobs.records import ACTIVE, JobRequest, JobSetup
from cluster.jobs.searches import start_job
from cluster.jobs.shipping import ANSWER
from hscl.errors import HsclError, InputError, RunError

__all__ = ["TaskResult", "ask_head", "check_search", "failure", "run_on_head"]

_ERROR = "hscl: error: "
_END_S = 30.0
_BEGIN = "Running entrypoint for job "


@dataclass(frozen=True)
class TaskResult:
    """What a task did.

    Attributes:
        exit_code: The process's exit code.
        output: What it printed, standard error included.
    """

    exit_code: int
    output: str


def ask_head(
    connection: Connection, setup: JobSetup, arguments: list[str], timeout_s: float = 300
) -> Any:
    """Run a task and return the JSON value that it answers.

    Args:
        connection: The cluster.
        setup: As in `run_on_head`.
        arguments: As in `run_on_head`.
        timeout_s: As in `run_on_head`.

    Returns:
        The answer.

    Raises:
        InputError: The task ended with exit code 2: its message.
        RunError: It failed in another way: its message, or its last lines.
    """  # noqa: DOC502 - InputError: one of the failures
    outcome = run_on_head(connection, setup, arguments, timeout_s)
    if outcome.exit_code == 0:
        for line in reversed(outcome.output.splitlines()):
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
    found = failure(outcome, setup.python)
    if found is not None:
        raise found
    message = (
        f"the cluster must answer, but {arguments[0]!r} printed none:\n{outcome.output[-2000:]}"
    )
    raise RunError(message)


def run_on_head(
    connection: Connection, setup: JobSetup, arguments: list[str], timeout_s: float = 300
) -> TaskResult:
    """Run `python -m cluster.job_entry` on the head and wait for it.

    Args:
        connection: The cluster.
        setup: How the search that is asked about was started.
        arguments: The entry's arguments.
        timeout_s: When to give up.

    Returns:
        Exit code and output.

    Raises:
        RunError: It did not start, or did not end in time.
    """
    name = start_job(
        connection, setup, arguments, f"hscl-task-{secrets.token_hex(4)}", {"hscl": "task"}
    )
    deadline = time.monotonic() + timeout_s
    details: JobDetails = asked(connection.client.get_job_info, name)
    try:
        while details.status in ACTIVE:
            if time.monotonic() > deadline:
                message = (
                    f"the head must answer {arguments[0]!r} within {timeout_s:.0f} s, but did "
                    "not; is it out of CPUs or memory?"
                )
                raise RunError(message)
            time.sleep(0.25)
            details = asked(connection.client.get_job_info, name)
        log: str = asked(connection.client.get_job_logs, name)
    finally:
        _forget(connection, name)
    if details.driver_exit_code is None and details.status != JobStatus.SUCCEEDED:
        message = f"the cluster must be able to start a task, but: {_cause(details.message or '')}"
        raise RunError(message)
    _, mark, rest = log.rpartition(_BEGIN)
    output = rest.partition("\n")[2] if mark else log
    return TaskResult(details.driver_exit_code or 0, output)


def failure(outcome: TaskResult, python: str) -> HsclError | None:
    """A task's failure as an error of ours.

    Args:
        outcome: What the task did.
        python: The Python that was asked to run it.

    Returns:
        None where it succeeded; an InputError for exit code 2, or where our packages or that
        Python are not on the head; else a RunError.
    """
    code, output = outcome.exit_code, outcome.output
    if code == 0:
        return None
    if code in {126, 127}:
        message = (
            f"{python!r} must run on the cluster's head, but its shell does not find it; give "
            "the nodes' Python with --python, such as --python /opt/venv/bin/python"
        )
        return InputError(message)
    for module in ("cluster", "tune", "hscl"):
        if f"No module named '{module}" in output or f"No module named {module}" in output:
            message = (
                f"hscl-search must be installed for {python!r} on the head, but there is no "
                f"module {module!r}; send the packages along with --ship-code, or name another "
                "Python with --python"
            )
            return InputError(message)
    _, mark, said = output.rpartition(_ERROR)
    text = said.strip() if mark else _tail_text(output)
    kind = InputError if code == 2 else RunError
    return kind(f"on the cluster: {text}")


def _forget(connection: Connection, name: str) -> None:
    """Stop a task that still runs, and take it off the cluster's list.

    Ray may write its last status once more and so list it again, without anything of ours.
    """
    try:
        deadline = time.monotonic() + _END_S
        if asked(connection.client.get_job_status, name) in ACTIVE:
            asked(connection.client.stop_job, name)
            while asked(connection.client.get_job_status, name) in ACTIVE:
                if time.monotonic() > deadline:
                    return  # it still ends, and stays on Ray's own list only
                time.sleep(0.25)
        asked(connection.client.delete_job, name)
    except RefusalError:
        return


def _cause(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else "Ray gives no reason"


def _tail_text(output: str) -> str:
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return "\n".join(lines[-5:]) or "it ended without a word"


_CHECK_S = 600.0  # reading a large data set for the first time


def check_search(connection: Connection, request: JobRequest) -> str:
    """Let the head read study and data, as `hscl search --dry-run` does.

    Args:
        connection: The cluster.
        request: The search.

    Returns:
        What the study would do, in words.

    Raises:
        HsclError: What the search would end with.
    """  # noqa: DOC502 - an InputError or RunError, made by failure()
    outcome = run_on_head(
        connection, request.setup, [*request.arguments, "--dry-run"], timeout_s=_CHECK_S
    )
    found = failure(outcome, request.setup.python)
    if found is not None:
        raise found
    return outcome.output.strip()
