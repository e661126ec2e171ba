"""The doctor's whole visit, on a real head."""

from pathlib import Path

import pytest
from cluster_head import RayHead

from cluster.connect.connection import Connection, connect
from cluster.connect.uris import checked_location
from cluster.doctor.diagnosis import diagnose
from cluster.jobs.records import JobSetup
from cluster.jobs.shipping import pack
from hscl.data.demo import write_demo
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def _spec(**base: object) -> StudySpec:
    return parse_spec(
        {
            "base": {"model.text.finetune": False, "train.epochs": 3} | base,
            "space": {"loss.temperature": {"uniform": [0.1, 0.9]}},
            "sampler": {"trials": 4},
        }
    )


SPEC = _spec()


@pytest.fixture(scope="module")
def connection(ray_head: RayHead) -> Connection:
    return connect(ray_head.address, ray_head.environment())


def test_a_ready_cluster_gets_a_cost(connection: Connection, tmp_path: Path) -> None:
    write_demo(tmp_path / "demo.arrow")
    data = checked_location("--data", str(tmp_path / "demo.arrow"))
    out = checked_location("--out", str(tmp_path / "out"))
    setup = JobSetup(pack(SPEC, with_code=True))
    checks, cost = diagnose(connection, setup, SPEC, data, out)
    assert [check for check in checks if not check.ok] == []
    names = [check.name for check in checks]
    assert names[:3] == ["reachable", "token", "nodes"]
    assert {"data", "output", "encoder minilm", "first steps", "hscl-search here"} <= set(names)
    assert cost is not None
    assert cost.seconds_per_epoch > 0
    assert cost.at_once == 1
    assert not (tmp_path / "out").exists()


def test_with_a_problem_nothing_is_timed(connection: Connection) -> None:
    data = checked_location("--data", "/no/such.arrow")
    checks, cost = diagnose(connection, JobSetup(pack(SPEC, with_code=False)), SPEC, data, None)
    assert [check.name for check in checks if not check.ok] == ["data"]
    assert cost is None


def test_a_study_that_its_data_do_not_fit_is_one_of_the_checks(
    connection: Connection, tiny_file: Path
) -> None:
    spec = _spec(**{"model.text.encoder": "file"})
    data, setup = checked_location("--data", str(tiny_file)), JobSetup(pack(spec, with_code=True))
    checks, cost = diagnose(connection, setup, spec, data, None)
    assert cost is None
    (problem,) = (check for check in checks if not check.ok)
    assert problem.name == "first steps"
    assert problem.found.startswith("on the cluster: ")
    assert "text vectors" in problem.found
    assert "Traceback" not in problem.found
    assert "RayTaskError" not in problem.found
