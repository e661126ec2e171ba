"""Final training: several seeds, resumable, never opening test."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from feature_files import known_rows, mult_mosei, pickled

from hscl.config import Config
from hscl.data.convert import convert
from hscl.data.dataset import Dataset
from hscl.errors import InputError
from hscl.files import write_whole
from hscl.seeding import final_seeds
from hscl.trained.evaluate import evaluate_model
from hscl.trained.predict import TrainedModel
from hscl.trained.record import ModelRecord, SeedRun, read_folder, write_folder
from hscl.trained.train import FinalTraining, check_seeds, prepare_final, train_final
from hscl.training.checkpoints import read_tensors
from hscl.training.loop import NonFiniteError, Training
from hscl.training.prepared import TrainingData
from hscl.training.reports import EpochReport


class Notes:
    """A listener that remembers, and can stop the training like Ctrl-C."""

    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        self.told: list[tuple[int, int]] = []
        self.starts: list[tuple[int, int]] = []
        self._stop_at = stop_at

    def began(self, seed: int, epoch: int, how: str) -> None:
        self.starts.append((seed, epoch))
        self.how = how

    def reported(self, seed: int, report: EpochReport) -> None:
        self.told.append((seed, report.epoch))
        if (seed, report.epoch) == self._stop_at:
            raise KeyboardInterrupt

    def finished(self, run: SeedRun) -> None:
        pass


@pytest.fixture
def final(encoder_config: Config, tiny_file: Path) -> FinalTraining:
    return prepare_final(encoder_config, Dataset.open(tiny_file), [11, 12])


def _weights(folder: Path, seed: int) -> dict[str, torch.Tensor]:
    return read_tensors(folder / f"seed-{seed}" / "model.safetensors")


def _assert_same_models(first: Path, second: Path) -> None:
    for seed in (11, 12):
        ours, theirs = _weights(first, seed), _weights(second, seed)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    reports = [
        [[(r["epoch"], r["losses"], r["valid"]) for r in run.reports] for run in record.runs]
        for _, record in (read_folder(first), read_folder(second))
    ]
    assert repr(reports[0]) == repr(reports[1])


def test_derived_seeds_are_fresh_and_more_can_be_added() -> None:
    five = final_seeds(0, 5)
    assert len(set(five)) == 5
    assert final_seeds(0, 7)[:5] == five
    assert final_seeds(1, 5) != five
    assert min(five) > 999_999  # a study derives seeds of at most six digits
    assert not set(final_seeds(0, 5, avoid=five[:2])) & set(five[:2])


@pytest.mark.parametrize(
    ("seeds", "what"), [([], "different"), ([1, 1], "different"), ([-1], "from 0"), ([7], "study")]
)
def test_seeds_that_are_none_or_not_fresh_are_refused(seeds: list[int], what: str) -> None:
    with pytest.raises(InputError, match=what):
        check_seeds(seeds, study=[7, 8])
    assert check_seeds([1, 2], study=[7, 8]) == (1, 2)


def test_a_finished_folder_holds_what_the_readme_says(tiny_model: Path) -> None:
    assert {path.name for path in tiny_model.iterdir()} == {
        "config.toml",
        "metrics.json",
        "README.md",
        "seed-11",
        "seed-12",
    }
    metrics = json.loads((tiny_model / "metrics.json").read_text())
    assert [run["seed"] for run in metrics["runs"]] == [11, 12]
    assert metrics["summary"]["mae"]["mean"] == pytest.approx(
        sum(run["valid"]["mae"] for run in metrics["runs"]) / 2
    )
    assert len(metrics["runs"][0]["reports"]) == 3


def test_each_seed_is_the_training_of_that_seed(tiny_model: Path, final: FinalTraining) -> None:
    training = Training(final.config, final.data, seed=12)
    assert len(list(training)) == 3
    weights = _weights(tiny_model, 12)
    assert all(torch.equal(w, weights[name]) for name, w in training.best.weights.items())


def test_the_threads_and_the_precision_that_a_folder_began_with_are_those_it_goes_on_with(
    final: FinalTraining, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    asked = {"run.threads": 3, "run.precision": "bf16"}
    begun = replace(final, config=final.config.with_overrides(asked))
    with pytest.raises(KeyboardInterrupt):
        train_final(begun, out, Notes((11, 1)))
    with pytest.raises(KeyboardInterrupt):
        train_final(final, out, notes := Notes((12, 1)))
    assert notes.how == "cpu, bf16, 3 CPU threads"
    config, record = read_folder(out)
    assert (config.run.threads, config.run.precision) == (3, "bf16")
    # As versions left it that did not settle the precision: a finished seed says what it was.
    write_folder(out, config.with_overrides({"run.precision": "auto"}), record, "")
    with pytest.raises(KeyboardInterrupt):
        train_final(final, out, Notes((12, 2)))
    assert read_folder(out)[0].run.precision == "bf16"


def test_a_training_that_is_done_is_not_done_again(tiny_model: Path, final: FinalTraining) -> None:
    before = (tiny_model / "metrics.json").read_text()
    notes = Notes()
    train_final(final, tiny_model, notes)
    assert notes.starts == []
    assert (tiny_model / "metrics.json").read_text() == before


@pytest.mark.parametrize("stop_at", [(11, 1), (11, 2), (12, 2)])
def test_an_interrupted_training_goes_on_where_it_was(
    tiny_model: Path, final: FinalTraining, tmp_path: Path, stop_at: tuple[int, int]
) -> None:
    out = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        train_final(final, out, Notes(stop_at))
    notes = Notes()
    record = train_final(final, out, notes)
    assert [run.seed for run in record.runs] == [11, 12]
    # The epoch whose report was interrupted had not been saved; the one before was.
    assert notes.starts[0] == (stop_at[0], stop_at[1] - 1)
    _assert_same_models(out, tiny_model)
    assert not (out / ".training").exists()


_WORKER = """
import sys
from pathlib import Path
from hscl.config_toml import load_config
from hscl.data.dataset import Dataset
from hscl.trained.train import prepare_final, train_final

