"""The commands `hscl compare`, `hscl export` and `hscl simulate`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hscl.errors import InputError, RunError
from hscl.files import write_whole
from tune.cli.output import (
    STDOUT,
    print_rich,
    reads_studies,
    refuse_terminal,
    warn_of_damage,
    write_output,
)

if TYPE_CHECKING:
    from tune.evidence.gather import Evidence
    from tune.report.rows import Compared
    from tune.stats.power import Spread

__all__ = ["compare", "export", "simulate"]

_LARGEST = 1e6  # far beyond any metric, and its square is still a number


@click.command()
@click.argument("studies", nargs=-1)
@click.option(
    "--predictions",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Instead of studies: a table (CSV, Parquet, Arrow) of predictions made elsewhere.",
)
@click.option(
    "--against",
    metavar="NAME",
    help="With --predictions: the model that others are compared with.  [default: the first]",
)
@click.option("--metric", help="With --predictions: what the verdict is on.  [default: mae]")
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    help="With --predictions: the largest difference that counts as none.  [default: 0.02]",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "latex", "markdown", "html"]),
    help="A row per pair and metric; with --predictions also a paper's table or a whole page.",
)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Instead of printing."
)
@reads_studies
def compare(
    studies: tuple[str, ...], *, as_json: bool, form: str | None, out: Path | None, **outside: Any
) -> None:
    """Say who wins in a study, by how much, and how surely.

    STUDIES are study folders or URIs; several are shown side by side and must share data and
    metric. Two questions are kept apart: on this test set (seeds vary), and on videos like these
    (seeds and videos vary). The verdict is on the second. While a study runs, or where test stays
    closed, the valid split is shown without a verdict.

    With --predictions no study is needed: a table with the columns model, seed, utterance, video,
    prediction and label, one row a prediction on test, gets the same judgement. Runs of two models
    are paired where their seeds have the same names.
    """  # noqa: DOC501 - this is what --help prints
    from tune.report.rows import PAGES, as_csv, as_parquet, check_alike
    from tune.report.terminal import render_studies, render_study

    if as_json and form:
        raise InputError("--json and --format must not be given together; run it twice")
    if form is not None:
        refuse_terminal(form, out)
    if form in PAGES:
        write_output(_page(form, studies, outside).encode(), out)
        return
    opened = _opened(studies, outside)
    found = [compared for _, compared in opened if compared is not None]
    warning = check_alike(found)
    if warning:
        click.echo(f"hscl: warning: {warning}", err=True)
    if form:
        rows = [row for pair in opened for row in _rows(*pair)]
        write_output(as_csv(rows).encode() if form == "csv" else as_parquet(rows), out)
        return
    opened = [_weighed(*pair) for pair in opened]
    if as_json:
        told = [_told(*pair) for pair in opened]
        whole = told[0] if len(told) == 1 else {"studies": told}
        write_output((json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode(), out)
        return
    for evidence, one in opened:
        if one is None and evidence is not None:
            click.echo(f"{evidence.where}: {evidence.why_not}")
    if found:
        found = [one for _, one in opened if one is not None]
        shown = render_study(found[0]) if len(found) == 1 else render_studies(found)
        print_rich(shown, out)


def _opened(
    studies: tuple[str, ...], outside: dict[str, Any]
) -> list[tuple["Evidence | None", "Compared | None"]]:
    """Studies, or predictions that no study made.

    Raises:
        InputError: Both are given, or neither, or options that do not fit.
    """
    path = outside.pop("predictions")
    given = {name: value for name, value in outside.items() if value is not None}
    if (path is None) == (not studies):
        raise InputError("compare needs either study folders or --predictions FILE, and not both")
    if path is None:
        if given:
            raise InputError(
                f"--{next(iter(given))} belongs to --predictions; studies have their own"
            )
        return [_open(where) for where in studies]
    from tune.evidence.outside import compare_outside, opening_outside
    from tune.report.rows import Compared

    found = compare_outside(path, **given)
    return [(None, Compared(str(path), None, found, 0, opening=opening_outside(found)))]


def _weighed(
    evidence: "Evidence | None", one: "Compared | None"
) -> tuple["Evidence | None", "Compared | None"]:
    """With the seed against the parameters: that takes a while, so only where it is shown."""
    if evidence is None or one is None:
        return evidence, one
    return evidence, replace(one, weight=evidence.seed_weight)


def _told(evidence: "Evidence | None", one: "Compared | None") -> dict[str, Any]:
    if one is None and evidence is not None:
        return {"folder": evidence.where, "why_not": evidence.why_not}
    return one.to_dict() if one else {}


def _page(form: str, studies: tuple[str, ...], outside: dict[str, Any]) -> str:
    """A paper's table of predictions that no study made, or all that is known of them.

    Raises:
        InputError: There are none: a study has a report.
    """
    if outside["predictions"] is None:
        report = "hscl report" if form == "html" else f"hscl report --{form}"
        raise InputError(f"--format {form} belongs to --predictions; for a study: {report}")
    from tune.report.html import outside_page

    given = {name: str(value) for name, value in outside.items() if value is not None}
    ((_, one),) = _opened(studies, outside)
    return outside_page(form, one.comparison, given) if one else ""


def _open(where: str) -> tuple["Evidence", "Compared | None"]:
    """A study's evidence, sound or not; None where nothing can be compared yet."""
    from tune.evidence.gather import gather
    from tune.report.headline import headline_of, lead_of
    from tune.report.rows import Compared
    from tune.states import Kind, TrialState
    from tune.tables.storage import open_folder

    evidence = gather(open_folder(where))
    warn_of_damage(evidence.damages)
    if evidence.comparison is None:
        return evidence, None
    return evidence, Compared(
        where=where,
        data_digest=next((row["note"] for row in evidence.history.plan_rows(Kind.DATA)), None),
        comparison=evidence.comparison,
        failed_trials=sum(trial.state is TrialState.FAILED for trial in evidence.trials),
        choice=evidence.choice,
        learnt=evidence.learnt,
        opening=(headline_of(evidence), *lead_of(evidence)),
        use=evidence.use,
        branches=evidence.branches,
    )


