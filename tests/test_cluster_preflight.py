"""What would end a search at its start is said before it is submitted."""

from pathlib import Path

import pytest
from cluster_head import RayHead

from cluster.connection import Connection, connect
from cluster.job_records import JobSetup, SearchRequest
from cluster.jobs import search_jobs
from cluster.preflight import check_search
from cluster.shipping import pack
from cluster.uris import checked_location
from hscl.errors import InputError
from tune.study_toml import parse_spec

pytestmark = pytest.mark.cluster
SPEC = parse_spec({"space": {"loss.temperature": {"uniform": [0.1, 0.9]}}})


@pytest.fixture(scope="module")
def connection(ray_head: RayHead) -> Connection:
    return connect(ray_head.address, ray_head.environment())


def test_data_that_the_head_cannot_see_are_named_and_nothing_is_submitted(
    connection: Connection, tmp_path: Path
) -> None:
    request = SearchRequest(
        JobSetup(pack(SPEC, with_code=False)),
        "mine",
        checked_location("--data", "/on/the/laptop/only.arrow"),
        checked_location("--out", str(tmp_path / "out")),
    )
    with pytest.raises(InputError, match=r"on the cluster: /on/the/laptop/only\.arrow"):
        check_search(connection, request)
    assert not (tmp_path / "out").exists()
    assert all(job.out != request.out.uri for job in search_jobs(connection))
