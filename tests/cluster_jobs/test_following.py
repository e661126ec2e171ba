"""A job's output comes once, in order, to its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import pytest
from cluster_head import RayHead
from ray.job_submission import JobStatus

from cluster.connect.connection import Connection, RefusalError, asked, connect
from cluster.jobs import following
from cluster.jobs.following import follow, output_of

pytestmark = pytest.mark.cluster
LINES = "".join(f"line {number} über\n" for number in range(300))
PRINTS = (
    "exec python -c 'import time\n"
    'for n in range(300): print(f"line {n} über", flush=True); time.sleep(0.01)\''
)


@pytest.fixture(scope="module")
def connection(ray_head: RayHead) -> Connection:
    return connect(ray_head.address, ray_head.environment())


def _printed(text: str) -> str:
    """The job's own lines: Ray writes some before them and, on a busy machine, between them."""
    ours = text[text.index("line 0 ") :].splitlines(keepends=True)
    rays = ("Running entrypoint for job", "for n in range(300)")  # the entrypoint has two lines
    return "".join(line for line in ours if not any(said in line for said in rays))


def test_output_is_followed_to_the_end_without_loss_or_repetition(connection: Connection) -> None:
    job_id = asked(connection.client.submit_job, entrypoint=PRINTS)
    pieces: list[str] = []
    assert follow(connection, job_id, pieces.append) is JobStatus.SUCCEEDED
    assert _printed("".join(pieces)) == LINES
    assert _printed(output_of(connection, job_id)) == LINES


def test_a_broken_stream_is_taken_up_where_it_broke(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real stream, cut after a few pieces each time, as a changing network does."""
    job_id = asked(connection.client.submit_job, entrypoint=PRINTS)
    tail = connection.client.tail_job_logs
    cuts = [1, 3, 2, 5]

    async def cut_short(name: str) -> AsyncGenerator[str]:
        left = cuts.pop(0) if cuts else 10**9
        async with aclosing(cast("AsyncGenerator[str]", tail(name))) as stream:
            async for piece in stream:
                yield piece
                left -= 1
                if not left:
                    raise OSError("connection reset by peer")

    monkeypatch.setattr(connection.client, "tail_job_logs", cut_short)
    monkeypatch.setattr(following, "_PAUSE_S", 0.05)
    pieces: list[str] = []
    assert follow(connection, job_id, pieces.append) is JobStatus.SUCCEEDED
    assert len(cuts) < 4
    assert _printed("".join(pieces)) == LINES


def test_a_silent_stream_is_made_anew(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = asked(connection.client.submit_job, entrypoint=PRINTS)
    tail = connection.client.tail_job_logs
    silences = [True]

    async def silent_once(name: str) -> AsyncGenerator[str]:
        if silences:
            silences.pop()
            await asyncio.sleep(3600)
        async for piece in tail(name):
            yield piece

    monkeypatch.setattr(connection.client, "tail_job_logs", silent_once)
    monkeypatch.setattr(following, "_SILENCE_S", 0.5)
    pieces: list[str] = []
    assert follow(connection, job_id, pieces.append) is JobStatus.SUCCEEDED
    assert not silences
    assert _printed("".join(pieces)) == LINES


def test_a_failing_job_is_said_to_have_failed(connection: Connection) -> None:
    job_id = asked(connection.client.submit_job, entrypoint="echo oh no; exit 3")
    pieces: list[str] = []
    assert follow(connection, job_id, pieces.append) is JobStatus.FAILED
    assert "oh no" in "".join(pieces)


def test_an_unknown_job_is_refused(connection: Connection) -> None:
    with pytest.raises(RefusalError, match="404"):
        follow(connection, "hscl-none-1", _ignore)


def _ignore(piece: Any) -> None:
    """Print nothing."""
