"""The data of a study, on the driver: checked before anything starts, prepared once for all."""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hscl.config import Config
from hscl.errors import InputError
from hscl.files import cache_folder
from tune.study.branches import branches_of
from tune.study.checks import repeated_points
from tune.study.spec import StudySpec
from tune.tables.storage import open_folder

if TYPE_CHECKING:
    from hscl.data.dataset import Dataset

__all__ = [
    "HsclData",
    "StudyData",
    "check_there",
    "local_copy",
    "on_its_device",
    "open_verified",
    "verified_digest",
]

_MOST = 32
_NAMED = 5  # speakers in a sentence
_VERIFIED: dict[tuple[str, int, int, int] | None, str] = {}


class StudyData(Protocol):
    """What a study is trained on."""

    @property
    def where(self) -> str:
        """A path or URI that every worker can read."""

    @property
    def digest(self) -> str:
        """What tells it from other data."""

    @property
    def label_range(self) -> float:
        """Labels lie between − and + this, which no digest of the rows tells."""

    def check(self, spec: StudySpec) -> None:
        """Refuse a study that these data can't serve; nothing is trained."""

    def shared_speakers(self, spec: StudySpec) -> str:
        """Which speakers of test are in train or valid too, in words; empty for none."""

    def cpu_precision(self, spec: StudySpec) -> str:
        """What trials on CPUs like this machine's compute in where the study leaves it open."""

    def key(self, config: Config) -> str:
        """Configurations with equal keys share what `prepare` returns."""

    def prepare(self, config: Config) -> Any:
        """What the workers of such configurations read: train and valid, never test."""


