"""Arms spend what they may and no more, and export what their rule says."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from bench_regret import can_search
from json_lines import read_lines

from hscl.errors import InputError
from regret.arms import exported, is_product, search, wins
from regret.rivals import RIVALS, _Rival, _SpentError
from regret.surfaces import KINDS
from regret.tables import PARTS, Setting, ratio, show, summarise
from regret.worlds import World
from tune.simulate.study import simulate
from tune.states import Kind

ARMS = (*RIVALS, "default", "default sampler.kind=random confirm.seeds=3")


@pytest.mark.parametrize("arm", ARMS)
def test_no_arm_spends_more_than_the_total_and_its_losses_add_up(arm: str) -> None:
    world = World("mixed", 1, epochs=5)
    total = 110 if is_product(arm) else 83
    found = search(arm, world, total)
    assert found.epochs <= total
    if arm.startswith("optuna") and "rerun" not in arm:
        assert found.epochs == total
    losses = found.losses(world)
    assert losses["regret"] == world.regret(found.exported)
    assert sum(losses[part] for part in PARTS) == pytest.approx(losses["regret"])
    assert min(losses.values()) >= -1e-12
    assert world.default in found.proposed
    assert found.exported in found.kept <= found.complete <= found.proposed


@pytest.mark.parametrize("arm", ["optuna", "optuna-cmaes", "random"])
def test_without_noise_nothing_is_lost_by_picking(arm: str) -> None:
    world = World("bowl-2", 2, noise=0.0)
    losses = search(arm, world, 180).losses(world)
    assert losses["wrong_pick"] == 0.0
    assert losses["regret"] < world.regret(world.default)


def test_plain_optuna_is_what_its_users_write() -> None:
    world, total, left = World("bowl-2", 4), 150, [150]
    space = {name: distribution.bounds for name, distribution in world.spec.space.items()}

    def objective(trial: optuna.Trial) -> float:
        values = tuple(trial.suggest_float(n, *bounds, log=True) for n, bounds in space.items())
        best = np.inf
        for epoch in range(1, 10):
            if not left[0]:
                trial.study.stop()
                raise optuna.TrialPruned
            left[0] -= 1
            best = min(best, world.report(values, 1, epoch))
            trial.report(best, epoch)
            if epoch < 9 and trial.should_prune():
                raise optuna.TrialPruned
        return best

    sampler = optuna.samplers.TPESampler(multivariate=True, seed=4)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.enqueue_trial(dict(zip(space, world.default, strict=True)))
    study.optimize(objective, n_trials=1_000)
    found = search("optuna", world, total)
    assert {tuple(trial.params.values()) for trial in study.trials} - {()} >= found.proposed
    assert found.exported == tuple(study.best_params[name] for name in space)
    assert len(found.proposed) > 30


def test_arms_repeat_themselves_and_differ_by_world() -> None:
    for arm in ("optuna", "default", "random"):
        total = 60 if arm == "default" else 30
        worlds = (World("bowl-5", key, epochs=3) for key in (1, 1, 2))
        first, again, other = (search(arm, world, total) for world in worlds)
        assert first == again
        assert first.proposed != other.proposed


def test_a_training_that_the_total_cuts_short_is_not_complete() -> None:
    rival = _Rival(World("bowl-2", 1), 12)
    rival.train(rival.world.default)
    with pytest.raises(_SpentError):
        rival.train(rival.world.default, 2)
    assert rival.begun.epochs == 12


def test_rerunning_lets_the_mean_of_three_runs_decide() -> None:
    world = World("bowl-2", 3, noise=4.0)
    found = search("random-rerun4", world, 40 * 9)
    single = search("random", world, (40 - 8) * 9)

    def value(values: tuple[object, ...], seed: int) -> float:
        return min(world.report(values, seed, epoch) for epoch in range(1, 10))  # type: ignore[arg-type]

    best = sorted(single.complete, key=lambda values: value(values, 1))[:4]
    assert found.kept == set(best)
    means = [np.mean([value(values, seed) for seed in (1, 2, 3)]) for values in best]
    assert found.exported == best[int(np.argmin(means))]
    assert found.epochs == 40 * 9


@pytest.mark.parametrize(
    ("differences", "prefers_default", "winner"),
    [
        # Of three: t with 2 degrees of freedom excludes 0 beyond 4.30 standard errors.
        ([-0.03, -0.02, -0.01], False, True),  # 3.46 of them
        ([-0.03, -0.02, -0.01], True, False),
        ([-0.03, -0.02, -0.02], True, True),  # 7
        ([0.03, 0.02, 0.02], False, False),
        ([0.03, 0.02, 0.01], False, True),
        ([0.0, 0.0, 0.0], True, False),
        ([0.0, 0.0, 0.0], False, True),
        ([], True, False),
        ([-0.1], False, True),
    ],
)
def test_confirm_decides_and_where_it_is_silent_the_search_does(
    differences: list[float], *, prefers_default: bool, winner: bool
) -> None:
    assert wins(differences, prefers_default=prefers_default) == winner


def test_what_a_study_exports_follows_from_its_plan_and_from_confirms_tests() -> None:
    world = World("slow", 1, noise=4.0, epochs=3)
    spec = world.study(study={"seed": 1}, budget={"epochs": 75}, confirm={"seeds": 5})
    run = simulate(spec, world.objective)
    history = run.history
    assert history.winner is not None
    assert history.default is not None
    pair = [
        world.values_of(run.config_of(one)) for one in (history.winner, history.default.config_id)
    ]
    seeds = [seed for look in history.looks for seed in look]
    gaps = [world.test(pair[0], seed) - world.test(pair[1], seed) for seed in seeds]
    assert len(gaps) >= 5
    ahead = "the default was ahead" in history.plan_rows(Kind.WINNER)[-1]["note"]
    chosen = wins(gaps, prefers_default=ahead)
    wanted = history.winner if chosen else history.default.config_id
    assert exported(world, run) == wanted


def test_an_unknown_arm_is_named() -> None:
    with pytest.raises(ValueError, match=r"optuna-cmaes.*got 'tpe'"):
        search("tpe", World("bowl-2", 1), 9)


def test_a_rival_may_be_given_less() -> None:
    world = World("bowl-2", 1)
    assert search("random less=3", world, 90) == search("random", world, 63)
    with pytest.raises(ValueError, match="'random less=few'"):
        search("random less=few", world, 90)


def test_a_ratios_error_is_that_of_a_paired_jackknife() -> None:
    rng = np.random.default_rng(0)
    reference = rng.exponential(1.0, 80)
    values = 0.7 * reference + rng.exponential(0.3, 80)
    share, error = ratio(values, reference)
    left = [
        np.delete(values, i).mean() / np.delete(reference, i).mean() for i in range(values.size)
    ]
    jackknife = (79 / 80 * np.sum((np.array(left) - np.mean(left)) ** 2)) ** 0.5
    assert share == pytest.approx(values.mean() / reference.mean())
    assert error == pytest.approx(jackknife, rel=0.05)


def test_a_table_has_a_row_a_cell_and_one_over_all_kinds() -> None:
    setting, kinds = Setting(epochs=3, trainings=8, noise=1.0, slots=1), list(KINDS)[:2]
    rows = []
    for kind in kinds:
        for key in range(3):
            world = World(kind, key, 1.0, 3)
            for arm in ("optuna", "random"):
                losses = search(arm, world, 24).losses(world)
                rows.append({"arm": arm, "kind": kind, "key": key, "spent": 24, "seconds": 0.0})
                rows[-1] |= losses
    cells = summarise(rows, setting, ["optuna", "random"])
    assert [(cell["arm"], cell["kind"]) for cell in cells] == [
        (arm, kind) for arm in ("optuna", "random") for kind in (*kinds, "all")
    ]
    assert {cell["ratio"] for cell in cells[:3]} == {1.0}
    one, two, whole = cells[3:]
    assert whole["ratio"] == pytest.approx((one["ratio"] + two["ratio"]) / 2)
    assert whole["se"] == pytest.approx((one["se"] ** 2 + two["se"] ** 2) ** 0.5 / 2)
    assert whole["worlds"] == 6
    to_random = summarise(rows, setting, ["optuna"], "random")[-1]
    assert to_random["ratio"] == pytest.approx(np.mean([1 / one["ratio"], 1 / two["ratio"]]))
    wanted = {"arm", "kind", "epochs", "trainings", "noise", "worlds", "regret", "ratio", "se"}
    assert wanted <= whole.keys()


@pytest.mark.parametrize(("arm", "later"), [("optuna-rerun5", 10), ("random-rerun4", 8)])
def test_a_rival_that_runs_its_best_again_needs_more_than_that_takes(arm: str, later: int) -> None:
    assert can_search(arm, Setting(9, later + 1, 1.0, 1), "bowl-2")
    assert not can_search(arm, Setting(9, later, 1.0, 1), "bowl-2")
    with pytest.raises(InputError, match=f"again in {later} trainings"):
        search(arm, World("bowl-2", 3), 9 * later)
    with pytest.raises(InputError, match=f"again in {later} trainings"):
        search(f"{arm} less=45", World("bowl-2", 3), 9 * 50)


@pytest.mark.parametrize("arm", ["optuna-rerun5", "random-rerun4"])
def test_what_few_complete_trainings_leave_goes_into_more_seeds_of_theirs(arm: str) -> None:
    world, total = World("bowl-2", 3), 9 * 11
    found = search(arm, world, total)
    assert total - 9 * len(found.kept) < found.epochs <= total
    assert len(found.kept) < 4


def test_ratios_over_all_kinds_say_where_the_reference_loses_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        {"arm": arm, "kind": kind, "key": key, "spent": 9, "seconds": 0.0, "regret": regret}
        | dict.fromkeys(PARTS, 0.0)
        for kind, regrets in (("bowl-2", (1.0, 2.0)), ("plateaus", (0.0, 1.0)))
        for arm, regret in zip(("optuna", "default"), regrets, strict=True)
        for key in range(3)
    ]
    cells = summarise(rows, Setting(9, 50, 1.0, 1), ["optuna", "default"])
    whole = cells[-1]
    assert (whole["ratio"], whole["kinds"], whole["regret"]) == (2.0, 1, 1.5)
    show(cells)
    assert "leave out plateaus: 'optuna' loses nothing there" in capsys.readouterr().out


def test_a_kept_line_that_a_kill_has_cut_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "known.jsonl"
    assert read_lines(file) == []
    file.write_text('{"a": 1}\n{"a": 2}\n{"a')
    assert read_lines(file) == [{"a": 1}, {"a": 2}]
    with file.open("a") as end:
        end.write('{"a": 3}\n')
    assert [row["a"] for row in read_lines(file)] == [1, 2, 3]
