"""What a study is bound to, as its table of decisions records it: checked, not believed."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hscl.config import dotted_values
from hscl.errors import InputError
from tune.display import count
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.study.toml import STUDY_FILE, changed_keys, parse_spec
from tune.tables.history import History

__all__ = [
    "RecordedSpec",
    "code_changes",
    "code_note",
    "lowered_keys",
    "recorded_spec",
    "repairs_of",
    "specification_note",
    "standing_spec",
]


@dataclass(frozen=True)
class RecordedSpec:
    """A specification as a row of `plan` holds it; `[resources]` is no part of it.

    Attributes:
        digest: Its digest, as the version had it that wrote it.
        study: Its sections.
        before: Digest of the one that a person's explicit change replaced; None for the first.
        changed: What that change was, a line a key.
    """

    digest: str
    study: Mapping[str, Any]
    before: str | None = None
    changed: tuple[str, ...] = ()

    def read(self) -> StudySpec:
        """The specification, every key that came later at its default."""
        return parse_spec(self.study, source="the recorded specification", frozen=True)


_MORE = ("sampler.trials", "refine.trials", "budget.epochs", "budget.hours")
"""What a person may raise on resuming, by an explicit option, while test is closed."""


def lowered_keys(before: StudySpec, after: StudySpec) -> list[str]:
    """What differs between two specifications other than by asking for more trainings.

    Args:
        before: What a study is.
        after: What it is asked to become.

    Returns:
        As `tune.study.toml.changed_keys`, without the counts and limits that were raised.
    """
    old, new = dotted_values(before.tree()), dotted_values(after.tree())
    raised = {
        key
        for key in _MORE
        for was, now in [(old.get(key), new.get(key))]
        if isinstance(was, int | float) and isinstance(now, int | float) and 0 < was < now
    }
    lines = changed_keys(before, after)
    return [line for line in lines if line.partition(":")[0] not in raised]


def specification_note(spec: StudySpec, before: StudySpec | None = None) -> str:
    """The `note` of a plan row of kind `specification`.

    Args:
        spec: What the study is from this row on.
        before: What it was, where a person changed it by an explicit option. Whoever changes it
            adds the row first and then freezes the new specification: a kill in between leaves
            a study file that `standing_spec` still reads.
    """
    told: dict[str, Any] = {"digest": spec.digest}
    if before is not None:
        told |= {"before": before.digest, "changed": changed_keys(before, spec)}
    study = {name: keys for name, keys in spec.tree().items() if name != "resources"}
    return json.dumps(told | {"study": study}, ensure_ascii=False)


def recorded_spec(note: str | None, where: str) -> RecordedSpec:
    """What `specification_note` wrote.

    Args:
        note: Of the row.
        where: The study's folder, for the message.

    Raises:
        InputError: It is damaged.
    """
    try:
        told = json.loads(note or "")
        changed = tuple(map(str, told.get("changed", ())))
        return RecordedSpec(str(told["digest"]), dict(told["study"]), told.get("before"), changed)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{where}/tables/plan must record what the study began with, but its row "
            f"'specification' is damaged ({error}); put the table's files back from a copy"
        ) from error


def standing_spec(spec: StudySpec, notes: Iterable[str | None], where: str) -> StudySpec:
    """The specification that holds: the one in the study file, if it is what is recorded.

    Args:
        spec: What the study file says.
        notes: Of all plan rows of kind `specification`, in order; none in studies that an
            earlier version began, which are taken at their file's word.
        where: The study's folder, for the message.

    Returns:
        It; or what replaced it, where a driver was killed before it froze what a person changed.

    Raises:
        InputError: The file was edited; names every key that differs.
    """
    recorded = [recorded_spec(note, where) for note in notes]
    if not recorded or recorded[-1].digest == spec.digest:
        return spec
    told = recorded[-1].read()
    changed = changed_keys(told, spec)
    if not changed:  # a digest of another version, which counts in another way
        return spec
    if _is_before(recorded, spec):
        return told.with_resources(spec.resources.model_dump())
    listed = "\n".join(f"  {line}" for line in changed)
    raise InputError(
        f"{where}/{STUDY_FILE} must say what the study began with, which its table of decisions "
        f"records, but it was edited since:\n{listed}\n"
        "put these back; to ask something else, begin another study with another --out"
    )


def _is_before(recorded: Sequence[RecordedSpec], spec: StudySpec) -> bool:
    """Whether a specification is the one that a person's last change replaced.

    Another version counted the digest in another way: then the row before the change tells.
    """
    before = recorded[-1].before
    if before is None or before == spec.digest:
        return before is not None
    return len(recorded) > 1 and not changed_keys(recorded[-2].read(), spec)


def code_note(history: History, code: Mapping[str, str]) -> str | None:
    """The `note` of the plan row of kind `code` that a driver adds when it starts.

    Args:
        history: The study's rows.
        code: What the driver computes with: names and versions.

    Returns:
        The note; None where the study is over, or goes on with the code that it ran with last.
    """
    note = json.dumps(dict(code), sort_keys=True)
    rows = history.plan_rows(Kind.CODE)
    if history.ending is not None or (rows and rows[-1]["note"] == note):
        return None
    return note


def code_changes(plan: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Any, str]]:
    """When a study went on with other code, and what was other.

    Args:
        plan: Its plan rows, in order.

    Yields:
        The row's time, and such as "torch 2.6.0 → 2.7.0".
    """
    before: dict[str, str] = {}
    for row in plan:
        if row["kind"] != Kind.CODE:
            continue
        code = _code(row["note"])
        changed = [
            f"{name} {before.get(name, 'unknown')[:12]} → {code.get(name, 'unknown')[:12]}"
            for name in dict.fromkeys([*before, *code])
            if before.get(name) != code.get(name)
        ]
        if before and changed:
            yield row["time"], ", ".join(changed)
        before = code


def _code(note: str | None) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(note or "{}").items()}
    except (ValueError, AttributeError):
        return {}


def repairs_of(plan: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What was lost of a study's tables and given up, a sentence a repair.

    Args:
        plan: Its plan rows, in order.
    """
    for row in plan:
        if row["kind"] != Kind.REPAIRED:
            continue
        told = json.loads(row["note"])
        lost = [
            f"{'some' if part['rows'] is None else part['rows']} of "
            f"{'the' if part['of'] is None else part['of']} rows of {name}"
            for name, part in told["lost"].items()
        ]
        when = f" on {row['time']:%Y-%m-%d %H:%M} UTC" if row.get("time") else ""
        yield f"repaired{when}: {', '.join(lost)} were lost; {_brought_back(told)}"


def _brought_back(told: Mapping[str, Any]) -> str:
    """Such as "2 ends of trials written anew and 3 trials begun again"."""
    restored, ended, again = told["restored"], told["ended"], told["again"]
    parts = [
        f"{count(restored, 'configuration')} written anew" if restored else "",
        f"{count(ended, 'trial')} ended as their last rows tell" if ended else "",
        f"{count(again, 'trial')} begun again" if again else "",
    ]
    return ", ".join(filter(None, parts)) or "nothing of it is brought back"
