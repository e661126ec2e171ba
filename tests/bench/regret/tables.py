"""What many searches come to: regrets, their ratios and where they were lost, as rows or text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PARTS", "Row", "Setting", "ratio", "show", "summarise"]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]

PARTS = ("not_found", "stopped", "not_kept", "wrong_pick")
"""Of a regret; they add up to it."""


@dataclass(frozen=True)
class Setting:
    """What one table is about.

    Attributes:
        epochs: Of a training.
        trainings: The total, in trainings of full length.
        noise: Between seeds, in units.
        slots: The product's trials at once.
    """

    epochs: int
    trainings: int
    noise: float
    slots: int


def ratio(values: FloatArray, reference: FloatArray) -> tuple[float, float]:
    """Ratio of two means over the same worlds, and its standard error by the delta method.

    Args:
        values: (n,) regrets of an arm.
        reference: (n,) regrets of another in the same worlds.
    """
    below = float(reference.mean())
    share = float(values.mean()) / below
    deviations = values - share * reference
    return share, float(deviations.std(ddof=1) / below / values.size**0.5)


def summarise(
    rows: list[Row], setting: Setting, arms: Sequence[str], against: str = "optuna"
) -> list[Row]:
    """A row for each arm and kind, and one for all kinds.

    A ratio over all kinds is the mean over those in which the reference loses anything at all;
    `kinds` says how many these are.

    Args:
        rows: One an arm and world.
        setting: What they have in common.
        arms: In the order wanted.
        against: The arm that ratios are to; those to random stand beside them.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    by_cell: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["key"])):
        by_cell.setdefault((row["arm"], row["kind"]), []).append(row)
    cells = []
    for arm in arms:
        own = [_cell(by_cell, arm, kind, against) for kind in kinds]
        shared = {"arm": arm, "epochs": setting.epochs, "trainings": setting.trainings}
        shared |= {"noise": setting.noise, "slots": setting.slots, "against": against}
        cells += [shared | cell for cell in (*own, _over_kinds(own))]
    return cells


def _cell(by_cell: dict[tuple[str, str], list[Row]], arm: str, kind: str, against: str) -> Row:
    mine = by_cell[arm, kind]
    regrets = np.array([row["regret"] for row in mine])
    cell: Row = {"kind": kind, "worlds": len(mine), "regret": float(regrets.mean())}
    for name, reference in (("ratio", against), ("to_random", "random")):
        error = "se" if name == "ratio" else f"se_{name}"
        cell[name] = cell[error] = None
        if (reference, kind) in by_cell and len(mine) > 1:
            others = np.array([row["regret"] for row in by_cell[reference, kind]])
            if others.any():
                cell[name], cell[error] = ratio(regrets, others)
    for name in (*PARTS, "spent", "seconds"):
        cell[name] = float(np.mean([row[name] for row in mine]))
    return cell


def _over_kinds(cells: list[Row]) -> Row:
    whole: Row = {"kind": "all", "worlds": sum(cell["worlds"] for cell in cells)}
    whole["kinds"] = sum(cell["ratio"] is not None for cell in cells)
    for name in cells[0]:
        if name in whole:
            continue
        known = [cell[name] for cell in cells if cell[name] is not None]
        if not known:
            whole[name] = None
        elif name.startswith("se") and name != "seconds":
            whole[name] = float(np.sum(np.square(known)) ** 0.5 / len(known))
        else:
            whole[name] = float(np.mean(known))
    return whole


def show(cells: list[Row]) -> None:
    """One setting's table; nothing where no arm could search."""
    if not cells:
        return
    first = cells[0]
    print(
        f"\n{first['trainings']} trainings of {first['epochs']} epochs, noise {first['noise']:g}, "
        f"{first['slots']} slot(s), {first['worlds']} worlds a kind; ratio to "
        f"{first['against']!r}; regret in units (sd of true values in the space's better half)"
    )
    width = max(len(cell["arm"]) for cell in cells) + 2
    head = ("regret", "ratio", "to random", "not found", "stopped", "not kept", "wrong pick")
    print(" " * width + "".join(f"{name:>14}" for name in head) + f"{'epochs':>8}{'CPU s':>7}")
    for cell in cells:
        if cell["kind"] == "all":
            parts = "".join(f"{cell[name]:14.2f}" for name in PARTS)
            print(
                f"{cell['arm']:<{width}}{cell['regret']:14.3f}{_share(cell, 'ratio', 'se'):>14}"
                f"{_share(cell, 'to_random', 'se_to_random'):>14}{parts}"
                f"{cell['spent']:8.0f}{cell['seconds']:7.2f}"
            )
    kinds = list(dict.fromkeys(cell["kind"] for cell in cells))[:-1]
    perfect = _perfect(cells)
    if perfect:
        print(f"ratios leave out {', '.join(perfect)}: {first['against']!r} loses nothing there")
    print(f"\nby kind, ratio to {first['against']!r} (without it: regret)")
    print(" " * width + "".join(f"{kind:>13}" for kind in kinds))
    for arm in dict.fromkeys(cell["arm"] for cell in cells):
        mine = [cell for cell in cells if cell["arm"] == arm and cell["kind"] != "all"]
        shares = [_share(cell, "ratio", "se") or f"{cell['regret']:.2f}" for cell in mine]
        print(f"{arm:<{width}}" + "".join(f"{share:>13}" for share in shares), flush=True)


def _perfect(cells: list[Row]) -> list[str]:
    """Kinds in which the reference finds the best of every world."""
    return [
        cell["kind"]
        for cell in cells
        if cell["arm"] == cell["against"] and cell["kind"] != "all" and cell["regret"] == 0.0
    ]


def _share(cell: Row, name: str, error: str) -> str:
    return "" if cell[name] is None else f"{cell[name]:.2f} ± {cell[error]:.2f}"
