"""What travels to the cluster with a study: its file, and on request the three packages.

Files are chosen by what they are, never by what they are not: modules and package data travel,
so that no data set, `.env`, `.git` or notebook beside them can. Staged copies are uploaded, not
the folders themselves.
"""

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hscl.config import Config
from hscl.encoders import FILE
from hscl.errors import InputError
from tune.study.spec import StudySpec
from tune.study.toml import STUDY_FILE, dump_spec

__all__ = ["ANSWER", "DISTRIBUTION", "Shipment", "ShippedFile", "encoders_of", "pack"]

ANSWER = "hscl-answer: "
"""What comes back: the line of `python -m cluster.job_entry` that begins with this, and no Ray is
needed to write it. (A driver sets Ray's environment first and imports Ray then.)"""

_PACKAGES = ("hscl", "tune", "cluster")
_DATA_FOLDERS = {"studies", "templates"}
DISTRIBUTION = "hscl-search"
_LIMIT = 100 * 1024 * 1024  # Ray's job interface refuses larger request bodies with status 413


@dataclass(frozen=True)
class ShippedFile:
    """One file that travels.

    Attributes:
        name: Its path on the cluster, relative to the folder it is unpacked in.
        content: Its bytes.
    """

    name: PurePosixPath
    content: bytes


@dataclass(frozen=True)
class Shipment:
    """Everything that travels.

    Attributes:
        study: The study file's text, every default filled in.
        code: The packages' files; empty where the nodes have them installed.
    """

    study: str
    code: tuple[ShippedFile, ...]

    @property
    def listing(self) -> list[tuple[str, int]]:
        """Names and sizes in bytes."""
        code = [(str(file.name), len(file.content)) for file in self.code]
        return [(STUDY_FILE, len(self.study.encode())), *code]

    def stage(self, folder: Path) -> dict[str, object]:
        """Write the files into an empty folder, as Ray's job client uploads them.

        Args:
            folder: An existing empty folder.

        Returns:
            The `working_dir` and `py_modules` of a runtime environment.
        """
        study = folder / "study"
        study.mkdir()
        (study / STUDY_FILE).write_text(self.study, encoding="utf-8")
        shipped: dict[str, object] = {"working_dir": str(study)}
        if self.code:
            code = folder / "code"
            for file in self.code:
                target = code / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.content)
            shipped["py_modules"] = sorted(str(path) for path in code.iterdir())
        return shipped


def pack(spec: StudySpec | str, *, with_code: bool) -> Shipment:
    """Gather what travels.

    Args:
        spec: The study; a preset that is a file of this machine is part of it already. Or the
            text of a study that has travelled before, "" where none is needed.
        with_code: Whether hscl, tune and cluster travel too. Their dependencies never do.

    Returns:
        The shipment.

    Raises:
        InputError: A text encoder is a relative path, or the files exceed Ray's upload limit.
    """
    for encoder in () if isinstance(spec, str) else encoders_of(spec):
        if encoder.startswith(("./", "../", "~")):
            message = (
                "model.text.encoder must be 'minilm', a hub name or an absolute folder that every "
                f"node has, but got {encoder!r}; encoders do not travel with a study"
            )
            raise InputError(message)
    code = tuple(_code()) if with_code else ()
    size = sum(len(file.content) for file in code)
    if size > _LIMIT:
        message = (
            f"what travels must stay below {_LIMIT} bytes (Ray's limit for jobs), but the "
            f"packages have {size}; install them on the nodes and leave --ship-code out"
        )
        raise InputError(message)
    return Shipment(spec if isinstance(spec, str) else dump_spec(spec), code)


def encoders_of(spec: StudySpec) -> list[str]:
    """Every text encoder that a study may load."""
    configs: list[Config] = [point.config for point in spec.start_points]
    names = {config.model.text.encoder for config in configs}
    searched = spec.space.get("model.text.encoder")
    names |= {str(value) for value in (searched.options() if searched else None) or ()}
    return sorted(names - {FILE})


def _code() -> Iterator[ShippedFile]:
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        for location in (found and found.submodule_search_locations) or ():
            folder = Path(location)
            for path in sorted(folder.rglob("*")):
                name = PurePosixPath(package) / path.relative_to(folder).as_posix()
                if path.is_file() and not path.is_symlink() and _travels(name):
                    yield ShippedFile(name, path.read_bytes())
    # The nodes find the commands and the version in the distribution's metadata.
    distribution = importlib.metadata.distribution(DISTRIBUTION)
    folder_name = f"{DISTRIBUTION.replace('-', '_')}-{distribution.version}.dist-info"
    metadata = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    for part, text in (
        ("METADATA", metadata),
        ("entry_points.txt", distribution.read_text("entry_points.txt") or ""),
    ):
        yield ShippedFile(PurePosixPath(folder_name) / part, text.encode())


def _travels(name: PurePosixPath) -> bool:
    if any(part.startswith((".", "__pycache__")) for part in name.parts):
        return False
    return name.suffix == ".py" or name.name == "py.typed" or name.parent.name in _DATA_FOLDERS
