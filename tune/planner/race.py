"""The race: a few configurations on several seeds; the clearly worse leave.

Seeds are rounds. A round is decided when every remaining configuration has ended on its seed and
on all seeds before it, so that who leaves does not depend on who arrived first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import special

__all__ = [
    "FIRST_DECIDING",
    "Dropped",
    "Losses",
    "RoundEnd",
    "end_round",
    "paired_p",
    "ranking",
    "standing",
]

FIRST_DECIDING = 3
"""Nobody leaves before the third seed."""

LEVEL = 0.05

Losses = Mapping[str, Sequence[float | None]]
"""For each configuration its losses on seed 1, 2, …; None where it failed."""


@dataclass(frozen=True)
class Dropped:
    """A configuration that leaves.

    Attributes:
        config_id: Who.
        p: One-sided p against the leader; NaN with fewer than three pairs.
        reason: In words.
    """

    config_id: str
    p: float
    reason: str


@dataclass(frozen=True)
class RoundEnd:
    """What one round decides.

    Attributes:
        leader: The best of those that were in the race, the default included.
        dropped: Who leaves, in the order given.
    """

    leader: str
    dropped: tuple[Dropped, ...]


def end_round(losses: Losses, default: str) -> RoundEnd:
    """Decide who leaves after a complete round.

    Args:
        losses: All remaining configurations, each with the same number of seeds, at least three.
        default: The configuration that never leaves; one of them.

    Returns:
        The leader, and everyone whose one-sided paired t against it has p < .05/(remaining − 1),
        or who failed on two seeds or more where the default failed on none.
    """
    leader = ranking(losses)[0]
    level = LEVEL / max(1, len(losses) - 1)
    default_failed = _failures(losses[default])
    dropped = []
    for config_id, mine in losses.items():
        if config_id == default:
            continue
        failed = _failures(mine)
        p = math.nan if config_id == leader else paired_p(mine, losses[leader])
        if failed >= 2 and default_failed == 0:
            reason = f"failed on {failed} seeds, the default on none"
        elif p < level:
            reason = f"worse than the leader: one-sided paired t, p = {p:.2g} < {level:.2g}"
        else:
            continue
        dropped.append(Dropped(config_id, p, reason))
    return RoundEnd(leader, tuple(dropped))


def ranking(losses: Losses) -> list[str]:
    """Configurations from best to worst.

    Args:
        losses: Each on the same seeds, in order of proposal.

    Returns:
        Fewer failed seeds first, then the lower mean loss over the seeds that finished, then the
        order given.
    """
    return sorted(losses, key=lambda config_id: standing(losses[config_id]))


def standing(losses: Sequence[float | None]) -> tuple[int, float]:
    """What `ranking` sorts by: failed seeds, mean loss over the others (infinite without any)."""
    finished = [loss for loss in losses if loss is not None]
    mean = math.fsum(finished) / len(finished) if finished else math.inf
    return len(losses) - len(finished), mean


def paired_p(losses: Sequence[float | None], leader: Sequence[float | None]) -> float:
    """One-sided p that a configuration is no worse than the leader, over the seeds both finished.

    Args:
        losses: The configuration's, by seed.
        leader: The leader's, on the same seeds.

    Returns:
        Student's t on the paired differences, upper tail; 0 where every difference is the same
        positive number, 1 where it is the same and not positive; NaN with fewer than three pairs.
    """
    pairs = zip(losses, leader, strict=True)
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    count = len(differences)
    if count < FIRST_DECIDING:
        return math.nan
    mean = math.fsum(differences) / count
    variance = math.fsum((d - mean) ** 2 for d in differences) / (count - 1)
    if variance == 0:
        return 0.0 if mean > 0 else 1.0
    return float(special.stdtr(count - 1, -mean / math.sqrt(variance / count)))


def _failures(losses: Sequence[float | None]) -> int:
    return sum(loss is None for loss in losses)
