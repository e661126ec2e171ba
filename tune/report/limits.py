"""What a study cannot say, what failed in it, and all that is needed to do it again."""

import shlex
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from tune.display import count, listing, number
from tune.evidence.curves import UNNAMED
from tune.evidence.gather import Evidence
from tune.evidence.sentences import outlook_lines
from tune.report.model import ReportSection, TextTable
from tune.states import Kind, Phase, TrialState
from tune.stats.power import FEWEST_PAIRS, FEWEST_VIDEOS
from tune.study.spec import StudySpec
from tune.tables.identity import code_changes, recorded_spec, repairs_of
from tune.tables.records import trial_id_of

__all__ = ["failures_of", "limits_of", "reproduction_of"]


def limits_of(evidence: Evidence) -> ReportSection:
    """What this study cannot say, and why."""
    return ReportSection(
        "limits", "What this study cannot say", points=tuple(dict.fromkeys(_limits(evidence)))
    )


def _limits(evidence: Evidence) -> Iterable[str]:
    spec, compared = evidence.spec, evidence.comparison
    if not evidence.finished and not (compared is not None and compared.closed):
        yield "The study is not over: all of this holds so far, and a verdict comes at its end."
    if compared is None:
        yield evidence.why_not
        return
    yield from compared.notes
    primary = compared.primary
    if primary is not None and primary.judgement.outlook is not None:
        yield " ".join(outlook_lines(primary.judgement.outlook, primary, compared.rules))
    if compared.phase is Phase.CONFIRM:
        unit = compared.unit
        yield (
            f"An interval on this {compared.split} set says nothing about other {unit}s, "
            f"however many seeds it rests on; only the interval on {unit}s like these does."
        )
        if compared.videos < FEWEST_VIDEOS:
            yield (
                f"The {compared.split} set has {count(compared.videos, unit)}; below "
                f"{FEWEST_VIDEOS}, nothing is claimed about new ones."
            )
        if len(compared.seeds) < FEWEST_PAIRS:
            yield (
                f"{count(len(compared.seeds), 'confirm seed')}: below {FEWEST_PAIRS} complete "
                "pairs, no verdict is given."
            )
    yield from _about_search(spec)
    if compared.others and compared.asked is compared.primary:
        yield (
            f"{count(len(compared.others), 'pair')} besides the primary one "
            "are corrected together (Holm); unplanned comparisons beyond these would need more."
            if compared.primary is not None
            else f"All {count(len(compared.others), 'pair')} are corrected together (Holm); there "
            "is no primary one."
        )
    if not evidence.counted:
        yield (
            "The tables were written by a version that kept no count of their rows: a file that "
            "is gone from the end of one would not be missed."
        )
    looked_at = "these rows" if spec.sampler.kind == "list" else "the space that was searched"
    yield f"Nothing outside {looked_at}, the preset {spec.preset!r}, and this data set was tried."


def _about_search(spec: StudySpec) -> Iterable[str]:
    if spec.sampler.per is not None:
        yield (
            f"Each {spec.sampler.per} has had an equal budget, and no more: one whose parameters "
            "matter more, or whose space is larger, may gain more from a larger one."
        )
    if not spec.compares_all:
        yield (
            "Screen and refine ran each configuration once, on one and the same seed. Their "
            "figures show where to look, not who wins: a seed's luck is in every value."
        )


def reproduction_of(evidence: Evidence) -> ReportSection:
    """Data, versions, seeds, and the commands."""
    rows = [(name, value) for name, value in _facts(evidence) if value]
    quoted = shlex.quote(evidence.where)
    commands = "\n".join(
        (
            "# the specification below, saved as study.toml, and the same data",
            "hscl search study.toml --data DATA.arrow --out NEW_FOLDER",
            f"hscl compare {quoted}",
            f"hscl report {quoted}",
            f"hscl export {quoted} --out best.toml",
        )
    )
    return ReportSection(
        "reproduce",
        "Data, versions, seeds, and how to do it again",
        tables=(TextTable(("What", "Value"), tuple(rows)),),
        code=(commands, evidence.specification.strip()),
    )


