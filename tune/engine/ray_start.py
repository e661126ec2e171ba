"""Ray's processes and the signals that reach them: started, watched, and ended in order."""

import atexit
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from hscl.errors import InputError, RunError
from hscl.files import scratch_folder

__all__ = ["Pulse", "forbid_auto_start", "joined_ray", "own_ray", "stopping_on_signals"]

_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
_OURS = {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}
"""Signals that ask the driver to stop in order; Ray's processes block SIGINT by themselves."""
_SOCKET_MOST = 107
"""Bytes of a Unix socket's path, of which Linux has no more."""
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_REFUSED_S = 10.0  # a head that restarts refuses for a moment
_SILENT_S = 40.0  # a cable may be out for a while; after 60 s Ray ends this process without a word
_PROBE_S = 2.0
_LET_GO_S = 2.0


@contextmanager
def own_ray(cpus: int) -> Iterator[Path]:
    """A Ray of our own for the time of the block, on this machine and on loopback only.

    Args:
        cpus: How many it may give to trials.

    Yields:
        Its temporary folder, which goes with it.

    Raises:
        RunError: Ray does not start here.
    """  # noqa: DOC501, DOC502 - made by _no_start
    import ray  # noqa: PLC0415
    from ray._private import ray_constants  # noqa: PLC0415

    most, place = _SOCKET_MOST - len(_SOCKET), os.environ.get("RAY_TMPDIR")
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder(most=most, place=place))
        clustered = ray_constants.ENABLE_RAY_CLUSTER
        ray_constants.ENABLE_RAY_CLUSTER = False  # loopback: Ray's own way on macOS
        try:
            with _signals_kept():
                ray.init(
                    address="local",
                    include_dashboard=False,
                    num_cpus=cpus,
                    _temp_dir=str(folder),
                    **_QUIET,
                )
        except Exception as error:  # Ray raises no kind of its own where its processes are late
            raise _no_start(error) from error
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = clustered
        stack.callback(_end)
        yield folder


@contextmanager
def joined_ray(address: str, variables: dict[str, str]) -> Iterator[Path]:
    """A cluster's Ray, joined as its driver for the time of the block.

    Args:
        address: `auto` or `HOST:PORT`.
        variables: Set in the environment of its workers for this driver's trials.

    Yields:
        A temporary folder on this machine.

    Raises:
        InputError: Nobody answers there, or not to us.
    """
    import ray  # noqa: PLC0415

    with scratch_folder() as folder:
        try:
            with _signals_kept():
                ray.init(address=address, runtime_env={"env_vars": variables}, **_QUIET)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"--address must be that of a running Ray cluster, but {address!r} does not "
                f"work: {reason}; look with `hscl cluster doctor --address {address}`"
            ) from error
        try:
            yield folder
        finally:
            _shut_down()


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Within the block the first signal calls `stop`, the next is a KeyboardInterrupt.

    The signals are SIGINT, SIGTERM, SIGUSR1 (SLURM's warning before the time limit) and SIGHUP (a
    terminal that is gone), the last unless it is ignored, as `nohup` has it. Only the main thread
    can catch signals; elsewhere the block changes nothing.

    Args:
        stop: Called from a signal handler: quick, called once, and what it raises passes.

    Yields:
        Whether a signal has come.
    """
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked
        return

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue
        before[number] = signal.signal(number, handle)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Inside the block processes are started that our signals don't reach.

    What a process blocks its children block too: who ends a whole process group, or all processes
    of a systemd unit or a SLURM step, ends the driver in order, and the driver ends Ray. Ray puts
    handlers of its own in place of ours, which come back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in {*_OURS, signal.SIGINT}}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Pulse:
    """Whether the Ray that this process uses still lives; asked from time to time.

    Args:
        node: Ray's own object for it.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._answered = time.monotonic()
        self._asked = 0.0

    def why_dead(self) -> str | None:
        """What of Ray has ended, and how; None while it lives."""
        for name, infos in self._node.all_processes.items():
            if name in {"gcs_server", "raylet"} and (code := infos[0].process.poll()) is not None:
                how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
                return f"its process {name} {how}"
        now = time.monotonic()
        if self._node.all_processes or now - self._asked < _PROBE_S:
            return None
        self._asked = now
        refused = None
        try:
            host, _, port = self._node.gcs_address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_S).close()
            with socket.socket(socket.AF_UNIX) as raylet:
                raylet.settimeout(_PROBE_S)
                raylet.connect(self._node.raylet_socket_name)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            refused = error
        except OSError:
            pass
        else:
            self._answered = now
        silent = now - self._answered
        if silent > (_SILENT_S if refused is None else _REFUSED_S):
            return f"the cluster has not answered for {silent:.0f} s at {self._node.gcs_address}"
        return None


_ADVICE = {
    "no space left": "its temporary folder's disk is full: make room, or set TMPDIR to another",
    "permission denied": "its temporary folder must be writable: set TMPDIR to one that is",
    "read-only file system": "its temporary folder must be writable: set TMPDIR to one that is",
    "too many open files": "allow more open files: `ulimit -n 65535`",
    "resource temporarily unavailable": "allow more processes: `ulimit -u`",
    "can't start new thread": "allow more processes: `ulimit -u`",
    "shared memory": "give the container more shared memory, such as --shm-size=2g",
    "dev/shm": "give the container more shared memory, such as --shm-size=2g",
    "cannot allocate memory": "free memory on this machine",
}


def forbid_auto_start() -> None:
    """From now on Ray starts in this process only where it is told to.

    A thread that still asks a Ray that has ended would else begin another one when it wakes, with
    Ray's defaults: open to the network, and left behind.
    """
    from ray._private import auto_init_hook  # noqa: PLC0415

    auto_init_hook.enable_auto_connect = False


def _no_start(error: Exception) -> RunError:
    reason = " ".join(str(error).split())[:300]
    lowered = str(error).lower()
    advice = next((text for sign, text in _ADVICE.items() if sign in lowered), None)
    return RunError(
        f"Ray must start on this machine within its half a minute, but: {reason}; nothing is "
        f"lost: {advice or 'wait until the machine is less busy'}, and run the same command again"
    )


def _end() -> None:
    """End our own Ray and all below it.

    Its processes block SIGTERM, so that each would cost `ray.shutdown` a second's patience.
    """
    import psutil  # noqa: PLC0415 - Ray brings it
    from ray._private.worker import global_worker  # noqa: PLC0415

    node: Any = global_worker.node
    ours = []
    for infos in [] if node is None else node.all_processes.values():
        for info in infos:
            info.process.terminate = info.process.kill
            with suppress(psutil.NoSuchProcess):
                ours += psutil.Process(info.process.pid).children(recursive=True)
    _shut_down()
    for process in ours:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _shut_down() -> None:
    """Leave Ray; one that is dead is not waited for, any other as long as it takes."""
    import ray  # noqa: PLC0415
    from ray._private.worker import global_worker  # noqa: PLC0415

    if global_worker.node is None or Pulse(global_worker.node).why_dead() is None:
        ray.shutdown()
        return
    thread = threading.Thread(target=ray.shutdown, name="ray-shutdown", daemon=True)
    thread.start()
    thread.join(_LET_GO_S)
    if thread.is_alive():
        atexit.unregister(ray.shutdown)