class Told:
    def began(self, seed, epoch, how): print("began", seed, epoch, flush=True)
    def reported(self, seed, report): print("epoch", seed, report.epoch, flush=True)
    def finished(self, run): print("finished", run.seed, flush=True)

final = prepare_final(load_config(sys.argv[1]), Dataset.open(sys.argv[2]), [11, 12])
train_final(final, Path(sys.argv[3]), Told())
"""


def _worker(tiny_model: Path, tiny_file: Path, out: Path) -> "subprocess.Popen[str]":
    arguments = [str(tiny_model / "config.toml"), str(tiny_file), str(out)]
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_training_killed_ends_like_one_that_was_not(
    tiny_model: Path, tiny_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    lines: list[str] = []
    for after in (3, 99):  # lines of output until SIGKILL
        with _worker(tiny_model, tiny_file, out) as worker:
            assert worker.stdout is not None
            for count, line in enumerate(worker.stdout, 1):
                lines.append(line.strip())
                if count == after:
                    worker.send_signal(signal.SIGKILL)
                    break
    assert lines[0] == "began 11 0"
    assert lines[-1] == "finished 12"
    assert any(line.startswith("began") and not line.endswith(" 0") for line in lines)
    _assert_same_models(out, tiny_model)
    assert {path.name for path in out.iterdir()} == {path.name for path in tiny_model.iterdir()}


def test_two_trainings_into_one_folder_do_not_mix(final: FinalTraining, tmp_path: Path) -> None:
    out = tmp_path / "m"
    out.mkdir()
    held = os.open(out, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="only one hscl train"):
        train_final(final, out, Notes())
    assert not list(out.iterdir())
    os.close(held)
    assert len(train_final(final, out, Notes()).runs) == 2


def test_a_seed_that_was_in_place_before_it_was_recorded_is_made_again(
    tiny_model: Path, final: FinalTraining, tmp_path: Path
) -> None:
    """Killed between the two writes."""
    out = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        train_final(final, out, Notes((12, 1)))
    config, record = read_folder(out)
    from hscl.trained.record import write_folder

    write_folder(out, config, replace(record, runs=[]), "")
    train_final(final, out, Notes())
    _assert_same_models(out, tiny_model)


@pytest.mark.parametrize("name", ["metrics.json", "config.toml", "README.md"])
def test_a_training_killed_while_it_began_its_folder_goes_on(
    final: FinalTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / "m"

    def killed(path: Path, content: str) -> Path:
        if path.name == name:
            (out / f".{name}.99.part").write_text(content[:9])
            raise KeyboardInterrupt
        return write_whole(path, content)

    monkeypatch.setattr("hscl.trained.record.write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        train_final(final, out, Notes())
    monkeypatch.undo()
    with pytest.raises(KeyboardInterrupt):
        train_final(final, out, notes := Notes((11, 1)))
    assert notes.told == [(11, 1)]
    assert read_folder(out)[1].seeds == [11, 12]
    assert not list(out.glob(".*.part"))


@pytest.mark.parametrize("name", ["README.md", "config.toml"])
def test_a_file_of_something_else_that_is_named_like_ours_is_left_alone(
    final: FinalTraining, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("[mine]")
    with pytest.raises(InputError, match="something else"):
        train_final(final, tmp_path, Notes())
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "[mine]")]


def test_finished_seeds_stay_and_others_can_be_added_or_left_out(
    tiny_model: Path, final: FinalTraining, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    train_final(replace(final, seeds=(12,)), out, Notes())
    notes = Notes()
    record = train_final(final, out, notes)
    assert notes.starts == [(11, 0)]
    assert [run.seed for run in record.runs] == [11, 12]
    _assert_same_models(out, tiny_model)
    with pytest.raises(InputError, match=r"finished seeds \[11, 12\] there, seeds \[11\] now"):
        train_final(replace(final, seeds=(11,)), out, Notes())


def _other_config(final: FinalTraining) -> FinalTraining:
    return replace(final, config=final.config.with_overrides({"loss.alpha": 0.9}))


def _other_data(final: FinalTraining) -> FinalTraining:
    return replace(final, data=replace(final.data, digest="e" * 64))


def _other_range(final: FinalTraining) -> FinalTraining:
    return replace(final, data=replace(final.data, label_range=1.0))


def _other_metric(final: FinalTraining) -> FinalTraining:
    return replace(final, metric="corr")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_other_config, "configuration"),
        (_other_data, "data .* there, e{64} now"),
        (_other_metric, "metric mae there, corr now"),
        (_other_range, r"label range 3\.0 there, 1\.0 now"),
    ],
)
def test_a_folder_of_another_training_is_left_alone(
    tiny_model: Path,
    final: FinalTraining,
    change: Callable[[FinalTraining], FinalTraining],
    what: str,
) -> None:
    before = {p: p.stat().st_mtime_ns for p in tiny_model.rglob("*")}
    with pytest.raises(InputError, match=what):
        train_final(change(final), tiny_model, Notes())
    assert {p: p.stat().st_mtime_ns for p in tiny_model.rglob("*")} == before


def test_a_folder_that_holds_something_else_is_left_alone(
    final: FinalTraining, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("important")
    for out in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match="something else"):
            train_final(final, out, Notes())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_cannot_be_built_leaves_no_folder(final: FinalTraining, tmp_path: Path) -> None:
    wrong = replace(final, config=final.config.with_overrides({"model.vision.heads": 3}))
    with pytest.raises(InputError, match=r"model\.vision\.heads"):
        train_final(wrong, tmp_path / "m", Notes())
    assert not (tmp_path / "m").exists()


def test_for_deployment_train_and_valid_are_learned_together(
    encoder_config: Config, tiny_file: Path, tmp_path: Path
) -> None:
    dataset = Dataset.open(tiny_file)
    final = prepare_final(encoder_config, dataset, [11], fit="train+valid", epochs=2)
    record = train_final(final, tmp_path / "m", Notes())
    sizes = dataset.split_sizes()
    assert record.splits == {"train+valid": sizes["train"] + sizes["valid"]}
    assert [(run.epoch, run.valid) for run in record.runs] == [(2, {})]
    config, again = read_folder(tmp_path / "m")
    assert config.train.epochs == 2
    assert again.fit == "train+valid"
    with pytest.raises(InputError, match=r"fit train\+valid there, train now"):
        train_final(prepare_final(config, dataset, [11]), tmp_path / "m", Notes())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"fit": "train+valid"}, "--epochs"),
        ({"epochs": 3}, "--fit"),
        ({"metric": "mea"}, "mae"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    encoder_config: Config, tiny_file: Path, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(InputError, match=what):
        prepare_final(encoder_config, Dataset.open(tiny_file), [1], **options)


def test_a_seed_that_fails_is_named_and_the_others_are_kept(
    final: FinalTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = Training._launch

    def broken(self: Training, *arguments: Any) -> Any:
        if self.seed == 12:
            message = "the loss is not finite in epoch 1, step 2"
            raise NonFiniteError(message)
        return launch(self, *arguments)

    monkeypatch.setattr(Training, "_launch", broken)
    with pytest.raises(NonFiniteError, match=r"seed 12: the loss .* epoch 1, step 2"):
        train_final(final, tmp_path / "m", Notes())
    record: ModelRecord = read_folder(tmp_path / "m")[1]
    assert [run.seed for run in record.runs] == [11]
    # The way out that the message names.
    record = train_final(replace(final, seeds=(11, 13)), tmp_path / "m", notes := Notes())
    assert notes.starts == [(13, 0)]
    assert [run.seed for run in record.runs] == record.seeds == [11, 13]


def test_what_training_lacked_is_recorded(
    tiny_config: Config, tiny_data: TrainingData, encoder_config: Config, tmp_path: Path
) -> None:
    from hscl.trained.missing import count_missing

    assert count_missing(tiny_data.train, tiny_config)
    data = replace(
        tiny_data, widths=replace(tiny_data.widths), valid=tiny_data.valid, digest="f" * 64
    )
    config = tiny_config.with_overrides(
        {"model.text.encoder": encoder_config.model.text.encoder, "train.epochs": 1}
    )
    record = train_final(
        FinalTraining(config, data, (3,), "mae", "train"), tmp_path / "m", Notes()
    )
    assert record.missing == count_missing(tiny_data.train, tiny_config)


def test_a_mosei_pickle_of_mult_without_words_trains_on_its_own_vectors(
    tiny_config: Config, tmp_path: Path
) -> None:
    source = pickled(tmp_path / "mosei_senti_data_noalign.pkl", mult_mosei(known_rows()))
    convert([source], tmp_path / "mosei.arrow")
    dataset = Dataset.open(tmp_path / "mosei.arrow")
    config = tiny_config.with_overrides({"model.text.encoder": "file", "train.epochs": 1})
    train_final(prepare_final(config, dataset, [3]), tmp_path / "model", Notes())
    model = TrainedModel(tmp_path / "model")
    assert not (tmp_path / "model" / "seed-3" / "encoder").exists()
    assert "the data set's own vectors" in (tmp_path / "model" / "README.md").read_text()
    evaluation = evaluate_model(model, dataset)
    assert evaluation.utterances == 16
    assert evaluation.ensemble["mae"] > 0
    with pytest.raises(InputError, match="no text vectors of their own"):
        model.predict_texts(["good"])
