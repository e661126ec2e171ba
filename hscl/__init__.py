"""Hierarchical supervised contrastive learning for multimodal sentiment analysis."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Read once, when torch is loaded. By default a thread that waits for others keeps its CPU busy: on
# a machine that does something else as well, an epoch then takes many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
# Likewise, when a GPU first multiplies matrices: without it the same product may round otherwise.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

if TYPE_CHECKING:
    from hscl.trained.predict import TrainedModel

__all__ = ["load"]


def load(folder: Path | str, *, device: str = "auto") -> "TrainedModel":
    """Open a folder that `hscl train` wrote, to predict with its models.

    Args:
        folder: The model folder.
        device: Where to predict: "auto", "cpu", "cuda" or "cuda:N".

    Returns:
        The trained models: `hscl.load("models/mosi").predict("new.arrow").mean`.

    Raises:
        hscl.errors.InputError: It is no such folder, no seed is finished, or the device is not
            there.
    """  # noqa: DOC502 - raised by the loader
    from hscl.trained.predict import load_model  # noqa: PLC0415 - `import hscl` does not load torch

    return load_model(folder, device=device)
