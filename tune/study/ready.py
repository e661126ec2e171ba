"""The studies that come with the package: a search, the ablation tables, a grid, baselines."""

from dataclasses import dataclass
from importlib import resources

from hscl.errors import InputError, did_you_mean

__all__ = ["ReadyStudy", "ready_studies", "ready_study"]


@dataclass(frozen=True)
class ReadyStudy:
    """A study file to start from.

    Attributes:
        name: Without ".toml".
        description: One sentence or two: the comment that its file begins with.
        text: The file.
    """

    name: str
    description: str
    text: str


def ready_studies() -> list[ReadyStudy]:
    """All of them, by name."""
    folder = resources.files("tune.study") / "studies"
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    return [
        ReadyStudy(
            name=file.name.removesuffix(".toml"),
            description=text.splitlines()[0].removeprefix("# "),
            text=text,
        )
        for file in sorted(files, key=lambda file: file.name)
        for text in [file.read_text(encoding="utf-8")]
    ]


def ready_study(name: str) -> ReadyStudy:
    """One of them.

    Args:
        name: As `ready_studies` lists it.

    Returns:
        The study.

    Raises:
        InputError: There is none of that name.
    """
    studies = {study.name: study for study in ready_studies()}
    if name not in studies:
        raise InputError(f"{name!r} is no ready study; {did_you_mean(name, studies)}")
    return studies[name]
