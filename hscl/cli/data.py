"""The commands `hscl data convert`, `check` and `demo`."""

import json
import shlex
from typing import Any

import click

from hscl.cli.main import Group
from hscl.errors import InputError

__all__ = ["data"]


@click.group(cls=Group)
def data() -> None:
    """Convert feature files, check a data set, or generate a demo."""


@data.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--out", required=True, help="The data set file to write (.arrow).")
@click.option("--text", metavar="CSV", help="Label file with the words: video_id, clip_id, text.")
@click.option(
    "--groups",
    metavar="CSV",
    help="Who speaks: video_id and speaker (clip_id too where one video has several).",
)
@click.option(
    "--lengths",
    type=click.Choice(["content", "recorded"]),
    default="content",
    show_default=True,
    help="Tell lengths from the frames, or believe the file's (as MMSA's results do).",
)
@click.option(
    "--padding",
    type=click.Choice(["front", "back"]),
    help="The side of the padding, where it can't be told.",
)
@click.option(
    "--text-vectors/--no-text-vectors",
    default=True,
    show_default=True,
    help="Keep the file's own text vectors (GloVe, BERT).",
)
@click.option(
    "--label-range",
    type=click.Choice(["3", "1"]),
    help="Labels lie between − and + this; 1 is CH-SIMS's.  [default: told from the content]",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def convert(sources: tuple[str, ...], out: str, *, as_json: bool, **options: Any) -> None:
    """Convert feature files of any known format to one data set file.

    SOURCES are files, folders with train, valid and test files, or train=FILE valid=FILE
    test=FILE. Formats are told by their content: pickles of MulT, MMSA, MMIM, HSCL, MISA and
    MAG-BERT, and Parquet or Arrow files with the columns video, utterance, split, label, text,
    speaker, audio, vision, text_vectors.
    """
    from hscl.data.convert import convert as convert_files

    if options["label_range"] is not None:
        options["label_range"] = float(options["label_range"])
    report = convert_files(list(sources), out, **options)
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
        return
    for line in report.lines():
        click.echo(line)


@data.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check(file: str, *, as_json: bool) -> None:
    """Look through a data set file: sizes, lengths, gaps, labels, leaks.

    Exit code 2 where something would spoil a study, else 0, with warnings where there are any.
    """
    from hscl.data.check.checks import check as check_dataset
    from hscl.data.dataset import Dataset

    report = check_dataset(Dataset.open(file))
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        from rich.console import Console

        from hscl.data.check.tables import print_report

        print_report(report, Console(markup=False, emoji=False))
    _refuse(file, report.problems)


def _refuse(file: str, problems: list[str]) -> None:
    if problems:
        raise InputError(
            f"{file} must not have what would spoil a study; it has {len(problems)} "
            f"problem(s), the first: {problems[0]}"
        )


@data.command()
@click.option("--out", required=True, help="The data set file to write (.arrow).")
@click.option("--seed", default=0, show_default=True, help="Of the generator.")
@click.option("--utterances", default=240, show_default=True, help="How many to generate.")
@click.option("--audio-width", default=5, show_default=True, help="Numbers in an audio frame.")
@click.option("--vision-width", default=20, show_default=True, help="Numbers in a vision frame.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--keep", is_flag=True, help="Leave a data set that is there as it is.")
def demo(out: str, *, overwrite: bool, keep: bool, **options: int) -> None:
    """Generate a small synthetic data set with words, audio and vision.

    It is made of no recording of anybody: sentences from a small vocabulary and random sequences,
    with a sentiment that shows in all three.
    """
    from pathlib import Path

    from hscl.data.dataset import Dataset
    from hscl.data.demo import write_demo
    from hscl.data.schema import free_target

    if keep and Path(out).exists():
        click.echo(f"{out}: kept, {len(Dataset.open(out))} utterances.")
        return
    target = free_target(Path(out), overwrite=overwrite)
    write_demo(target, **options)
    sizes = Dataset.open(target).split_sizes()
    click.echo(
        f"{out}: {sum(sizes.values())} synthetic utterances "
        f"({', '.join(f'{name} {n}' for name, n in sizes.items())})."
    )
    click.echo(f"Next: hscl data check {shlex.quote(str(out))}")
