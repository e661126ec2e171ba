"""What K frozen trainings as one would gain, by `torch.func.vmap` over the network.

K seeds of one configuration, each with its own batch of MOSI (pooled audio, text frozen), as a
module with a leading K: parameters stacked, forward pass, loss and gradient under `vmap`, each
clipped by its own norm, one Adam over all. First in float64 with equal dropout masks against K
single steps; then CPU milliseconds and dispatched operators of one step together and of K steps
of the product, taking turns. It is no part of the product: a batch must lack nothing (which rows a
loss takes would differ among the K), SupCR is written for autograd, and in between stand K
checkpoints, failures and reports.
Run: python tests/bench/bench_together.py [K …]    (needs the shared folder; set HSCL_SHARED)
"""

import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real_data import official_folds
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from operators import Operators

from hscl.config import Config, LossConfig
from hscl.data.dataset import Dataset
from hscl.loss.hierarchy import LabelOrder, hierarchical_loss, similarity_loss
from hscl.model import contract, length_groups
from hscl.model.batch import Batch
from hscl.model.network import HsclOutput
from hscl.training.loop import Training
from hscl.training.prepared import prepare

SIZES = (1, 4, 16)
BATCH, ROUNDS, CLIP = 32, 5, 1.0
ADAM: dict[str, Any] = {"lr": 1e-3, "weight_decay": 1e-4}


