"""Ready files for the places where clusters live: versions filled in, authentication on.

The files stand in `templates/`. `@NAME@` is filled in here; what only the user knows is marked
`EDIT` in a comment. A line with `@GPUS@` or `@WITHGPUS@` is left out where a node has none.
"""

import re
import sys
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import requires, version
from pathlib import Path

from hscl.errors import InputError, did_you_mean
from hscl.files import write_whole

__all__ = ["KINDS", "TemplateSettings", "render", "write"]

KINDS: dict[str, dict[str, str]] = {  # kind: {template: the name it is written under}
    "onprem": {"onprem.yaml": "onprem.yaml", "constraints.txt": "constraints.txt"},
    "aws": {"aws.yaml": "aws.yaml", "aws-head-policy.json": "aws-head-policy.json"},
    "gcp": {"gcp.yaml": "gcp.yaml"},
    "kuberay": {
        "hscl-storage.yaml": "hscl-storage.yaml",
        "raycluster.yaml": "raycluster.yaml",
        "rayjob.yaml": "rayjob.yaml",
        "job.yaml": "job.yaml",
    },
    "slurm": {"slurm.sbatch": "hscl.sbatch"},
    "docker": {
        "Dockerfile": "Dockerfile",
        "dockerignore": ".dockerignore",
        "constraints.txt": "constraints.txt",
    },
}
_GPUS = {  # clouds offer machines with so many GPUs, and no others
    "aws": {0: "m6i.2xlarge", 1: "g5.xlarge", 4: "g5.12xlarge", 8: "g5.48xlarge"},
    "gcp": dict.fromkeys((0, 1, 2, 4), "n1-standard-8"),
}
_DISTRIBUTION = "hscl-search"
_MARK = re.compile(r"@([A-Z]+)@")


@dataclass(frozen=True)
class TemplateSettings:
    """What is filled in.

    Attributes:
        workers: Nodes (SLURM) or the most workers (the others).
        gpus: GPUs a worker.
    """

    workers: int = 2
    gpus: int = 1


def render(kind: str, settings: TemplateSettings) -> dict[str, str]:
    """The files of a kind of cluster.

    Args:
        kind: One of `KINDS`.
        settings: What is filled in.

    Returns:
        Content by file name.

    Raises:
        InputError: There is no such kind, or its machines can't have so many GPUs.
    """
    if kind not in KINDS:
        raise InputError(f"no template is called {kind!r}; {did_you_mean(kind, KINDS)}")
    offered = _GPUS.get(kind, {settings.gpus: ""})
    if settings.gpus not in offered:
        counts = ", ".join(map(str, offered))
        raise InputError(
            f"--gpus must be one of {counts} for {kind}, the machines that its template uses, but "
            f"got {settings.gpus}; other machines are an edit of the file"
        )
    values = {
        "VERSION": version(_DISTRIBUTION),
        "RAY": _ray_version(),
        "PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
        "WORKERS": str(settings.workers),
        "GPUS": str(settings.gpus),
        "MACHINE": offered[settings.gpus],
        "WITHGPUS": "",
    }
    folder = resources.files("cluster") / "templates"
    written = {}
    for template, name in KINDS[kind].items():
        lines = (folder / template).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if settings.gpus or "GPUS@" not in line]
        written[name] = _MARK.sub(lambda mark: values[mark[1]], "".join(kept))
    return written


def write(kind: str, settings: TemplateSettings, folder: Path, *, replace: bool) -> list[Path]:
    """Write the files of a kind of cluster.

    Args:
        kind: As in `render`.
        settings: As in `render`.
        folder: Made if it is not there.
        replace: Whether existing files may be overwritten.

    Returns:
        What was written.

    Raises:
        InputError: Another file exists and may not be replaced, or the folder cannot be written.
    """
    files = {folder / name: text for name, text in render(kind, settings).items()}
    # Kinds share constraints.txt: what stands there word for word is no conflict.
    there = [str(path) for path, text in files.items() if path.exists() and not _holds(path, text)]
    if there and not replace:
        message = (
            f"{', '.join(there)} must not exist yet (it may hold your edits); --force replaces"
        )
        raise InputError(message)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            write_whole(path, text)
    except OSError as error:
        message = f"--out must be a folder that can be written, but {folder}: {error.strerror}"
        raise InputError(message) from None
    return list(files)


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def _ray_version() -> str:
    """The one version of Ray that this distribution runs with."""
    for requirement in requires(_DISTRIBUTION) or ():
        found = re.match(r"ray\b.*?==\s*([\w.]+)", requirement)
        if found:
            return found[1]
    return version("ray")
