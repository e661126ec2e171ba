"""The model card: what was trained, on what, how well, and what that does not say."""

from pathlib import Path

from hscl.config import Config
from hscl.encoders import FILE
from hscl.metrics import METRIC
from hscl.trained.record import ModelRecord

__all__ = ["model_card"]


def model_card(config: Config, record: ModelRecord) -> str:
    """Markdown with a header that model hubs read.

    Args:
        config: What was trained.
        record: On what, and how it went.

    Returns:
        The card's text.
    """
    parts = [_HEADER, _what(config, record), _results(record), _use(config, record)]
    return "\n".join(parts)


_HEADER = """---
library_name: hscl
tags: [multimodal-sentiment-analysis, supervised-contrastive-learning]
---
# HSCL sentiment models
"""


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
    summary = record.summary()
    if len(rows) > 1:
        cells = [
            " ± ".join(METRIC[n].value_text(summary[n][part]) for part in ("mean", "sd"))
            for n in names
        ]
        rows.append(["mean ± sd", "", *cells])
    head = ["seed", "epoch", *(METRIC[name].head for name in names)]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return f"""## Results on valid

{chr(10).join(lines)}

{_MEANS if "acc2_has0" in names else _SIMS_MEANS}
The epoch of each seed was chosen by {METRIC[record.metric].name} on these very utterances,
so the table is kinder than new data will be. {len(record.runs)} of
{len(record.seeds)} seeds are finished.
"""


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
"""
