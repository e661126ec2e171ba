"""What a node says about itself, asked by an actor that is pinned to it.

The actor takes no CPU and no GPU of Ray's, so that it runs beside a full cluster. Everything is
tried for real: the data are opened, the encoder is loaded, a file is written and removed.
"""

import platform
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import ray
from ray._common.utils import get_system_memory
from ray._private.utils import estimate_available_memory

from cluster.connect.tokens import default_path
from cluster.doctor.shared_folder import SharedFolder
from hscl.errors import HsclError, RunError
from tune.trial.code import code_here

__all__ = ["HEAD", "PACKAGES", "NodeProbe"]

HEAD = "head"
"""What the head is called among those who write into the output; a node is called by its id."""

PACKAGES = (
    "ray",
    "torch",
    "hscl-search",
    "numpy",
    "optuna",
    "pyarrow",
    "safetensors",
    "transformers",
)
_MEGABYTE = 1_000_000


class NodeProbe:
    """Runs on one node; every answer is plain data, `{"error": …}` where something failed."""

    def __init__(self) -> None:
        self._written: SharedFolder | None = None

    def facts(self) -> dict[str, Any]:
        """Software, memory and disk."""
        total = get_system_memory()
        return {
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
            "code": code_here()["sources"],
            "memory_free": estimate_available_memory(),  # type: ignore[no-untyped-call]
            "memory_total": total,
            "disk": _tried(_disk),
            "exposed": _exposed_token(),
        }

    def gpus(self) -> dict[str, Any]:
        """Names of the GPUs on which torch really computes."""
        return _tried(_gpus)

    def data(self, where: str) -> dict[str, Any]:
        """Digest and size of the data set, read through."""
        return _tried(lambda: _data(where))

    def encoder(self, name: str) -> dict[str, Any]:
        """Digest of a text encoder, loaded without a network."""
        return _tried(lambda: _encoder(name))

    def write(self, where: str, word: str, name: str) -> dict[str, Any]:
        """Whether a file can be written in the output, and the head's is seen there.

        Args:
            where: The output.
            word: As in `SharedFolder`.
            name: What this node is called.
        """
        return _tried(lambda: self._write(SharedFolder(where, word, name)))

    def _write(self, folder: SharedFolder) -> dict[str, Any]:
        self._written = folder
        folder.write()
        if not folder.sees(HEAD):
            raise RunError("does not see what the head writes there: it is another folder")
        return {}

    def clear(self) -> None:
        """Take away what was written."""
        if self._written is not None:
            with suppress(OSError):
                self._written.clear()

    def now(self) -> float:
        """This node's clock, seconds since the epoch."""
        return time.time()

    def make(self) -> Any:
        """A megabyte, for another node to read."""
        return np.zeros(_MEGABYTE, np.uint8)

    def read(self, payload: Any) -> int:
        """How much of another node's megabyte arrived."""
        return len(payload)


def _tried(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    began = time.monotonic()
    try:
        return call() | {"seconds": time.monotonic() - began}
    except HsclError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the node has to say
        text = str(error).strip() or "no reason given"
        return {"error": f"{type(error).__name__}: {text.splitlines()[0][:300]}"}


def _exposed_token() -> str:
    """The token's file and its mode, where others than its owner can read it; else ""."""
    path = default_path()
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""
    return f"{path} has mode {mode:04o}" if mode & 0o077 else ""


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _disk() -> dict[str, Any]:
    # Ray's own folder: where it keeps logs, packages and what does not fit into memory.
    node: Any = ray._private.worker._global_node  # noqa: SLF001 - there is no public way
    usage = shutil.disk_usage(node.get_session_dir_path() if node else tempfile.gettempdir())
    return {"free": usage.free, "total": usage.total}


def _gpus() -> dict[str, Any]:
    import torch  # noqa: PLC0415 - seconds to load; only where there is a GPU to look at

    names: Sequence[str] = [
        torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
    ]
    for index in range(len(names)):
        square = torch.ones(64, 64, device=f"cuda:{index}")
        if float((square @ square).sum()) != 64.0**3:
            raise ArithmeticError(f"cuda:{index} multiplies wrongly")
    return {"names": list(names)}


def _data(where: str) -> dict[str, Any]:
    from tune.trial.data import open_verified  # noqa: PLC0415 - loaded on nodes only

    dataset = open_verified(where)
    return {"digest": dataset.digest, "rows": len(dataset), "bytes": dataset.table.nbytes}


def _encoder(name: str) -> dict[str, Any]:
    from hscl.config import TextConfig  # noqa: PLC0415 - torch
    from hscl.encoders import resolve_encoder  # noqa: PLC0415
    from hscl.model.text_encoder import load_text_encoder  # noqa: PLC0415

    encoder = load_text_encoder(TextConfig(encoder=name))
    return {"digest": resolve_encoder(name).digest, "width": encoder.width}
