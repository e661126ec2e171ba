"""A training's whole state in a folder, so that another process can go on after any epoch.

Two files, both safetensors with plain values in their header:

    state.safetensors         weights, optimizer, the model's memory, every report so far, what
                              the training is
    best-<epoch>.safetensors  the best epoch's weights, named by `state.safetensors`

The best epoch is written first and the state names it, so that a kill between the two leaves
the old state with the old best; where another attempt's best of the same epoch has taken that
one's place, the values in both headers differ, and the state is refused. There is no random state:
every stream is a function of seed and epoch (`hscl.seeding`), and no schedule's state: the rate is
a function of the step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hscl.errors import InputError
from hscl.files import remove_unfinished
from hscl.model.contract import SentimentModel
from hscl.training.checkpoints import (
    read_record,
    read_tensors,
    write_checkpoint,
)
from hscl.training.reports import BestEpoch, EpochReport

__all__ = ["STATE", "SavedState", "best_path", "load_state", "save_best", "save_state"]

STATE = "state.safetensors"
_LAYOUT = 1
_WEIGHTS = "weights/"
_OPTIMIZER = "optimizer/"
_MEMORY = "memory/"


@dataclass(frozen=True)
class SavedState:
    """What a saved training was, beside the weights and moments that are put in their places.

    Attributes:
        reports: Every epoch so far.
        best: The best of them.
        precision: "fp32" or "bf16" that it computed in; None where an earlier version saved it.
    """

    reports: list[EpochReport]
    best: BestEpoch
    precision: str | None


def best_path(folder: Path, epoch: int) -> Path:
    """Where the weights of a best epoch stand."""
    return folder / f"best-{epoch:04d}.safetensors"


def save_best(folder: Path, about: Mapping[str, Any], best: BestEpoch) -> Path:
    """Put the best epoch's weights into a folder, before `save_state` names them.

    Args:
        folder: Made where it is missing; holds one training.
        about: As in `save_state`.
        best: The best epoch so far.

    Returns:
        The file with the weights.
    """
    record = {"layout": _LAYOUT, "epoch": best.epoch, "value": best.value, **about}
    return write_checkpoint(best_path(folder, best.epoch), best.weights, record)


def save_state(
    folder: Path,
    about: Mapping[str, Any],
    network: SentimentModel,
    optimizer: torch.optim.Optimizer,
    reports: Sequence[EpochReport],
    best: BestEpoch,
) -> Path:
    """Put a training's state into a folder; a kill at any moment leaves the old or the new one.

    Args:
        folder: Holds one training, and the weights of its best epoch.
        about: What the training is (configuration, seed, data, metric, precision); JSON-able.
        network: Its current weights and its memory are saved.
        optimizer: Its moments are saved.
        reports: Every epoch so far, at least one.
        best: The best of them.

    Returns:
        The file with the state.
    """
    of_best = best_path(folder, best.epoch)
    tensors: dict[str, torch.Tensor] = {}
    if not reports[-1].finished:  # nothing goes on from a finished training
        tensors |= _optimizer_tensors(network, optimizer)
        tensors |= {_MEMORY + name: tensor for name, tensor in network.memory().items()}
        if best.epoch != len(reports):  # else the two are the same, and written once
            tensors |= {_WEIGHTS + name: tensor for name, tensor in network.state_dict().items()}
    record = {
        "layout": _LAYOUT,
        **about,
        "best": {"epoch": best.epoch, "value": best.value},
        "reports": [asdict(report) for report in reports],
    }
    path = write_checkpoint(folder / STATE, tensors, record)
    for old in folder.glob("best-*.safetensors"):
        if old != of_best:
            old.unlink(missing_ok=True)
    remove_unfinished(folder)
    return path


def load_state(
    folder: Path,
    identity: Mapping[str, Any],
    network: SentimentModel,
    optimizer: torch.optim.Optimizer,
) -> SavedState:
    """Read what `save_state` wrote, into the network and the optimizer.

    Args:
        folder: Where it was saved.
        identity: What makes the training that goes on the one that was saved.
        network: Takes the weights and the memory.
        optimizer: Takes the moments.

    Returns:
        What it was.

    Raises:
        InputError: There is no state, it is damaged, or it belongs to another training.
    """
    path = folder / STATE
    record = read_record(path)
    if record.get("layout") != _LAYOUT:
        raise InputError(
            f"{path} must have layout {_LAYOUT}, but has {record.get('layout')!r}: it was written "
            "by another version of hscl; remove the folder to begin again"
        )
    differing = [name for name, value in identity.items() if record.get(name) != value]
    if differing:
        there = ", ".join(f"{name} = {record.get(name)!r}" for name in differing)
        ours = ", ".join(f"{name} = {identity[name]!r}" for name in differing)
        raise InputError(
            f"{folder} must hold this training ({ours}), but holds another ({there}); "
            "use another folder"
        )
    reports = [EpochReport(**report) for report in record["reports"]]
    epoch, value = record["best"]["epoch"], record["best"]["value"]
    of_best = best_path(folder, epoch)
    held = read_record(of_best).get("value")
    if repr(held) != repr(value):  # NaN equals NaN here
        raise InputError(
            f"{of_best} must hold the best epoch that {STATE} names, of value {value}, but holds "
            f"another attempt's, of value {held}; remove the folder to begin again"
        )
    best = BestEpoch(epoch, value, read_tensors(of_best))
    if not reports[-1].finished:
        tensors = read_tensors(path)
        same = epoch == len(reports)
        network.load_state_dict(best.weights if same else _part(tensors, _WEIGHTS))
        _load_optimizer(network, optimizer, _part(tensors, _OPTIMIZER))
        remembered = _part(tensors, _MEMORY)
        for name, tensor in network.memory().items():
            tensor.copy_(remembered[name])
    return SavedState(reports, best, record.get("precision"))


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _optimizer_tensors(
    network: SentimentModel, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """The optimizer's state as "optimizer/<moment>/<parameter>"."""
    return {
        f"{_OPTIMIZER}{key}/{name}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _load_optimizer(
    network: SentimentModel, optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Give the moments back; the groups with their rates come from the configuration."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    moments: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        moment, name = key.split("/", 1)
        moments.setdefault(name, {})[moment] = tensor
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        position: moments[names[id(parameter)]]
        for position, parameter in enumerate(parameters)
        if names[id(parameter)] in moments
    }
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
