"""Whole studies on a real Ray, with a response surface in place of training."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from places import HELPERS, ROOT
from replay import check, raw_rows, readers_view
from synthetic import Data, Faults, Synthetic, objective, study

from hscl.config import Config
from hscl.errors import InputError, RunError
from tune.engine.driver import SearchOptions, SearchOutcome, View, run_search
from tune.engine.engine import Engine
from tune.simulate.study import simulate
from tune.states import Kind, Phase
from tune.study.spec import StudySpec
from tune.tables.identity import recorded_spec
from tune.tables.lock import LockLostError, StudyLock
from tune.tables.storage import Folder
from tune.views.study import open_study

pytestmark = pytest.mark.usefixtures("shared_ray")


def run(
    spec: StudySpec, out: Path | str, *, views: tuple[View, ...] = (), **workload: Any
) -> SearchOutcome:
    request = SearchOptions(out=str(out), checkpoint_s=0.0)
    return run_search(spec, Data(), request, workload=Synthetic(**workload), views=views)


class OnEpoch(View):
    """Does something once, when so many epochs are recorded."""

    def __init__(self, epochs: int, action: Any) -> None:
        self._epochs = epochs
        self._action = action
        self._engine: Engine | None = None

    def begin(self, engine: Engine, folder: Folder) -> None:
        self._engine = engine

    def tick(self) -> None:
        if self._engine is not None and self._engine.history.epochs >= self._epochs:
            self._engine = None
            self._action()


@pytest.fixture(scope="module")
def undisturbed(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of all phases, one trial at a time, that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed") / "study"
    outcome = run(study(), out)
    assert outcome.done is not None
    assert not outcome.interrupted
    return out


def test_one_at_a_time_the_tables_are_those_of_the_planner_alone(undisturbed: Path) -> None:
    reference = simulate(study(), objective)
    ours = open_study(undisturbed)
    check(ours)

    def cut(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
        return [tuple(row.get(name) for name in names) for row in rows]

    columns: tuple[str, ...]
    columns = ("config_id", "number", "origin", "config", "loss.temperature", "loss.omega2")
    configs = cut(ours.table("configs").to_pylist(), *columns)
    assert configs == cut(reference.tables["configs"], *columns)
    columns = ("trial_id", "phase", "seed", "state", "attempt")
    events = cut(ours.table("trials", events=True).to_pylist(), *columns)
    assert events == cut(reference.tables["trials"], *columns)
    columns = ("trial_id", "epoch", "stop", "finished", "valid_mae")
    reports = cut(ours.table("reports").to_pylist(), *columns)
    assert reports == cut(reference.tables["reports"], *columns)
    columns = ("kind", "phase", "config_id", "other_config_id", "seeds", "value", "note")
    rows = ours.table("plan").to_pylist()
    bound = [Kind.SPECIFICATION, Kind.CODE, Kind.DATA, Kind.DEVICES]
    identity, plan = rows[: len(bound)], rows[len(bound) :]
    assert [row["kind"] for row in identity] == bound
    assert recorded_spec(identity[0]["note"], "").digest == study().digest
    assert cut(plan, *columns) == cut(reference.tables["plan"], *columns)


def test_the_same_study_again_has_the_same_tables(undisturbed: Path, tmp_path: Path) -> None:
    run(study(), tmp_path / "again")
    assert readers_view(open_study(tmp_path / "again")) == readers_view(open_study(undisturbed))


def test_predictions_of_valid_and_test_are_there_for_confirm_alone(
    undisturbed: Path,
) -> None:
    ours = open_study(undisturbed)
    phases = {row["trial_id"]: row["phase"] for row in ours.table("trials").to_pylist()}
    found = Counter(
        (phases[row["trial_id"]], row["split"]) for row in ours.table("predictions").to_pylist()
    )
    trials = Counter(phases.values())
    assert found == {
        ("confirm", "valid"): 12 * trials["confirm"],
        ("confirm", "test"): 12 * trials["confirm"],
    }


def test_test_is_said_to_be_opened_before_the_first_confirm_trial_starts(
    undisturbed: Path,
) -> None:
    ours = open_study(undisturbed)
    opened = [r["seq"] for r in ours.table("plan").to_pylist() if r["kind"] == Kind.TEST_OPENED]
    events = ours.table("trials", events=True).to_pylist()
    first = min(row["seq"] for row in events if row["phase"] == "confirm")
    assert opened == [first - 1]


def test_reports_and_predictions_are_written_before_the_event_that_ends_their_trial(
    undisturbed: Path,
) -> None:
    ours = open_study(undisturbed)
    ends = {row["trial_id"]: row["seq"] for row in ours.table("trials").to_pylist()}
    last = ours.table("reports").group_by("trial_id").aggregate([("seq", "max")]).to_pylist()
    assert all(row["seq_max"] < ends[row["trial_id"]] for row in last)


def test_the_folder_holds_what_the_design_says(undisturbed: Path) -> None:
    trials = open_study(undisturbed).table("trials").to_pylist()
    states = {row["trial_id"]: row["state"] for row in trials}
    kept = {path.name for path in (undisturbed / "checkpoints").iterdir()}
    assert kept == {trial_id for trial_id, state in states.items() if state == "done"}
    for trial_id in kept:
        assert [p.name for p in (undisturbed / "checkpoints" / trial_id).iterdir()] == ["best.txt"]
    assert {path.stem for path in (undisturbed / "logs").iterdir()} == set(states)
    log = (undisturbed / "logs" / f"{next(iter(kept))}.txt").read_text()
    assert "training epoch 3" in log
    assert "epoch 3: valid mae" in log
    assert {path.name for path in (undisturbed / "tables").iterdir()} == {
        "configs",
        "trials",
        "reports",
        "predictions",
        "plan",
        "counts.json",
    }


def test_a_study_that_is_over_does_nothing_when_it_is_run_again(undisturbed: Path) -> None:
    before = readers_view(open_study(undisturbed))
    outcome = run(study(), undisturbed)
    assert outcome.done is not None
    assert readers_view(open_study(undisturbed)) == before


def test_two_at_a_time_every_decision_is_the_planners_on_the_rows_before(tmp_path: Path) -> None:
    run(study(resources={"concurrent": 2}), tmp_path / "study", epoch_s=0.01)
    check(open_study(tmp_path / "study"))


def test_ctrl_c_once_ends_running_epochs_saves_them_and_the_same_command_goes_on(
    undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    interrupt = OnEpoch(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    outcome = run(study(), out, views=(interrupt,), epoch_s=0.3)
    assert outcome.interrupted
    halfway = open_study(out)
    check(halfway, over=False)
    (open_trial,) = halfway.history.open.values()
    assert (out / "checkpoints" / open_trial.trial_id / "state.safetensors").exists()
    assert run(study(), out).done is not None
    log = (out / "logs" / f"{open_trial.trial_id}.txt").read_text()
    assert f"resumes after epoch {open_trial.epoch}" in log
    check(open_study(out))
    assert readers_view(open_study(out)) == readers_view(open_study(undisturbed))


class SwallowsCtrlC(Data):
    """Data whose preparation is interrupted, and goes on as if it were not."""

    def prepare(self, config: Config) -> Any:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        return super().prepare(config)


def test_ctrl_c_that_is_swallowed_before_anything_runs_ends_the_search_all_the_same(
    tmp_path: Path,
) -> None:
    request = SearchOptions(out=str(tmp_path / "study"), checkpoint_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        run_search(study(), SwallowsCtrlC(), request, workload=Synthetic())
    assert not list((tmp_path / "study").rglob("*.arrow"))
    assert run(study(), tmp_path / "study").done is not None


def test_ctrl_c_gives_up_trials_that_wait_for_a_worker_which_may_never_come(
    tmp_path: Path,
) -> None:
    out = tmp_path / "study"
    spec = study(resources={"concurrent": 5})  # more than any test machine's Ray has room for
    interrupt = OnEpoch(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run(spec, out, views=(interrupt,), epoch_s=0.5).interrupted
    halfway = open_study(out)
    check(halfway, over=False)
    begun = {path.stem for path in (out / "logs").glob("*.txt")}
    waiting = [trial for trial in halfway.history.open.values() if trial.trial_id not in begun]
    assert len(waiting) >= 2
    assert run(spec, out).done is not None
    check(open_study(out))


def table_study(count: int, **tables: Any) -> StudySpec:
    """A default and so many variants that differ in loss.omega1, each on one seed."""
    known = [{"name": f"w{i}", "loss.omega1": 0.1 * i} for i in range(1, count + 1)]
    return study(
        space={},
        known=known,
        sampler={"kind": "list", "trials": count + 1},
        confirm={"seeds": [11]},
        **tables,
    )


def outcomes(out: Path) -> dict[str, tuple[str, int, str]]:
    """State, attempt and error by the configuration's name."""
    done = open_study(out)
    check(done, values=False)
    names = {c.config_id: c.name for c in done.history.configs.values()}
    rows = done.table("trials").to_pylist()
    return {names[r["config_id"]]: (r["state"], r["attempt"], r["error"] or "") for r in rows}


