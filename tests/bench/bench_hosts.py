"""What is said of a worker that differs, an output that is not shared, and what stops or hangs.

Three machines in network namespaces (`tests/helpers/cluster_hosts.py`: root, iproute2), Ray in
token mode, a generated data set, real trainings. Each case prints every command with its exit code
and what it says, and checks the tables. About two minutes a case:

    python tests/bench/bench_hosts.py [data loss versions broken output term stopped job]
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

import yaml
from cluster_checks import assert_complete
from cluster_hosts import ADDRESSES, BIN, DASHBOARD, GCS, Hosts, missing
from places import ROOT

from cluster.templates import TemplateSettings, render

ADDRESS = ("--address", f"http://{ADDRESSES['head']}:{DASHBOARD}")
HSCL = str(BIN / "hscl")
WORKER = ADDRESSES["worker"]
STUDY = """
[study]
name = "hosts"
epoch_timeout_s = 90
[base]
"model.text.finetune" = false
"train.epochs" = 2
"train.batch_size" = 16
[space]
"loss.temperature" = { log_uniform = [0.03, 1.0] }
[sampler]
kind = "random"
trials = 3
[refine]
trials = 1
[confirm]
seeds = 5
"""
_SHOWN = 12


class Case:
    """One study under one fault.

    Args:
        hosts: The machines.
        name: Of the case; its study is written under it.
    """

    def __init__(self, hosts: Hosts, name: str) -> None:
        self.hosts = hosts
        self.name = name
        self.data = hosts.cluster / "demo.arrow"
        self.out = hosts.cluster / "runs" / name
        self.places = ("--data", str(self.data), "--out", str(self.out))

    def worker(self, before: str = "", **changed: str) -> None:
        """Let the worker leave, and come back as another."""
        for process in self.hosts.processes("worker"):
            if "raylet/raylet" in Path(f"/proc/{process}/cmdline").read_text():
                os.kill(process, signal.SIGTERM)  # so that the head hears of it
        time.sleep(3)
        self.hosts.kill("worker")
        self.hosts.start_worker(before=before, **changed)

    def cluster(self, *words: str, code: int = 0, says: str = "") -> str:
        """Run `hscl cluster …` on the laptop, print what it says, and check it."""
        done = self.hosts.run("laptop", HSCL, "cluster", *words, *ADDRESS, timeout=1200)
        return self._said(
            ("cluster", *words), done.returncode, done.stdout + done.stderr, code, says
        )

    def hscl(self, *words: str, says: str = "") -> str:
        """Run `hscl …` on the head, print what it says, and check it."""
        done = self.hosts.run("head", HSCL, *words, timeout=1200)
        return self._said(words, done.returncode, done.stdout + done.stderr, 0, says)

    def refused_then_done_on_the_head(self, says: str) -> None:
        """Doctor and submit name what is wrong; sent all the same, the study goes on elsewhere."""
        self.cluster("doctor", "study.toml", *self.places, code=1, says=WORKER)
        self.cluster("submit", "study.toml", *self.places, code=2, says=WORKER)
        sent = ("submit", "study.toml", *self.places, "--no-check", "--follow")
        self.cluster(*sent, says=says)
        self.cluster("status", says=says)
        self.ended(only="head", says=says)

    def ended(self, only: str = "", says: str = "") -> None:
        """The study is whole; its report and status name what was put aside."""
        self.hscl("status", str(self.out), says=says)
        self.hscl("compare", str(self.out))
        self.hscl("report", str(self.out))
        assert says in (self.out / "report.html").read_text(encoding="utf-8")
        figures = assert_complete(self.out)
        print(f"    tables: {figures}")
        assert not only or set(figures["hosts"]) == {only}, figures

    def _said(
        self, words: tuple[str, ...], exit_code: int, text: str, code: int, says: str
    ) -> str:
        lines = [line for line in text.splitlines() if line.strip()]
        print(f"  $ hscl {' '.join(words)}   → exit {exit_code}")
        told = [line for line in lines if says and says in line]
        for line in dict.fromkeys([*told, *lines[-_SHOWN:]]):
            print(f"      {line}")
        assert "Traceback" not in text
        assert exit_code == code, text[-4000:]
        assert says in text, (says, text[-4000:])
        return text


def _code_with(case: Case, change: Callable[[Path], None]) -> str:
    """A copy of the packages with a change, as a worker's stale installation has it."""
    folder = case.hosts.cluster / f"code-{case.name}"
    for package in ("hscl", "tune", "cluster"):
        shutil.copytree(ROOT / package, folder / package)
    change(folder)
    return str(folder)


