"""Ray for a study: sized, quiet, private, and the environment as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from hscl.errors import InputError
from tune.engine.ray_session import RaySession, check_machine, fit_here, ray_session
from tune.study.sections import ResourcesSection


def session_of(**resources: float) -> RaySession:
    return RaySession(ResourcesSection.model_validate(resources), Path())


def test_a_trial_larger_than_the_machine_is_refused_by_its_key() -> None:
    cpus = len(os.sched_getaffinity(0))
    check_machine(ResourcesSection(cpus=float(cpus)))
    with pytest.raises(InputError, match=f"resources.cpus must be at most the {cpus} of this"):
        check_machine(ResourcesSection(cpus=cpus + 1.0))
    with pytest.raises(InputError, match=r"resources\.gpus must be at most"):
        check_machine(ResourcesSection(gpus=99.0))
    with pytest.raises(InputError, match=r"resources\.memory_gib must be at most"):
        check_machine(ResourcesSection(memory_gib=1e6))
    with pytest.raises(InputError, match=r"resources\.custom names .*\(a100\)"):
        check_machine(ResourcesSection(custom={"a100": 1.0}))
    assert fit_here(ResourcesSection(cpus=0.5, gpus=0.0)) == 2 * cpus
    assert fit_here(ResourcesSection(gpus=0.0, memory_gib=1e6)) == 1
    assert fit_here(ResourcesSection(cpus=1e6)) == 1


def test_where_a_scheduler_binds_this_process_its_cpus_are_those_and_no_more() -> None:
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        assert fit_here(ResourcesSection(cpus=1.0, gpus=0.0)) == 1
        with pytest.raises(InputError, match=r"resources\.cpus must be at most the 1 of this"):
            check_machine(ResourcesSection(cpus=2.0))
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.usefixtures("shared_ray")
def test_a_ray_that_is_there_is_used_and_left_and_the_environment_is_as_before() -> None:
    import ray

    before = dict(os.environ)
    with ray_session(None, ResourcesSection(cpus=0.5, concurrent=3)) as session:
        assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "3"
        assert session.slots() == 3
        assert session.per_trial == {"cpu": 0.5, "gpu": session.per_trial["gpu"]}
        assert ray.get(session.put({"a": 1})) == {"a": 1}
    assert ray.is_initialized()
    assert dict(os.environ) == before


@pytest.mark.usefixtures("shared_ray")
def test_a_worker_is_as_nice_as_its_driver_and_lets_go_of_a_cpu_while_it_waits() -> None:
    import ray

    @ray.remote(num_cpus=0.1)
    def seen() -> tuple[int, str | None]:
        return os.nice(0), os.environ.get("OMP_WAIT_POLICY")

    assert ray.get(seen.remote()) == (os.nice(0), "PASSIVE")


@pytest.mark.usefixtures("shared_ray")
def test_a_trial_that_fits_on_no_node_is_refused() -> None:
    session_of(cpus=1).check_fit()
    with pytest.raises(InputError, match=r"takes 1e\+03 CPUs of the \d+ CPUs, .* GiB that Ray"):
        session_of(cpus=1000).check_fit()


@pytest.mark.usefixtures("shared_ray")
def test_without_a_number_as_many_run_as_fit() -> None:
    import ray

    cpus = ray.cluster_resources()["CPU"]  # type: ignore[no-untyped-call]
    assert session_of(cpus=0.5, gpus=0.0).slots() == 2 * cpus
    assert session_of(cpus=1e6, gpus=0.0).slots() == 1


GPUS_COUNTED = """
import ray
from pathlib import Path
from tune.engine.ray_session import RaySession
from tune.study.sections import ResourcesSection
ray.init(address="local", num_cpus=32, num_gpus=4, include_dashboard=False, log_to_driver=False)
session = RaySession(ResourcesSection(), Path())
print(session.slots(), session.per_trial)
ray.shutdown()
"""


@pytest.mark.cluster
def test_on_32_cpus_and_4_gpus_a_search_that_names_no_gpus_runs_4_trials() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GPUS_COUNTED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert done.stdout.splitlines()[-1] == "4 {'cpu': 1.0, 'gpu': 1.0}"


@pytest.mark.usefixtures("shared_ray")
def test_our_own_ray_has_a_secret_of_its_own_and_writes_none_into_the_home(
    tmp_path: Path,
) -> None:
    del tmp_path
    assert os.environ.get("RAY_AUTH_MODE") == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_addresses_that_are_no_drivers_are_refused_with_the_command_instead(address: str) -> None:
    with (
        pytest.raises(InputError, match="hscl cluster submit"),
        ray_session(address, ResourcesSection()),
    ):
        pass