def test_a_trials_own_fault_is_a_row_with_its_error_and_the_study_goes_on(tmp_path: Path) -> None:
    ours = table_study(3)
    w = [point.config.loss.omega1 for point in ours.start_points]
    faults = Faults(raises=(w[1],), nan=(w[2],))
    run(ours, tmp_path / "study", faults=faults)
    assert outcomes(tmp_path / "study") == {
        "default": ("done", 1, ""),
        "w1": ("failed", 1, "ValueError: this configuration cannot be trained"),
        "w2": ("failed", 1, "total, task must be finite, but is not in epoch 2"),
        "w3": ("done", 1, ""),
    }
    (log,) = (p for p in (tmp_path / "study/logs").iterdir() if "Traceback" in p.read_text())
    assert "in strike" in log.read_text()
    pids = {
        line.split("process ")[1].split(",")[0]
        for path in (tmp_path / "study/logs").iterdir()
        for line in path.read_text().splitlines()
        if line.startswith("---")
    }
    assert len(pids) == 1, "the warm worker went on"


@pytest.mark.slow
def test_what_breaks_a_process_is_tried_again_as_often_as_the_study_allows(
    tmp_path: Path,
) -> None:
    (tmp_path / "marks").mkdir()
    ours = table_study(
        4, study={"epoch_timeout_s": 3.0, "retries": 1}, resources={"concurrent": 2}
    )
    w = [point.config.loss.omega1 for point in ours.start_points]
    faults = Faults(
        marks=str(tmp_path / "marks"),
        dies=(w[1],),
        dies_always=(w[2],),
        hangs=(w[3],),
        memory=(w[4],),
    )
    run(ours, tmp_path / "study", faults=faults)
    seen = outcomes(tmp_path / "study")
    assert seen["default"] == ("done", 1, "")
    assert seen["w1"] == ("done", 2, "")
    assert seen["w2"][:2] == ("failed", 2)
    assert seen["w2"][2].startswith("worker: The actor died unexpectedly")
    assert seen["w3"] == ("done", 2, "")
    assert seen["w4"] == ("done", 2, "")
    done = open_study(tmp_path / "study")
    names = {c.config_id: c.name for c in done.history.configs.values()}
    again = {
        names[row["config_id"]]: row["error"]
        for row in done.table("trials", events=True).to_pylist()
        if row["state"] == "started" and row["attempt"] == 2
    }
    assert again["w1"].startswith("worker: The actor died unexpectedly")
    assert again["w3"] == "timeout: epoch 2 took longer than study.epoch_timeout_s = 3"
    assert again["w4"].startswith("memory: MemoryError")
    ids = {name: config_id for config_id, name in names.items()}
    hung = (tmp_path / "study" / "logs" / f"{ids['w3']}-11.txt").read_text()
    assert "this is where it hangs" in hung
    assert "in strike" in hung