def data(case: Case) -> None:
    """The sign of one label is other in the worker's copy of the data."""
    import numpy as np

    from hscl.data.dataset import Dataset

    label = Dataset.open(case.data).table["label"][3].as_py()
    was, now = (np.float64(value).tobytes() for value in (label, -label))
    altered = case.data.with_name("altered.arrow")
    altered.write_bytes(case.data.read_bytes().replace(was, now, 1))
    differing = sum(
        a != b for a, b in zip(altered.read_bytes(), case.data.read_bytes(), strict=True)
    )
    print(f"    {differing} byte differs")
    case.worker(before=f"mount --bind {altered} {case.data}")
    case.refused_then_done_on_the_head(f"{WORKER} broke 1 start: worker: ")


def loss(case: Case) -> None:
    """The worker has the same version with another loss."""

    def change(folder: Path) -> None:
        path = folder / "hscl" / "loss" / "hierarchy.py"
        path.write_text(path.read_text(encoding="utf-8") + "\n_FACTOR = 1.1\n", encoding="utf-8")

    case.worker(PYTHONPATH=_code_with(case, change))
    case.refused_then_done_on_the_head(f"{WORKER} broke 1 start: worker runs other code: sources ")


def versions(case: Case) -> None:
    """The worker has another torch."""
    folder = case.hosts.cluster / "other" / "torch-2.1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.1.0\n")
    case.worker(PYTHONPATH=str(folder.parent))
    case.refused_then_done_on_the_head("worker runs other code: torch 2.1.0, not ")


def broken(case: Case) -> None:
    """The worker's packages can't be imported."""

    def change(folder: Path) -> None:
        (folder / "tune" / "engine" / "ray_worker.py").write_text(
            "from hscl import nothing_of_it\n"
        )
        (folder / "tune" / "trial" / "run.py").write_text("from hscl import nothing_of_it\n")

    case.worker(PYTHONPATH=_code_with(case, change))
    case.refused_then_done_on_the_head(f"{WORKER} broke 3 starts: ImportError: cannot import name")


def output(case: Case) -> None:
    """The worker has a folder of its own where the output should be."""
    case.worker(before=f"mount -t tmpfs none {case.out.parent}")
    case.cluster("doctor", "study.toml", *case.places, code=1, says=f"{WORKER}: does not see what")
    case.cluster("submit", "study.toml", *case.places, code=2, says=f"{WORKER}: does not see what")
    assert not case.out.exists()


