"""A study's state on a cluster, for a person."""

from typing import Any

__all__ = ["status_lines"]


def status_lines(answer: dict[str, Any]) -> str:
    """Lines for the terminal.

    Args:
        answer: What the task `status` says, with `job` added.

    Returns:
        The job, the cluster, and what `hscl status` says of the tables.
    """
    job, there = answer["job"], answer["cluster"]
    lines = []
    if job is not None:
        lines.append(f"job        {job['id']}  {job['status']}  {job['study']}  {job['out']}")
        if job["status"] == "FAILED" and job["message"]:
            lines.append(f"           {job['message'].splitlines()[-1]}")
    used = "".join(
        f", {there['used'][name]:g} of {there['total'][name]:g} {name}s in use"
        for name in there["total"]
    )
    lines.append(f"cluster    {there['nodes']} nodes{used}")
    lines.append(answer["text"] or "study      nothing is written yet; see `hscl cluster logs`")
    return "\n".join(lines)
