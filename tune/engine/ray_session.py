"""Ray for one study: started here or joined, quiet, private, and sized."""

import logging
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from hscl.errors import InputError
from hscl.files import scratch_folder
from tune.engine.ray_start import Pulse, joined_ray, own_ray
from tune.study.sections import ResourcesSection
from tune.study.size import GIB, gpus_of_trial, trials_that_fit

__all__ = ["RaySession", "check_machine", "fit_here", "ray_session"]

_WORKERS = {
    # Tune reads it in the worker: how long a warm one waits for its last trial to let go.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TOKENIZERS_PARALLELISM": "false",
    # A thread that waits must not keep a CPU busy that other trials need.
    "OMP_WAIT_POLICY": "PASSIVE",
}
_DRIVER = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",  # else Tune restarts such trials by itself
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
    # Added to the driver's own. Ray's 15 leaves a trial 3 % of a CPU beside one ordinary process.
    "RAY_worker_niceness": "0",
    # A worker that died is a row in the tables; Ray would print it onto standard output.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_THRESHOLD_S": "3600",
    "RAY_enable_metrics_collection": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
}
_SECRET = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)  # Ray keeps the first it sees
_TRIALS_SHARE = 0.6  # of a machine's memory, less what Ray's object store takes
_MANY = 10_000
_LOOK_S = 5.0  # how often a cluster is looked at for having grown


class RaySession:
    """A running Ray, and what a trial may take of it.

    Attributes:
        per_trial: What Tune reserves for a trial.
        scratch: A temporary folder, which goes with the session.
        why_dead: What of Ray has ended, and how; None while it lives.
        aside: Whether no trial is to run on a node; as long as nobody says so, all may be used.
    """

    def __init__(self, resources: ResourcesSection, scratch: Path) -> None:
        import ray  # noqa: PLC0415
        from ray._private.worker import global_worker  # noqa: PLC0415

        self.scratch = scratch
        self.why_dead = Pulse(global_worker.node).why_dead
        self.aside: Callable[[Mapping[str, Any]], bool] = lambda _: False
        self._ray = ray
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = gpus_of_trial(resources, there.get("GPU", 0.0))
        self.per_trial: dict[str, float] = {"cpu": resources.cpus, "gpu": gpus}
        if resources.memory_gib:
            self.per_trial["memory"] = resources.memory_gib * GIB
        self.per_trial |= resources.custom
        # The share stays as it is, though a GPU may come later: Tune has been told.
        self._resources = resources.model_copy(update={"gpus": gpus})
        self._looked = 0.0
        self._fitting = 1

    def check_fit(self) -> None:
        """Refuse a trial that fits on no node: it would wait for ever.

        Raises:
            InputError: With what the nodes have, which a container can limit.
        """
        nodes = self._nodes()
        if not any(trials_that_fit(self._resources, node) for node in nodes):
            wanted = _amounts_text(self.per_trial)
            there = _amounts_text(nodes[0] if nodes else {})
            raise InputError(
                f"a trial must fit on this machine, but takes {wanted} of the {there} that Ray "
                "finds here; lower it in [resources]"
            )

    def _nodes(self) -> list[dict[str, float]]:
        found = self._ray.nodes()  # type: ignore[no-untyped-call]
        return [node["Resources"] for node in found if node["Alive"] and not self.aside(node)]

    def slots(self) -> int:
        """How many trials may be in hand: as many as asked for, else as many as fit now."""
        if self._resources.concurrent:
            return self._resources.concurrent
        now = time.monotonic()
        if not self._looked or now - self._looked > _LOOK_S:
            self._looked = now
            fitting = sum(trials_that_fit(self._resources, node) for node in self._nodes())
            self._fitting = max(1, fitting)
        return self._fitting

    def put(self, value: Any) -> Any:
        """A reference to a value in the object store."""
        return self._ray.put(value)

    def announce(self, key: bytes) -> None:
        """Set a key that every worker can see."""
        from ray.experimental import internal_kv  # noqa: PLC0415

        internal_kv._internal_kv_put(key, b"1")  # noqa: SLF001


def _amounts_text(resources: Mapping[str, float]) -> str:
    units = {"cpu": "CPUs", "gpu": "GPUs", "memory": "GiB"}
    amounts = {name.lower(): amount for name, amount in resources.items()}
    amounts["memory"] = amounts.get("memory", 0.0) / GIB
    return ", ".join(f"{amounts[n]:.3g} {unit}" for n, unit in units.items() if amounts.get(n))