def term(case: Case) -> None:
    """SIGTERM to the driver's whole process group, and the same command again."""
    study = str(case.hosts.laptop / "study.toml")
    join = f"{ADDRESSES['head']}:{GCS}"
    command = (HSCL, "search", study, *case.places, "--address", join)
    child = case.hosts.start(
        "head",
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _until_reported(case, 2)
    began = time.monotonic()
    os.killpg(child.pid, signal.SIGTERM)
    text, _ = child.communicate(timeout=120)
    print(f"    ended {time.monotonic() - began:.1f} s after SIGTERM")
    case._said(command[1:], child.returncode, text, 130, "everything so far is kept")
    case.hscl("status", str(case.out), says="stopped by a person")
    case.hscl("search", study, *case.places, "--address", join)
    case.ended()


def stopped(case: Case) -> None:
    """A trial's process on the worker is stopped (SIGSTOP) and never answers again."""
    sent = case.cluster("submit", "study.toml", *case.places, "--no-check")
    job = next(line for line in sent.splitlines() if "submitted" in line).split()[1]
    deadline = time.monotonic() + 600
    while not (found := _training(case)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(found, signal.SIGSTOP)
    began = time.monotonic()
    while Path(f"/proc/{found}").exists() and _state(found) != "Z":
        assert time.monotonic() < began + 300
        time.sleep(0.5)
    print(f"    the stopped process was killed after {time.monotonic() - began:.0f} s")
    case.cluster("logs", job, "-f")
    case.ended()
    table = case.hscl("table", "trials", str(case.out), "--events", "--format", "csv")
    told = [line for line in table.splitlines() if "timeout" in line]
    print(f"    {told}")
    assert "epoch_timeout_s" in told[0]


def job(case: Case) -> None:
    """`job.yaml`: Ray's head and the driver, one pod, are lost in mid-study, and begun anew."""
    hosts = case.hosts
    documents = yaml.safe_load_all(render("kuberay", TemplateSettings(gpus=0))["job.yaml"])
    pods = {one["kind"]: one["spec"].get("template") for one in documents}
    head, worker = (pods[kind]["spec"]["containers"][0] for kind in ("Job", "Deployment"))
    (script,) = head["args"]
    for was, now in (
        ("--head", f"--head --node-ip-address {ADDRESSES['head']} --temp-dir /POD"),
        ("/study/study.toml", str(hosts.laptop / "study.toml")),
        ("/results/mosi.arrow", str(case.data)),
        ("/results/mosi", str(case.out)),
    ):
        assert was in script
        script = script.replace(was, now)
    join = [word.replace("hscl-job", ADDRESSES["head"]) for word in worker["command"]]
    join += ["--node-ip-address", WORKER, "--num-cpus", "1"]
    for name in ("head", "worker"):
        hosts.kill(name)
    anew = 'while :; do "$@"; sleep 1; done'  # as Kubernetes does
    hosts.start("worker", ["sh", "-c", anew, "sh", *join], stdout=subprocess.DEVNULL)

    def begin(pod: str) -> "subprocess.Popen[str]":
        into = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        mine = script.replace("/POD", f"{case.out}-{pod}")  # each has a /tmp of its own
        return hosts.start("head", [*head["command"], mine], **into)

    lost = begin("1")
    _until_reported(case, 4)
    hosts.kill("head")
    lost.communicate()
    child = begin("2")
    text, _ = child.communicate(timeout=1200)
    case._said(("…", "job.yaml"), child.returncode, text, 0, "in all")
    case.ended()
    hosts.kill("worker")


def _training(case: Case) -> int | None:
    """A process of the worker that trains: it has begun to say what it does."""
    if not list((case.out / "logs").glob("*.txt")):
        return None
    for process in case.hosts.processes("worker"):
        try:
            name = Path(f"/proc/{process}/cmdline").read_text()
        except OSError:
            continue
        if name.startswith("ray::ImplicitFunc.train"):
            return process
    return None


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _until_reported(case: Case, count: int) -> None:
    deadline = time.monotonic() + 600
    while len(list((case.out / "tables" / "reports").glob("*.parquet"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.2)


CASES = (data, loss, versions, broken, output, term, stopped, job)


def main(wanted: list[str]) -> None:
    """Run the cases on one head and one worker, which comes back as another for each."""
    if reason := missing():
        print(f"not run: {reason}")
        return
    with Hosts() as hosts:
        hosts.start_head()
        hosts.start_worker()
        (hosts.laptop / "study.toml").write_text(STUDY)
        (hosts.cluster / "runs").mkdir()
        for case in CASES:
            if wanted and case.__name__ not in wanted:
                continue
            began = time.monotonic()
            print(f"\n{case.__name__}: {case.__doc__}", flush=True)
            one = Case(hosts, case.__name__)
            if not one.data.exists():
                one.hscl("data", "demo", "--out", str(one.data))
            if case in {term, stopped}:
                one.worker()
            case(one)
            print(f"  {case.__name__} holds, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
