"""The epoch loop: a pure function of configuration, data and seed."""

import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from hscl.config import Config
from hscl.data.ragged import Ragged
from hscl.errors import InputError, RunError
from hscl.metrics import METRICS, evaluate, metrics_of
from hscl.model.batch import Batch
from hscl.training.loop import EpochReport, NonFiniteError, Training
from hscl.training.optimisation import Done, backward
from hscl.training.prepared import TrainingData

MEASURED = ("seconds", "peak_memory")


def _said(reports: list[EpochReport]) -> list[str]:
    """Reports without what is measured, comparable (NaN equals NaN)."""
    return [repr({k: v for k, v in vars(r).items() if k not in MEASURED}) for r in reports]


def _run(config: Config, data: TrainingData, seed: int = 1, **options: Any) -> Training:
    training = Training(config, data, seed=seed, **options)
    assert list(training) == training.reports
    return training


def _same_weights(first: Training, second: Training) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"train.modality_dropout": 0.3, "train.batching": "length"},
        {"run.micro_batch": 5, "train.schedule": "linear", "train.optimizer": "adamw"},
        {"model.form": "released", "loss.form": "released"},
    ],
)
def test_equal_seeds_give_equal_trainings(
    tiny_config: Config, tiny_data: TrainingData, overrides: dict[str, Any]
) -> None:
    config = tiny_config.with_overrides(overrides)
    first, second = _run(config, tiny_data), _run(config, tiny_data)
    assert _said(first.reports) == _said(second.reports)
    assert _same_weights(first, second)
    assert tiny_data.valid is not None
    assert np.array_equal(first.predict(tiny_data.valid), second.predict(tiny_data.valid))


@pytest.mark.parametrize("finetune", [True, False])
def test_parameters_are_counted_outside_the_text_encoder(
    tiny_config: Config, tiny_data: TrainingData, *, finetune: bool
) -> None:
    config = tiny_config.with_overrides({"model.text.finetune": finetune})
    training = Training(config, tiny_data, seed=1)
    sizes = {name: one.numel() for name, one in training.network.named_parameters()}
    inside = {name for name in sizes if name.startswith("text_encoder.")}
    assert bool(inside) is finetune
    assert training.parameters == sum(sizes.values()) - sum(sizes[name] for name in inside)


def test_the_seed_matters(tiny_config: Config, tiny_data: TrainingData) -> None:
    first, second = (_run(tiny_config, tiny_data, seed) for seed in (1, 2))
    assert _said(first.reports) != _said(second.reports)


