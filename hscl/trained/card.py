"""The model card: what was trained, on what, how well, and what that does not say."""

import math
from pathlib import Path
from typing import Any

import yaml

from hscl.config import Config
from hscl.data.schema import LABEL_RANGE
from hscl.encoders import FILE
from hscl.metrics import DIGITS, METRIC
from hscl.trained.record import ModelRecord, mean_sd, share_text

__all__ = ["model_card"]


def model_card(config: Config, record: ModelRecord) -> str:
    """Markdown with a header that model hubs read.

    Args:
        config: What was trained.
        record: On what, and how it went.

    Returns:
        The card's text.
    """
    parts = [_header(record), _what(config, record), _results(record), _use(config, record)]
    return "\n".join(parts)


def _header(record: ModelRecord) -> str:
    """What model hubs read, in the form of huggingface_hub's `ModelCardData`."""
    chinese = record.label_range != LABEL_RANGE
    sizes = record.splits.get("train"), record.splits.get("valid")
    data = _KNOWN.get(sizes)
    names = [name for name, value in record.summary().items() if not math.isnan(value["mean"])]
    kinds = [_KINDS.get(name.split("_")[0], "accuracy") for name in names]
    head: dict[str, Any] = {
        "license": "mit",
        "language": "zh" if chinese else "en",
        "library_name": "hscl",
        "tags": [_TASK, "supervised-contrastive-learning"],
    }
    if data is not None:
        head["datasets"] = [data.lower()]
    if names:
        head["metrics"] = list(dict.fromkeys(kinds))
        head["model-index"] = [
            {
                "name": f"hscl-{record.config_id}",
                "results": [
                    {
                        "task": {"type": _TASK, "name": "Multimodal sentiment analysis"},
                        "dataset": {
                            "name": data or "own data",
                            "type": (data or "own").lower(),
                            "split": "validation",
                            "revision": record.digest,
                        },
                        "metrics": [
                            _result(record, name, kind)
                            for name, kind in zip(names, kinds, strict=True)
                        ],
                    }
                ],
            }
        ]
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=99)
    return f"---\n{text}---\n# HSCL sentiment models\n"


def _result(record: ModelRecord, name: str, kind: str) -> dict[str, Any]:
    """A metric's mean over the seeds, and their deviation."""
    found, seeds = record.summary()[name], len(record.runs)
    known = sum(not math.isnan(run.valid[name]) for run in record.runs)
    mean, sd = round(found["mean"], DIGITS), found["sd"]
    of = f"{seeds}" if known == seeds else f"{known} of {seeds}"
    words = "one seed" if seeds == 1 else f"mean of {of} seeds"
    told: dict[str, Any] = {"seeds": known}
    if not math.isnan(sd):
        told["sd"] = round(sd, DIGITS)
        words += f", sd {told['sd']}"
    return {"type": kind, "value": mean, "name": f"{METRIC[name].name} ({words})", "args": told}


_TASK = "multimodal-sentiment-analysis"
_KINDS = {"mae": "mae", "corr": "pearsonr", "f1": "f1"}
_KNOWN: dict[tuple[int | None, int | None], str] = {
    (1284, 229): "CMU-MOSI",
    (16326, 1871): "CMU-MOSEI",
    (1368, 456): "CH-SIMS",
}
"""Data sets by how many utterances their official train and valid have."""


def _what(config: Config, record: ModelRecord) -> str:
    sizes = ", ".join(f"{count:,} utterances of {name}" for name, count in record.splits.items())
    widths = ", ".join(f"{name} {width}" for name, width in record.widths.items() if width)
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    text = config.model.text
    own = "the data set's own vectors, which every data set to predict must bring along"
    encoder = (
        own
        if text.encoder == FILE
        else f"{Path(text.encoder).name}, {'fine-tuned' if text.finetune else 'frozen'}"
    )
    most = f"{record.label_range:g}"
    return f"""Sentiment of an utterance, −{most} to +{most}, from {config.model.modalities}.
One model for each of {len(record.seeds)} seeds; a prediction is their mean.

| | |
|---|---|
| configuration | `{record.config_id}` (`config.toml`) |
| data set | `{record.digest}` |
| trained on | {sizes} |
| feature widths | {widths} |
| text encoder | {encoder} |
| versions | {versions} |
"""


def _results(record: ModelRecord) -> str:
    if record.fit != "train":
        epochs = ", ".join(f"{run.seed} ({run.epoch})" for run in record.runs)
        return f"""## Results

Trained on train and valid together for a fixed number of epochs: nothing is left to measure on.
Seeds (epochs): {epochs or "none finished"}.
"""
    names = [name for name in METRIC if record.runs and name in record.runs[0].valid]
    rows = [
        [str(run.seed), str(run.epoch), *(METRIC[n].value_text(run.valid[n]) for n in names)]
        for run in record.runs
    ]
    if len(rows) > 1:
        rows.append(["mean ± sd", "", *(_mean_text(record, name) for name in names)])
    head = ["seed", "epoch", *(METRIC[name].head for name in names)]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return f"""## Results on valid

{chr(10).join(lines)}

{_MEANS if "acc2_has0" in names else _SIMS_MEANS}
The epoch of each seed was chosen by {METRIC[record.metric].name} on these very utterances,
so the table is kinder than new data will be. {len(record.runs)} of
{len(record.seeds)} seeds are finished.
"""


def _mean_text(record: ModelRecord, name: str) -> str:
    values = [run.valid[name] for run in record.runs]
    mean, sd = (METRIC[name].value_text(value) for value in mean_sd(values).values())
    return f"{mean} ± {sd}{share_text(values)}"


_MEANS = """Has0: negative against non-negative, all utterances. Non0: negative against positive,
zeros left out."""
_SIMS_MEANS = """Predictions are clipped to the labels' range; classes are MMSA's for CH-SIMS, and
Acc-2 and F1 are of above 0 or not."""


def _use(config: Config, record: ModelRecord) -> str:
    missing = {"text", "audio", "vision"} & set(config.model.modalities.split("+")) - {"text"}
    seen = ", ".join(f"{case} ({count})" for case, count in record.missing.items()) or "none"
    lacking = (
        f"""Training utterances that lacked a modality: {seen}; `train.modality_dropout` was
{config.train.modality_dropout:g}. Predictions for utterances that lack something which training
never lacked are guesses, and `hscl predict` warns of them.
"""
        if missing
        else ""
    )
    return f"""## Use

```sh
hscl predict FOLDER --data new.arrow
hscl predict FOLDER --text "…"
hscl evaluate FOLDER --data data.arrow
```

In Python: `hscl.load("FOLDER").predict("new.arrow")`.

## Limits

{lacking}Training never opened the test split. `hscl evaluate` does, and writes who, when and on
which data into `evaluations.jsonl`. All figures hold for this training and valid split.

## Licence

MIT, as hscl's own; the data set and the text encoder have theirs.
"""
