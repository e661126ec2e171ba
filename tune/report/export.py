"""The configuration to go on with, and what is known about it, as one file.

`tune.evidence.search.choice` decides. Undecided and equivalent are said loudly: where the search
expects more of the winner than of the default, they change nothing, and it is exported.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from hscl.config import Config
from hscl.config_toml import dump_config
from hscl.errors import InputError
from hscl.metrics import DIGITS, METRIC
from tune.display import count, number
from tune.evidence.pair import PairComparison
from tune.evidence.search.choice import ahead_text, answer_lines
from tune.evidence.search.values import furthest_trials
from tune.evidence.sentences import outlook_lines, verdict_label, verdict_text
from tune.report.rows import Compared
from tune.states import Verdict
from tune.stats.intervals import Interval
from tune.tables.history import History
from tune.tables.records import config_label
from tune.tables.salvage import UNKNOWN

__all__ = ["FORMATS", "Export", "choose", "render"]

FORMATS = ("toml", "json", "yaml")
"""All are read by `hscl train`."""

_PACKAGES = ("hscl-search", "torch", "transformers", "ray", "optuna", "numpy")


@dataclass(frozen=True)
class Export:
    """What to write and what to say.

    Attributes:
        config: The configuration.
        evidence: What is known about it, for the `[evidence]` table.
        verdict: On it against the default; None where there is none.
        lines: What to tell the user, the most important first.
    """

    config: Config
    evidence: Mapping[str, Any]
    verdict: Verdict | None
    lines: tuple[str, ...]


def choose(
    history: History, tables: Mapping[str, pa.Table], compared: Compared, wanted: str | None = None
) -> Export:
    """Decide what to export.

    Args:
        history: What has happened in the study.
        tables: Its table `configs`.
        compared: Its comparison.
        wanted: A configuration's id, the beginning of one, its number or its name; None: what
            `compared.choice` says.

    Raises:
        InputError: There is no winner (yet), no such configuration, or its settings are lost.
    """  # noqa: DOC502 - raised by the two ways of choosing and on reading the settings
    rows = {row["config_id"]: row for row in tables["configs"].to_pylist()}
    comparison = compared.comparison
    names = _all_names(rows, compared)
    judged = _winner(history, compared) if wanted is None else _find(wanted, rows, names)
    config_id, exported = judged, "winner" if wanted is None else "chosen"
    pair, because = _pair_with_reference(compared, judged), None
    choice = compared.choice if wanted is None else None
    if choice is not None and choice.reason is not None:
        config_id, exported, because = choice.default, "default", choice.reason.value
        lines = answer_lines(choice, pair, names, comparison.rules) + _outlook(compared, pair)
    else:
        lines = _lines(compared, judged, pair, names) or _unconfirmed(history, judged, names)
        if choice is not None and choice.ahead:
            lines.append(f"Against it: {ahead_text(choice)}.")
    evidence = _evidence(history, tables, compared, config_id, pair)
    if compared.learnt is not None:
        evidence["model"] = _without_none(compared.learnt.to_dict(judged))
    exported_pair = pair if pair is not None and pair.first == config_id else None
    return Export(
        config=_config(rows[config_id]),
        evidence=_without_none(
            {
                "configuration": names[config_id],
                "config_id": config_id,
                "number": rows[config_id]["number"],
                "exported": exported,
                "because": because,
            }
            | evidence
        ),
        verdict=exported_pair.verdict if exported_pair else None,
        lines=tuple(lines),
    )


def render(export: Export, form: str) -> str:
    """The file's text in one of `FORMATS`."""
    if form == "toml":
        return dump_config(export.config, evidence=export.evidence)
    tree = export.config.used_tree() | {"evidence": dict(export.evidence)}
    if form == "json":
        return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    import yaml  # noqa: PLC0415 - only for those who use it

    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def _all_names(rows: Mapping[str, Any], compared: Compared) -> dict[str, str]:
    known = compared.comparison.names
    return {
        config_id: known.get(config_id) or config_label(row["number"], row["name"], "the default")
        for config_id, row in rows.items()
    }


