"""Three machines on one: a head, a worker and a laptop, with cables that can be pulled.

Each machine is a network namespace with an address of its own (10.77.0.1, .2, .3) and a cable to a
switch in a fourth namespace, so that Ray takes them for several hosts. The laptop also has a mount
namespace in which the cluster's folders do not exist. Needs root, iproute2 and util-linux.

By hand, to look around:

    python tests/cluster_hosts.py                 # starts them, prints how to use them, waits
"""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ADDRESSES = {"head": "10.77.0.1", "worker": "10.77.0.2", "laptop": "10.77.0.3"}
BIN = Path(sys.executable).parent
GCS, DASHBOARD, STORAGE = 6379, 8265, 9444


def missing() -> str | None:
    """Why machines cannot be made here, None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nsenter", "unshare", "mount"):
        if shutil.which(tool) is None:
            return f"{tool} is missing (iproute2, util-linux, mount)"
    name = f"hscl-try-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return None if done.returncode == 0 else "network namespaces are not allowed here"


class Hosts:
    """The three machines, from `__enter__` to `__exit__`.

    Attributes:
        cluster: A folder that head and worker share and the laptop does not have.
        laptop: A folder that all see; the laptop's own.
        token: The cluster's secret.
    """

    def __init__(self, extra: dict[str, str] | None = None) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="hx", dir="/tmp"))  # short: sockets live below
        self._prefix = f"hscl{os.getpid()}{secrets.token_hex(1)}"
        self._children: list[subprocess.Popen[Any]] = []
        self._extra = extra or {}
        self.cluster = self._root / "c" / "x"
        self.laptop = self._root / "laptop"
        self.token = secrets.token_hex(32)

    def __enter__(self) -> Self:
        for name in ("c/x/head", "c/x/worker", "laptop"):
            (self._root / name / ".ray").mkdir(parents=True, mode=0o700)
            token = self._root / name / ".ray" / "auth_token"
            token.touch(mode=0o600)
            token.write_text(self.token)
        switch = self._name("switch")
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        for host, address in ADDRESSES.items():
            name = self._name(host)
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            pair = ("type", "veth", "peer", "name", host, "netns", switch)
            _ip("link", "add", "eth0", "netns", name, *pair)
            _ip("-n", switch, "link", "set", host, "master", "br0", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in ADDRESSES:
            self.kill(host)
        for child in self._children:
            child.wait(timeout=60)
        for name in (*ADDRESSES, "switch"):
            _ip("netns", "del", self._name(name))
        shutil.rmtree(self._root, ignore_errors=True)

    def environment(self, host: str, **changed: str) -> dict[str, str]:
        """The variables of a process on a machine; the token only in its file."""
        home = self.laptop if host == "laptop" else self.cluster / host
        return {
            "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            **self._extra,
            **changed,
        }

    def command(self, host: str, command: Sequence[str], *, named: bool = True) -> list[str]:
        """The command line that runs a command on a machine, under the machine's own name."""
        enter = ["nsenter", f"--net=/run/netns/{self._name(host)}"]
        if not named:
            return [*enter, *map(str, command)]
        enter += ["unshare", "--uts"]
        name = f"hostname {host}"
        if host == "laptop":
            # An empty file system over the parent: the cluster's folder does not exist here.
            enter.append("--mount")
            name += f" && mount -t tmpfs none {self.cluster.parent}"
        return [*enter, "sh", "-ec", f'{name} && exec "$@"', "sh", *map(str, command)]

    def adopt(self, child: "subprocess.Popen[Any]") -> None:
        """Wait for a process at the end that was started on a machine by other means."""
        self._children.append(child)

    def start(self, host: str, command: Sequence[str], **named: Any) -> "subprocess.Popen[Any]":
        """Start a command on a machine."""
        changed = named.pop("changed", {})
        child = subprocess.Popen(
            self.command(host, command),
            env=self.environment(host, **changed),
            cwd=self.environment(host)["HOME"],
            **named,
        )
        self._children.append(child)
        return child

    def run(
        self, host: str, *command: str, timeout: float = 300, **changed: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on a machine to its end, with some variables changed."""
        return subprocess.run(
            self.command(host, command),
            env=self.environment(host, **changed),
            cwd=self.environment(host)["HOME"],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start_head(self, *options: str) -> None:
        """Start the cluster's head; its dashboard listens for the laptop (in this test only)."""
        where = ("--head", "--node-ip-address", ADDRESSES["head"], "--port", str(GCS))
        self._ray("head", *where, "--dashboard-host", ADDRESSES["head"], *options)

    def start_worker(self, *options: str, before: str = "", **changed: str) -> None:
        """Let the worker join.

        Args:
            *options: Of `ray start`.
            before: A shell command that is run first, in a mount namespace of the worker's own.
            **changed: Variables of its environment.
        """
        where = ("--address", f"{ADDRESSES['head']}:{GCS}")
        mine = (
            ["unshare", "--mount", "sh", "-ec", f'{before} && exec "$@"', "sh"] if before else []
        )
        self._ray(
            "worker",
            *where,
            "--node-ip-address",
            ADDRESSES["worker"],
            *options,
            through=mine,
            **changed,
        )

    def start_storage(self) -> None:
        """Start an S3 interface on the head (moto), with one bucket; all machines know it."""
        address = f"http://{ADDRESSES['head']}:{STORAGE}"
        self._extra |= {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "nodes-own",
            "AWS_SECRET_ACCESS_KEY": "nodes-own",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        serve = (str(BIN / "python"), "-m", "moto.server", "-H", "0.0.0.0", "-p", str(STORAGE))
        self.start("head", serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        make = (
            "import sys, urllib.request as u; "
            f"u.urlopen(u.Request('{address}/bucket', method='PUT'), timeout=5)"
        )
        for _ in range(60):
            if self.run("head", str(BIN / "python"), "-c", make).returncode == 0:
                return
            time.sleep(0.5)
        raise RuntimeError("the S3 interface does not start")

    def cut(self, host: str) -> None:
        """Pull a machine's cable."""
        _ip("-n", self._name("switch"), "link", "set", host, "down")

    def mend(self, host: str) -> None:
        """Plug it in again."""
        _ip("-n", self._name("switch"), "link", "set", host, "up")

    def processes(self, host: str) -> list[int]:
        """The processes of a machine."""
        listed = subprocess.run(
            ["ip", "netns", "pids", self._name(host)], capture_output=True, text=True, check=False
        )
        return [int(line) for line in listed.stdout.split()]

    def kill(self, host: str) -> None:
        """Switch a machine off, as hard as that is."""
        for _ in range(20):
            found = self.processes(host)
            for process in found:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if not found:
                return
            time.sleep(0.1)

    def _ray(self, host: str, *options: str, through: Sequence[str] = (), **changed: str) -> None:
        folder = self.cluster / f"ray-{host}"
        common = ("--temp-dir", str(folder), "--num-cpus", "1", "--disable-usage-stats")
        ray = (*through, str(BIN / "ray"), "start", *options, *common)
        done = self.run(host, *ray, timeout=300, **changed)
        if done.returncode != 0:
            raise RuntimeError(f"ray start on {host}:\n{done.stdout}\n{done.stderr}")

    def _name(self, host: str) -> str:
        return f"{self._prefix}-{host}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def main() -> None:
    """Start the machines, say how to use them, and wait for Ctrl-C."""
    reason = missing()
    if reason:
        sys.exit(reason)
    with Hosts() as hosts:
        hosts.start_storage()
        hosts.start_head()
        hosts.start_worker()
        print(f"cluster's folder: {hosts.cluster}\nlaptop's folder:  {hosts.laptop}\n")
        for host in ADDRESSES:
            variables = [f"{k}={v}" for k, v in hosts.environment(host).items()]
            line = hosts.command(host, ["env", "-i", *variables, "bash"])
            print(f"# a shell on the {host}\n{shlex.join(line)}\n")
        print(f"# on the laptop\nhscl cluster doctor --address http://{ADDRESSES['head']}:8265")
        print("Ctrl-C ends it", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("cleaning up")


if __name__ == "__main__":
    main()
