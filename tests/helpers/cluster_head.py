"""A real Ray head on loopback, in token mode, with folders and ports of its own."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

BIN = Path(sys.executable).parent
NODE = "127.0.0.2"  # on loopback; Ray replaces 127.0.0.1 by an address that others reach


class RayHead:
    """A cluster of one node, from `__enter__` to `__exit__`.

    Attributes:
        folder: For whatever tests write.
        token: The cluster's secret.
        address: Its job interface.
        gcs: What a driver joins.
    """

    def __init__(self, *, authenticated: bool = True, cpus: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hr", dir="/tmp"))  # short: sockets live below
        self.token = secrets.token_hex(32)
        self.authenticated = authenticated
        self._cpus = cpus
        self._ports = _free_ports(6)
        self.address = f"http://127.0.0.1:{self._ports[1]}"
        self.gcs = f"{NODE}:{self._ports[0]}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        token = self.folder / ".ray" / "auth_token"
        token.parent.mkdir(mode=0o700)
        token.touch(mode=0o600)
        token.write_text(self.token)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, as after a reboot: it knows no jobs."""
        gcs, dashboard, agent, client, grpc, metrics = map(str, self._ports)
        # A test run that is itself killed takes its head with it: Ray ends on SIGTERM.
        setpriv = shutil.which("setpriv")
        command = [
            *((setpriv, "--pdeathsig", "TERM") if setpriv else ()),
            *(str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address", NODE),
            *("--port", gcs, "--dashboard-port", dashboard, "--ray-client-server-port", client),
            *("--dashboard-agent-listen-port", agent, "--dashboard-agent-grpc-port", grpc),
            *("--metrics-export-port", metrics, "--num-cpus", str(self._cpus)),
            *("--temp-dir", str(self.folder / "ray"), "--disable-usage-stats"),
        ]
        with (self.folder / "head.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self.environment(), stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(600):
            if self._answers():
                return
            time.sleep(0.1)
        raise RuntimeError(f"no head:\n{(self.folder / 'head.log').read_text()}")

    def stop(self) -> None:
        """Switch it off: the processes that it started, and no others."""
        if self._process is None:
            return
        found = _descendants(self._process.pid)
        for process in (self._process.pid, *found):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        self._process = None

    def environment(self, **changed: str) -> dict[str, str]:
        """The variables of a process that belongs to this cluster or sends jobs to it."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAY_", "COV_", "PYTEST_"))
        }
        return kept | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RAY_AUTH_MODE": "token" if self.authenticated else "disabled",
            "RAY_worker_niceness": "0",
            "OMP_NUM_THREADS": "1",
            **changed,
        }

    def hscl(self, *arguments: str, **changed: str) -> "subprocess.CompletedProcess[str]":
        """Run the command `hscl` as somebody who may use this cluster."""
        return subprocess.run(
            [str(BIN / "hscl"), *arguments],
            env=self.environment(**changed),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _answers(self) -> bool:
        """Whether the head and the agent that starts its jobs are there."""
        agent = f"http://{NODE}:{self._ports[2]}/api/local_raylet_healthz"
        for address in (f"{self.address}/api/version", agent):
            request = urllib.request.Request(address)
            request.add_header("Authorization", f"Bearer {self.token}")
            try:
                with urllib.request.urlopen(request, timeout=2) as answer:
                    if answer.status != 200:
                        return False
            except (urllib.error.URLError, OSError):
                return False
        return True


def _free_ports(count: int) -> list[int]:
    """Below those that the system gives to whoever connects: nobody takes one in between."""
    found: set[int] = set()
    while len(found) < count:
        with socket.socket() as probe:
            port = 20_000 + secrets.randbelow(12_000)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                found.add(port)
    return list(found)


def _descendants(process: int) -> list[int]:
    """Children and theirs, found before the parent is gone."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, queue = [], [process]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