def test_where_everything_fails_the_study_gives_up_after_a_few_and_says_why(
    tmp_path: Path,
) -> None:
    outcome = run(study(), tmp_path / "study", faults=Faults(all_raise=True))
    assert outcome.done is not None
    assert outcome.done.gave_up
    assert "all of 5 trials failed; the last error: ValueError: nothing works here" in (
        outcome.done.note
    )
    assert len(open_study(tmp_path / "study").history.trials) == 5
    again = run(study(), tmp_path / "study")  # the cause is gone: a person tries again
    assert again.done is not None
    assert not again.done.gave_up
    assert len(open_study(tmp_path / "study").history.trials) > 5


def test_a_driver_whose_lock_is_taken_stops_and_writes_nothing_more(tmp_path: Path) -> None:
    out = tmp_path / "study"
    counted: list[int] = []

    def take() -> None:
        (out / "lock.json").unlink()
        counted.append(len(list((out / "tables" / "reports").iterdir())))

    with pytest.raises(LockLostError, match="writes nothing more"):
        run(study(), out, views=(OnEpoch(6, take),), epoch_s=0.02)
    assert len(list((out / "tables" / "reports").iterdir())) <= counted[0] + 1
    run(study(), out)
    check(open_study(out))


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    out = tmp_path / "study"
    seen: list[str] = []

    def second() -> None:
        try:
            run(study(), out)
        except InputError as error:
            seen.append(str(error))

    run(study(), out, views=(OnEpoch(3, second),))
    assert len(seen) == 1
    assert f"process {os.getpid()} on" in seen[0]


