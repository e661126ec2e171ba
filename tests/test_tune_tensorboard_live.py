"""TensorBoard's own HParams backend reads a study while it runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from event_files import scalars, session_groups
from synthetic import Data, Synthetic, study
from tensorboard.plugins.hparams import api_pb2

from tune.engine.driver import SearchOptions, View, run_search
from tune.engine.engine import Engine
from tune.states import TrialState
from tune.tables.storage import Folder
from tune.views.study import open_study
from tune.views.tensorboard import FOLDER, TensorBoard

pytestmark = pytest.mark.usefixtures("shared_ray")

STATUS = {
    TrialState.STARTED: api_pb2.STATUS_UNKNOWN,  # so TensorBoard calls one without an end
    TrialState.DONE: api_pb2.STATUS_SUCCESS,
    TrialState.PRUNED: api_pb2.STATUS_SUCCESS,
}


@dataclass(frozen=True)
class Look:
    """What there was at one moment."""

    groups: dict[str, Any]
    curves: dict[str, dict[str, list[tuple[int, float]]]]
    rows: list[dict[str, Any]]
    names: dict[str, str]
    reports: list[dict[str, Any]]
    running: int


class Dashboard(View):
    """Looks at TensorBoard and at the tables whenever so many more epochs are recorded."""

    def __init__(self, every: int) -> None:
        self.looks: list[Look] = []
        self._every = every
        self._next = 1

    def begin(self, engine: Engine, folder: Folder) -> None:
        assert folder.local is not None
        self._engine, self._root = engine, folder.local

    def tick(self) -> None:
        if self._engine.history.epochs < self._next:
            return
        self._next = self._engine.history.epochs + self._every
        events = self._root / FOLDER
        tables = open_study(self._root)
        numbers = {one.config_id: one.number for one in tables.history.configs.values()}
        look = Look(
            session_groups(events),
            scalars(events),
            tables.trials_table().to_pylist(),
            {
                trial.trial_id: f"{numbers[trial.config_id]}-{trial.phase}-s{trial.seed}"
                for trial in tables.history.trials.values()
            },
            tables.table("reports").to_pylist(),
            len(self._engine.live),
        )
        self.looks.append(look)


def test_at_any_time_of_a_run_each_configuration_is_one_row_with_its_value_so_far(
    tmp_path: Path,
) -> None:
    dashboard = Dashboard(every=3)
    spec = study(resources={"concurrent": 2})
    request = SearchOptions(out=str(tmp_path / "study"))
    views = (TensorBoard(), dashboard)
    run_search(spec, Data(), request, workload=Synthetic(epoch_s=0.01), views=views)
    during = [look for look in dashboard.looks if look.running]
    assert len(during) >= 5
    for look in during:
        assert set(look.groups) == {str(row["number"]) for row in look.rows}
        for row in look.rows:
            (session,) = look.groups[str(row["number"])].sessions
            assert session.status == STATUS[TrialState(row["state"])]
            values = {v.name.tag: v.value for v in look.groups[str(row["number"])].metric_values}
            told = values.get("value/mae")
            assert told == (row["valid"] and pytest.approx(row["valid"], rel=1e-6))
            assert values["value/seeds"] == row["seeds"]
        for row in look.reports:
            curve = dict(look.curves[look.names[row["trial_id"]]]["Valid/mae"])
            assert curve[row["epoch"]] == pytest.approx(row["valid_mae"], rel=1e-6)
    seeds = [max(row["seeds"] for row in look.rows) for look in during]
    assert seeds[0] <= 1
    assert seeds[-1] > 1, "confirm was seen while it ran"
    statuses = {s.status for look in during for g in look.groups.values() for s in g.sessions}
    assert {api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS} <= statuses
