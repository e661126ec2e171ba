"""What runs next, step by step on small studies."""

from typing import Any

import pytest
from small_study import branched, by_model, noisy, seen, shuffled, study

from hscl.config import Config
from hscl.errors import InputError
from tune.planner.phases import Close, Decide, Propose, Run, Step, Wait, next_look, next_step
from tune.planner.proposals import propose
from tune.simulate.study import SimulatedRun, SimulatedTrialError, simulate
from tune.states import Kind, Phase, TrialState
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import Ending

NOTHING: frozenset[str] = frozenset()


def by_temperature(config: Config, seed: int, epoch: int) -> float:
    """A noiseless objective: the default (0.5) is best, and lower is worse."""
    return abs(config.loss.temperature - 0.5) + 1 / epoch


class Hand:
    """Moves a study by hand."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.history = History(spec)
        self.running: set[str] = set()
        self.seq = 0

    def step(self) -> Step:
        return next_step(self.spec, self.history, self.running)

    def until(self, *kinds: type[Step]) -> Step:
        """Decide and propose, until a step of these kinds comes."""
        while not isinstance(step := self.step(), kinds):
            self.apply(step)
        return step

    def apply(self, step: Step) -> None:
        if isinstance(step, Decide):
            for decided in step.rows:
                self.seq += 1
                self.history.apply_plan({"seq": self.seq} | decided)
        elif isinstance(step, Propose):
            row = propose(self.spec, self.history, step.number, step.phase).config
            assert row is not None
            self.history.apply_config(row)
        elif isinstance(step, Run):
            self.running.add(step.trial_id)
            self.event(step, "started")
        else:
            pytest.fail(f"{step} can't be applied")

    def ready(self) -> Run:
        """The next trial, deciding and proposing on the way."""
        step = self.until(Run)
        assert isinstance(step, Run)
        return step

    def event(self, run: Run, state: str, error: str | None = None) -> None:
        self.seq += 1
        row: dict[str, Any] = {"seq": self.seq, "state": state, "error": error}
        names = ("trial_id", "config_id", "phase", "seed", "attempt")
        self.history.apply_event(row | {name: getattr(run, name) for name in names})
        if state != "started":
            self.running.discard(run.trial_id)

    def report(self, run: Run, value: float, **more: Any) -> None:
        self.seq += 1
        epoch = self.history.trials[run.trial_id].epoch + 1
        row = {"seq": self.seq, "trial_id": run.trial_id, "epoch": epoch, "valid_mae": value}
        self.history.apply_report(row | more)

    def run(self, value: float | None) -> Run:
        """The next trial, to its end: done with this value, or failed."""
        run = self.ready()
        self.apply(run)
        if value is None:
            self.event(run, "failed", "boom")
        else:
            self.report(run, value, finished=True)
            self.event(run, "done")
        return run


def test_a_study_begins_by_fixing_its_seeds() -> None:
    hand = Hand(study())
    step = hand.step()
    assert isinstance(step, Decide)
    seeds = {row["phase"]: row["seeds"] for row in step.rows if row["kind"] == "seeds"}
    plan = hand.spec.seed_plan()
    assert seeds == {
        "screen": [plan.screen],
        "confirm": [*plan.looks[0]],
    }
    assert step.rows[-1]["kind"] == "phase_begun"


def test_the_same_question_gets_the_same_answer() -> None:
    hand = Hand(study())
    for _ in range(40):
        step = hand.step()
        assert hand.step() == step
        if isinstance(step, Run):
            hand.run(0.5)
        else:
            hand.apply(step)


def test_the_default_comes_first_then_known_points_then_the_sampler() -> None:
    hand = Hand(study('[[known]]\nname = "mine"\n"loss.alpha" = 0.3'))
    runs = [hand.run(0.5) for _ in range(3)]
    names = [hand.history.configs[run.config_id].name for run in runs]
    assert names == ["default", "mine", "configuration 2"]
    assert {run.phase for run in runs} == {Phase.SCREEN}
    assert {run.seed for run in runs} == {hand.spec.seed_plan().screen}
    assert all(run.trial_id == f"{run.config_id}-{run.seed}" for run in runs)


def test_a_configuration_that_was_proposed_but_never_started_runs_first() -> None:
    hand = Hand(study())
    hand.until(Propose)
    hand.apply(hand.step())
    step = hand.step()
    assert isinstance(step, Run)
    assert step.config_id == hand.spec.base.config_id


def test_an_unfinished_trial_runs_again_under_its_name_before_anything_new() -> None:
    hand = Hand(study())
    first = hand.ready()
    hand.apply(first)
    hand.report(first, 0.5)
    hand.running.clear()  # the driver died
    assert hand.step() == Run(first.config_id, first.phase, first.seed, first.trial_id, attempt=2)
    hand.apply(hand.step())
    assert isinstance(hand.step(), Propose)


def test_a_decided_end_is_only_written_down() -> None:
    hand = Hand(study())
    for state, more in (
        (TrialState.PRUNED, {"stop": True}),
        (TrialState.DONE, {"finished": True}),
    ):
        run = hand.ready()
        hand.apply(run)
        hand.report(run, 0.5, **more)
        assert not isinstance(hand.step(), Close)  # while this driver has it in its hands
        hand.running.clear()
        assert hand.step() == Close(run.trial_id, state)
        hand.event(run, state)


def test_a_finished_confirm_trial_without_an_end_runs_again_for_its_predictions() -> None:
    hand = Hand(study("sampler.trials = 2\nrefine.trials = 0"))
    for value in (0.5, 0.4):
        hand.run(value)
    run = hand.ready()
    assert run.phase is Phase.CONFIRM
    hand.apply(run)
    hand.report(run, 0.5, finished=True)
    hand.running.clear()
    assert hand.step() == Run(run.config_id, Phase.CONFIRM, run.seed, run.trial_id, attempt=2)


def test_refine_begins_while_the_screen_still_runs_and_its_last_waits_for_both() -> None:
    hand = Hand(study("sampler.trials = 3\nrefine.trials = 2"))
    hand.run(0.5)
    hand.run(0.4)
    screened = hand.ready()
    hand.apply(screened)
    refined = hand.ready()
    assert (screened.phase, refined.phase) == (Phase.SCREEN, Phase.REFINE)
    (begun,) = hand.history.plan_rows(Kind.PHASE_BEGUN, Phase.REFINE)
    assert (begun["value"], begun["seeds"]) == (3, [hand.spec.seed_plan().refine])
    hand.apply(refined)
    for run in (screened, refined):
        assert hand.step() == Wait()
        hand.report(run, 0.3, finished=True)
        hand.event(run, "done")
    last = hand.ready()
    assert last.phase is Phase.REFINE
    hand.apply(last)
    assert hand.step() == Wait()  # confirm waits for it
    hand.report(last, 0.3, finished=True)
    hand.event(last, "done")
    assert isinstance(hand.step(), Decide)


def test_refine_runs_each_new_configuration_once_to_its_end_on_the_screens_seed() -> None:
    run = simulate(study("refine.trials = 7"), noisy(1), slots=3, pick=shuffled(1))
    trials = list(run.history.trials.values())
    refined = [trial for trial in trials if trial.phase is Phase.REFINE]
    screened = [trial for trial in trials if trial.phase is Phase.SCREEN]
    assert (len(screened), len(refined)) == (12, 7)
    assert len({trial.config_id for trial in screened + refined}) == 12 + 7
    assert {trial.epoch for trial in refined} == {9}
    assert {trial.state for trial in refined} == {TrialState.DONE}
    assert {trial.seed for trial in screened + refined} == {run.spec.seed_plan().screen}
    numbers = [run.history.configs[trial.config_id].number for trial in refined]
    assert numbers == list(range(12, 19))


def test_a_refined_configuration_that_never_started_still_belongs_to_refine() -> None:
    hand = Hand(study("sampler.trials = 2\nrefine.trials = 2"))
    for _ in range(3):
        hand.run(0.5)
    step = hand.until(Propose)
    assert isinstance(step, Propose)
    assert (step.number, step.phase) == (3, Phase.REFINE)
    hand.apply(step)
    run = hand.step()  # the driver may have died in between
    assert isinstance(run, Run)
    assert run.phase is Phase.REFINE


def test_a_refined_trial_that_reported_its_last_epoch_is_only_closed() -> None:
    hand = Hand(study("sampler.trials = 2\nrefine.trials = 1"))
    hand.run(0.5)
    hand.run(0.4)
    run = hand.ready()
    hand.apply(run)
    hand.report(run, 0.3, finished=True)
    hand.running.clear()
    assert (run.phase, hand.step()) == (Phase.REFINE, Close(run.trial_id, TrialState.DONE))


def test_without_refine_the_best_complete_trial_of_the_screen_wins() -> None:
    run = simulate(study("refine.trials = 0"), by_temperature)
    winner = run.history.plan_rows(Kind.WINNER)[0]
    done = [
        (trial.value, config_id)
        for config_id, trial in run.history.search_trials.items()
        if trial.state is TrialState.DONE and run.history.configs[config_id].number
    ]
    assert winner["config_id"] == min(done)[1]
    assert "the default was ahead" in winner["note"]
    assert {t.phase for t in run.history.trials.values()} == {Phase.SCREEN, Phase.CONFIRM}


def test_without_confirm_seeds_the_study_ends_with_its_winner() -> None:
    run = simulate(study("confirm.seeds = 0"), noisy())
    assert run.done == Ending()
    assert run.history.plan_rows(Kind.WINNER)[0]["config_id"] is not None
    assert {t.phase for t in run.history.trials.values()} == {Phase.SCREEN, Phase.REFINE}


def test_if_the_default_alone_completes_nothing_is_confirmed_and_test_stays_closed() -> None:
    def objective(config: Config, seed: int, epoch: int) -> float:
        if config.loss.temperature != 0.5:
            raise SimulatedTrialError("diverged")
        return 0.5

    run = simulate(study(), objective)
    assert run.done is not None
    assert "nothing to confirm" in run.done.note
    assert not run.done.gave_up
    assert run.history.plan_rows(Kind.WINNER)[0]["config_id"] is None
    assert {t.phase for t in run.history.trials.values()} == {Phase.SCREEN, Phase.REFINE}


def test_confirm_runs_the_winner_and_the_default_on_seeds_never_used() -> None:
    run = simulate(study("confirm = { keep = 2, seeds = 4 }"), noisy())
    used: dict[Phase, set[int]] = {phase: set() for phase in Phase}
    for trial in run.history.trials.values():
        used[trial.phase].add(trial.seed)
    assert not used[Phase.CONFIRM] & (used[Phase.SCREEN] | used[Phase.REFINE])
    confirmed = {t.config_id for t in run.history.trials.values() if t.phase is Phase.CONFIRM}
    assert len(confirmed) == 3
    primary = run.history.plan_rows(Kind.PRIMARY)
    assert [(r["config_id"], r["other_config_id"], r["value"]) for r in primary] == [
        (run.history.plan_rows(Kind.WINNER)[0]["config_id"], run.spec.base.config_id, 0.02)
    ]


def test_the_winner_is_written_before_the_first_confirm_trial() -> None:
    run = simulate(study(), noisy(), slots=4)
    winner = run.history.plan_rows(Kind.WINNER)[0]["seq"]
    confirm = [r["seq"] for r in run.tables["trials"] if r["phase"] == "confirm"]
    assert winner < min(confirm)
    assert winner > max(r["seq"] for r in run.tables["trials"] if r["phase"] != "confirm")


def test_a_list_runs_every_row_on_every_confirm_seed_without_stopping_any() -> None:
    text = '[[known]]\nname = "a"\n"loss.alpha" = 0.3\n[[known]]\n"loss.temperature" = 0.9'
    run = simulate(study(text, sampler="list"), by_temperature, slots=2)
    trials = run.history.trials.values()
    assert {t.phase for t in trials} == {Phase.CONFIRM}
    assert {t.state for t in trials} == {TrialState.DONE}
    assert len(trials) == 3 * 3
    assert run.history.plan_rows(Kind.WINNER) == run.history.plan_rows(Kind.PRIMARY) == []
    assert len(run.history.plan_rows(Kind.LOOK)) == 1


def test_further_looks_are_taken_as_declared_and_no_more() -> None:
    spec = study("confirm = { seeds = 2, looks = 2 }")
    run = simulate(spec, noisy())
    ordered, look = next_look(spec, run.history)
    assert (ordered["kind"], ordered["value"]) == ("looks_ordered", 4)
    assert look["value"] == 2
    assert look["seeds"] == [*spec.seed_plan().looks[1]]
    rows = [{"seq": 10**6} | ordered, {"seq": 10**6 + 1} | look]
    tables = run.tables | {"plan": [*run.tables["plan"], *rows]}
    more = SimulatedRun(spec, noisy(), tables=tables)
    with pytest.raises(InputError, match="confirm is complete"):
        next_look(spec, more.history)
    more.run()
    confirm = [t for t in more.history.trials.values() if t.phase is Phase.CONFIRM]
    assert len(confirm) == 2 * 4
    with pytest.raises(InputError, match="at most the declared"):
        next_look(spec, more.history)


def test_a_look_needs_a_complete_confirm() -> None:
    spec = study("confirm = { seeds = 2, looks = 2 }")
    with pytest.raises(InputError, match="run hscl search"):
        next_look(spec, SimulatedRun(spec, noisy()).run(30).history)


def test_failures_among_successes_go_on_unless_many_follow_each_other() -> None:
    hand = Hand(study("sampler.trials = 60\nrefine.trials = 0"))
    hand.run(0.5)
    for _ in range(19):
        hand.run(None)
    assert not any(isinstance(hand.step(), kind) for kind in (Decide, Ending))
    hand.run(0.5)
    for _ in range(20):
        hand.run(None)
    step = hand.step()
    assert isinstance(step, Decide)
    assert step.rows[0]["kind"] == "gave_up"
    assert "the last 20 trials failed; the last error: boom" in step.rows[0]["note"]
    hand.apply(step)
    assert hand.step() == Ending(step.rows[0]["note"], gave_up=True)


def test_one_bad_configuration_does_not_end_a_table() -> None:
    def objective(config: Config, seed: int, epoch: int) -> float:
        if config.loss.alpha == 0.3:
            raise SimulatedTrialError("diverged")
        return 0.5

    text = 'confirm.seeds = 30\n[[known]]\n"loss.alpha" = 0.3'
    run = simulate(study(text, sampler="list"), objective)
    assert run.done == Ending()
    assert sum(t.state is TrialState.FAILED for t in run.history.trials.values()) == 30


def test_a_stopped_study_waits_for_what_still_runs() -> None:
    hand = Hand(study())
    runs = []
    for _ in range(6):
        run = hand.ready()
        hand.apply(run)
        runs.append(run)
    for run in runs[:5]:
        hand.event(run, "failed", "boom")
    hand.apply(hand.step())
    assert hand.step() == Wait()
    hand.event(runs[5], "failed", "boom")
    assert isinstance(hand.step(), Ending)
    assert next_step(hand.spec, hand.history, NOTHING) == hand.step()


@pytest.mark.parametrize(
    ("text", "sampler"),
    [
        ("sampler.trials = 2\nrefine.trials = 1", "random"),
        ('confirm.seeds = 2\n[[known]]\n"loss.alpha" = 0.3', "list"),
    ],
)
def test_where_all_of_a_few_fail_the_study_gives_up_and_tries_them_again(
    text: str, sampler: str
) -> None:
    def broken(config: Config, seed: int, epoch: int) -> float:
        raise SimulatedTrialError("disk full")

    spec = study(text, sampler=sampler)
    run = simulate(spec, broken)
    assert run.done is not None
    assert run.done.gave_up
    assert "disk full" in run.done.note
    assert len(run.history.trials) < 5
    assert not run.history.plan_rows(Kind.WINNER)
    row = {"kind": "resumed", "phase": None, "note": "again", "seq": 10**6, "seeds": None}
    tables = run.tables | {"plan": [*run.tables["plan"], row]}
    repaired = SimulatedRun(spec, noisy(), tables=tables).run()
    assert repaired.done == Ending()
    assert not any(t.state is TrialState.FAILED for t in repaired.history.trials.values())


def test_a_study_that_gave_up_opens_no_further_look() -> None:
    def breaks_later(config: Config, seed: int, epoch: int) -> float:
        if seed in spec.seed_plan().looks[0][1:]:
            raise SimulatedTrialError("disk full")
        return 0.5

    known = "".join(f'\n[[known]]\n"loss.alpha" = 0.{i}' for i in range(2, 8))
    spec = study(f"confirm = {{ seeds = 20, looks = 2 }}{known}", sampler="list")
    run = simulate(spec, breaks_later)
    assert run.done is not None
    assert run.done.gave_up
    with pytest.raises(InputError, match="run hscl search"):
        next_look(spec, run.history)


def by_kind(history: History) -> dict[str, list[str]]:
    """Configurations of each model, in order of proposal."""
    found: dict[str, list[str]] = {}
    for config_id, record in history.configs.items():
        found.setdefault(str(record.params["model.kind"]), []).append(config_id)
    return found


def test_each_model_has_as_many_configurations_in_turn_and_none_is_measured_by_another() -> None:
    history = simulate(branched(), by_model).history
    assert {kind: len(ids) for kind, ids in by_kind(history).items()} == dict.fromkeys(
        ("hscl", "mult", "lf-dnn"), 5
    )
    kinds = [record.params["model.kind"] for record in history.configs.values()]
    assert kinds[:9] == ["hscl", "mult", "lf-dnn"] * 3
    for ids in by_kind(history).values():
        trials = [history.search_trials[config_id] for config_id in ids]
        best = min(trials, key=history.loss)
        # Of five values at a rung one in three stays: a rung over all would stop all but HSCL's.
        assert best.state is TrialState.DONE
        assert TrialState.PRUNED in {trial.state for trial in trials}


def test_confirm_compares_the_winner_of_each_model_with_hscls_on_the_same_seeds() -> None:
    run = simulate(branched(), by_model)
    history = run.history
    chosen = [row["config_id"] for row in history.plan_rows(Kind.WINNER)]
    assert [history.configs[one].params["model.kind"] for one in chosen] == list(by_kind(history))
    assert {history.search_trials[one].state for one in chosen} == {TrialState.DONE}
    assert history.confirmed == tuple(chosen)
    assert history.reference == chosen[0]
    assert (history.winner, history.primary) == (None, None)
    confirm = [t for t in history.trials.values() if t.phase is Phase.CONFIRM]
    assert {(t.config_id, t.seed) for t in confirm} == {
        (one, seed) for one in chosen for seed in run.spec.seed_plan().looks[0]
    }
    assert history.ending == Ending()


def test_what_was_published_may_win_its_screen() -> None:
    history = simulate(branched("[sampler]\ntrials = 1"), by_model).history
    names = [history.configs[one].name for one in history.confirmed]
    assert names == ["default", "MulT", "LF-DNN"]


def test_a_model_that_never_completes_is_left_out_and_hscl_alone_ends_the_study() -> None:
    def failing(*kinds: str) -> History:
        def objective(config: Config, seed: int, epoch: int) -> float:
            if config.model.kind in kinds:
                raise SimulatedTrialError("no memory")
            return by_model(config, seed, epoch)

        return simulate(branched(), objective).history

    without_mult = failing("mult")
    assert len(without_mult.confirmed) == 2
    assert without_mult.ending == Ending()
    alone = failing("mult", "lf-dnn")
    assert alone.confirmed == ()
    assert alone.ending is not None
    assert "model.kind = mult completed" in alone.ending.note


def test_an_epochs_budget_is_spent_equally() -> None:
    text = '[sampler]\ntrials = "auto"\n[budget]\nepochs = 321'
    history = simulate(branched(text), by_model, slots=3).history
    share = (321 - 81) // 3
    for kind in history.branches:
        spent = history.branch(kind).epochs
        assert share - 9 < spent <= share


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_study_of_models_that_was_killed_goes_on_as_if_it_was_not(sampler: str) -> None:
    spec = branched(f'[sampler]\nkind = "{sampler}"')
    undisturbed = simulate(spec, by_model)
    run = SimulatedRun(spec, by_model)
    for reports in (3, 20, 31, 9):
        run = SimulatedRun(spec, by_model, tables=run.run(reports).tables)
    assert seen(run.run()) == seen(undisturbed)


def test_a_branch_is_what_a_study_of_its_rows_alone_would_be() -> None:
    run = SimulatedRun(branched(), by_model, slots=2).run(40)
    for kind, spec in run.history.branches.items():
        alone = History(spec)
        for row in run.tables["configs"]:
            if row["model.kind"] == kind:
                alone.apply_config(row | {"number": len(alone.configs), "model.kind": None})
        mine = {f"{one}-{run.spec.seed_plan().screen}" for one in alone.configs}
        rows = [*run.tables["trials"], *run.tables["reports"]]
        for row in sorted(rows, key=lambda row: int(row["seq"])):
            if row["trial_id"] in mine:
                (alone.apply_event if "state" in row else alone.apply_report)(row)
        branch = run.history.branch(kind)
        assert branch.configs == alone.configs
        assert branch.rungs == alone.rungs
        assert [branch.rung_values(rung) for rung in branch.rungs] == [
            alone.rung_values(rung) for rung in alone.rungs
        ]
        assert (branch.epochs, set(branch.open), set(branch.unstarted)) == (
            alone.epochs,
            set(alone.open),
            set(alone.unstarted),
        )
        assert branch.search_trials == alone.search_trials


def test_a_small_space_of_one_model_ends_before_the_others() -> None:
    small = '"train.lr" = { choice = [1e-3, 2e-3, 3e-3] }'
    history = simulate(branched(f"[space]\n{small}"), by_model).history
    counts = {kind: len(ids) for kind, ids in by_kind(history).items()}
    assert counts == {"hscl": 5, "mult": 5, "lf-dnn": 3}
    (row,) = history.plan_rows(Kind.SPACE_EXHAUSTED)
    assert history.configs[row["config_id"]].name == "LF-DNN"