def supcr(views: Tensor, order: tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """As the product's own node computes it, for autograd under vmap; views (V, N, p)."""
    (farthest_first, group_ends), (count, utterances) = order, views.shape[:2]
    unit = functional.normalize(views.flatten(0, 1), dim=1)
    logits = unit @ unit.T / temperature
    own = torch.eye(len(unit), dtype=torch.bool)
    last = functional.one_hot(torch.tensor(utterances - 1), utterances) * (count - 1)
    positives = (group_ends.to(logits.dtype) * count + last).repeat(count, 1)
    others = logits.masked_fill(own, -torch.inf).view(len(unit), count, utterances)
    running = others.logsumexp(1).gather(1, farthest_first.repeat(count, 1)).logcumsumexp(1)
    pairs = len(unit) * (len(unit) - 1)
    return ((positives * running).sum() - logits.masked_fill(own, 0.0).sum()) / pairs


def loss_of(
    output: HsclOutput, labels: Tensor, order: tuple[Tensor, Tensor], loss: LossConfig
) -> Tensor:
    """The total loss of text and audio where nobody lacks anything."""
    assert output.text is not None
    assert output.audio is not None
    assert output.fused_audio is not None
    low = supcr(torch.stack([output.text, output.audio]), order, loss.temperature)
    low = low + loss.alpha * similarity_loss(output.text, output.audio)
    high = supcr(output.fused_audio[None], order, loss.temperature)
    task = (output.prediction - labels).abs().mean()
    return task + loss.omega1 * low + loss.omega2 * high


class Together:
    """K trainings and a batch for each, padded alike."""

    def __init__(self, config: Config, data: Any, count: int) -> None:
        self.loss = config.loss
        self.trainings = [Training(config, data, seed=seed) for seed in range(1, count + 1)]
        self.batches = []
        for seed, training in enumerate(self.trainings):
            training.network.train()
            rows = np.random.default_rng(seed).permutation(len(data.train))[:BATCH]
            self.batches += training._parts(rows, None)
        fields = {n: [getattr(b, n) for b in self.batches] for n in vars(self.batches[0])}
        there = {name: values for name, values in fields.items() if values[0] is not None}
        self.fields = {name: _stacked(values) for name, values in there.items()}
        orders = [LabelOrder.of(labels) for labels in self.fields["labels"]]
        self.order = (
            torch.stack([order.farthest_first for order in orders]),
            torch.stack([order.group_ends for order in orders]),
        )

    def step(self, module: Any, state: Any, fields: Any, optimizer: Any, randomness: str) -> Any:
        """One update of all K; the unclipped gradients by name."""
        params, buffers = state

        def one(params: Any, buffers: Any, fields: Any, *order: Tensor) -> Tensor:
            output = functional_call(module, (params, buffers), (Batch(**fields),))
            return loss_of(output, fields["labels"], (order[0], order[1]), self.loss)

        # As on a GPU: the whole batch, and nothing that depends on values.
        rows, known = dict(length_groups.ROWS), contract._all_above_0
        length_groups.ROWS.clear()
        contract._all_above_0 = lambda counts: True
        losses = vmap(one, randomness=randomness)(params, buffers, fields, *self.order)
        length_groups.ROWS.update(rows)
        contract._all_above_0 = known
        optimizer.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        grads = {name: p.grad for name, p in params.items() if p.grad is not None}
        whole = {name: grad.clone() for name, grad in grads.items()}
        squares = [grad.flatten(1).square().sum(1) for grad in grads.values()]
        scale = (CLIP / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
        for grad in grads.values():
            grad.mul_(scale.view(-1, *[1] * (grad.ndim - 1)))
        optimizer.step()
        return whole

    def apart(self) -> tuple[float, float]:
        """Largest difference of a gradient, and of a weight after the step, in float64."""
        networks = [copy.deepcopy(training.network).double() for training in self.trainings]
        fields = {n: v.double() if v.is_floating_point() else v for n, v in self.fields.items()}
        params, buffers = stack_module_state(networks)
        adam = torch.optim.Adam(list(params.values()), **ADAM)
        torch.manual_seed(7)
        grads = self.step(networks[0], (params, buffers), fields, adam, "same")
        gradient = weight = 0.0
        for k, network in enumerate(networks):
            torch.manual_seed(7)
            single: dict[str, Any] = {name: values[k] for name, values in fields.items()}
            alone = torch.optim.Adam(network.parameters(), **ADAM)
            terms = hierarchical_loss(network(Batch(**single)), single["labels"], self.loss)
            terms.total.backward()  # type: ignore[no-untyped-call]
            for name, p in network.named_parameters():
                if p.grad is not None and name in grads:
                    gradient = max(gradient, float((p.grad - grads[name][k]).abs().max()))
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            alone.step()
            for name, p in network.named_parameters():
                weight = max(weight, float((p - params[name][k]).detach().abs().max()))
        return gradient, weight

    def cost(self) -> dict[str, tuple[float, int]]:
        """CPU milliseconds and operators of a step together, and of K single ones."""
        state = stack_module_state([training.network for training in self.trainings])
        adam = torch.optim.Adam(list(state[0].values()), **ADAM, fused=True)
        module = self.trainings[0].network

        def together() -> None:
            self.step(module, state, self.fields, adam, "different")

        def singles() -> None:
            for training, batch in zip(self.trainings, self.batches, strict=True):
                training._finish(*training._launch([batch]), 1, 0)

        sides: dict[str, Callable[[], None]] = {"together": together, "singly": singles}
        spent: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(ROUNDS + 1):
            for name, run in sides.items():
                began = time.process_time()
                run()
                if turn:  # the first warms up
                    spent[name].append((time.process_time() - began) * 1e3)
        counted = {}
        for name, run in sides.items():
            with Operators() as operators:
                run()
            counted[name] = operators.count.total()
        return {name: (statistics.median(spent[name]), counted[name]) for name in sides}


def _stacked(values: list[Tensor]) -> Tensor:
    """(K, B, …), sequences as long as the longest of all."""
    if values[0].ndim == 3:
        longest = max(value.shape[1] for value in values)
        values = [functional.pad(v, (0, 0, 0, longest - v.shape[1])) for v in values]
    return torch.stack(values)


def main() -> None:
    """Each K, or those that are named."""
    torch.set_num_threads(1)
    overrides = {
        "model.text.finetune": False,
        "model.modalities": "text+audio",
        "train.batch_size": BATCH,
        "run.device": "cpu",
        "run.threads": 1,
    }
    with tempfile.TemporaryDirectory() as folder:
        config = Config().with_overrides(overrides)
        data = prepare(Dataset.open(official_folds(Path(folder))), config)
        for count in [int(size) for size in sys.argv[1:]] or SIZES:
            both = Together(config, data, count)
            gradient, weight = both.apart()
            (one, operators), (many, each) = both.cost().values()
            print(
                f"K = {count}: apart {gradient:.1e} (gradients), {weight:.1e} (weights); together "
                f"{one:.0f} ms, {operators} operators; singly {many:.0f} ms, {each}; gain "
                f"{many / one:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
