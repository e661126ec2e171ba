"""`hscl search --dry-run`: every check that a search makes, and what it would do."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tune.study.spec import StudySpec
    from tune.trial.data import HsclData

__all__ = ["say_size"]


def say_size(
    spec: "StudySpec",
    data: "HsclData",
    options: dict[str, Any],
    notice: Callable[[str], None],
    *,
    as_json: bool,
) -> None:
    """What a search would do, after every check that it would make.

    Args:
        spec: The study.
        data: What it would be trained on.
        options: Those of `hscl search`.
        notice: Says what takes a while before it begins.
        as_json: As JSON instead of lines.
    """
    from dataclasses import asdict

    from tune.display import listing
    from tune.engine.ray_session import check_machine, fit_here
    from tune.simulate.detection import detection, detection_lines
    from tune.study.size import GIB, size_of
    from tune.trial.first_steps import (
        configs_by_kind,
        gpu_advice,
        measured_text,
        time_first_steps,
    )
    from tune.views.search_text import size_lines

    used = _used_seeds(spec, data, options)
    kinds = configs_by_kind(spec)
    whose = "the default" if len(kinds) == 1 else listing(list(kinds))
    notice(f"timing the first steps of {whose}")
    if options["address"] is None:
        check_machine(spec.resources)
    data.check(spec)
    timed = time_first_steps(spec, data.where)
    size = size_of(spec, used, timed["seconds_per_epoch"])
    at_once = spec.resources.concurrent or fit_here(spec.resources)
    needed = size.disk_bytes(timed["kept_bytes"], timed["running_bytes"], at_once)
    lengths = data.test_lengths(spec)
    if as_json:
        told = asdict(size) | {"timed": timed, "at_once": at_once, "disk_bytes": needed}
        told["detects"] = asdict(detection(spec, lengths))
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    disk = _disk_text(needed, timed["kept_bytes"], options["out"])
    whose = measured_text(timed["models"])
    lines = size_lines(size, timed["seconds_per_epoch"], at_once, disk, whose)
    if advice := gpu_advice(spec, timed):
        lines.append(f"  GPU      {timed['peak_memory'] / GIB:.2g} GiB (measured): {advice}")
    click.echo("\n".join([*lines, *detection_lines(spec, lengths, data.unit)]))


def _disk_text(needed: float, kept: float, out: str | None) -> str:
    """What the study takes on the disk, and whether there is room where it goes."""
    import shutil

    from tune.display import bytes_text
    from tune.tables.storage import open_folder

    text = f"at most {bytes_text(needed)}, {bytes_text(kept)} a training (measured)"
    local = open_folder("." if out is None else out).local
    if local is None:
        return text
    there = next(path for path in (local, *local.parents) if path.exists())
    free = shutil.disk_usage(there).free
    enough = "free" if free > needed else "free, which is too little"
    return f"{text}; {bytes_text(free)} {enough}"


def _used_seeds(spec: "StudySpec", data: "HsclData", options: dict[str, Any]) -> tuple[int, ...]:
    """Seeds that this study must not use again, after the checks that belong to them."""
    from tune.planner.warm_start import warm_start_rows
    from tune.tables.folder import check_data, check_phases, frozen_spec
    from tune.tables.storage import open_folder
    from tune.views.study import open_study

    if options["out"] is not None and frozen_spec(open_folder(options["out"])) is not None:
        opened = open_study(options["out"])
        opened.refuse_damage()
        begun = opened.history
        check_data(begun, data.digest, data.where, data.label_range)
        check_phases(begun, options["out"])
        return begun.earlier_seeds
    if options["warm_start"] is None:
        return ()
    earlier = open_study(options["warm_start"])
    earlier.refuse_damage()
    return tuple(warm_start_rows(spec, earlier.history, earlier.spec.study.name)[0]["seeds"])
