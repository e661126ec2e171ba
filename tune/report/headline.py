"""The top of a report: one sentence that says what is known, the verdict, and a few numbers.

The word "better" stands only where a verdict has it.
"""

from collections import Counter

from hscl.metrics import DIGITS, METRIC
from tune.display import count, interval, number, signed
from tune.evidence.comparison import StudyComparison
from tune.evidence.curves import UNNAMED
from tune.evidence.gather import Evidence
from tune.evidence.pair import PairComparison
from tune.evidence.search.cost import cost_of, cost_text
from tune.evidence.search.use import COST_HEADS, VALUE_HEADS, cost_rows, value_rows
from tune.evidence.sentences import here_text, p_text, verdict_label
from tune.report.model import Fact, ReportSection, TextTable
from tune.states import Phase, TrialState
from tune.tables.history import History

__all__ = [
    "answer_of",
    "facts_of",
    "headline_of",
    "lead_of",
    "pair_facts",
    "pair_verdict",
    "verdict_of",
]


_COST_NUMBERS = frozenset({1, 2, 3})


def headline_of(evidence: Evidence) -> str:
    """One sentence, the most that the tables allow."""
    compared = evidence.comparison
    if compared is None:
        return evidence.why_not
    ending = evidence.history.ending
    if ending is not None and ending.note:
        how = "gave up" if ending.gave_up else "is over without a winner"
        return f"The study {how}: {ending.note.rstrip('.')}."
    if evidence.several is not None:
        return evidence.several
    if evidence.use is not None:
        return evidence.use.sentences[0]
    return _unfinished_headline(evidence, compared)


def verdict_of(evidence: Evidence) -> tuple[str, str]:
    """The verdict's badge and its class; both for the one pair that the study is about."""
    compared = evidence.comparison
    if compared is None:
        return "", "none"
    if not (evidence.finished or compared.closed):
        return "so far", "running"
    return pair_verdict(compared.asked)


def pair_verdict(pair: PairComparison | None) -> tuple[str, str]:
    """The same of a pair alone; empty where there is none."""
    if pair is None:
        return "", "none"
    if pair.verdict is None:
        return verdict_label(pair), "none"
    return f"{verdict_label(pair)} on {pair.unit}s like these", str(pair.verdict)


def lead_of(evidence: Evidence) -> tuple[str, ...]:
    """What stands behind the headline."""
    compared = evidence.comparison
    if compared is None:
        return ()
    lines = [] if evidence.use is None else list(evidence.use.sentences[1:])
    if evidence.use is None and compared.asked is not None and compared.closed:
        lines += filter(None, [here_text(compared.asked)])
    if (why := evidence.history.ended_early) is not None:
        lines.append(f"Confirm ended early: {why}.")
    return tuple(lines)


def answer_of(evidence: Evidence) -> ReportSection:
    """What to use, beside the default and as a file, and what the study has cost (so far)."""
    use, cost = evidence.use, cost_of(evidence.history, evidence.tables)
    last = frozenset({len(cost.phases)})
    costs = TextTable(COST_HEADS, tuple(cost_rows(cost)), cost_text(cost), _COST_NUMBERS, last)
    if use is None:
        return ReportSection("answer", "What it cost", tables=(costs,))
    values = TextTable(
        VALUE_HEADS, tuple(value_rows(use)), f"The default is {use.default}.", frozenset({1, 2})
    )
    code = ("\n".join(use.commands), *([use.toml.rstrip()] if use.toml else []))
    return ReportSection("answer", "What to use", tables=(values, costs), code=code)


def facts_of(evidence: Evidence) -> tuple[Fact, ...]:
    """A few numbers: the differences, the seeds, the failures, the cost."""
    compared = evidence.comparison
    facts = []
    if compared is not None and compared.asked is not None and compared.closed:
        facts += pair_facts(compared.asked)
    seed = evidence.variance.seed
    if seed is not None:
        facts.append(
            Fact(
                f"Seed noise, valid {METRIC[evidence.metric].name}",
                f"sd {number(seed.sd, DIGITS)}",
                f"95 %: {number(seed.low, DIGITS)} to {number(seed.high, DIGITS)}",
            )
        )
    curves = evidence.trials
    states = Counter(curve.state for curve in curves)
    if curves:
        facts.append(
            Fact(
                "Trials",
                f"{len(curves):,}",
                f"{states[TrialState.DONE]} complete, {states[TrialState.PRUNED]} stopped early, "
                f"{states[TrialState.FAILED]} failed",
            )
        )
    return tuple(facts)


def pair_facts(pair: PairComparison) -> list[Fact]:
    """A pair's differences, wins and failures."""
    facts = []
    metric = METRIC[pair.metric].name
    if pair.new_videos is not None:
        facts.append(
            Fact(
                f"{metric} difference, {pair.unit}s like these",
                signed(pair.new_videos.estimate, DIGITS),
                f"{100 * pair.new_videos.level:g} %: "
                f"{interval(pair.new_videos.low, pair.new_videos.high, DIGITS)}",
            )
        )
    if pair.this_test_set is not None:
        facts.append(
            Fact(
                f"{metric} difference, this {pair.split} set",
                signed(pair.this_test_set.estimate, DIGITS),
                f"{100 * pair.this_test_set.level:g} %: "
                f"{interval(pair.this_test_set.low, pair.this_test_set.high, DIGITS)}",
            )
        )
    if pair.ahead is not None:
        wins = pair.ahead.estimate * len(pair.seeds)
        facts.append(
            Fact(
                "Ahead on",
                f"{wins:g} of {count(len(pair.seeds), 'seed')}",
                f"sign-flip {p_text(pair.sign_flip_p)}" if pair.sign_flip_p is not None else "",
            )
        )
    if any(pair.failures):
        first, second = pair.failures
        ours, theirs = pair.planned_runs
        runs = f"of {ours} each" if ours == theirs else f"of {ours} and {theirs}"
        facts.append(Fact("Failed runs", f"{first} against {second}", runs))
    return facts


def _unfinished_headline(evidence: Evidence, compared: StudyComparison) -> str:
    name = METRIC[evidence.metric].name
    if compared.phase is Phase.CONFIRM:
        ended = sum(c.planned - c.unfinished for c in compared.configs)
        planned = sum(c.planned for c in compared.configs)
        return f"So far: {ended} of {planned} confirm runs have ended; test stays shut until then."
    history = evidence.history
    if history.spec.compares_all:  # and the table that says what was begun is lost
        ended = sum(trial.ended for trial in history.trials.values())
        return f"So far: {count(ended, 'confirm run')} ended."
    valued = [trial for trial in history.search_trials.values() if trial.value is not None]
    best = min(valued, key=history.loss, default=None)
    told = (
        f"; the best valid {name} is {number(best.best[best.epoch], DIGITS)} "
        f"({_called(evidence, best.config_id)}, one seed)"
        if best
        else ""
    )
    return f"So far: {_searched(history)}{told}."


def _searched(history: History) -> str:
    """How many configurations screen and refine have had."""
    ended = Counter(trial.phase for trial in history.search_trials.values() if trial.ended)
    planned = history.planned
    if history.refined_from is None:
        return f"{ended[Phase.SCREEN]} of {planned[Phase.SCREEN]} configurations are screened"
    return (
        f"{count(ended[Phase.SCREEN], 'configuration')} screened, "
        f"{ended[Phase.REFINE]} of {planned[Phase.REFINE]} refined"
    )


def _called(evidence: Evidence, config_id: str) -> str:
    return evidence.labels.get(config_id, UNNAMED).called
