"""What a study will take on a cluster, from a timed probe of its own first steps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tune.display import bytes_text, duration_text
from tune.study.size import size_of, trials_that_fit
from tune.study.spec import StudySpec
from tune.trial.first_steps import measured_text, time_first_steps

__all__ = ["Cost", "estimate", "time_first_steps"]


@dataclass(frozen=True)
class Cost:
    """What a study takes on the nodes that are there now.

    Attributes:
        trials: Trainings, at most or about.
        epochs: Epochs at most.
        usual_epochs: Epochs if early stopping does what it usually does.
        seconds_per_epoch: From the probe; of several kinds of models the mean.
        models: Of each kind, from the probe.
        start_seconds: Until the first training begins: a worker started, the data prepared.
        at_once: Trials that run at the same time.
        hours: On the clock, at most, the start included.
        usual_hours: On the clock, for the usual epochs.
        disk_bytes: What all checkpoints take where the study goes to, at most.
        estimated: A limit of epochs or hours, not a count, says how many trainings there are.
    """

    trials: int
    epochs: int
    usual_epochs: int
    seconds_per_epoch: float
    models: Mapping[str, float]
    start_seconds: float
    at_once: int
    hours: float
    usual_hours: float
    disk_bytes: float
    estimated: bool

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)

    def cost_text(self) -> str:
        """One line for a person."""
        usual, trials = "", f"at most {self.trials:,} trials,"
        if self.estimated:
            trials = f"about {self.trials:,} trials in at most"
        if self.usual_epochs < self.epochs:
            usual = (
                f", usually {self.usual_epochs:,} epochs and "
                f"{duration_text(3600 * self.usual_hours)} with early stopping"
            )
        return (
            f"cost: {trials} {self.epochs:,} epochs of about "
            f"{self.seconds_per_epoch:.3g} s {measured_text(self.models)} (measured), "
            f"{self.at_once} at once: "
            f"{duration_text(3600 * self.hours)}{usual}, with "
            f"{duration_text(self.start_seconds)} to start up; "
            f"at most {bytes_text(self.disk_bytes)} on the disk of --out"
        )


def estimate(spec: StudySpec, timed: Mapping[str, Any], nodes: list[Mapping[str, float]]) -> Cost:
    """Divide what a study will do by what runs at once.

    Args:
        spec: The study.
        timed: What `time_first_steps` measured, and `start_seconds` before that.
        nodes: Ray's resources of each node.

    Returns:
        The estimate.
    """
    seconds_per_epoch = timed["seconds_per_epoch"]
    size = size_of(spec, seconds_per_epoch=seconds_per_epoch)
    gpus = sum(node.get("GPU", 0.0) for node in nodes)
    at_once = max(1, sum(trials_that_fit(spec.resources, node, gpus) for node in nodes))
    if spec.resources.concurrent:
        at_once = min(at_once, spec.resources.concurrent)
    usual, most = size.hours(seconds_per_epoch, at_once)
    start = timed["start_seconds"] / 3600
    return Cost(
        trials=size.trainings,
        epochs=size.epochs,
        usual_epochs=size.usual_epochs,
        seconds_per_epoch=seconds_per_epoch,
        models=timed["models"],
        start_seconds=timed["start_seconds"],
        at_once=at_once,
        hours=most + start,
        usual_hours=usual + start,
        disk_bytes=size.disk_bytes(timed["kept_bytes"], timed["running_bytes"], at_once),
        estimated=size.estimated,
    )
