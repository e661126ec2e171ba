"""A node that dies in mid-study costs nothing but time: its trials go on elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import HELPERS, ROOT
from replay import check, raw_rows

from tune.views.study import open_study

# A process of its own: the nodes are Ray's own test cluster, and other tests share another Ray.
SCRIPT = """
import json, os, sys, threading
os.environ["RAY_AUTH_MODE"] = "disabled"
import ray
from ray.cluster_utils import Cluster
from synthetic import Data, Synthetic, study
from tune.engine.driver import SearchOptions, View, run_search

class Cut(View):
    "Removes the second node without a word once so many epochs are recorded."
    def __init__(self, cluster, node):
        self.cluster, self.node, self.engine = cluster, node, None
    def begin(self, engine, folder):
        self.engine = engine
    def tick(self):
        if self.node is not None and self.engine.history.epochs >= 6:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = None

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
node = cluster.add_node(num_cpus=1)
spec = study(study={"retries": 0}, resources={"concurrent": 0})
cut = Cut(cluster, node)
request = SearchOptions(out=sys.argv[1], address=cluster.address, checkpoint_s=0.0)
outcome = run_search(spec, Data(), request, workload=Synthetic(epoch_s=0.2), views=(cut,))
print(json.dumps({"done": outcome.done is not None, "cut": cut.node is None}))
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.cluster
def test_the_trials_of_a_lost_node_run_elsewhere_and_no_row_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    paths = [str(ROOT), str(HELPERS)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "study")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"done": True, "cut": True}
    study = open_study(tmp_path / "study")
    check(study)
    assert {row["state"] for row in study.table("trials").to_pylist()} <= {"done", "pruned"}
    again = [row for row in raw_rows(study, "trials") if (row["attempt"] or 1) > 1]
    reasons = {row["error"].split(":")[0] for row in again if row["state"] == "started"}
    assert reasons == {"node lost"}, "with no retries left, only a lost node is tried again"
