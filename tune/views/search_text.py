"""What `hscl search` says before it starts and after it ended."""

import shlex
from typing import TYPE_CHECKING

from hscl.errors import HsclError
from tune.display import count, duration_text, listing
from tune.states import Kind, Phase, TrialState
from tune.study.size import PhaseSize, StudySize
from tune.tables.records import TrialRecord
from tune.views.study import Study

if TYPE_CHECKING:
    from tune.evidence.gather import Evidence

__all__ = ["ending_lines", "size_lines"]


def size_lines(
    size: StudySize,
    seconds_per_epoch: float | None,
    at_once: int,
    disk: str | None = None,
    measured: str = "of the default",
) -> list[str]:
    """A study's size: phases, seeds, trainings, time, disk.

    Args:
        size: The study in numbers.
        seconds_per_epoch: As measured; None: not measured.
        at_once: Trials at once.
        disk: What it takes on the disk, in words; None: not measured.
        measured: Whose epoch took so many seconds.
    """
    lines = [f"{size.name}: the default is {size.default}"]
    for phase in size.phases:
        lines += [_phase_line(phase), *_branch_lines(phase)]
    if size.unconfirmed:
        lines.append(f"  confirm  will not take place: {size.unconfirmed}")
    if size.rungs:
        lines.append(f"  rungs    epochs {', '.join(map(str, size.rungs))}")
    trainings = f"{size.trainings} trainings"
    trainings = f"about {trainings}, at most" if size.estimated else f"at most {trainings},"
    lines.append(
        f"  in all   {trainings} {size.epochs} epochs; usually about {size.usual_epochs} epochs"
    )
    lines += _price(size)
    if seconds_per_epoch is not None:
        usual, most = (duration_text(3600 * h) for h in size.hours(seconds_per_epoch, at_once))
        lines.append(
            f"  time     about {usual}, at most {most}: {at_once} at once, "
            f"{seconds_per_epoch:.2g} s an epoch {measured} on this machine (measured)"
        )
    if disk is not None:
        lines.append(f"  disk     {disk}")
    test = "opened in confirm" if size.opens_test else "never opened"
    return [*lines, f"  test     {test}"]


def _phase_line(phase: PhaseSize) -> str:
    """Such as "refine   about 22 configurations × 1 seed = 22 trainings, at most 198 epochs"."""
    about = "about " if phase.estimated else ""
    seeds = ", ".join(map(str, phase.seeds))
    return (
        f"  {phase.phase:<8} {about}{count(phase.configurations, 'configuration')} × "
        f"{count(len(phase.seeds), 'seed')} = {about}{count(phase.trainings, 'training')}, "
        f"at most {count(phase.epochs, 'epoch')}; seeds {seeds}"
    )


def _branch_lines(phase: PhaseSize) -> list[str]:
    """The equal part of each branch."""
    if not phase.branches:
        return []
    times = len(phase.branches)
    about = "about " if phase.estimated else ""
    each = f"each of {listing([str(one) for one in phase.branches])}"
    has = f"{about}{count(phase.trainings // times, 'training')}"
    return [f"           {each} has {has}, at most {count(phase.epochs // times, 'epoch')}"]


_USUAL_SHARE = 0.25
"""Regret without confirm (`tests/bench/bench_regret.py`, trainings of 9 epochs, arm
`default confirm.seeds=0`): 12 % less at 12 of 50 trainings, 26 % at 12 of 25 (240 searches
each)."""


def _price(size: StudySize) -> list[str]:
    """What the evidence costs, in a search that confirms."""
    confirm = sum(phase.epochs for phase in size.phases if phase.phase is Phase.CONFIRM)
    if not confirm or len(size.phases) == 1:
        return []
    share = confirm / size.epochs
    part = f"{100 * share:.0f} % of the epochs"
    lines = [f"  price    confirm takes up to {part}, which the search then lacks"]
    if share > _USUAL_SHARE:
        lines.append(
            "           simulated searches without confirm ended 12 % nearer to the best where it "
            "takes 24 %, 26 % nearer at 48 %; below 5 confirm.seeds there is no verdict"
        )
    return lines


def ending_lines(study: Study) -> list[str]:
    """What came out: the winner, its difference from the default, and what to do next."""
    history, quoted = study.history, shlex.quote(study.folder.uri)
    evidence, lines = None, list[str]()
    try:
        evidence = _evidence(study)
        lines += _answer(evidence)
    except HsclError as error:
        lines.append(str(error))
    lines += [
        str(row["note"]) for row in history.plan_rows(Kind.WINNER)[-1:] if row["config_id"] is None
    ]
    if (why := history.ended_early) is not None:
        lines.append(f"Confirm ended early: {why}.")
    if evidence is not None:
        lines += _knowledge(evidence)
    failed = [trial for trial in history.trials.values() if trial.state is TrialState.FAILED]
    if failed:
        lines.append(_failures(failed))
    nexts = {
        "who beats whom, and how surely": f"hscl compare {quoted}",
        "one page with plots": f"hscl report {quoted}",
    }
    if not study.spec.is_table and history.plan_rows(Kind.WINNER):
        nexts["what to use, with its evidence"] = f"hscl export {quoted} --out best.toml"
    if study.folder.local is not None:
        nexts["curves"] = f"tensorboard --logdir {quoted}/tensorboard"
    width = max(map(len, nexts.values()))
    return [*lines, "next", *(f"  {command:<{width}}  {what}" for what, command in nexts.items())]


def _evidence(study: Study) -> "Evidence":
    """All that may be said."""
    from tune.evidence.gather import gather  # noqa: PLC0415 - statistics, at the end only

    return gather(study.folder)


def _answer(evidence: "Evidence") -> list[str]:
    """What to use, how surely, at what cost; before there is an answer what is known, if any."""
    from tune.evidence.search.choice import answer_lines  # noqa: PLC0415
    from tune.evidence.search.use import use_lines  # noqa: PLC0415

    if evidence.use is not None:
        return [*use_lines(evidence.use), ""]
    compared = evidence.comparison
    if compared is None:
        return []
    if evidence.several is not None and compared.asked is None:
        return [evidence.several, ""]
    return answer_lines(evidence.choice, compared.asked, compared.names, compared.rules)


def _knowledge(evidence: "Evidence") -> list[str]:
    """How much the seed matters, and what the model of all runs knows."""
    from tune.evidence.search.learnt import learnt_lines  # noqa: PLC0415
    from tune.evidence.variance import seed_weight_lines  # noqa: PLC0415

    weight, learnt = evidence.seed_weight, evidence.learnt
    lines = [] if weight is None else seed_weight_lines(weight)
    return lines if learnt is None else [*lines, *learnt_lines(learnt, evidence.history.winner)]


def _failures(failed: list[TrialRecord]) -> str:
    trials = "1 trial" if len(failed) == 1 else f"{len(failed)} trials"
    return f"{trials} failed; the last one: {failed[-1].error}"