def test_storage_that_goes_away_ends_the_run_in_one_message_and_it_can_go_on(
    tmp_path: Path,
) -> None:
    out = tmp_path / "study"
    reports = out / "tables" / "reports"

    def break_it() -> None:  # a file where a folder should be: nobody can write, not even root
        reports.rename(tmp_path / "aside")
        reports.write_text("")

    with pytest.raises(RunError, match="must be writable"):
        run(study(), out, views=(OnEpoch(6, break_it),), epoch_s=0.02)
    reports.unlink()
    (tmp_path / "aside").rename(reports)
    run(study(), out)
    check(open_study(out))


def test_another_study_in_the_folder_is_refused_and_every_key_named(undisturbed: Path) -> None:
    other = study(refine={"trials": 2}, sampler={"trials": 7}, resources={"concurrent": 2})
    before = (undisturbed / "study.toml").read_bytes()
    with pytest.raises(InputError) as caught:
        run(other, undisturbed)
    message = str(caught.value)
    assert "refine.trials: was 3, is 2" in message
    assert "sampler.trials: was 6, is 7" in message
    assert "concurrent: was" not in message
    assert (undisturbed / "study.toml").read_bytes() == before


def test_other_data_are_refused(undisturbed: Path) -> None:
    request = SearchOptions(out=str(undisturbed))
    with pytest.raises(InputError, match=r"digest dddddddddddd, but .* has eeeeeeeeeeee"):
        run_search(study(), Data(digest="e" * 64), request, workload=Synthetic())


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"but holds thesis\.tex; choose another --out"):
        run(study(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_more_than_the_machine_has_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resources\.cpus must be at most the \d+ of this"):
        run(study(resources={"cpus": 4096.0}), tmp_path / "study")
    with pytest.raises(InputError, match=r"resources\.gpus must be at most the \d+ of this"):
        run(study(resources={"gpus": 64.0}), tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_ray_client_addresses_are_refused_with_the_command_to_use_instead(tmp_path: Path) -> None:
    request = SearchOptions(out=str(tmp_path / "study"), address="ray://head:10001")
    with pytest.raises(InputError, match="hscl cluster submit"):
        run_search(study(), Data(), request, workload=Synthetic())


def test_a_warm_start_knows_the_old_search_and_uses_none_of_its_seeds(
    undisturbed: Path, tmp_path: Path
) -> None:
    request = SearchOptions(out=str(tmp_path / "new"), warm_start=str(undisturbed))
    run_search(study(), Data(), request, workload=Synthetic())
    old, new = open_study(undisturbed), open_study(tmp_path / "new")
    seeds = [set(s.table("trials")["seed"].to_pylist()) for s in (old, new)]
    assert seeds[0] & seeds[1] == set()
    kinds = Counter(new.table("plan")["kind"].to_pylist())
    assert kinds[Kind.WARM_POINT] == 6 + 3
    assert kinds[Kind.TEST_OPENED] == 1  # by the old one; it stays opened
    check(new)
    with pytest.raises(InputError, match="--warm-start is for a new study"):
        run_search(
            study(),
            Data(),
            SearchOptions(out=str(undisturbed), warm_start=str(tmp_path / "new")),
            workload=Synthetic(),
        )


def test_a_further_look_is_taken_only_where_it_was_declared(
    undisturbed: Path, tmp_path: Path
) -> None:
    look = SearchOptions(out=str(undisturbed), another_look=True)
    with pytest.raises(InputError, match="at most the declared"):
        run_search(study(), Data(), look, workload=Synthetic())
    twice = study(confirm={"seeds": 2, "looks": 2}, refine={"trials": 0})
    run(twice, tmp_path / "study")
    confirmed = len(open_study(tmp_path / "study").history.trials)
    look = SearchOptions(out=str(tmp_path / "study"), another_look=True)
    run_search(twice, Data(), look, workload=Synthetic())
    done = open_study(tmp_path / "study")
    assert len(done.history.trials) == confirmed + 4
    check(done)


def test_confirm_ends_after_the_look_that_settles_it(tmp_path: Path) -> None:
    """All configurations predict the same, and test has too few videos for any verdict."""
    spec = study(confirm={"seeds": 8}, sampler={"trials": 2}, refine={"trials": 0})
    run(spec, tmp_path / "study")
    done = open_study(tmp_path / "study")
    trials = [trial for trial in done.history.trials.values() if trial.phase is Phase.CONFIRM]
    assert len(trials) == 2 * 6
    (row,) = done.history.plan_rows(Kind.CONFIRM_ENDED)
    assert row["value"] == 2 * 2
    assert "4 trainings saved" in done.status()["note"]
    check(done)


def test_warm_workers_run_many_trials_each(undisturbed: Path) -> None:
    logs = list((undisturbed / "logs").iterdir())
    assert len(logs) > 10
    pids = {
        line.split("process ")[1].split(",")[0]
        for path in logs
        for line in path.read_text().splitlines()
        if line.startswith("---")
    }
    assert len(pids) == 1


RAY_ENDS = """
import sys
from synthetic import Data, Synthetic, study
from hscl.errors import RunError
from tune.engine.driver import SearchOptions, run_search
options = SearchOptions(out=sys.argv[1], checkpoint_s=0.0)
try:
    outcome = run_search(study(), Data(), options, workload=Synthetic(epoch_s=0.3))
except RunError as error:
    sys.exit(f"one message: {error}")
sys.exit(130 if outcome.interrupted else 0)
"""


def disturbed(out: Path, disturb: Any) -> tuple[int, str, float]:
    """Exit code, standard error and seconds to the end after something was done to its driver."""
    driver = subprocess.Popen(
        [sys.executable, "-c", RAY_ENDS, str(out)],
        env=os.environ | {"PYTHONPATH": f"{HELPERS}:{ROOT}"},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    reports = out / "tables" / "reports"
    while driver.poll() is None and len(list(reports.glob("*.parquet"))) < 2:
        time.sleep(0.1)
    began = time.monotonic()
    disturb(driver.pid)
    _, said = driver.communicate(timeout=120)
    return driver.returncode, said, time.monotonic() - began


def test_a_signal_to_the_whole_process_group_stops_in_order_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    out = tmp_path / "study"
    groups: list[int] = []

    def end(pid: int) -> None:
        groups.append(pid)
        os.killpg(pid, signal.SIGTERM)

    assert disturbed(out, end)[:2] == (130, "")
    halfway = open_study(out)
    check(halfway, over=False)
    (open_trial,) = halfway.history.open.values()
    assert (out / "checkpoints" / open_trial.trial_id / "state.safetensors").exists()
    assert_none_left(groups[0])


def assert_none_left(group: int) -> None:
    """Wait for the end of a driver's group: Ray's own processes may be a moment behind."""
    ended = time.monotonic() + 30.0
    while left := [one for one in psutil.process_iter() if _in_group(one, group)]:
        assert time.monotonic() < ended, left
        time.sleep(0.1)


def _in_group(process: "psutil.Process", group: int) -> bool:
    """Whether a process is of a group, and still does something."""
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_a_ray_that_dies_ends_the_run_in_one_message_within_seconds(
    tmp_path: Path, name: str
) -> None:
    groups: list[int] = []

    def kill(pid: int) -> None:
        groups.append(pid)
        (child,) = (p for p in psutil.Process(pid).children(recursive=True) if p.name() == name)
        child.kill()

    code, said, seconds = disturbed(tmp_path / "study", kill)
    assert code == 1
    assert said.startswith("one message: ")
    assert f"its process {name} was ended by signal 9" in said
    assert said.count("\n") == 1
    assert seconds < 20
    assert_none_left(groups[0])
    run(study(), tmp_path / "study")
    check(open_study(tmp_path / "study"))


SLOW_UNWINDING = """
import os, sys
os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "1"
from synthetic import Data, Synthetic, study
from tune.engine.driver import SearchOptions, run_search
run_search(study(), Data(), SearchOptions(out=sys.argv[1]), workload=Synthetic(unwind_s=4.0))
"""


def test_a_second_worker_starts_although_the_first_is_done_before_it(tmp_path: Path) -> None:
    # Tune's FIFO would move the second trial to the first's warm worker and end its own's start.
    spec = study(sampler={"trials": 60, "kind": "random"}, resources={"concurrent": 2})
    run(spec, tmp_path / "study")
    logs = [path.read_text() for path in (tmp_path / "study" / "logs").glob("*.txt")]
    workers = Counter(re.search(r"process (\d+)", log)[1] for log in logs)  # type: ignore[index]
    assert len(workers) == 2
    assert min(workers.values()) >= 10


@pytest.mark.slow
def test_trials_that_tune_loses_without_a_word_are_found_and_run(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(HELPERS)])
    command = [sys.executable, "-c", SLOW_UNWINDING, str(tmp_path / "study")]
    environment = os.environ | {"PYTHONPATH": paths}
    subprocess.run(command, env=environment, check=True, timeout=400)
    done = open_study(tmp_path / "study")
    check(done)
    errors = [row["error"] for row in raw_rows(done, "trials") if row["state"] == "started"]
    assert any(error is not None and "did not let go" in error for error in errors)


DRIVER = """
import sys
from synthetic import Data, Synthetic, study
from tune.engine.driver import SearchOptions, run_search
spec = study(resources={{"concurrent": {slots}}})
request = SearchOptions(out=sys.argv[1], checkpoint_s=0.0)
run_search(spec, Data(), request, workload=Synthetic(epoch_s={epoch_s}))
"""


def start_driver(out: Path | str, slots: int, epoch_s: float) -> "subprocess.Popen[bytes]":
    paths = os.pathsep.join([str(ROOT), str(HELPERS)])
    code = textwrap.dedent(DRIVER).format(slots=slots, epoch_s=epoch_s)
    command = [sys.executable, "-c", code, str(out)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths})


def wait_for_reports(out: Path, files: int, driver: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    folder = out / "tables" / "reports"
    while time.monotonic() < deadline and driver.poll() is None:
        if folder.exists() and len(list(folder.glob("0*"))) >= files:
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
def test_a_driver_killed_twice_loses_and_doubles_nothing(
    undisturbed: Path, tmp_path: Path, slots: int
) -> None:
    out = tmp_path / "study"
    # Each epoch is longer than rows are held back: the third file is the third epoch of the first
    # trial, which has four.
    for files in (3, 7):
        driver = start_driver(out, slots, epoch_s=0.25)
        wait_for_reports(out, files, driver)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        check(open_study(out), over=False)
    driver = start_driver(out, slots, epoch_s=0.0)
    assert driver.wait(timeout=180) == 0
    done = open_study(out)
    check(done)
    assert len({row["attempt"] for row in raw_rows(done, "trials")}) > 1
    if slots == 1:
        assert readers_view(done) == readers_view(open_study(undisturbed))


@pytest.mark.slow
def test_a_study_on_object_storage_has_the_same_tables(undisturbed: Path, bucket: str) -> None:
    driver = start_driver(f"{bucket}/study", slots=1, epoch_s=0.0)
    assert driver.wait(timeout=300) == 0
    there = open_study(f"{bucket}/study")
    assert readers_view(there) == readers_view(open_study(undisturbed))
    trials = there.table("trials").to_pylist()
    done = [row["trial_id"] for row in trials if row["state"] == "done"]
    assert set(there.folder.folders("checkpoints")) == set(done)
    assert "epoch 1: valid mae" in there.folder.read(f"logs/{done[0]}.txt").decode()


def test_the_frozen_study_has_every_default_and_may_change_its_resources(
    undisturbed: Path, tmp_path: Path
) -> None:
    del tmp_path
    frozen = open_study(undisturbed).spec
    assert frozen == study()
    assert "epoch_timeout_s" in (undisturbed / "study.toml").read_text()
    run(study(resources={"concurrent": 2}), undisturbed)
    assert open_study(undisturbed).spec.resources.concurrent == 2
    run(study(), undisturbed)


def test_status_is_plain_json_while_nothing_runs(undisturbed: Path) -> None:
    told = json.loads(json.dumps(open_study(undisturbed).status()))
    assert told["state"] == "done"
    assert told["trials"]["started"] == 0
    assert told["best"]["phase"] in {"screen", "refine"}
    assert told["driver"] is None
    assert threading.active_count() < 50


def test_locks_are_free_after_a_run(undisturbed: Path) -> None:
    with StudyLock(open_study(undisturbed).folder) as lock:
        lock.check()
