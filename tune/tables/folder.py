"""A study's folder as a driver enters it: the frozen specification, and whose folder it is."""

import shlex
import tomllib
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from hscl.documents import checked_tree
from hscl.errors import HsclError, InputError
from hscl.files import is_unfinished
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.study.toml import STUDY_FILE, changed_keys, dump_spec, parse_spec
from tune.tables.history import History
from tune.tables.identity import lowered_keys, standing_spec
from tune.tables.storage import Folder
from tune.tables.store import TableStore

__all__ = [
    "StudyFile",
    "check_data",
    "check_folder",
    "check_more",
    "check_phases",
    "freeze",
    "frozen_spec",
    "read_study_file",
]

_OURS = {"lock.json"}


@dataclass(frozen=True)
class StudyFile:
    """The frozen specification of a folder's study.

    Attributes:
        text: As it is written.
        spec: What it says.
    """

    text: str
    spec: StudySpec


def read_study_file(folder: Folder) -> StudyFile:
    """The specification of a folder's study, checked against what its plan records.

    Raises:
        InputError: None has begun there, the file is damaged or was edited, or another version
            can't read it.
    """
    found = _read(folder)
    if found is None:
        there = f"has no {STUDY_FILE}" if folder.exists() else "is not there"
        raise InputError(
            f"{folder.uri} must be the folder of a study, but {there}; "
            "begin one with: hscl search STUDY.toml --data FILE --out DIR"
        )
    return found


def frozen_spec(folder: Folder) -> StudySpec | None:
    """As `read_study_file`; None where no study has begun.

    Raises:
        InputError: The file is damaged or was edited, or another version can't read it.
    """  # noqa: DOC502 - from _read
    found = _read(folder)
    return None if found is None else found.spec


def _read(folder: Folder) -> StudyFile | None:
    where = f"{folder.uri}/{STUDY_FILE}"
    try:
        text = folder.read(STUDY_FILE).decode()
        tree = _tree(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{where} must be a readable study file, but: {error}; put it back from a copy"
        ) from error
    spec = parse_spec(tree, source=where, frozen=True)
    standing = standing_spec(spec, _recorded(folder), folder.uri)
    return StudyFile(text if standing is spec else dump_spec(standing), standing)


def _tree(text: str) -> dict[str, Any]:
    tree = tomllib.loads(text)
    checked_tree(tree)
    return tree


def _recorded(folder: Folder) -> list[str | None]:
    """Notes of the plan's specifications; none where the plan can't be read, which others say."""
    try:
        plan = TableStore(folder).read("plan", columns=["kind", "note"])
    except HsclError:
        return []
    rows = plan.filter(pc.equal(plan["kind"], Kind.SPECIFICATION))
    notes: list[str | None] = rows["note"].to_pylist()
    return notes


def check_folder(folder: Folder, spec: StudySpec, *, more: bool = False) -> None:
    """Refuse a folder that holds another study, or anything else; and a study for no folder.

    Args:
        folder: Where the study shall be written.
        spec: The study.
        more: A person asks for more trainings: counts and limits may be larger.

    Raises:
        InputError: Naming every key that differs; only `[resources]` may. Or the study could not
            be read again once it has begun.
    """
    frozen = frozen_spec(folder)
    if frozen != spec:
        _refuse_unreadable(spec)
    if frozen is None:
        files = {name for name in folder.files() if not _is_half(name)}
        strange = sorted({*files, *folder.folders()} - _OURS)
        if strange:
            names = ", ".join(strange[:5])
            raise InputError(
                f"{folder.uri} must be empty, new, or the folder of this study, but holds "
                f"{names}; choose another --out"
            )
        return
    changed = changed_keys(frozen, spec)
    if more and not frozen.is_of_old_phases:
        changed = lowered_keys(frozen, spec)
    if changed and frozen.is_of_old_phases:
        raise InputError(_only_read(folder.uri))
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise InputError(
            f"{folder.uri} holds a study that began with another specification; only [resources] "
            f"may change, and with --more numbers of trials and the budget may grow, but these "
            f"differ:\n{listed}\nrestore them, or begin another study with another --out"
        )


