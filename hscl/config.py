"""The configuration tree: everything that makes one training different from another.

The tree is frozen. Its defaults are the released MOSI values in the corrected method; `PRESETS`
names the other published settings. `run.*` says how to execute and is no part of a
configuration's identity.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from hscl.config_kinds import (
    KINDS,
    PUBLISHED,
    Count,
    FrozenTree,
    LfDnnConfig,
    MisaConfig,
    MultConfig,
    NonNegative,
    Positive,
    SelfMmConfig,
    Share,
    own_table,
    table_of,
    uses,
)
from hscl.digest import digest_json
from hscl.encoders import FILE, encoder_identity
from hscl.errors import InputError, did_you_mean
from hscl.registered import registered_model, registered_tables

__all__ = [
    "PRESETS",
    "Config",
    "FrozenTree",
    "LossConfig",
    "ModelConfig",
    "RunConfig",
    "SequenceConfig",
    "TextConfig",
    "TrainConfig",
    "dotted_values",
    "nested_values",
    "preset",
]

_LATER_KEYS = ("model.kind", "model.audio_input", "model.vision_input")
"""Keys that came later than configurations that are about: each counts in an identity only where
it is not at its default, so that those keep theirs. A new key that all kinds use is added here."""


class LossConfig(FrozenTree):
    """HSCL: L_task + omega1·(L_ta + L_tv) + omega2·L_fusion; L_tm = SupCR + alpha·similarity."""

    temperature: Positive = 0.5
    """τ of all three contrastive losses."""
    alpha: NonNegative = 0.1
    """Weight of the similarity term inside the low level."""
    omega1: NonNegative = 0.01
    """Weight of the low level: text against audio, text against vision."""
    omega2: NonNegative = 0.1
    """Weight of the high level: the two fused representations against each other."""
    low: bool = True
    """The low level's contrastive loss; off leaves the similarity term alone."""
    similarity: bool = True
    """The low level's similarity term."""
    high: bool = True
    """The high level's contrastive loss."""
    labels: Literal["supcr", "supcon", "none"] = "supcr"
    """What is positive: nearer in label (SupCR), of the same class, or the other view alone."""
    form: Literal["paper", "released"] = "paper"
    """The paper's formulas, or the released code's denominator and unsquared norm."""


class TrainConfig(FrozenTree):
    """Optimisation, from the released code's defaults for MOSI."""

    lr: Positive = 1e-3
    """Learning rate of everything but the text encoder."""
    lr_text: Positive = 5e-5
    """Learning rate of the fine-tuned text encoder."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Adam with L2 in the gradient, or with decoupled weight decay."""
    weight_decay: NonNegative = 1e-4
    """L2 penalty (adam) or decoupled decay (adamw) of all parameters."""
    batch_size: Count = 128
    """Utterances a step; who is in a batch matters to a contrastive loss."""
    epochs: Count = 20
    """Length of a training, and the top rung of a search."""
    patience: Count = 10
    """Epochs without a new best valid metric after which training ends."""
    clip: NonNegative = 1.0
    """Largest global gradient norm; 0 clips nothing."""
    schedule: Literal["step", "linear", "constant"] = "step"
    """How the learning rates fall."""
    step_epochs: Count = 11
    """Epochs between two falls (schedule "step")."""
    step_gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of one fall (schedule "step")."""
    warmup: Share = 0.1
    """Share of all steps over which the rate rises from 0 (schedule "linear")."""
    modality_dropout: Share = 0.0
    """Probability with which an utterance loses audio or vision in training."""
    standardize: bool = True
    """Scale audio and vision features by mean and deviation of the training split's frames."""
    batching: Literal["random", "length"] = "random"
    """Batches drawn at random, or from utterances of similar length."""


