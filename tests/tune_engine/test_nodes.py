"""A node on which no worker comes up is named and left alone; a trial is never blamed for it."""

from typing import Any

import pytest
from ray.tune import PlacementGroupFactory

from hscl.errors import RunError
from tune.engine.nodes import Nodes, innermost
from tune.engine.recorder import is_setback
from tune.states import NODE_BROKE
from tune.trial.messages import Breakdown

RAYS = """The actor died because of an error raised in its creation task,
\x1b[36mray::ImplicitFunc.__init__()\x1b[39m (pid=7, ip=10.77.0.2, actor_id=1)
  File "worker.py", line 657, in temporary_actor_method
RuntimeError: The actor with name ImplicitFunc failed to import on the worker. This may be because
Traceback (most recent call last):
    actor_class = pickle.loads(pickled_class)
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^
ImportError: cannot import name 'x' from 'hscl'
An unexpected internal error occurred while the worker was executing a task."""


WANTED = {"CPU": 1.0}


def node(number: int, cpus: float = 1.0, name: str = "id") -> dict[str, Any]:
    entry = {"NodeID": f"{name}{number}", "NodeManagerHostname": f"host{number}"}
    return entry | {"Resources": {"CPU": cpus}}


LIVING: dict[str, list[dict[str, Any]]] = {f"10.77.0.{n}": [node(n)] for n in (1, 2)}


def two_nodes() -> Nodes:
    return Nodes(lambda: LIVING)


def no_start(address: str) -> Exception:
    return RuntimeError(RAYS.replace("10.77.0.2", address))


def asked(nodes: Nodes) -> Any:
    return nodes.elsewhere(PlacementGroupFactory([WANTED]))._kwargs


def test_the_line_that_says_what_it_was_has_no_colours_and_no_carets() -> None:
    assert innermost(RAYS) == "ImportError: cannot import name 'x' from 'hscl'"
    assert innermost("gone\n   ^^^^\n") == "gone"
    assert innermost("") == "no reason given"


def test_after_three_starts_a_node_is_put_aside() -> None:
    nodes, wanted = two_nodes(), PlacementGroupFactory([WANTED])
    for _ in range(3):
        assert nodes.elsewhere(wanted) is wanted
        said = nodes.broke(no_start("10.77.0.2"), WANTED)
        assert said is not None
        assert str(said) == (
            f"{NODE_BROKE}: 10.77.0.2: ImportError: cannot import name 'x' from 'hscl'"
        )
    elsewhere = nodes.elsewhere(wanted)
    assert elsewhere.bundles == wanted.bundles
    assert elsewhere._kwargs == {"bundle_label_selector": [{"ray.io/node-id": "!in(id2)"}]}
    assert [nodes.aside(LIVING[f"10.77.0.{n}"][0]) for n in (1, 2)] == [False, True]


def test_a_node_that_differs_is_put_aside_at_once_and_nothing_is_held_against_a_trial() -> None:
    nodes = two_nodes()
    nodes.works("host2")  # it did, before its data were changed
    said = nodes.differs("10.77.0.2", Breakdown("differs", "host2 runs other code"), WANTED)
    assert said == Breakdown(NODE_BROKE, "10.77.0.2: host2 runs other code")
    assert not is_setback(str(said))
    assert asked(nodes) == {"bundle_label_selector": [{"ray.io/node-id": "!in(id2)"}]}


def test_where_all_nodes_differ_the_run_ends_with_one_message_that_names_each() -> None:
    nodes = two_nodes()
    nodes.differs("10.77.0.2", Breakdown("differs", "host2 has torch 1"), WANTED)
    last = nodes.differs("10.77.0.1", Breakdown("differs", "host1 has torch 2"), WANTED)
    assert last.kind == "differs"
    assert last.text == "10.77.0.2: host2 has torch 1; 10.77.0.1: host1 has torch 2"
    unknown = Breakdown("differs", "nobody knows where")
    assert two_nodes().differs("", unknown, WANTED) == unknown


def test_a_head_without_cpus_is_no_node_that_is_left() -> None:
    living = {"10.77.0.1": [node(1, cpus=0.0)], "10.77.0.2": [node(2)]}
    differs = Breakdown("differs", "host2 runs other code")
    assert Nodes(lambda: living).differs("10.77.0.2", differs, WANTED) == differs
    nodes = Nodes(lambda: living)
    for _ in range(2):
        assert nodes.broke(no_start("10.77.0.2"), WANTED) is not None
    with pytest.raises(RunError, match=r"none does: 10\.77\.0\.2: ImportError"):
        nodes.broke(no_start("10.77.0.2"), WANTED)


def test_a_node_that_was_mended_and_joined_again_may_be_used() -> None:
    living = dict(LIVING)
    nodes = Nodes(lambda: living)
    nodes.differs("10.77.0.2", Breakdown("differs", "host2 runs other code"), WANTED)
    living["10.77.0.2"] = [node(2, name="new")]
    assert asked(nodes) == {}


def test_a_node_that_has_worked_is_not_suspected() -> None:
    nodes = two_nodes()
    nodes.works("host2")
    assert nodes.broke(no_start("10.77.0.2"), WANTED) is None
    assert nodes.broke(no_start("10.77.0.9"), WANTED) is None
    assert nodes.broke(None, WANTED) is None


def test_where_no_node_is_left_the_run_ends_and_says_why() -> None:
    nodes = two_nodes()
    for number in (1, 2, 1, 2, 1):
        nodes.broke(no_start(f"10.77.0.{number}"), WANTED)
    with pytest.raises(
        RunError, match=r"none does: 10\.77\.0\.1.*; 10\.77\.0\.2: ImportError: cannot"
    ):
        nodes.broke(no_start("10.77.0.2"), WANTED)