def _rows(evidence: "Evidence | None", compared: "Compared | None") -> list[dict[str, Any]]:
    """A study's rows; where there are none, why is said beside them."""
    from tune.report.rows import pair_rows

    rows = [] if compared is None else pair_rows([compared])
    if not rows and evidence is not None:
        why = evidence.why_not if compared is None else " ".join(compared.comparison.notes)
        click.echo(f"hscl: {evidence.where} has no pair to compare: {why}", err=True)
    return rows


@click.command()
@click.argument("study")
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to; - is standard output.",
)
@click.option(
    "--config",
    "wanted",
    metavar="ID",
    help="Another one than the winner: its number, name or id, as `hscl trials` lists them.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["toml", "json", "yaml"]),
    help="[default: by the suffix of --out, else toml]",
)
@click.option(
    "--only-if-better",
    is_flag=True,
    help="Write nothing and exit with 1 unless the verdict on it is 'better'.",
)
@click.option("--overwrite", is_flag=True, help="Replace --out where it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print what was exported as JSON.")
@reads_studies
def export(study: str, out: Path, wanted: str | None, *, as_json: bool, **options: Any) -> None:
    """Write the configuration to use with an [evidence] table.

    STUDY is a study's folder or URI. `hscl train` takes the file as it is. It is the winner's, but
    the default's where confirm finds the winner worse, where more of its runs fail, or where the
    search expects at least as much of the default and confirm does not find the winner better.
    """  # noqa: DOC501 - this is what --help prints
    from tune.evidence.search.use import train_command
    from tune.report.export import choose, render
    from tune.states import Verdict

    evidence, compared = _open(study)
    if compared is None:
        raise InputError(f"{study} must have something to export, but: {evidence.why_not}")
    chosen = choose(evidence.history, evidence.tables, compared, wanted)
    if options["only_if_better"] and chosen.verdict is not Verdict.BETTER:
        # Of the pair, not of what would be written: where that is the default, it has none.
        raise RunError(
            "--only-if-better: the verdict must be 'better', but is "
            f"{chosen.evidence['verdict']}; nothing was written\n" + "\n".join(chosen.lines)
        )
    form = options["form"] or _format_of(out)
    if out == STDOUT:
        if as_json:
            raise InputError("--json and --out - must not be given together: both print")
        write_output(render(chosen, form).encode(), out)
        for line in chosen.lines:
            click.echo(line, err=True)
        return
    _put(out, render(chosen, form), overwrite=options["overwrite"])
    if as_json:
        told = {"written": str(out), "lines": list(chosen.lines)} | dict(chosen.evidence)
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    named = f"{out}: {chosen.evidence['configuration']} ({chosen.evidence['config_id']})"
    click.echo("\n".join([*chosen.lines, named, f"next: {train_command(out, evidence.data)}"]))


def _format_of(out: Path) -> str:
    return {".json": "json", ".yaml": "yaml", ".yml": "yaml"}.get(out.suffix.lower(), "toml")


def _put(out: Path, text: str, *, overwrite: bool) -> None:
    """Write a whole file or none; an existing one only when told to."""  # noqa: DOC501
    try:
        if out.exists() and not overwrite:
            raise InputError(
                f"--out must not exist, but {out} does; choose another name or give --overwrite"
            )
        write_whole(out, text)
    except OSError as error:
        raise InputError(f"--out must be a file that can be written, but: {error}") from error