class TextConfig(FrozenTree):
    """The text encoder."""

    encoder: Annotated[str, Field(min_length=1)] = "minilm"
    """"minilm" (packaged), a folder, a name on the Hugging Face hub, or "file": the data's own."""
    finetune: bool = True
    """Train the encoder, or use its frozen output, encoded once."""
    max_tokens: Annotated[int, Field(ge=3, le=512)] = 50
    """Word pieces kept, [CLS] and [SEP] included."""
    pooling: Literal["cls", "mean"] = "cls"
    """Which vector stands for the sentence and asks in the fusion blocks: [CLS], or the mean."""

    @model_validator(mode="after")
    def _has_something_to_train(self) -> Self:
        if self.encoder == FILE and self.finetune:
            raise ValueError(
                "the data set's own text vectors (encoder \"file\") can't be fine-tuned; set "
                "model.text.finetune = false"
            )
        return self


class SequenceConfig(FrozenTree):
    """A Transformer over audio or vision frames, at the features' own width."""

    heads: Count = 1
    """Attention heads; must divide the feature width."""
    layers: Count = 3
    """Encoder layers."""
    ffn: Count = 32
    """Width of the feed-forward sublayer."""
    dropout: Share = 0.1
    """Dropout inside the encoder."""


class FusionConfig(FrozenTree):
    """The self-attention, cross-attention, feed-forward block."""

    heads: Count = 12
    """Attention heads; must divide the text width."""
    ffn: Count = 768
    """Width of the feed-forward sublayer."""
    dropout: Share = 0.1
    """Dropout of attention and residuals."""


class HeadConfig(FrozenTree):
    """The prediction MLP."""

    hidden: Count = 128
    """Width of both hidden layers."""
    dropout: Share = 0.1
    """Dropout before the first layer."""


class ModelConfig(FrozenTree):
    """The model. A registered model's keys are a table more, under its name."""

    model_config = ConfigDict(extra="allow")

    kind: str = "hscl"
    """"hscl", "lf-dnn", "mult", "misa", "self-mm", or the name of a model of one's own."""
    modalities: Literal["text", "text+audio", "text+vision", "text+audio+vision"] = (
        "text+audio+vision"
    )
    """What the model sees; text is always there."""
    audio_input: Literal["own", "shuffled", "hidden"] = "own"
    """For ablations of equal capacity: an utterance's own audio, one of its split's by a fixed
    permutation (which may leave a few their own), or zeros of its own length."""
    vision_input: Literal["own", "shuffled", "hidden"] = "own"
    """The same for vision."""
    form: Literal["paper", "released"] = "paper"
    """The paper's network, or the released code's departures from it."""
    projection: Count = 128
    """Width p of the contrastive projections."""
    projection_dropout: Share = 0.1
    """Dropout before each projection."""
    text: TextConfig = TextConfig()
    audio: SequenceConfig = SequenceConfig()
    vision: SequenceConfig = SequenceConfig(heads=5, ffn=64)
    fusion: FusionConfig = FusionConfig()
    head: HeadConfig = HeadConfig()
    lf_dnn: LfDnnConfig = LfDnnConfig()
    mult: MultConfig = MultConfig()
    misa: MisaConfig = MisaConfig()
    self_mm: SelfMmConfig = SelfMmConfig()

    @model_validator(mode="after")
    def _inputs_are_seen(self) -> Self:
        for name in {"audio", "vision"} - set(self.modalities.split("+")):
            if getattr(self, f"{name}_input") != "own":
                why = (
                    f"needs a model that sees {name}, but model.modalities is {self.modalities!r}"
                )
                raise InputError(f'model.{name}_input {why}; leave it "own"')
        return self

    @model_validator(mode="before")
    @classmethod
    def _with_own_tables(cls, given: Any) -> Any:
        """Each table that is no field of this class is that of a registered model.

        Raises:
            InputError: It is not, or its values are not allowed.
        """
        if not isinstance(given, Mapping):
            return given
        tree, kind = dict(given), given.get("kind", "hscl")
        if isinstance(kind, str) and kind not in KINDS:
            registered_model(kind)  # says what is wrong where there is none
            tree.setdefault(table_of(kind), {})
        for table in set(tree) - set(cls.model_fields):
            owner = registered_tables().get(table)
            if owner is None:
                raise InputError(
                    f"model.{table} is no configuration key, and no installed package registers "
                    f"a model of that name; {did_you_mean(table, cls.model_fields)}"
                )
            own = tree[table].model_dump() if isinstance(tree[table], FrozenTree) else tree[table]
            try:
                tree[table] = registered_model(owner).settings.model_validate(own)
            except ValidationError as error:
                raise InputError("\n".join(_explain(error, f"model.{table}."))) from None
        return tree