def _refuse_unreadable(spec: StudySpec) -> None:
    """Return where the file that would be frozen says the same study: else no command reads it.

    Raises:
        InputError: It does not, which no mistake of a person should lead to.
    """
    try:
        tree = _tree(dump_spec(spec).encode().decode())
        again = parse_spec(tree, source=f"the frozen {STUDY_FILE}", frozen=True)
        if again == spec:
            return
        problems = changed_keys(spec, again)
    except (ValueError, InputError) as error:
        problems = str(error).splitlines()
    listed = "\n".join(f"  {line}" for line in problems)
    raise InputError(
        "a study must read back from its own file as it is, or no command could open it, but:\n"
        f"{listed}\nchange what is named here; nothing has been written"
    )


def check_phases(history: History, where: str, *, another_look: bool = False) -> None:
    """Refuse to go on with a search that a version before 0.2 began; finished ones stay as said.

    Args:
        history: The study's rows.
        where: Its folder, for the message.
        another_look: A further look at confirm is asked for.

    Raises:
        InputError: There is something left to do.
    """
    ending = history.ending
    is_over = ending is not None and not ending.gave_up and not another_look
    if history.spec.is_of_old_phases and not is_over:
        raise InputError(_only_read(where))


def check_more(history: History, spec: StudySpec, where: str) -> None:
    """Refuse more trainings where they could no longer be chosen without knowing test.

    Args:
        history: The study's rows.
        spec: What the study is asked to become.
        where: Its folder, for the message.

    Raises:
        InputError: Confirm has begun, the study is a `list` or `grid`, or the screen is over and
            its trials are raised.
    """
    confirmed = any(not trial.phase.searches for trial in history.trials.values())
    if confirmed or history.plan_rows(Kind.TEST_OPENED) or spec.compares_all:
        raise InputError(
            f"--more is for a search whose test set is closed, but {where} has begun confirm; "
            "begin a new one that knows what it found: hscl search STUDY --data FILE "
            f"--warm-start {shlex.quote(where)} --out NEW"
        )
    screened = history.spec.sampler.trials
    if history.refined_from is not None and spec.sampler.trials != screened:
        raise InputError(
            f"sampler.trials must stay {screened}, as the screen is over in {where}, but is "
            f"{spec.sampler.trials}; raise refine.trials or the budget alone, with "
            f"--set sampler.trials={screened} where the study file says otherwise"
        )


def _only_read(where: str) -> str:
    return (
        f"{where} holds a study begun by a version before 0.2, which every command reads but none "
        "goes on with; begin a new one that knows what it found: hscl search NEW.toml --data FILE "
        f"--warm-start {shlex.quote(where)} --out DIR"
    )


def freeze(folder: Folder, spec: StudySpec) -> None:
    """Write the specification with every default filled in, once a driver holds the lock."""
    for name in filter(_is_half, folder.files()):
        folder.delete(name)
    text = dump_spec(spec).encode()
    if not folder.exists(STUDY_FILE) or folder.read(STUDY_FILE) != text:
        folder.write(STUDY_FILE, text)


def check_data(
    history: History, digest: str, where: str, label_range: float | None = None
) -> None:
    """Refuse other data than those that the study began with.

    Args:
        history: The study's rows.
        digest: Of the data at hand.
        where: Their file, for the message.
        label_range: That of their labels, if it is to be compared.

    Raises:
        InputError: The digests differ, or the range of the labels.
    """
    for row in history.plan_rows(Kind.DATA):
        if row["note"] != digest:
            raise InputError(
                f"a study resumes only on the data that it began with, digest {row['note'][:12]}, "
                f"but {where} has {digest[:12]}; give the old file, or another --out"
            )
        if None not in {row["value"], label_range} and row["value"] != label_range:
            raise InputError(
                f"a study resumes only on the data that it began with, labels within ± "
                f"{row['value']:g}, but {where} says ± {label_range:g}; give the old file, or "
                "another --out"
            )


def _is_half(name: str) -> bool:
    """Whether a file is what a driver left that was killed while it froze the specification."""
    return name.startswith(f".{STUDY_FILE}.") and is_unfinished(name)
