"""A training step at BERT-base size (2 random layers), batch 32, real MOSI lengths.

Ours against the same step padded to the corpus maximum (50 tokens, 375 audio and 500 vision
frames, as MulT's and MMSA's files are) with dense losses: once with our network, once with the
method built from torch's standard modules. All in one run, taking turns.
Run: python tests/bench/bench_step.py    (needs the shared folder; set HSCL_SHARED)
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_supcr import broadcast_form
from real_data import ten_videos
from standard_network import StandardNetwork
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.data.splits import open_inputs
from hscl.loss.hierarchy import hierarchical_loss, similarity_loss
from hscl.model import length_groups
from hscl.model.batch import Batch, Widths
from hscl.model.network import HsclNetwork, HsclOutput
from hscl.model.text_encoder import TextEncoder, tokenize
from hscl.training.batches import collate
from hscl.training.prepared import PreparedSplit

MAXIMUM = {"text": 50, "audio": 375, "vision": 500}
BATCH, STEPS, ROUNDS = 32, 2, 3
GROUPED = length_groups.ROWS


def real_batches() -> list[Batch]:
    """Random batches of the 229 MOSI utterances that have all three modalities."""
    with tempfile.TemporaryDirectory() as folder:
        split = open_inputs(Dataset.open(ten_videos(Path(folder))))
        prepared = PreparedSplit(
            name="all",
            videos=split.videos,
            utterances=split.utterances,
            labels=np.random.default_rng(0).integers(-15, 16, len(split)) / 5,
            text=tokenize(split.words, "minilm", MAXIMUM["text"]),
            audio=split.audio,
            vision=split.vision,
        )
        order = np.random.default_rng(1).permutation(len(split))[: STEPS * BATCH]
        modalities = frozenset({"audio", "vision"})
        return [collate(prepared, rows, modalities=modalities) for rows in np.split(order, STEPS)]


def padded_to_maximum(batch: Batch) -> Batch:
    """The same batch, every sequence as long as the corpus's longest."""

    def longer(name: str) -> Tensor:
        values: Tensor = getattr(batch, name)
        missing = MAXIMUM[name] - values.shape[1]
        return functional.pad(values, (0, 0) * (values.ndim - 2) + (0, missing))

    changes: dict[str, Any] = {name: longer(name) for name in MAXIMUM}
    return replace(batch, **changes)


def dense_loss(output: HsclOutput, labels: Tensor, config: Config) -> Tensor:
    """The total loss with three (M, M, M) SupCR losses."""
    parts = [output.text, output.audio, output.vision, output.fused_audio, output.fused_vision]
    text, audio, vision, fused_audio, fused_vision = (p for p in parts if p is not None)
    loss = config.loss
    low = [
        broadcast_form(torch.stack([text, other]), labels)
        + loss.alpha * similarity_loss(text, other)
        for other in (audio, vision)
    ]
    high = broadcast_form(torch.stack([fused_audio, fused_vision]), labels)
    task = (output.prediction - labels).abs().mean()
    return task + loss.omega1 * (low[0] + low[1]) + loss.omega2 * high


def step(network: nn.Module, batch: Batch, config: Config, *, dense: bool) -> float:
    """CPU seconds of one forward and backward pass."""
    assert batch.labels is not None
    for parameter in network.parameters():
        parameter.grad = None
    length_groups.ROWS = {} if dense else GROUPED
    start = time.process_time()
    output = network(batch)
    if dense:
        total = dense_loss(output, batch.labels, config)
    else:
        total = hierarchical_loss(output, batch.labels, config.loss).total
    total.backward()  # type: ignore[no-untyped-call]
    return time.process_time() - start


def share_of_padding(batches: list[Batch], name: str, lengths: list[Tensor]) -> float:
    """Share of places that hold no token or frame."""
    places = sum(
        getattr(batch, name).shape[0] * getattr(batch, name).shape[1] for batch in batches
    )
    real = sum(int(length.sum()) for length in lengths)
    return float(1 - real / places)


def main() -> None:
    """Print the times, their ratios and the padded shares."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Config()
    bert = BertModel(BertConfig(num_hidden_layers=2), add_pooling_layer=False)
    widths = Widths(text=768, audio=5, vision=20)
    ours = HsclNetwork(config.model, widths, TextEncoder(bert, 768)).train()
    standard = StandardNetwork(config, bert, {"text": 768, "audio": 5, "vision": 20}).train()
    tight = real_batches()
    loose = [padded_to_maximum(batch) for batch in tight]
    rows: list[tuple[str, nn.Module, list[Batch], bool]] = [
        ("ours", ours, tight, False),
        ("our network, padded to the corpus maximum, dense losses", ours, loose, True),
        ("torch's standard modules, padded likewise, dense losses", standard, loose, True),
    ]
    best = dict.fromkeys((name for name, *_ in rows), float("inf"))
    for _ in range(ROUNDS):
        for name, network, batches, dense in rows:
            seconds = sum(step(network, batch, config, dense=dense) for batch in batches)
            best[name] = min(best[name], seconds / len(batches))
    print(
        f"training step on one CPU thread, BERT-base width, 2 layers, batch {BATCH}, "
        "real MOSI lengths"
    )
    for name, seconds in best.items():
        print(f"  {seconds:6.2f} s  {seconds / best['ours']:4.1f}x  {name}")
    for name in MAXIMUM:
        lengths = [getattr(batch, f"{name}_lengths") for batch in tight]
        before, trimmed = (share_of_padding(b, name, lengths) for b in (loose, tight))
        print(f"  {name}: padded share {before:.0%} -> {trimmed:.0%} trimmed to the batch")


if __name__ == "__main__":
    main()
