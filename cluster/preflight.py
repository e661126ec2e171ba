"""Tries on the head what would end a search at its start, before it is submitted."""

from cluster.connection import Connection
from cluster.head_tasks import failure, run_on_head
from cluster.job_records import SearchRequest

__all__ = ["check_search"]

_CHECK_S = 600.0  # reading a large data set for the first time


def check_search(connection: Connection, request: SearchRequest) -> str:
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
