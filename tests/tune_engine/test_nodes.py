"""A node on which no worker comes up is named and left alone; a trial is never blamed for it."""

from typing import Any

import pytest
from ray.tune import PlacementGroupFactory

from hscl.errors import RunError
from tune.engine.nodes import Nodes, innermost
from tune.states import NODE_BROKE

RAYS = """The actor died because of an error raised in its creation task,
\x1b[36mray::ImplicitFunc.__init__()\x1b[39m (pid=7, ip=10.77.0.2, actor_id=1)
  File "worker.py", line 657, in temporary_actor_method
RuntimeError: The actor with name ImplicitFunc failed to import on the worker. This may be because
Traceback (most recent call last):
    actor_class = pickle.loads(pickled_class)
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^
ImportError: cannot import name 'x' from 'hscl'
An unexpected internal error occurred while the worker was executing a task."""


LIVING: dict[str, list[dict[str, Any]]] = {
    f"10.77.0.{n}": [{"NodeID": f"id{n}", "NodeManagerHostname": f"host{n}"}] for n in (1, 2)
}


def two_nodes() -> Nodes:
    return Nodes(lambda: LIVING)


def no_start(address: str) -> Exception:
    return RuntimeError(RAYS.replace("10.77.0.2", address))


def test_the_line_that_says_what_it_was_has_no_colours_and_no_carets() -> None:
    assert innermost(RAYS) == "ImportError: cannot import name 'x' from 'hscl'"
    assert innermost("gone\n   ^^^^\n") == "gone"
    assert innermost("") == "no reason given"


def test_after_three_starts_a_node_is_put_aside() -> None:
    nodes, wanted = two_nodes(), PlacementGroupFactory([{"CPU": 1.0}])
    for _ in range(3):
        assert nodes.elsewhere(wanted) is wanted
        said = nodes.broke(no_start("10.77.0.2"))
        assert said is not None
        assert str(said) == (
            f"{NODE_BROKE}: 10.77.0.2: ImportError: cannot import name 'x' from 'hscl'"
        )
    elsewhere = nodes.elsewhere(wanted)
    assert elsewhere.bundles == wanted.bundles
    assert elsewhere._kwargs == {"bundle_label_selector": [{"ray.io/node-id": "!in(id2)"}]}


def test_a_node_that_has_worked_is_not_suspected() -> None:
    nodes = two_nodes()
    nodes.works("host2")
    assert nodes.broke(no_start("10.77.0.2")) is None
    assert nodes.broke(no_start("10.77.0.9")) is None
    assert nodes.broke(None) is None


def test_where_no_node_is_left_the_run_ends_and_says_why() -> None:
    nodes = two_nodes()
    for number in (1, 2, 1, 2, 1):
        nodes.broke(no_start(f"10.77.0.{number}"))
    with pytest.raises(RunError, match=r"none does: 10\.77\.0\.2: ImportError: cannot import"):
        nodes.broke(no_start("10.77.0.2"))