def test_what_a_process_did_before_does_not_matter(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    expected = _said(_run(tiny_config, tiny_data).reports)
    torch.manual_seed(99)
    torch.rand(7)
    _run(tiny_config.with_overrides({"model.head.hidden": 5, "run.threads": 1}), tiny_data, 3)
    assert _said(_run(tiny_config, tiny_data).reports) == expected


def test_trainings_may_take_turns(tiny_config: Config, tiny_data: TrainingData) -> None:
    expected = [_said(_run(tiny_config, tiny_data, seed).reports) for seed in (1, 2)]
    turns = [Training(tiny_config, tiny_data, seed=seed) for seed in (1, 2)]
    for _ in zip(*turns, strict=True):
        torch.rand(3)
    assert [_said(training.reports) for training in turns] == expected


def test_it_leaves_the_process_as_it_was(tiny_config: Config, tiny_data: TrainingData) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    config = tiny_config.with_overrides({"run.threads": before[1] + 1, "train.epochs": 1})
    training = _run(config, tiny_data)
    assert tiny_data.valid is not None
    training.predict(tiny_data.valid)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[1:]
    assert torch.is_grad_enabled()


def test_the_data_order_does_not_depend_on_the_model(
    tiny_config: Config, tiny_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[int]] = []

    def watched(forward: Any, parts: list[Batch], loss: Any) -> Done:
        orders[-1] += [row for part in parts for row in part.rows.tolist()]
        return backward(forward, parts, loss)

    monkeypatch.setattr("hscl.training.loop.backward", watched)
    for overrides in ({}, {"model.head.hidden": 3, "model.head.dropout": 0.0}):
        orders.append([])
        _run(tiny_config.with_overrides(overrides), tiny_data)
    first, second = orders
    assert first == second
    epochs = [first[i : i + 41] for i in range(0, len(first), 41)]
    assert all(sorted(epoch) == list(range(41)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_report_holds_every_term_and_every_metric(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    reports = _run(tiny_config, tiny_data).reports
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert [report.finished for report in reports] == [False, False, True]
    for report in reports:
        assert tuple(report.valid) == METRICS
        assert all(math.isfinite(value) for value in report.valid.values())
        assert list(report.losses) == [
            "total", "task", "low_ta", "low_tv", "sim_ta", "sim_tv", "high",
        ]  # fmt: skip
        terms = report.losses
        low = terms["low_ta"] + terms["low_tv"] + 0.1 * (terms["sim_ta"] + terms["sim_tv"])
        assert terms["total"] == pytest.approx(
            terms["task"] + 0.01 * low + 0.1 * terms["high"], rel=1e-5
        )
        assert report.steps == 3  # 41 utterances in batches of 16
        assert report.seconds > 0
        assert report.peak_memory > 2**20
        assert not report.collapsed


def test_losses_are_means_over_utterances_not_over_batches(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    """With weights that stay put, batches of any size give the same mean task loss."""
    still = {"train.lr": 1e-12, "train.epochs": 1, "model.head.dropout": 0.0}
    still |= {"model.fusion.dropout": 0.0, "model.audio.dropout": 0.0, "model.vision.dropout": 0.0}
    tasks = [
        _run(tiny_config.with_overrides({**still, "train.batch_size": size}), tiny_data)
        .reports[0]
        .losses["task"]
        for size in (1, 16, 41)
    ]
    assert tasks == pytest.approx([tasks[0]] * 3, rel=1e-4)


def test_it_learns(tiny_config: Config, tiny_data: TrainingData) -> None:
    training = _run(tiny_config.with_overrides({"train.epochs": 30, "train.lr": 0.01}), tiny_data)
    valid = tiny_data.valid
    assert valid is not None
    assert valid.labels is not None
    assert tiny_data.train.labels is not None
    guess = np.abs(valid.labels - np.median(tiny_data.train.labels)).mean()
    assert training.best.value < 0.6 * guess
    assert training.reports[-1].losses["total"] < training.reports[0].losses["total"] / 1.5


@pytest.mark.parametrize("metric", ["mae", "corr"])
def test_predictions_are_those_of_the_best_epoch(
    tiny_config: Config, tiny_data: TrainingData, metric: str
) -> None:
    longer = tiny_config.with_overrides({"train.epochs": 12, "train.patience": 12})
    trainings = (
        _run(longer.with_overrides({"train.lr": rate}), tiny_data, seed, metric=metric)
        for rate in (0.003, 0.01, 0.03)
        for seed in (1, 2, 3)
    )
    # One whose best epoch is neither the first nor the last: others would show less.
    training = next(t for t in trainings if 1 < t.best.epoch < 12)
    values = [report.valid[metric] for report in training.reports]
    best = (min if metric == "mae" else max)(values)
    assert training.best.value == best
    assert training.best.epoch == values.index(best) + 1
    flags = [report.best for report in training.reports]
    running = np.minimum.accumulate(values) if metric == "mae" else np.maximum.accumulate(values)
    assert flags == [i == 0 or running[i] != running[i - 1] for i in range(12)]
    valid = tiny_data.valid
    assert valid is not None
    assert valid.labels is not None
    again = evaluate(valid.labels, training.predict(valid))
    assert again == pytest.approx(training.reports[training.best.epoch - 1].valid, rel=1e-6)


def test_predicting_in_between_changes_nothing(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    expected = _run(tiny_config, tiny_data)
    assert tiny_data.valid is not None
    training = Training(tiny_config, tiny_data, seed=1)
    for _ in training:
        training.predict(tiny_data.valid)
    assert _said(training.reports) == _said(expected.reports)


def test_a_prediction_does_not_depend_on_its_companions(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    training = _run(tiny_config, tiny_data)
    split = tiny_data.train
    together = training.predict(split)
    for row in (0, 7, 40):
        alone = replace(
            split,
            videos=split.videos[row : row + 1],
            utterances=split.utterances[row : row + 1],
            labels=None,
            text=split.text.take([row]),
            audio=split.audio.take([row]) if split.audio else None,
            vision=split.vision.take([row]) if split.vision else None,
        )
        assert training.predict(alone)[0] == pytest.approx(together[row], abs=1e-5)


def test_patience_ends_a_training(tiny_config: Config, tiny_data: TrainingData) -> None:
    config = tiny_config.with_overrides(
        {"train.lr": 0.5, "train.patience": 2, "train.epochs": 50, "train.schedule": "constant"}
    )
    training = _run(config, tiny_data)
    assert training.epoch == training.best.epoch + 2 < 50
    assert training.finished
    assert list(training) == []  # nothing more to train


def test_iterating_is_lazy_and_can_be_taken_up_again(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    training = Training(tiny_config, tiny_data, seed=1)
    assert training.epoch == 0
    with pytest.raises(RunError, match="best epoch"):
        _ = training.best
    assert next(iter(training)).epoch == 1
    assert training.epoch == 1
    assert [report.epoch for report in training] == [2, 3]
    assert _said(training.reports) == _said(_run(tiny_config, tiny_data).reports)


@pytest.mark.parametrize("size", [1, 20])
def test_batches_of_one_train(tiny_config: Config, tiny_data: TrainingData, size: int) -> None:
    """41 utterances: all alone, or the last one alone."""
    config = tiny_config.with_overrides({"train.batch_size": size, "train.epochs": 1})
    (report,) = _run(config, tiny_data).reports
    assert report.steps == (41 if size == 1 else 3)
    assert all(math.isfinite(value) for value in report.losses.values())


@pytest.mark.parametrize("modalities", ["text", "text+audio", "text+vision"])
def test_fewer_modalities_train_on_the_same_data(
    tiny_config: Config, tiny_data: TrainingData, modalities: str
) -> None:
    config = tiny_config.with_overrides({"model.modalities": modalities})
    training = _run(config, tiny_data)
    lacking = {"audio", "vision"} - set(modalities.split("+"))
    names = [name for name, _ in training.network.named_parameters()]
    assert not [n for n in names if any(m in n for m in lacking)]


def test_without_a_valid_split_the_last_epoch_is_the_best(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    config = tiny_config.with_overrides({"train.patience": 1})
    training = _run(config, replace(tiny_data, valid=None))
    assert [report.valid for report in training.reports] == [{}, {}, {}]
    assert training.best.epoch == 3
    assert math.isnan(training.best.value)
    weights = training.network.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in training.best.weights.items())


def test_parts_of_a_batch_train_like_the_whole(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    still = {"model.head.dropout": 0.0, "model.projection_dropout": 0.0}
    still |= {"model.fusion.dropout": 0.0, "model.audio.dropout": 0.0, "model.vision.dropout": 0.0}
    still |= {"train.modality_dropout": 0.3, "loss.omega1": 1.0, "loss.omega2": 1.0}
    whole, parts = (
        _run(tiny_config.with_overrides({**still, "run.micro_batch": size}), tiny_data)
        for size in (0, 3)
    )
    for ours, theirs in zip(whole.reports, parts.reports, strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-3)
        assert ours.valid["mae"] == pytest.approx(theirs.valid["mae"], rel=1e-3)


def test_standardisation_makes_the_scale_of_features_irrelevant(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    from hscl.training.scaling import fit_scaler

    def louder(data: TrainingData) -> TrainingData:
        def scaled(ragged: Ragged | None) -> Ragged:
            assert ragged is not None
            return Ragged(ragged.values * np.float32(256.0), ragged.offsets)

        assert data.valid is not None
        splits = [replace(s, audio=scaled(s.audio)) for s in (data.train, data.valid)]
        assert splits[0].audio is not None
        scalers = {**data.scalers, "audio": fit_scaler(splits[0].audio)}
        return replace(data, train=splits[0], valid=splits[1], scalers=scalers)

    plain, loud = (_run(tiny_config, data) for data in (tiny_data, louder(tiny_data)))
    assert plain.best.value == pytest.approx(loud.best.value, rel=1e-4)
    raw = tiny_config.with_overrides({"train.standardize": False})
    plain, loud = (_run(raw, data) for data in (tiny_data, louder(tiny_data)))
    assert plain.best.value != pytest.approx(loud.best.value, rel=1e-4)


def test_a_loss_that_is_not_finite_names_its_epoch_and_step(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    assert tiny_data.train.labels is not None
    labels = tiny_data.train.labels.copy()
    labels[3] = math.inf
    data = replace(tiny_data, train=replace(tiny_data.train, labels=labels))
    training = Training(tiny_config, data, seed=1)
    before = copy.deepcopy(training.network.state_dict())
    with pytest.raises(NonFiniteError, match=r"\(total, task.*epoch 1, step [123]") as caught:
        next(iter(training))
    assert caught.value.exit_code == 1
    assert all(torch.isfinite(w).all() for w in training.network.state_dict().values())
    assert before.keys() == training.network.state_dict().keys()


def test_predictions_that_overflow_fail_the_training(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    config = tiny_config.with_overrides({"train.lr": 1e38, "train.weight_decay": 0.0})
    with pytest.raises(NonFiniteError, match="epoch 1"):
        list(Training(config, tiny_data, seed=1))


def test_a_constant_prediction_is_flagged_and_no_failure(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    training = Training(
        tiny_config.with_overrides({"train.lr": 1e-30}), tiny_data, seed=1, metric="corr"
    )
    with torch.no_grad():
        training.network.get_parameter("head.5.weight").zero_()
    reports = list(training)
    assert len(reports) == 3
    assert all(report.collapsed for report in reports)
    assert all(math.isnan(report.valid["corr"]) for report in reports)
    assert all(math.isfinite(report.valid["mae"]) for report in reports)
    assert [report.best for report in reports] == [True, False, False]


def test_an_unknown_metric_is_refused(tiny_config: Config, tiny_data: TrainingData) -> None:
    with pytest.raises(InputError, match="did you mean 'mae'"):
        Training(tiny_config, tiny_data, seed=1, metric="mea")


def test_bf16_trains_with_losses_in_float32(tiny_config: Config, tiny_data: TrainingData) -> None:
    config = tiny_config.with_overrides({"run.precision": "bf16", "run.micro_batch": 7})
    training = _run(config, tiny_data)
    assert training.precision == "bf16"
    full = _run(tiny_config, tiny_data)
    assert training.reports[0].losses["task"] == pytest.approx(
        full.reports[0].losses["task"], rel=0.05
    )
    assert training.reports[0].losses != full.reports[0].losses
    assert {w.dtype for w in training.best.weights.values()} == {torch.float32}


def test_a_training_goes_on_in_the_precision_that_it_began_with(
    tiny_config: Config, tiny_data: TrainingData, tmp_path: Path
) -> None:
    """Whatever "auto" means on the machine that goes on; what is asked for holds all the same."""
    begun = Training(tiny_config.with_overrides({"run.precision": "bf16"}), tiny_data, seed=1)
    next(iter(begun))
    begun.save(tmp_path)
    undisturbed = [begun.reports[0], *begun]
    resumed = Training(tiny_config, tiny_data, seed=1)
    assert resumed.precision == "fp32"
    resumed.restore(tmp_path)
    assert resumed.precision == "bf16"
    assert [r.losses for r in (resumed.reports[0], *resumed)] == [r.losses for r in undisturbed]
    asked = Training(tiny_config.with_overrides({"run.precision": "fp32"}), tiny_data, seed=1)
    asked.restore(tmp_path)
    assert asked.precision == "fp32"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::torch")
def test_a_compiled_network_trains_alike(
    tiny_config: Config, tiny_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The capture is what can go wrong; generating code as well takes two minutes on a CPU."""
    monkeypatch.setattr("torch.compile", partial(torch.compile, backend="eager"))
    still = {"model.head.dropout": 0.0, "model.projection_dropout": 0.0, "train.epochs": 2}
    still |= {"model.fusion.dropout": 0.0, "model.audio.dropout": 0.0, "model.vision.dropout": 0.0}
    config = tiny_config.with_overrides(still)
    plain, compiled = (
        _run(config.with_overrides({"run.compile": on}), tiny_data) for on in (False, True)
    )
    for ours, theirs in zip(plain.reports, compiled.reports, strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-3)
    assert plain.best.weights.keys() == compiled.best.weights.keys()


def test_a_step_is_read_once_after_the_next_batch_is_on_its_way(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    order = []

    class Reads(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func in {torch.Tensor.tolist, torch.Tensor.item} and args[0].is_floating_point():
                order.append("read")
            return func(*args, **(kwargs or {}))

    class Watched(Training):
        def _parts(self, *args: Any) -> list[Batch]:
            order.append("batch")
            return super()._parts(*args)

        def _launch(self, parts: list[Batch]) -> tuple[Done, torch.Tensor]:
            order.append("launch")
            return super()._launch(parts)

    training = Watched(tiny_config, tiny_data, seed=1)
    with Reads():
        _, steps = training._train(1)
    assert steps > 2
    between = ["launch", "batch", "read"] * (steps - 1)
    assert order == ["batch", *between, "launch", "read"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("micro_batch", [0, 5])
def test_a_gpu_trains_like_a_cpu_and_can_be_resumed_there(
    tiny_config: Config, tiny_data: TrainingData, tmp_path: Path, micro_batch: int
) -> None:
    still = {"model.head.dropout": 0.0, "model.projection_dropout": 0.0}
    still |= {"model.fusion.dropout": 0.0, "model.audio.dropout": 0.0, "model.vision.dropout": 0.0}
    config = tiny_config.with_overrides({**still, "run.micro_batch": micro_batch})
    expected = _run(config, tiny_data)
    onto = config.with_overrides({"run.device": "cuda", "run.precision": "fp32"})
    training = Training(onto, tiny_data, seed=1)
    next(iter(training))
    training.save(tmp_path)
    resumed = Training(onto, tiny_data, seed=1)
    resumed.restore(tmp_path)
    assert len(list(resumed)) == 2
    for ours, theirs in zip(resumed.reports, expected.reports, strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=0.02)
        assert ours.peak_memory > 0


def test_predictions_that_are_not_finite_are_a_failed_training(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    training = Training(tiny_config, tiny_data, seed=1)
    next(iter(training))
    valid = tiny_data.valid
    assert valid is not None
    assert valid.audio is not None
    broken = Ragged(np.full_like(valid.audio.values, np.nan), valid.audio.offsets)
    with pytest.raises(NonFiniteError, match=r"finite, but on test with the weights of epoch 1"):
        training.predict(replace(valid, name="test", audio=broken))


@pytest.mark.parametrize(
    ("metric", "label"), [("corr", 0.4), ("acc2_non0", 0.0), ("f1_sims", 1.0)]
)
def test_a_metric_that_no_predictions_have_is_refused_before_training(
    tiny_config: Config, tiny_data: TrainingData, metric: str, label: float
) -> None:
    assert tiny_data.valid is not None
    valid = replace(tiny_data.valid, labels=np.full(12, label))
    with pytest.raises(InputError, match=f"must exist on valid, but {metric} does not: "):
        Training(tiny_config, replace(tiny_data, valid=valid), seed=1, metric=metric)


def test_predictions_of_a_narrow_range_are_clipped_to_it(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    assert tiny_data.valid is not None
    config = tiny_config.with_overrides({"train.lr": 0.1})
    wide = Training(config, tiny_data, seed=1)
    narrow = Training(config, replace(tiny_data, label_range=1.0), seed=1)
    report, other = next(iter(wide)), next(iter(narrow))
    expected = wide.predict(tiny_data.valid)
    assert np.abs(expected).max() > 1.0
    assert np.array_equal(narrow.predict(tiny_data.valid), np.clip(expected, -1.0, 1.0))
    assert report.losses == other.losses, "training goes on unclipped"
    assert tuple(other.valid) == metrics_of(1.0)