def _facts(evidence: Evidence) -> Iterable[tuple[str, str]]:
    spec, tables = evidence.spec, evidence.tables
    plan = tables["plan"].to_pylist()
    events = tables["trials"]
    yield "Study", spec.study.name
    yield "Study digest", spec.digest
    yield "Default", spec.default_text
    yield "Sampler", f"{spec.sampler.kind}, {count(len(tables['configs']), 'configuration')}"
    yield "Metric", f"{spec.study.metric} ({spec.mode}), margin {number(spec.confirm.margin)}"
    yield from _identity(plan)
    for row in plan:
        if row["kind"] == Kind.SEEDS:
            seeds = [str(seed) for seed in row["seeds"] or ()]
            yield f"Seeds, {row['phase']}", listing(seeds, most=60)
    for row in plan:
        if row["kind"] == Kind.TEST_OPENED:
            yield "Test opened", _opened(row)
        if row["kind"] == Kind.WARM_START:
            yield "Warm start", row["note"] or ""
        if row["kind"] == Kind.NOTE:
            yield "Note", row["note"] or ""
        if row["kind"] == Kind.TRIAL_STOPPED:
            trials = ", ".join(trial_id_of(row["config_id"], seed) for seed in row["seeds"] or ())
            yield "Stopped by hand", f"{trials}, {row['note'] or ''}"
    versions = sorted({v for v in tables["configs"]["hscl_version"].to_pylist() if v})
    yield "hscl that searched", listing(versions)
    yield "hscl that reports", version("hscl-search")
    yield "Precision", listing(sorted({p for p in events["precision"].to_pylist() if p}))
    yield "Hosts", listing(sorted({h for h in events["host"].to_pylist() if h}))
    for node in evidence.history.broken_nodes.lines():
        yield "Node that differs or broke", node
    times = [time for time in events["time"].to_pylist() if time is not None]
    if times:
        yield "Ran", f"{_time(min(times))} to {_time(max(times))}"


def _identity(plan: list[dict[str, Any]]) -> Iterable[tuple[str, str]]:
    """The data that the study is bound to, and what about it was not the same all the time."""
    for row in plan:
        if row["kind"] == Kind.DATA:
            yield "Data digest", row["note"] or ""
        if row["kind"] == Kind.SPECIFICATION and (told := recorded_spec(row["note"], "")).before:
            what = f"{'; '.join(told.changed)} (digest {told.before[:12]} → {told.digest[:12]})"
            yield "Changed by a person", f"{_time(row['time'])}: {what}"
    for repair in repairs_of(plan):
        yield "Tables", repair
    for time, what in code_changes(plan):
        yield "Went on with other code", f"{_time(time)}: {what}"


def _opened(row: Mapping[str, Any]) -> str:
    """When and why; the time of a row that an earlier study is the reason for is its noting."""
    note = row["note"] or ""
    if not note.startswith("before this study began"):
        return f"{_time(row['time'])}: {note}"
    return note if ", on " in note else f"{note} (when is not recorded)"


def _time(time: object) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def failures_of(evidence: Evidence) -> ReportSection:
    """Trials that failed, collapsed or ran again, and why."""
    failed = [curve for curve in evidence.trials if curve.state is TrialState.FAILED]
    collapsed = sorted(trial.trial_id for trial in evidence.trials if trial.collapsed)
    points = [] if failed else ["No trial failed."]
    points += _again(evidence)
    if collapsed:
        whose = "its" if len(collapsed) == 1 else "their"
        points.append(
            f"{count(len(collapsed), 'trial')} predicted one constant in {whose} last epoch (no "
            f"failure; Corr does not exist there): {listing(collapsed, most=20)}."
        )
    tables: tuple[TextTable, ...] = ()
    if failed:
        rows = tuple(
            (
                curve.trial_id,
                evidence.labels.get(curve.config_id, UNNAMED).text,
                str(curve.phase),
                str(curve.epoch),
                (curve.error or "no reason was written").splitlines()[0],
            )
            for curve in failed
        )
        caption = f"{count(len(failed), 'trial')} of {len(evidence.trials):,} failed."
        heads = ("Trial", "Configuration", "Phase", "Epochs", "Error")
        tables = (TextTable(heads, rows, caption=caption, numeric=frozenset({3})),)
    return ReportSection("failures", "Failures", points=tuple(points), tables=tables)


def _again(evidence: Evidence) -> list[str]:
    """Trials of several attempts: the event that begins a further one has the reason, if any."""
    again = [
        row
        for row in evidence.tables["trials"].to_pylist()
        if row["state"] == TrialState.STARTED and (row["attempt"] or 1) > 1
    ]
    broke = {row["trial_id"]: row["error"].splitlines()[0] for row in again if row["error"]}
    stopped = {row["trial_id"] for row in again} - set(broke)
    points = []
    if stopped:
        points.append(
            f"{count(len(stopped), 'trial')} went on from the last checkpoint when the search was "
            "begun again after it had been stopped or killed; no failure."
        )
    if broke:
        *_, last = broke.values()
        points.append(
            f"{count(len(broke), 'trial')} ran again after a breakdown (the last: {last}); how "
            "such a trial ended is what counts."
        )
    return points
