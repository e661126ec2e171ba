"""The real training and the tests' own have the shape that a worker expects."""

import inspect

from synthetic import Epoch, Synthetic
from synthetic import Training as SyntheticTraining

from hscl.training.loop import Training
from hscl.training.reports import EpochReport
from tune.trial.run import HSCL
from tune.trial.workload import EpochLike, TrialTraining, Workload


def test_both_trainings_and_workloads_are_accepted_by_the_type_checker() -> None:
    trainings: list[type[TrialTraining]] = [Training, SyntheticTraining]
    workloads: list[Workload] = [HSCL, Synthetic()]
    assert len(trainings) == len(workloads) == 2


def test_both_reports_have_every_column_of_the_protocol() -> None:
    wanted = {name for name, _ in inspect.getmembers(EpochLike, lambda m: isinstance(m, property))}
    for report in (EpochReport, Epoch):
        assert wanted <= set(report.__dataclass_fields__)