@click.command()
@click.option("--gap", type=float, default=0.02, show_default=True, help="The true difference.")
@click.option("--seeds", default="6,10,20", show_default=True, help="Confirm seeds, with commas.")
@click.option(
    "--videos", default="10,31,100,300", show_default=True, help="Test videos, with commas."
)
@click.option("--from", "study", metavar="STUDY", help="Take what varies from a finished study.")
@click.option("--seed-sd", type=float, help="Of the paired difference between seeds.")
@click.option("--video-sd", type=float, help="Of the difference between videos.")
@click.option("--error-sd", type=float, help="Of one seed's mean on one video beyond both.")
@click.option(
    "--looks",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How often so many seeds may be run: `confirm.looks`.",
)
@click.option(
    "--studies",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Simulated studies a cell, judged as real ones are.",
)
@click.option("--collapse", type=click.FloatRange(0, 0.9), default=0.0, help="Rate on one side.")
@click.option("--failures", type=click.FloatRange(0, 0.9), default=0.0, help="One side's worst.")
@click.option("--finalists", type=click.IntRange(1, 10), default=1, help="That confirm compares.")
@click.option("--styles", type=click.IntRange(0), default=0, help="That valid and test share.")
@click.option("--style-sd", type=float, default=0.05, show_default=True, help="Between these.")
@click.option("--speakers", type=click.IntRange(0), default=0, help="What if so many speak?")
@click.option("--speaker-sd", type=float, default=0.05, show_default=True, help="Between these.")
@click.option("--speakers-named", is_flag=True, help="The data say who speaks.")
@click.option("--uneven", type=click.FloatRange(0, 3), default=0.0, help="Sigma of long videos.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@reads_studies
def simulate(gap: float, seeds: str, videos: str, *, as_json: bool, **options: Any) -> None:
    """Plan a study: how many seeds and test videos show a difference?

    Without --from and the three spreads the values are those measured for MAE on MOSI. Shown is
    the share of studies that find the gap for videos like these: computed, and simulated through
    the code that judges real studies.
    """  # noqa: DOC501 - this is what --help prints
    from tune.simulate import sample_size as plan
    from tune.simulate.trouble import Trouble, trouble_lines
    from tune.stats.power import FEWEST_PAIRS, FEWEST_VIDEOS

    if not 0.0 < gap <= _LARGEST:
        raise InputError(f"--gap must be above 0 and at most {_LARGEST:g}, but is {gap:g}")
    trouble = Trouble.of(options)
    sizes = plan.sample_sizes(
        gap,
        _spread(options),
        _numbers("--seeds", seeds, FEWEST_PAIRS),
        _numbers("--videos", videos, FEWEST_VIDEOS),
        looks=options["looks"],
        simulation=plan.Simulation.of(options["studies"], trouble),
    )
    if as_json:
        click.echo(json.dumps(sizes.to_dict(), indent=2))
        return
    from tune.report.terminal import render_sample_sizes

    print_rich(render_sample_sizes(sizes), None)
    click.echo("\n".join([*plan.sample_size_lines(sizes), *trouble_lines(trouble)]))


def _numbers(option: str, text: str, least: int) -> list[int]:
    """Whole numbers from a list with commas."""  # noqa: DOC501
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and least <= int(part) <= 10**5 for part in parts):
        raise InputError(
            f"{option} must be whole numbers from {least} on, with commas, but is {text!r}; fewer "
            "give no verdict"
        )
    return list(dict.fromkeys(map(int, parts)))


def _spread(options: dict[str, Any]) -> "Spread":
    """What varies: from a study, from MOSI, each part overridden where given."""  # noqa: DOC501
    from tune.simulate.sample_size import MOSI_SPREAD
    from tune.stats.power import Spread

    base: Spread | None = MOSI_SPREAD
    if options["study"] is not None:
        _, compared = _open(options["study"])
        pairs = [compared.comparison.primary, *compared.comparison.others] if compared else []
        base = next((pair.spread for pair in pairs if pair is not None and pair.spread), None)
    if base is None:
        raise InputError(
            f"--from must be a study with a pair compared over seeds and videos, but "
            f"{options['study']} has none (yet); give --seed-sd, --video-sd and --error-sd"
        )
    parts = {}
    for name in ("seed", "video", "error"):
        sd = options[f"{name}_sd"]
        if sd is not None and not 0.0 <= sd <= _LARGEST:
            raise InputError(f"--{name}-sd must be from 0 to {_LARGEST:g}, but is {sd:g}")
        parts[name] = getattr(base, name) if sd is None else sd**2
    return Spread(**parts, evenness=base.evenness)
