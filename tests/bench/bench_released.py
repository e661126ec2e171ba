"""A training step, and SupCR alone, against the repositories that were released.

Turdidae810/HSCL as it is, its solver's own loop included: only what loads BERT gives one with
random weights (12 layers, width 768, as hard-coded there), and calls of CUDA do nothing. Both
sides train it on the same batches of real MOSI with dropout on; CPU milliseconds of one thread
from forward pass to optimizer step. The released code once without and once with the anomaly
detection that it ships with, ours in fp32 and bf16. Then SupCR with its gradient beside the
released one and beside Rank-N-Contrast's loss. Neither repository is a part of this one: each is a
folder, or a git directory, of whoever runs this.
Run: python tests/bench/bench_released.py HSCL_REPOSITORY RANK_N_CONTRAST_REPOSITORY [PART …]
(parts: "step 32", "step 128", "supcr"; needs the shared folder; set HSCL_SHARED)
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bench_supcr import TEMPERATURE, inputs, sorted_form
from real_data import ten_videos

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.loss import supcr_loss
from hscl.model.batch import Batch
from hscl.training.loop import Training
from hscl.training.prepared import prepare

PARTS = ("step 32", "step 128", "supcr")
STEPS, TOKENS = 2, 50
SIZES = (32, 64, 128, 256, 512, 1024)
RNC_TEMPERATURE = 2.0
_MOST_BYTES = 6 << 30


def overrides(folder: Path, size: int, precision: str) -> dict[str, Any]:
    """Of the published setting: a random BERT-base, one thread."""
    return {
        "model.text.encoder": str(folder / "bert"),
        "model.text.finetune": True,
        "train.batch_size": size,
        "run.device": "cpu",
        "run.precision": precision,
        "run.threads": 1,
    }


def random_bert(folder: Path) -> None:
    """BERT-base's shape with MiniLM's words, which are BERT's."""
    from transformers import BertConfig, BertModel

    from hscl.model.text_encoder import load_tokenizer

    torch.manual_seed(0)
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(folder / "bert")
    load_tokenizer("minilm").save_pretrained(folder / "bert")


def ours(folder: Path, size: int) -> dict[str, list[float]]:
    """Milliseconds of each step after the first, in both precisions."""
    found = {}
    for precision in ("fp32", "bf16"):
        config = Config().with_overrides(overrides(folder, size, precision))
        training = Training(config, prepare(Dataset.open(ten_videos(folder)), config), seed=1)
        training.network.train()
        spent = []
        for step, rows in enumerate(drawn(len(training.data.train), size)):
            began = time.process_time()
            training._finish(*training._launch(training._parts(rows, None)), 1, step)
            spent.append((time.process_time() - began) * 1e3)
        found[f"ours, {precision}"] = spent[1:]
        del training
    return found


def drawn(count: int, size: int) -> list[Any]:
    """The rows of each step."""
    generator = np.random.default_rng(0)
    return [generator.permutation(count)[:size] for _ in range(1 + STEPS)]


class _EnoughError(Exception):
    """Ends the released loop."""


def released(folder: Path, size: int, source: Path) -> dict[str, list[float]]:
    """Milliseconds of each step after the first, by the released solver."""
    config = Config().with_overrides(overrides(folder, size, "fp32"))
    training = Training(config, prepare(Dataset.open(ten_videos(folder)), config), seed=1)
    split = training.data.train
    rows = drawn(len(split), size)
    batches = [theirs(training._feed.batch(split, some)) for some in rows]
    del training
    # From here on whatever loads a BERT gets a random one.
    sys.path.insert(0, str(source / "src"))
    from transformers import BertConfig, BertModel

    replaced: list[tuple[Any, str, Any]] = [
        (BertModel, "from_pretrained", lambda *_, **__: BertModel(BertConfig())),
        (BertConfig, "from_pretrained", lambda *_, **__: BertConfig()),
        (torch.Tensor, "cuda", lambda self, *_, **__: self),
        (torch.cuda, "device", lambda *_: contextlib.nullcontext()),
    ]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    solver = importlib.import_module("solver")

    spent: list[float] = []

    def loader() -> Iterator[tuple[Any, ...]]:
        for batch in batches:
            began = time.process_time()
            yield batch
            spent.append((time.process_time() - began) * 1e3)
        raise _EnoughError

    found = {}
    for name, checks in (("released", False), ("released, anomaly detection", True)):
        spent.clear()
        with torch.autograd.set_detect_anomaly(checks), contextlib.suppress(_EnoughError):
            solver.Solver(settings(size, len(split)), loader(), None, None).train_and_eval()
        found[name] = spent[1:]
    return found


