"""The doctor's verdicts: every lack is one line with what to do about it."""

import copy
from typing import Any

import pytest

from cluster.doctor.checks import Check, alike, checks_of
from tune.study.toml import parse_spec

GIB = 2**30
SPACE = {"loss.temperature": {"uniform": [0.1, 0.9]}}


def _node(address: str) -> dict[str, Any]:
    return {
        "address": address,
        "host": f"node-{address}",
        "resources": {"CPU": 4.0, "GPU": 1.0},
        "python": "3.11.7",
        "packages": {"ray": "2.60.0", "torch": "2.13.0"},
        "code": "c" * 64,
        "memory_free": 30 * GIB,
        "memory_total": 32 * GIB,
        "disk": {"free": 50 * GIB, "total": 100 * GIB},
        "gpus": {"names": ["H100"]},
        "data": {"digest": "d" * 64, "rows": 2199, "bytes": 10},
        "write": {},
        "encoder minilm": {"digest": "e" * 64, "width": 384},
        "skew": 0.01,
    }


def _report(*nodes: dict[str, Any]) -> dict[str, Any]:
    found = list(nodes) or [_node("10.0.0.1"), _node("10.0.0.2")]
    links = [{"from": "10.0.0.1", "to": "10.0.0.2"}, {"from": "10.0.0.2", "to": "10.0.0.1"}]
    return {"nodes": found, "links": links, "resources": {"CPU": 8.0, "GPU": 2.0}}


def _problems(report: dict[str, Any], **tables: Any) -> list[Check]:
    checks = checks_of(report, parse_spec({"space": SPACE} | tables))
    assert all(check.todo == "" for check in checks if check.ok)
    assert all(check.todo for check in checks if not check.ok)
    return [check for check in checks if not check.ok]


def test_a_sound_cluster_has_no_problem() -> None:
    report = _report()
    assert _problems(report) == []
    assert len(checks_of(report)) > 10


@pytest.mark.parametrize(
    ("key", "value", "name", "words"),
    [
        ("python", "3.12.1", "Python", "3.12 on 10.0.0.2"),
        ("packages", {"ray": "2.60.0", "torch": "2.12.0"}, "torch", "2.12.0 on 10.0.0.2"),
        ("code", "f" * 64, "code of hscl", "ffffffffffff on 10.0.0.2"),
        ("packages", {"ray": "2.60.0", "torch": None}, "torch", "not installed on 10.0.0.2"),
        ("gpus", {"error": "RuntimeError: no CUDA driver"}, "torch on GPUs", "no CUDA driver"),
        ("gpus", {"names": []}, "torch on GPUs", "Ray counts 1, torch sees 0"),
        ("data", {"error": "there is no such file"}, "data", "10.0.0.2: there is no such file"),
        ("data", {"digest": "f" * 64}, "data", "ffffffffffff on 10.0.0.2"),
        ("encoder minilm", {"error": "is not there"}, "encoder minilm", "10.0.0.2: is not there"),
        ("encoder minilm", {"digest": "f" * 64}, "encoder minilm", "ffffffffffff on 10.0.0.2"),
        ("packages", {"ray": "2.59.0", "torch": "2.13.0"}, "ray", "2.59.0 on 10.0.0.2"),
        ("write", {"error": "PermissionError: denied"}, "output", "10.0.0.2: PermissionError"),
        ("disk", {"free": 1 * GIB, "total": 10 * GIB}, "disk", "1.0 GiB free"),
        ("disk", {"free": 40 * GIB, "total": 1000 * GIB}, "disk", "40.0 GiB free"),
        ("memory_free", 1 * GIB, "memory", "1.0 GiB free for 1 trials"),
        ("exposed", "/root/t has mode 0644", "token files", "10.0.0.2: /root/t has mode 0644"),
        ("skew", -7.5, "clocks", "10.0.0.2: -7.5 s"),
        ("error", "it did not answer in time", "nodes", "10.0.0.2: it did not answer"),
    ],
)
def test_one_lack_is_one_problem_that_names_the_node(
    key: str, value: Any, name: str, words: str
) -> None:
    (problem,) = _problems(_report(_node("10.0.0.1"), _node("10.0.0.2") | {key: value}))
    assert problem.name == name
    assert words in problem.found


def test_memory_is_counted_for_the_trials_that_a_search_would_run() -> None:
    node = _node("10.0.0.1") | {"resources": {"CPU": 32.0, "GPU": 4.0}, "memory_free": 9 * GIB}
    node["gpus"] = {"names": ["H100"] * 4}
    report = _report(node)
    assert _problems(report) == []
    assert all(check.ok for check in checks_of(report))
    on_cpus = _problems(report, resources={"gpus": 0.0})
    assert [check.found for check in on_cpus] == ["10.0.0.1: 9.0 GiB free for 32 trials at once"]
    # What the line advises helps.
    assert _problems(report, resources={"gpus": 0.0, "concurrent": 4}) == []


def test_a_node_without_our_packages_is_told_apart() -> None:
    silent = {"address": "10.0.0.2", "resources": {}, "error": "No module named 'cluster'"}
    (problem,) = _problems(_report(_node("10.0.0.1"), silent))
    assert "--ship-code" in problem.todo


def test_closed_ports_between_nodes_are_named() -> None:
    report = _report()
    report["links"][0]["error"] = "it did not answer in time"
    (problem,) = _problems(report)
    assert "10.0.0.1 → 10.0.0.2" in problem.found
    assert "--object-manager-port" in problem.todo


def test_no_gpu_where_one_is_asked_for() -> None:
    nodes = [_node("10.0.0.1"), _node("10.0.0.2")]
    for node in nodes:
        del node["gpus"]
        del node["resources"]["GPU"]
    report = _report(*nodes) | {"resources": {"CPU": 8.0}}
    assert _problems(copy.deepcopy(report)) == []
    (problem,) = _problems(report, resources={"gpus": 0.5})
    assert problem.name == "GPUs"
    assert "asks for 0.5" in problem.found


def test_a_driver_with_another_python_environment_than_its_nodes_is_named() -> None:
    driver = _node("the driver") | {"packages": {"ray": "2.60.0", "torch": "2.12.0"}}
    report = _report() | {"driver": driver}
    (problem,) = _problems(report)
    assert problem.found == "2.13.0 on 10.0.0.1, 10.0.0.2; 2.12.0 on the driver"
    assert [check for check in alike(report) if not check.ok] == [problem]


def test_builds_of_one_version_for_cpus_and_gpus_are_alike() -> None:
    for number, label in enumerate(("+cu128", "+cpu")):
        report = _report()
        report["nodes"][number]["packages"]["torch"] += label
        assert _problems(report) == []


def test_another_patch_of_python_is_no_problem() -> None:
    assert _problems(_report(_node("10.0.0.1"), _node("10.0.0.2") | {"python": "3.11.9"})) == []