class HsclData:
    """A data set file of `hscl data convert`.

    Raises:
        InputError: It is missing, foreign, damaged, or was changed since it was written.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._dataset = open_verified(where)
        self.digest = self._dataset.digest
        self.label_range = self._dataset.label_range

    def check(self, spec: StudySpec) -> None:
        """Build every network that the study names, and count what each split must have.

        Raises:
            InputError: A split is missing or without labels, a modality is missing, a head count
                does not divide its width, or two points are one configuration.
        """
        sizes = self._dataset.split_sizes()
        needed = ["train", "valid"] + (["test"] if spec.opens_test else [])
        for name in needed:
            if not sizes.get(name):
                there = ", ".join(f"{key} ({count})" for key, count in sizes.items()) or "none"
                why = "confirm ends on it" if name == "test" else "a search needs it"
                raise InputError(
                    f"{self.where} must have a split {name!r}, as {why}; its splits: {there}"
                )
        if spec.opens_test:
            self._check_labels_of_test()
        self._check_metric(spec)
        self._check_networks(spec)
        self._check_encoders(spec)

    def cpu_precision(self, spec: StudySpec) -> str:
        """By the default, and one for all trials: no two that are compared may differ in it."""
        import torch  # noqa: PLC0415 - heavy

        from hscl.training.execution import resolve_precision  # noqa: PLC0415

        return resolve_precision(spec.base, torch.device("cpu"))

    def shared_speakers(self, spec: StudySpec) -> str:
        """Such as "2 of test's 9 speakers are in train or valid too: anna, ben"."""
        if not spec.opens_test or self.unit != "speaker":
            return ""
        table = self._dataset.table.select(["split", "speaker"]).to_pydict()
        splits: dict[str, set[str]] = defaultdict(set)
        for split, who in zip(table["split"], table["speaker"], strict=True):
            if who is not None and split is not None:
                splits[who].add(split)
        of_test = [who for who, where in splits.items() if "test" in where]
        known = sorted(who for who in of_test if len(splits[who]) > 1)
        if not known:
            return ""
        more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        told = f"{len(known)} of test's {len(of_test)} named speakers are in train or valid too"
        return f"{told}: {', '.join(known[:_NAMED])}{more}"

    def key(self, config: Config) -> str:
        """The text encoder and how it is used."""
        from hscl.training.prepared import preparation_key  # noqa: PLC0415

        return preparation_key(config)

    def prepare(self, config: Config) -> Any:
        """Train and valid as numbers; frozen text features are computed once and cached."""
        from hscl.training.prepared import prepare  # noqa: PLC0415

        return prepare(self._dataset, config)

    def test_lengths(self, spec: StudySpec) -> tuple[int, ...] | None:
        """How many utterances each `unit` of test has; None where the study never opens it."""
        if not spec.opens_test:
            return None
        named = self.unit == "speaker"
        table = self._dataset.table.select(["split", "video", *["speaker"] * named]).to_pydict()
        speakers = table.get("speaker") or [None] * len(table["video"])
        rows = zip(table["split"], table["video"], speakers, strict=True)
        # A video of which nobody is named is a unit of its own, as in a comparison.
        units = [
            (who, video if who is None else None) for split, video, who in rows if split == "test"
        ]
        return tuple(Counter(units).values())

    @property
    def unit(self) -> str:
        """What claims are about: "speaker" where the data name any, else "video"."""
        return "speaker" if self._dataset.names_speakers else "video"

    def _check_labels_of_test(self) -> None:
        # Whether they are there, not what they are.
        table = self._dataset.table.select(["split", "label"])
        rows = zip(table["split"].to_pylist(), table["label"].is_null().to_pylist(), strict=True)
        missing = sum(null for split, null in rows if split == "test")
        if missing:
            raise InputError(
                f"every test utterance of {self.where} must have a label, as confirm ends on "
                f"them, but {missing} have none; label them, or set confirm.seeds = 0"
            )

    def _check_metric(self, spec: StudySpec) -> None:
        """A metric that no predictions have can choose nothing.

        Raises:
            InputError: The study's is such a one.
        """
        from hscl.data.splits import open_split  # noqa: PLC0415
        from hscl.metrics import why_undefined  # noqa: PLC0415

        labels = open_split(self._dataset, "valid").labels
        metric = spec.study.metric
        reason = labels is not None and why_undefined(metric, labels, self._dataset.label_range)
        if reason:
            raise InputError(
                f"study.metric must exist on valid of {self.where}, but {metric} does not: "
                f"{reason}; choose another, such as mae"
            )

    def _check_networks(self, spec: StudySpec) -> None:
        from hscl.kinds.registry import build_model  # noqa: PLC0415
        from hscl.training.prepared import widths_of  # noqa: PLC0415

        configs = [point.config for point in spec.start_points]
        for space in [branch.searched for branch in branches_of(spec).values()] or [spec.searched]:
            for name, distribution in space.parameters.items():
                if name.startswith("model."):
                    options = distribution.options() or ()
                    # Each takes a moment to build, and in a range a misfit is among the first few.
                    tried = dict.fromkeys([*options[:_MOST], *options[-1:]])
                    configs += [space.to_config(space.point_with(name, one)) for one in tried]
        for number, config in enumerate(configs):
            try:
                build_model(config, widths_of(self._dataset, config))
            except InputError as error:
                if number:  # a setting of [base] does not reach what another point says itself
                    error.setting = None
                raise

    def _check_encoders(self, spec: StudySpec) -> None:
        """Two names of one encoder are one configuration, which only its files tell.

        Raises:
            InputError: Two points of the study are.
        """
        points = spec.compared_points if spec.compares_all else spec.start_points
        if len({point.config.model.text.encoder for point in points}) < 2:
            return
        if same := repeated_points(points, lambda config: config.config_id):
            raise InputError("\n".join(same))


def check_there(where: str) -> None:
    """Refuse a path under which there is no file, before anything is loaded to read it.

    Raises:
        InputError: There is none.
    """
    if "://" not in where and not Path(where).is_file():
        raise InputError(f"{where} must be a data set of hscl; there is no such file.")


def on_its_device(config: Config, gpus: float | None) -> Config:
    """A configuration as a trial with so many GPUs runs it: without any, on the CPU.

    Ray counts what was asked for; a trial that took a GPU which it has not would fill it for the
    others.

    Args:
        config: The configuration.
        gpus: GPUs of the trial; None where they are not settled.
    """
    return config.with_overrides({"run.device": "cpu"}) if gpus == 0 else config


def open_verified(where: str) -> "Dataset":
    """Open a data set whose rows have the digest that it says.

    Args:
        where: A path or URI.

    Returns:
        The data set.

    Raises:
        InputError: It is missing, foreign, damaged, or was changed since it was written.
    """  # noqa: DOC502 - from Dataset
    from hscl.data.dataset import Dataset  # noqa: PLC0415 - heavy

    verified_digest(where)
    return Dataset.open(local_copy(where))


def verified_digest(where: str) -> str:
    """The digest of a data set's rows; all of them are read once a process and state of the file.

    Args:
        where: A path or URI.

    Raises:
        InputError: As `open_verified`.
    """  # noqa: DOC502 - from Dataset
    from hscl.data.dataset import Dataset  # noqa: PLC0415 - heavy

    path = local_copy(where).absolute()
    info = path.stat() if path.exists() else None
    state = info and (str(path), info.st_ino, info.st_size, info.st_mtime_ns)
    if state not in _VERIFIED:
        _VERIFIED[state] = Dataset.open(path).verify().digest
    return _VERIFIED[state]


def local_copy(where: str) -> Path:
    """The data set's file on this machine.

    Args:
        where: A path, or a URI such as `s3://bucket/mosi.arrow`.

    Returns:
        The path itself, or that of a copy under `$HSCL_CACHE` (default `~/.cache/hscl`), which is
        made when there is none yet of this very file. Several processes may ask at once.

    Raises:
        InputError: There is no such file, or it can't be read.
    """
    if "://" not in where:
        return Path(where)
    address, _, query = where.partition("?")
    parent, _, name = address.rpartition("/")
    folder = open_folder(f"{parent}?{query}" if query else parent)
    if folder.local is not None:
        return folder.local / name
    try:
        info = folder.filesystem.get_file_info(folder.full(name))
        if not info.is_file:
            raise InputError(f"{where} must be a data set's file, but there is none")
        state = f"{where}\n{info.size}\n{info.mtime_ns}"
        cache = cache_folder() / "data"
        copy = cache / f"{hashlib.sha256(state.encode()).hexdigest()[:24]}-{Path(name).name}"
        if not copy.exists():
            cache.mkdir(parents=True, exist_ok=True)
            folder.copy_to(name, copy)
    except OSError as error:
        message = f"{where} must be readable, but: {str(error).splitlines()[0]}"
        raise InputError(message) from error
    return copy