def settings(size: int, count: int) -> SimpleNamespace:
    """What its config.py has by default."""
    return SimpleNamespace(
        dataset="mosi",
        bert_path="",
        alpha=0.1,
        omega1=0.01,
        omega2=0.1,
        dropout_prj=0.1,
        d_prjh=128,
        batch_size=size,
        n_train=count,
        clip=1.0,
        lr_main=1e-3,
        lr_bert=5e-5,
        weight_decay_main=1e-4,
        weight_decay_bert=1e-4,
        optim="Adam",
        num_epochs=1,
        when=11,
        patience=10,
        update_batch=1,
    )


def theirs(batch: Batch) -> tuple[Any, ...]:
    """As its collate_fn makes it: time first, text padded to 50 places."""
    words = torch.nn.functional.pad(batch.text, (0, TOKENS - batch.text.shape[1]))
    mask = (torch.arange(TOKENS) < batch.text_lengths[:, None]).long()
    assert batch.labels is not None
    sequences = [
        value.transpose(0, 1).contiguous() if value.ndim == 3 else value.int()
        for value in (batch.vision, batch.vision_lengths, batch.audio, batch.audio_lengths)
        if value is not None
    ]
    labels = batch.labels[:, None]
    return (words, *sequences, labels, batch.text_lengths, words, words * 0, mask, [])


def supcr(hscl: Path, rnc: Path) -> None:
    """CPU milliseconds of value and gradient; a form that would need over 6 GiB is left out."""
    loss = released_module(hscl / "src/modules/loss.py").SupConR(TEMPERATURE)
    ranked = released_module(rnc / "loss.py").RnCLoss(RNC_TEMPERATURE)

    def ours_ranked(views: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return supcr_loss(
            views.flatten(0, 1), labels.repeat(2), RNC_TEMPERATURE, similarity="negative_distance"
        )

    forms: dict[str, tuple[Callable[..., torch.Tensor], int]] = {
        "ours": (sorted_form, 0),
        "released": (lambda views, labels: loss(views.transpose(0, 1), labels), 4),
        "ours as Rank-N-Contrast": (ours_ranked, 0),
        "Rank-N-Contrast": (
            lambda views, labels: ranked(views.transpose(0, 1), labels[:, None]),
            1,
        ),
    }
    for count in SIZES:
        best = dict.fromkeys(forms, float("inf"))
        for _ in range(5 if count <= 128 else 2):
            views, labels = inputs(count)
            for name, (form, cubes) in forms.items():
                if cubes * (2 * count) ** 3 * 4 > _MOST_BYTES:
                    continue
                began = time.process_time()
                torch.autograd.grad(form(views, labels), views)
                best[name] = min(best[name], (time.process_time() - began) * 1e3)
        told = ", ".join(f"{name} {value:.2f}" for name, value in best.items())
        ratios = [
            best["released"] / best["ours"],
            best["Rank-N-Contrast"] / best["ours as Rank-N-Contrast"],
        ]
        print(
            f"N = {count}: ms {told}; times ours {ratios[0]:.0f} and {ratios[1]:.0f}", flush=True
        )


def released_module(path: Path) -> Any:
    """A module by its file, whatever else is called so."""
    spec = importlib.util.spec_from_file_location(f"released_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked_out(repository: str, folder: Path, name: str) -> Path:
    """The repository; of a git directory what is named, in a folder that goes with this run."""
    source = Path(repository).absolute()
    if not (source / "HEAD").exists():
        return source
    folder.mkdir()
    whole = ["git", "-C", str(source), "archive", "HEAD", name]
    archive = subprocess.run(whole, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive, check=True)
    return folder


def step(folder: Path, size: int, hscl: Path) -> None:
    """Both sides, each in a process of its own."""
    best: dict[str, float] = {}
    for side in ("ours", "released"):
        asked = [sys.executable, __file__, "--worker", side, str(size), str(folder), str(hscl)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        told = subprocess.run(asked, stdout=subprocess.PIPE, check=True, env=environment).stdout
        found = json.loads(told.splitlines()[-1])
        best |= {name: min(values) for name, values in found.items()}
    for name, value in best.items():
        ratios = ", ".join(f"{value / best[f'ours, {p}']:.2f}" for p in ("fp32", "bf16"))
        print(
            f"step {size}: {name}: {value:.0f} ms; times ours in fp32, bf16: {ratios}", flush=True
        )


def main() -> None:
    """All parts, or those that are named."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        hscl = checked_out(sys.argv[1], folder / "hscl", "src")
        rnc = checked_out(sys.argv[2], folder / "rnc", "loss.py")
        for part in sys.argv[3:] or PARTS:
            if part == "supcr":
                supcr(hscl, rnc)
                continue
            if not (folder / "bert").exists():
                random_bert(folder)
            step(folder, int(part.split()[1]), hscl)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        torch.set_num_threads(1)
        side, size, where, repository = sys.argv[2:]
        if side == "ours":
            print(json.dumps(ours(Path(where), int(size))))
        else:
            print(json.dumps(released(Path(where), int(size), Path(repository))))
    else:
        main()
