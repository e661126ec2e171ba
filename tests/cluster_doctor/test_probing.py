"""Every node is asked everything, beside whatever else it does."""

import pytest
from cluster_head import NODE, RayHead

from cluster.connect.connection import connect
from cluster.jobs.head_tasks import ask_head
from cluster.jobs.records import JobSetup
from cluster.jobs.shipping import pack

pytestmark = pytest.mark.cluster


def test_a_node_answers_while_its_only_cpu_is_taken(ray_head: RayHead) -> None:
    connection = connect(ray_head.address, ray_head.environment())
    busy = connection.client.submit_job(entrypoint="sleep 600", entrypoint_num_cpus=1)
    setup = JobSetup(pack("", with_code=False))
    out = str(ray_head.folder / "out")
    arguments = ["probe", "--data", "/no/data.arrow", "--out", out, "--encoder", "/no/encoder"]
    report = ask_head(connection, setup, arguments)
    connection.client.stop_job(busy)
    (node,) = report["nodes"]
    assert node["address"] == NODE
    assert node["resources"]["CPU"] == 1
    assert report["resources"]["CPU"] == 1
    assert report["links"] == []
    assert "no such file" in node["data"]["error"]
    assert "does not exist" in node["encoder /no/encoder"]["error"]
    assert "error" not in node["write"]
    assert not (ray_head.folder / "out").exists()
    assert report["driver"]["code"] == node["code"]
    assert report["driver"]["packages"] == node["packages"]
    assert abs(node["skew"]) < 1
    assert "error" not in node
