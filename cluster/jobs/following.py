"""A job's output as it comes, across dropped connections."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from ray.job_submission import JobStatus

from cluster.connect.connection import Connection, RefusalError, asked
from cluster.jobs.records import ACTIVE
from hscl.errors import RunError

__all__ = ["follow", "output_of"]

_GIVE_UP_S = 120.0  # without an answer
_SILENCE_S = 60.0
_PAUSE_S = 2.0


def output_of(connection: Connection, job_id: str) -> str:
    """All that a job has printed so far."""
    text: str = asked(connection.client.get_job_logs, job_id)
    return text


def follow(connection: Connection, job_id: str, write: Callable[[str], None]) -> JobStatus:
    """Write a job's output until it ends; a broken connection is made again without a gap.

    Args:
        connection: The cluster.
        job_id: The job.
        write: Takes each new piece.

    Returns:
        The job's status at its end.

    Raises:
        RunError: The cluster did not answer for two minutes.
        RefusalError: It does not know the job any more.
    """
    seen = 0
    heard = time.monotonic()
    while True:
        try:
            seen = asyncio.run(_tail(connection, job_id, seen, write))
            status: JobStatus = asked(connection.client.get_job_status, job_id)
            heard = time.monotonic()
            if status not in ACTIVE:
                rest = output_of(connection, job_id)[seen:]
                write(rest)
                return status
        except RefusalError:
            raise
        except RunError as error:
            if time.monotonic() - heard > _GIVE_UP_S:
                raise RunError(str(error)) from None
        time.sleep(_PAUSE_S)


async def _tail(
    connection: Connection, job_id: str, seen: int, write: Callable[[str], None]
) -> int:
    """Stream until the connection ends; returns how many characters were written in all.

    The server sends the output from its beginning: what was seen before is left out.
    """
    position = 0
    stream = cast("AsyncGenerator[str]", connection.client.tail_job_logs(job_id))
    async with aclosing(stream) as pieces:
        while True:
            try:
                # A cable that is pulled says nothing: after a silence it is connected anew.
                piece = await asyncio.wait_for(anext(pieces), _SILENCE_S)
            except Exception:  # noqa: BLE001 - the end, or one of many ways to say that it broke
                return seen
            new = piece[max(0, seen - position) :]
            position += len(piece)
            if new:
                write(new)
                seen = position
