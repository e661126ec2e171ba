"""Where a command's study comes from: a file, a ready study, or the folder of one that began."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hscl.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from tune.study.spec import StudySpec

__all__ = ["read_study", "ready_tree"]


def read_study(
    where: str, out: str | None, settings: Mapping[str, Any]
) -> tuple["StudySpec", str | None]:
    """A study, and the folder that it goes to.

    Args:
        where: A study file, the name of a ready study, or the folder of a study that has begun.
        out: Where it shall go. One from before 0.2 is read for its own folder only.
        settings: Keys that `--set` changes, and their values.

    Returns:
        The study, and `out`; where that is not given, the folder that the study is from.

    Raises:
        InputError: It is none of the three, or has mistakes.
    """  # noqa: DOC502 - raised by the readers
    from tune.study.toml import STUDY_FILE, load_spec, parse_spec, with_settings
    from tune.tables.folder import frozen_spec, read_study_file
    from tune.tables.storage import open_folder

    if "://" in where or (Path(where) / STUDY_FILE).exists():
        spec = read_study_file(open_folder(where)).spec
        if settings:
            changed = with_settings(spec.tree(), settings)
            spec = parse_spec(changed, source=f"{where} with --set", frozen=True)
        return spec, where if out is None else out
    if Path(where).exists() or Path(where).suffix:
        begun = None if out is None else frozen_spec(open_folder(out))
        old = begun is not None and (begun.race is not None or begun.confirm.is_of_old_rules)
        return load_spec(where, frozen=old, settings=settings), out
    tree = with_settings(ready_tree(where), settings)
    return parse_spec(tree, source=where, name=where), out


def ready_tree(name: str) -> dict[str, Any]:
    """The sections of a ready study's file.

    Raises:
        InputError: There is none of that name.
    """
    import tomllib

    from tune.study.ready import ready_studies, ready_study

    names = [study.name for study in ready_studies()]
    if name not in names:
        raise InputError(
            f"STUDY must be a study file, a study's folder or the name of a ready study, but "
            f"{name!r} is none of them; {did_you_mean(name, names)}"
        )
    return tomllib.loads(ready_study(name).text)
