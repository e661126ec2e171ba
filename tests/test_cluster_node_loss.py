"""Nodes come and go while a study runs: nothing is lost, doubled, or counted against a trial."""

import json
import os
import secrets
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from places import HELPERS
from replay import check

from tune.views.study import open_study

pytestmark = pytest.mark.cluster
SCRIPT = """
import json, sys, time
from ray._private import utils
from ray.cluster_utils import Cluster
utils.set_sigterm_handler = lambda handler: None  # views tick outside the main thread
from synthetic import Data, Synthetic, study
from tune.engine.driver import SearchOptions, View, run_search

class Fate(View):
    '''Takes nodes away and brings new ones when so many epochs are recorded.'''
    def __init__(self, cluster, steps):
        self.cluster, self.steps, self.nodes = cluster, steps, [cluster.add_node(num_cpus=1)]
    def begin(self, engine, folder):
        self.engine = engine
    def tick(self):
        if self.steps and self.engine.history.epochs >= self.steps[0][0]:
            # Two that have begun are on two nodes: one of them is on the node that goes.
            begun = [trial for trial in self.engine.history.open.values() if trial.epoch]
            if self.steps[0][1] == "lose" and len(begun) < 2:
                time.sleep(1)  # the study waits for its second worker instead of ending before
                return
            _, what = self.steps.pop(0)
            if what == "lose":
                self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)
            else:
                self.nodes.append(self.cluster.add_node(num_cpus=1))

out, steps = sys.argv[1], json.loads(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    spec = study(resources={"concurrent": 2}, study={"retries": 0})
    request = SearchOptions(out=out, address=cluster.address, checkpoint_s=0.0)
    outcome = run_search(
        spec, Data(), request, workload=Synthetic(epoch_s=0.1), views=(Fate(cluster, steps),)
    )
    assert outcome.done is not None and not outcome.done.gave_up, outcome.done
    assert not steps, steps
finally:
    cluster.shutdown()
"""


def _run(out: Path, steps: list[tuple[int, str]]) -> dict[str, list[dict[str, Any]]]:
    token = secrets.token_hex(32)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
        "PYTHONPATH": str(HELPERS),
        "HOME": str(out.parent),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(out), json.dumps(steps)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert token not in done.stdout + done.stderr
    study = open_study(out)
    check(study)
    events = study.table("trials", events=True).to_pylist()
    assert {e["state"] for e in study.table("trials").to_pylist()} <= {"done", "pruned"}
    return {"events": events, "again": [e for e in events if e["attempt"] > 1]}


def test_a_lost_nodes_trial_goes_on_elsewhere_and_is_not_held_against_it(tmp_path: Path) -> None:
    told = _run(tmp_path / "study", [(5, "lose")])
    begun = [e for e in told["again"] if e["state"] == "started"]
    assert all(e["error"].startswith("node lost") for e in begun)


def test_nodes_that_come_and_go_all_the_time_change_nothing(tmp_path: Path) -> None:
    steps = [(4, "lose"), (8, "add"), (14, "lose"), (18, "add"), (24, "lose")]
    told = _run(tmp_path / "study", steps)
    assert told["again"]