def _find(wanted: str, rows: Mapping[str, Any], names: Mapping[str, str]) -> str:
    found = [
        config_id
        for config_id, row in rows.items()
        if wanted in {str(row["number"]), row["name"], names[config_id], config_id}
    ] or [config_id for config_id in rows if len(wanted) >= 4 and config_id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    some = ", ".join(f"{row['number']} ({config_id})" for config_id, row in list(rows.items())[:6])
    what = "no configuration is called so" if not found else f"it fits {', '.join(found)}"
    raise InputError(
        f"--config must be the id, number or name of one configuration of the study, but {what}: "
        f"{wanted!r}; there are {len(rows)}, such as {some}; see `hscl table configs`"
    )


def _winner(history: History, compared: Compared) -> str:
    spec = history.spec
    winner = compared.comparison.winner
    if winner is not None:
        return winner
    if spec.is_table:
        what = f"a {spec.sampler.kind!r} study compares all with the default and chooses none"
        if spec.sampler.per is not None:
            what = f"here each {spec.sampler.per} has one of its own"
        raise InputError(
            f"{compared.where} must have a winner, but {what}; say which one: --config NUMBER or "
            f"NAME, as `hscl trials {shlex.quote(compared.where)}` lists them"
        )
    why = history.without_winner
    if why is not None:
        raise InputError(
            f"{compared.where} must have a winner, but is over without one: {why}; say which "
            "configuration: --config ID (0 is the default)"
        )
    raise InputError(
        f"{compared.where} must have a winner, but its search is not over; let "
        "`hscl search` finish, or say which one: --config ID"
    )


def _pair_with_reference(compared: Compared, config_id: str) -> PairComparison | None:
    comparison = compared.comparison
    pairs = [p for p in (comparison.primary, *comparison.others) if p is not None]
    return next(
        (p for p in pairs if (p.first, p.second) == (config_id, comparison.reference)), None
    )


def _lines(
    compared: Compared,
    config_id: str,
    pair: PairComparison | None,
    names: Mapping[str, str],
) -> list[str]:
    if config_id == compared.comparison.reference:
        if compared.branches:
            return ["With this winner those of all other screens are compared."]
        return ["This is the default itself: nothing is claimed about it."]
    if pair is None:
        return []
    rules = compared.comparison.rules
    headline = verdict_text(pair, names, rules)
    if pair.verdict in {Verdict.UNDECIDED, Verdict.EQUIVALENT, None}:
        headline = f"{verdict_label(pair).upper()}, not an improvement that was shown. {headline}"
    return [headline, *_outlook(compared, pair)]


def _unconfirmed(history: History, config_id: str, names: Mapping[str, str]) -> list[str]:
    """What is known of a configuration that confirm has not compared with the default."""
    metric = METRIC[history.spec.study.metric].name
    told = [f"NOT CONFIRMED: {names[config_id]} was not compared with the default in confirm."]
    own = {trial.seed: trial for trial in furthest_trials(history, config_id)}
    if not own:
        return [f"{told[0]} No training of it has reached a value."]
    phase = next(iter(own.values())).phase
    default = "" if history.default is None else history.default.config_id
    beside = [
        trial.value
        for seed in own
        if (trial := history.trial_of(default, seed)) is not None and trial.value is not None
    ]
    known = f"valid {metric} {_mean([trial.value for trial in own.values()])} in {phase}"
    against = f"; of the default on the same seeds {_mean(beside)}" if beside else ""
    return [f"{told[0]} What is known of it: {known}{against}."]


def _mean(values: Sequence[float | None]) -> str:
    """Such as "0.7421 ± 0.0080 over 4 seeds"."""
    known = [value for value in values if value is not None]
    spread = f" ± {number(stdev(known), DIGITS)}" if len(known) > 1 else ""
    return f"{number(fmean(known), DIGITS)}{spread} over {count(len(known), 'seed')}"


def _outlook(compared: Compared, pair: PairComparison | None) -> list[str]:
    """What would decide an open question."""
    if pair is None or pair.judgement.outlook is None:
        return []
    return outlook_lines(pair.judgement.outlook, pair, compared.comparison.rules)


def _evidence(
    history: History,
    tables: Mapping[str, pa.Table],
    compared: Compared,
    config_id: str,
    pair: PairComparison | None,
) -> dict[str, Any]:
    spec, comparison = history.spec, compared.comparison
    known: dict[str, Any] = {
        "study": spec.study.name,
        "study_digest": spec.digest,
        "data_digest": compared.data_digest,
        "metric": spec.study.metric,
        "margin": spec.confirm.margin,
        "looks": comparison.looks,
        "looks_taken": comparison.looks_taken,
        "level": comparison.level,
        "failed_trials": compared.failed_trials,
        "seeds": sorted(history.used_seeds),
        "notes": list(comparison.notes),
        "versions": _versions(tables, config_id),
    }
    if pair is None:
        return known | {"verdict": "none"}
    names = comparison.names
    return known | {
        # On `compared` against `against`, whichever of them is exported.
        "verdict": pair.verdict.value if pair.verdict else "none",
        "below_margin": pair.judgement.below_margin,
        "statement": verdict_text(pair, names, comparison.rules),
        "compared": names[pair.first],
        "against": names[pair.second],
        "against_config_id": pair.second,
        "split": pair.split,
        "videos": pair.videos,
        "unit": pair.unit,
        "paired_seeds": len(pair.seeds),
        "planned_seeds": pair.planned,
        "failures": pair.failures[0],
        "failures_against": pair.failures[1],
        "mean": pair.means[0],
        "mean_against": pair.means[1],
        "on_this_test_set": _interval(pair.this_test_set, sign_flip_p=pair.sign_flip_p),
        "on_videos_like_these": _interval(
            pair.new_videos, p=pair.p_value, p_holm=pair.judgement.p_holm
        ),
    }


def _interval(interval: Interval | None, **more: float | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    ends = {"difference": interval.estimate, "low": interval.low, "high": interval.high}
    return _without_none(ends | {"level": interval.level} | more)


def _versions(tables: Mapping[str, pa.Table], config_id: str) -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    proposed = {row["config_id"]: row["hscl_version"] for row in tables["configs"].to_pylist()}
    return found | {"study-hscl-search": proposed[config_id]}


def _without_none(tree: Mapping[str, Any]) -> dict[str, Any]:
    """TOML has no null: what does not exist is left out, in tables within tables too."""
    known = {k: v for k, v in tree.items() if v is not None and v == v}  # noqa: PLR0124 - NaN
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in known.items()}


def _config(row: Mapping[str, Any]) -> Config:
    if row["config"] == UNKNOWN:  # read as settings, it would be the published defaults
        raise InputError(
            f"configuration {row['config_id']} must have its settings in the table configs, but "
            "they are lost with a damaged file there; put the file back from a copy, or choose "
            "another configuration: --config ID (see `hscl table configs`)"
        )
    try:
        return Config.from_json(row["config"])
    except ValidationError as error:
        raise InputError(
            f"configuration {row['config_id']} must be one that this hscl knows, but it was "
            f"written by version {row['hscl_version'] or 'unknown'} and does not fit: "
            f"{error.error_count()} mistakes; use that version"
        ) from error