def check_machine(resources: ResourcesSection) -> None:
    """Refuse a study whose trial does not fit on this machine.

    Args:
        resources: What a trial takes.

    Raises:
        InputError: Naming the key.
    """
    cpus = _cpus_here()
    if resources.cpus > cpus:
        raise InputError(
            f"resources.cpus must be at most the {cpus} of this machine, but is "
            f"{resources.cpus:g}; lower it, or join a cluster with --address"
        )
    if resources.custom:
        raise InputError(
            f"resources.custom names what a cluster's nodes offer ({', '.join(resources.custom)}),"
            " but this is one machine; leave it out, or join a cluster with --address"
        )
    memory = _memory_here() / GIB
    if resources.memory_gib > memory:
        raise InputError(
            f"resources.memory_gib must be at most {memory:.1f} on this machine, but is "
            f"{resources.memory_gib:g}; lower it, or join a cluster with --address"
        )
    if resources.gpus and resources.gpus > (gpus := _gpus_here()):
        raise InputError(
            f"resources.gpus must be at most the {gpus} of this machine, but is "
            f"{resources.gpus:g}; lower it, or join a cluster with --address"
        )


def fit_here(resources: ResourcesSection) -> int:
    """How many trials a Ray on this machine alone would run at once, 1 at least."""
    node = {"CPU": float(_cpus_here()), "GPU": float(_gpus_here()), "memory": _memory_here()}
    return max(1, trials_that_fit(resources, node))


def _cpus_here() -> int:
    """CPUs that this process may use: those it is bound to, within its container's share."""
    cpus = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cpus = min(cpus, max(1, math.floor(int(quota) / int(period))))
    return cpus


def _gpus_here() -> int:
    import torch  # noqa: PLC0415 - seconds to load

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _memory_here() -> float:
    """Bytes for trials on this machine; Ray keeps the rest for what they share."""
    return _TRIALS_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def ray_session(address: str | None, resources: ResourcesSection) -> Iterator[RaySession]:
    """Ray for the time of the block.

    A Ray that this process has started or joined already is used, and left running.

    Args:
        address: `auto` or `HOST:PORT` of a cluster to join as its driver; None starts a Ray of
            our own, which ends with the block.
        resources: What a trial takes.

    Yields:
        The session.

    Raises:
        InputError: The address is one that a driver can't join, or nobody answers there.
        RunError: Ray does not start here.
    """  # noqa: DOC502 - RunError from own_ray
    if address is not None and "://" in address:
        raise InputError(
            f"--address must be auto or HOST:PORT of a cluster to join as its driver, but is "
            f"{address!r}; send the study there instead: hscl cluster submit STUDY.toml "
            "--address http://HOST:8265 --data URI --out URI"
        )
    wanted = _DRIVER | _WORKERS
    # `slots` limits what is in hand; by itself Tune would start one worker after the other.
    wanted["TUNE_MAX_PENDING_TRIALS_PG"] = str(resources.concurrent or _MANY)
    token = _token(address)
    before = {name: os.environ.get(name) for name in [*wanted, *token, "RAY_AUTH_MODE"]}
    os.environ.update({name: value for name, value in wanted.items() if name not in os.environ})
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = wanted["TUNE_MAX_PENDING_TRIALS_PG"]
    os.environ.update(token)
    import ray  # noqa: PLC0415 - reads the environment

    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    started = not ray.is_initialized()
    try:
        with ExitStack() as stack:
            if not started:
                scratch = stack.enter_context(scratch_folder())
            elif address is None:
                scratch = stack.enter_context(own_ray(_cpus_here()))
            else:
                scratch = stack.enter_context(joined_ray(address, dict(_WORKERS)))
            session = RaySession(resources, scratch)
            if started and address is None:
                session.check_fit()
            yield session
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _token(address: str | None) -> dict[str, str]:
    """Ray's token authentication, unless the environment decides it.

    Our own Ray gets a secret that dies with this process: else Ray would write one into the home
    folder, readable by all. For a cluster the mode must be set, as Ray does that for nobody.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return {}
    if address is None:
        return {} if "RAY_AUTH_TOKEN_PATH" in os.environ else {"RAY_AUTH_TOKEN": _SECRET}
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    kept = (Path.home() / ".ray" / "auth_token").exists()
    return {"RAY_AUTH_MODE": "token"} if given or kept else {}