class RunConfig(FrozenTree):
    """How to execute; no part of a configuration's identity."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """"auto" is the GPU where there is one."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of torch; 0 is one for frozen encoders, else as many as CPUs are idle."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """"auto": bf16 on GPUs that have it, and on such CPUs to fine-tune by batches from 32 on."""
    micro_batch: Annotated[int, Field(ge=0)] = 0
    """Utterances a forward pass; the gradient stays the whole batch's. 0 is the whole batch."""
    compile: bool = False
    """torch.compile the network."""


class Config(FrozenTree):
    """One configuration: loss, training, model, and how to run it."""

    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    model: ModelConfig = ModelConfig()
    run: RunConfig = RunConfig()

    def dotted(self) -> dict[str, Any]:
        """The tree as one flat mapping, `{"loss.temperature": 0.5, …}`, in the tree's order."""
        return dotted_values(self.model_dump())

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Config":
        """A new configuration with some dotted names changed.

        Args:
            overrides: For example `{"loss.temperature": 0.1}`.

        Returns:
            The changed configuration; this one stays as it is.

        Raises:
            InputError: A name is unknown or a value is not allowed; all mistakes in one message.
        """
        tree = self._knowing(overrides)
        known = dotted_values(tree)
        problems = []
        for name, value in overrides.items():
            if name not in known:
                problems.append(f"{name!r} is no configuration key; {did_you_mean(name, known)}")
                continue
            *path, leaf = name.split(".")
            branch = tree
            for part in path:
                branch = branch[part]
            branch[leaf] = value
        try:
            changed = Config.model_validate(tree)
        except ValidationError as error:
            problems += _explain(error)
        except InputError as error:
            problems += str(error).splitlines()
        if problems:
            raise InputError("\n".join(problems))
        return changed

    def with_settings(self, settings: Mapping[str, Any]) -> "Config":
        """As `with_overrides`, for what a person wrote: nothing of it is without effect.

        Args:
            settings: For example `{"model.kind": "mult", "model.mult.width": 30}`.

        Returns:
            The changed configuration.

        Raises:
            InputError: As `with_overrides`, or a key is changed that means nothing to the kind of
                model.
        """
        changed = self.with_overrides(settings)
        before, kind = dotted_values(self._knowing(settings)), changed.model.kind
        idle = [n for n, v in settings.items() if not changed.uses(n) and v != before[n]]
        if idle:
            raise InputError(
                "\n".join(
                    f"{name} means nothing to model.kind = {kind!r}; leave it out" for name in idle
                )
            )
        return changed

    def uses(self, name: str) -> bool:
        """Whether a dotted key means something to this kind of model."""
        return uses(self.model.kind, name)

    def knowing(self, names: Iterable[str]) -> "Config":
        """The same with the tables of the registered models that dotted names speak of."""
        return Config.model_validate(self._knowing(dict.fromkeys(names)))

    def _knowing(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        # The tree, with the tables of the registered models that are set or spoken of.
        tree = self.model_dump()
        tables = {table for name in settings if (table := own_table(name)) is not None}
        if isinstance(settings.get("model.kind"), str):
            tables.add(table_of(settings["model.kind"]))
        unknown = tables - {"hscl"} - set(tree["model"])
        owners = registered_tables() if unknown else {}
        for table in unknown & set(owners):
            tree["model"][table] = registered_model(owners[table]).settings().model_dump()
        return tree

    def used_tree(self) -> dict[str, Any]:
        """The tree without what means nothing to this kind of model."""
        return nested_values({n: v for n, v in self.dotted().items() if self.uses(n)})

    def values(self) -> dict[str, Any]:
        """Dotted values of all that makes two configurations the same or not; no file is read."""
        return {
            name: value
            for name, value in self.dotted().items()
            if self.uses(name) and not name.startswith("run.")
        }

    def counted(self) -> dict[str, Any]:
        """All dotted values but those of keys that came later and are at their default.

        What a study's digest counts, so that studies from before such a key keep theirs.
        """
        published = _defaults()
        return {
            name: value
            for name, value in self.dotted().items()
            if value != published.get(name)
            or (name not in _LATER_KEYS and uses(published["model.kind"], name))
        }

    def identity(self) -> dict[str, Any]:
        """What makes this configuration itself: all that counts, without `run.` and paths.

        A text encoder on this machine counts by the digest of its files, so that laptop and
        cluster agree. What means nothing to the kind of model does not count, and a key that came
        later only where it is not at its default.

        Returns:
            A JSON-able tree.

        Raises:
            InputError: The text encoder can't be found.
        """  # noqa: DOC502 - raised by encoder_identity
        published = _defaults()
        flat = {
            name: value
            for name, value in self.values().items()
            if name not in _LATER_KEYS or value != published[name]
        }
        flat["model.text.encoder"] = encoder_identity(self.model.text.encoder)
        if self.model.kind not in KINDS:
            flat["model.package"] = registered_model(self.model.kind).package
        return nested_values(flat)

    @property
    def config_id(self) -> str:
        """12 hex digits of SHA-256 over `identity()`."""
        return digest_json(self.identity())[:12]

    def to_json(self) -> str:
        """The whole tree as one line of JSON."""
        return json.dumps(self.model_dump(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """The configuration that `to_json` wrote."""
        return cls.model_validate_json(text)


def dotted_values(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one flat mapping with dotted names.

    Args:
        tree: Mappings inside mappings, anything else at the leaves.
        prefix: What every name begins with, its dot included.

    Returns:
        The leaves in the tree's order.

    Raises:
        InputError: A leaf stands twice: once in a table, once under its dotted name.
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        inside = isinstance(value, Mapping)
        found = dotted_values(value, f"{prefix}{name}.") if inside else {prefix + name: value}
        if twice := flat.keys() & found:
            raise InputError(f"the key {min(twice)!r} stands twice, in two spellings; keep one")
        flat |= found
    return flat


def nested_values(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested tables: what `dotted_values` undoes."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, leaf = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[leaf] = value
    return tree


@cache
def _defaults() -> dict[str, Any]:
    return Config().dotted()


def _explain(error: ValidationError, prefix: str = "") -> list[str]:
    """One line a mistake: the dotted key, what must hold, what came."""
    lines = []
    for item in error.errors():
        said = item["msg"].removeprefix("Value error, ")
        # A rule on a whole table says itself what came.
        if item["type"] != "value_error" or not isinstance(item["input"], Mapping):
            said += f", but got {item['input']!r}"
        lines.append(f"{prefix}{'.'.join(map(str, item['loc']))}: {said}")
    return lines


_MOSI = Config()

PRESETS: dict[str, Config] = {
    # Released code: config.py:28-91, model.py:19-69, solver.py:70-78,120 (Turdidae810/HSCL).
    "mosi": _MOSI,
    # The README's second command of the same repository.
    "mosei": _MOSI.with_overrides(
        {
            "loss.omega2": 0.05,
            "train.lr": 1e-4,
            "train.lr_text": 1e-5,
            "train.step_epochs": 5,
            "model.audio.heads": 2,
            "model.vision.ffn": 32,
        }
    ),
    # What the released code computes where it departs from the paper, to see what that is worth.
    "released": _MOSI.with_overrides(
        {"loss.form": "released", "model.form": "released", "train.standardize": False}
    ),
    # Plain fine-tuning of the text encoder: mean pooling, AdamW, warm-up, linear decay.
    "text-only": _MOSI.with_overrides(
        {
            "model.modalities": "text",
            "model.text.pooling": "mean",
            "loss.omega1": 0.0,
            "loss.omega2": 0.0,
            "train.optimizer": "adamw",
            "train.weight_decay": 0.01,
            "train.schedule": "linear",
            "train.batch_size": 32,
        }
    ),
    **{name: _MOSI.with_overrides(values) for name, values in PUBLISHED.items()},
}


def preset(name: str) -> Config:
    """A published setting by its name.

    Args:
        name: One of `PRESETS`.

    Returns:
        The configuration.

    Raises:
        InputError: There is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"{name!r} is no preset; {did_you_mean(name, PRESETS)}")
    return PRESETS[name]
