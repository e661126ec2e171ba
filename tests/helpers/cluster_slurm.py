"""A real SLURM of two nodes on one machine, in the network namespaces of `cluster_hosts`.

Each node's daemon has a process namespace of its own, as `ray symmetric-run` ends every Ray that
it sees. Needs what `cluster_hosts` needs, slurm-wlm and munge.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster_hosts import ADDRESSES, BIN, Hosts
from cluster_hosts import missing as no_hosts

NODES = {"n1": "head", "n2": "worker"}


def missing() -> str | None:
    """Why there can be no SLURM here, None where there can."""
    for tool in ("slurmctld", "slurmd", "sbatch", "munged"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"{tool} is missing (slurm-wlm, munge)"
    return no_hosts()


class Slurm:
    """Two nodes of one CPU each, from `__enter__` to `__exit__`.

    Attributes:
        hosts: The machines below.
        folder: What both nodes share.
    """

    def __init__(self) -> None:
        self.hosts = Hosts()
        self.folder = self.hosts.cluster

    def __enter__(self) -> Self:
        self.hosts.__enter__()
        try:
            self._start()
        except BaseException:
            self.hosts.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hosts.__exit__(kind, error, trace)

    def run(self, *command: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command on the first node, as a user of SLURM would."""
        return subprocess.run(
            self.hosts.command("head", command),
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def state(self, job: str) -> str:
        """A job's state, such as PENDING, RUNNING, COMPLETED, FAILED."""
        shown = self.run("scontrol", "show", "job", job).stdout
        return shown.partition("JobState=")[2].split(" ")[0] if "JobState=" in shown else ""

    def wait(self, job: str, seconds: float) -> str:
        """Wait until a job has ended; its last state."""
        deadline = time.monotonic() + seconds
        while (state := self.state(job)) in {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}:
            if time.monotonic() > deadline:
                return state
            time.sleep(0.5)
        return state

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder / "head"),
            "LANG": "C.UTF-8",
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }

    def _start(self) -> None:
        name = socket.gethostname().split(".")[0]
        munge = self.folder / "munge"
        munge.mkdir(mode=0o700)
        key = munge / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        (self.folder / "state").mkdir()
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
        (self.folder / "slurm.conf").write_text(self._configuration(name, munge / "socket"))
        # Force: the folders are ours alone, though not the user munge's.
        self._daemon(
            "head",
            *("munged", "--foreground", "--force", "--key-file", str(key)),
            *("--socket", str(munge / "socket"), "--pid-file", str(munge / "pid")),
            *("--seed-file", str(munge / "seed"), "--log-file", str(munge / "log")),
        )
        for _ in range(100):
            if (munge / "socket").exists():
                break
            time.sleep(0.1)
        self._daemon("head", "slurmctld", "-D")
        for node, host in NODES.items():
            self._daemon(
                host,
                *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
                # A shell as the first process: it collects what `ray stop` ends, as init would.
                *("sh", "-c", '"$@" & wait', "sh", "slurmd", "-D", "-N", node),
            )
        for _ in range(300):
            shown = self.run("sinfo", "--noheader", "--format", "%D %t").stdout.strip()
            if shown == "2 idle":
                return
            time.sleep(0.2)
        logs = "\n".join(p.read_text()[-2000:] for p in Path(self.folder).glob("*.log"))
        raise RuntimeError(f"no two idle nodes: {shown}\n{logs}")

    def _daemon(self, host: str, *command: str) -> None:
        # The machines' own names are left out: SLURM finds its nodes by this machine's.
        enter = self.hosts.command(host, command, named=False)
        with (self.folder / f"{host}-{Path(command[0]).name}.log").open("ab") as log:
            self.hosts.adopt(
                subprocess.Popen(
                    enter, env=self._environment(), cwd=self.folder, stdout=log, stderr=log
                )
            )

    def _configuration(self, name: str, socket_path: Path) -> str:
        where = self.folder
        lines = [
            "ClusterName=test",
            f"SlurmctldHost={name}({ADDRESSES['head']})",
            "AuthType=auth/munge",
            f"AuthInfo=socket={socket_path}",
            "CryptoType=crypto/munge",
            "SlurmUser=root",
            "SlurmdUser=root",
            f"StateSaveLocation={where}/state",
            f"SlurmdSpoolDir={where}/spool-%n",
            f"SlurmdPidFile={where}/slurmd-%n.pid",
            f"SlurmctldPidFile={where}/ctld.pid",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core",
            "JobAcctGatherType=jobacct_gather/none",
            "AccountingStorageType=accounting_storage/none",
            "SwitchType=switch/none",
            "MpiDefault=none",
            "ReturnToService=2",
        ]
        for port, (node, host) in enumerate(NODES.items(), 17001):
            lines.append(
                f"NodeName={node} NodeHostname={name} NodeAddr={ADDRESSES[host]} Port={port} "
                "CPUs=1 RealMemory=4000"
            )
        lines.append("PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP")
        return "\n".join(lines) + "\n"
