"""The commands `hscl train`, `hscl evaluate` and `hscl predict`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hscl.errors import InputError, RunError

if TYPE_CHECKING:
    from hscl.config import Config

__all__ = ["evaluate", "predict", "train"]


@click.command()
@click.argument("config")
@click.option("--data", required=True, metavar="FILE", help="The data set (.arrow).")
@click.option(
    "--out", required=True, metavar="DIR", help="The model folder, new or to go on with."
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    help="How many trainings, with seeds derived from --seed.  [default: 5]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="What the seeds are derived from.  [default: 0]"
)
@click.option("--seed-list", metavar="N,N,…", help="The seeds themselves, instead of --seeds.")
@click.option(
    "--metric", help="The valid metric that chooses the epoch.  [default: the study's, else mae]"
)
@click.option(
    "--fit",
    type=click.Choice(["train", "train+valid"]),
    default="train",
    show_default=True,
    help="Learn from train and let valid choose the epoch, or learn from both for --epochs.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs, with --fit train+valid.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.  [default: the configuration's]")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a key; repeatable."
)
def train(config: str, data: str, out: str, **options: Any) -> None:
    """Train a configuration on several seeds; test is never opened.

    CONFIG is a file as `hscl export` writes it, or the name of a preset. The seeds are fresh: none
    that the exporting study has used. Interrupt it, kill it, run the same command again: it goes
    on. More seeds can be added to a folder later.
    """
    from hscl.config_toml import read_settings

    configuration, study = _configuration(config)
    configuration = configuration.with_settings(read_settings(options["settings"]))
    seeds = _seeds(options["seeds"], options["seed"], options["seed_list"], study.seeds)
    if options["device"] is not None:
        configuration = configuration.with_overrides({"run.device": options["device"]})

    from hscl.data.dataset import Dataset
    from hscl.trained.progress import TrainingProgress
    from hscl.trained.train import prepare_final, train_final

    fit: Literal["train", "train+valid"] = options["fit"]
    final = prepare_final(
        configuration,
        Dataset.open(data).verify(),
        seeds,
        metric=options["metric"] or study.metric,
        fit=fit,
        epochs=options["epochs"],
    )
    with TrainingProgress(final) as progress:
        record = train_final(final, Path(out), progress)
    click.echo(f"{len(record.runs)} models in {out}; the model card is {Path(out) / 'README.md'}")


@click.command()
@click.argument("model")
@click.option("--data", required=True, metavar="FILE", help="The data set (.arrow).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(model: str, data: str, device: str, *, as_json: bool) -> None:
    """Open the test split and measure every seed of a model folder on it.

    That the test set was opened, by whom, when and with which result, is appended to
    evaluations.jsonl in MODEL. It computes in the precision of the training and on as many CPU
    threads, fewer where others use them, which moves last bits alone.
    """
    from hscl.data.dataset import Dataset
    from hscl.trained.evaluate import evaluate_model
    from hscl.trained.output import evaluation_lines
    from hscl.trained.predict import load_model

    evaluation = evaluate_model(load_model(model, device=device), Dataset.open(data).verify())
    for warning in evaluation.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(evaluation.to_dict(), ensure_ascii=False))
    else:
        for line in evaluation_lines(evaluation):
            click.echo(line)
    _say(evaluation.failure)


@click.command()
@click.argument("model")
@click.option("--data", metavar="FILE", help="A data set (.arrow); labels are not needed.")
@click.option("--split", metavar="NAME", help="Only these utterances of it.")
@click.option("--text", "texts", multiple=True, help="Words alone, instead of --data; repeatable.")
@click.option("--seed", type=int, help="One model of the folder, instead of the mean of all.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="One JSON object a line, or CSV.",
)
@click.option("--out", metavar="FILE", help="Write there instead of standard output.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def predict(model: str, **options: Any) -> None:
    """Predict the sentiment of utterances, from −3 to +3.

    A prediction is the mean over the folder's seeds, `spread` their standard deviation. Modalities
    may be missing; where the model never had to do without them in training, that is said.
    Precision and CPU threads are those of the training; fewer threads where others use them.
    """
    _check_predict(options)
    data, texts, out = options["data"], options["texts"], options["out"]

    from hscl.files import write_whole
    from hscl.trained.output import formatted
    from hscl.trained.predict import load_model

    models = load_model(model, device=options["device"])
    seed: int | None = options["seed"]
    if texts:
        predictions = models.predict_texts(texts, seed=seed)
    else:
        predictions = models.predict(data, split=options["split"], seed=seed)
    for warning in predictions.warnings:
        click.echo(f"warning: {warning}", err=True)
    content = formatted(predictions, options["form"], text=bool(texts))
    if out is None:
        click.echo(content, nl=False)
    else:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(out), content)
        click.echo(f"{len(predictions.utterances)} predictions in {out}", err=True)
    _say(predictions.failure)


def _say(failure: str | None) -> None:
    """End with exit code 1 where predictions are not finite.

    Raises:
        RunError: They are not.
    """
    if failure is not None:
        raise RunError(failure)


def _check_predict(options: dict[str, Any]) -> None:
    """Refuse options that do not fit together.

    Raises:
        InputError: They don't, or the output is there already.
    """
    if (options["data"] is None) == (not options["texts"]):
        raise InputError("predict needs either --data FILE or --text WORDS, and not both")
    if options["split"] is not None and options["data"] is None:
        raise InputError("--split belongs to --data")
    out = options["out"]
    if out is not None and Path(out).exists() and not options["overwrite"]:
        raise InputError(f"{out} is there already; give another --out, or --overwrite")


@dataclass(frozen=True)
class _Study:
    """What the study that a configuration comes from says about itself."""

    seeds: list[int]
    metric: str


def _configuration(name: str) -> "tuple[Config, _Study]":
    """The configuration, and what its `[evidence]` says about the study.

    Raises:
        InputError: There is neither such a file nor such a preset, or it holds what is wrong.
    """  # noqa: DOC502 - raised by the readers
    from hscl.config import PRESETS, preset
    from hscl.config_toml import load_config
    from hscl.documents import read_document

    if name in PRESETS and not Path(name).exists():
        return preset(name), _Study([], "mae")
    config = load_config(name)
    evidence = read_document(Path(name)).get("evidence", {})
    known = evidence if isinstance(evidence, dict) else {}
    seeds, metric = known.get("seeds"), known.get("metric")
    listed = [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, list) else []
    return config, _Study(listed, metric if isinstance(metric, str) else "mae")


def _seeds(
    count: int | None, base: int | None, listed: str | None, study: list[int]
) -> tuple[int, ...]:
    """The seeds to train with.

    Raises:
        InputError: The options do not fit together, or list what is no seed or not fresh.
    """
    if listed is None:
        from hscl.seeding import final_seeds

        return tuple(final_seeds(base or 0, 5 if count is None else count, study))
    if count is not None or base is not None:
        raise InputError("--seed-list names the seeds itself: leave --seeds and --seed out")
    from hscl.trained.train import check_seeds

    try:
        numbers = [int(part) for part in listed.split(",") if part.strip()]
    except ValueError:
        raise InputError(
            f"--seed-list must be whole numbers with commas between, but got {listed!r}"
        ) from None
    return check_seeds(numbers, study)
