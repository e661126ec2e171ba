"""A study's state in lines that name the job, the cluster and the tables."""

from typing import Any

import pytest

from cluster.status_words import status_lines

JOB = {
    "id": "hscl-0123456789-1",
    "status": "RUNNING",
    "study": "mosi",
    "out": "s3://bucket/run",
    "message": None,
}
CLUSTER = {"nodes": 3, "total": {"CPU": 8.0, "GPU": 2.0}, "used": {"CPU": 5.0, "GPU": 1.75}}


def _answer(**changed: Any) -> dict[str, Any]:
    return {"job": JOB, "cluster": CLUSTER, "study": {}, "text": "mosi: unfinished"} | changed


def test_job_cluster_and_tables_each_have_their_lines() -> None:
    first, second, third = status_lines(_answer()).splitlines()
    assert "hscl-0123456789-1  RUNNING  mosi  s3://bucket/run" in first
    assert "3 nodes, 5 of 8 CPUs in use, 1.75 of 2 GPUs in use" in second
    assert third == "mosi: unfinished"


def test_before_the_first_table_it_says_so() -> None:
    assert "nothing is written yet" in status_lines(_answer(study=None, text=""))


def test_a_forgotten_job_leaves_its_line_out() -> None:
    assert status_lines(_answer(job=None)).startswith("cluster")


@pytest.mark.parametrize("message", ["several\nlines\nOSError: disk full"])
def test_a_failed_job_says_why(message: str) -> None:
    lines = status_lines(_answer(job=JOB | {"status": "FAILED", "message": message}))
    assert "OSError: disk full" in lines
    assert "several" not in lines
