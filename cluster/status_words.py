"""A study's state on a cluster, for a person."""

from typing import Any

__all__ = ["status_lines"]


def status_lines(answer: dict[str, Any]) -> str:
    """Lines for the terminal.

    Args:
        answer: What the task `status` says, with `job` added.

    Returns:
        A few lines.
    """
    job, there = answer["job"], answer["cluster"]
    lines = []
    if job is not None:
        lines.append(f"job       {job['id']}  {job['status']}  {job['study']}  {job['out']}")
    used = ", ".join(
        f"{there['used'][name]:g} of {there['total'][name]:g} {name}s in use"
        for name in there["total"]
    )
    lines.append(f"cluster   {there['nodes']} nodes, {used}")
    return "\n".join([*lines, *answer["study"]["lines"]])
