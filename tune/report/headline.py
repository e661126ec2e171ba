"""The top of a report: one sentence that says what is known, the verdict, and a few numbers.

The word "better" stands only where a verdict has it.
"""

from collections import Counter

from hscl.metrics import DIGITS, METRIC
from tune.display import count, duration_text, interval, listing, number, signed
from tune.evidence.comparison import StudyComparison
from tune.evidence.gather import Evidence
from tune.evidence.pair import PairComparison
from tune.evidence.search.choice import answer_lines
from tune.evidence.sentences import outlook_lines, p_text, verdict_label
from tune.report.model import Fact
from tune.states import Phase, TrialState, Verdict
from tune.tables.history import History

__all__ = ["facts_of", "headline_of", "lead_of", "verdict_of"]


_MOST_NAMES = 3


def headline_of(evidence: Evidence) -> str:
    """One sentence, the most that the tables allow."""
    compared = evidence.comparison
    if compared is None:
        return evidence.why_not
    ending = evidence.history.ending
    if ending is not None and ending.note:
        how = "gave up" if ending.gave_up else "is over without a winner"
        return f"The study {how}: {ending.note.rstrip('.')}."
    if evidence.spec.compares_all and compared.phase is Phase.CONFIRM:
        return _table_headline(evidence, compared)
    if answer := _answer(evidence, compared):
        return answer[0]
    return _unfinished_headline(evidence, compared)


def verdict_of(evidence: Evidence) -> tuple[str, str]:
    """The verdict's badge and its class; both for the primary comparison only."""
    compared = evidence.comparison
    if compared is None:
        return "", "none"
    if not (evidence.finished or compared.closed):
        return "so far", "running"
    pair = compared.primary
    if pair is None:
        return "", "none"
    if pair.verdict is None:
        return verdict_label(pair), "none"
    return f"{verdict_label(pair)} on videos like these", str(pair.verdict)


def lead_of(evidence: Evidence) -> tuple[str, ...]:
    """What stands behind the headline."""
    compared = evidence.comparison
    if compared is None:
        return ()
    lines = _answer(evidence, compared)[1:]
    pair = compared.primary
    if pair is None or not (evidence.finished or compared.closed):
        return tuple(lines)
    if pair.verdict is not None:
        lines.append(f"{_capital(pair.judgement.reason)}.")
    if pair.judgement.outlook is not None:
        lines.append(" ".join(outlook_lines(pair.judgement.outlook, pair, compared.rules)))
    if (why := evidence.history.ended_early) is not None:
        lines.append(f"Confirm ended early: {why}.")
    return tuple(lines)


def facts_of(evidence: Evidence) -> tuple[Fact, ...]:
    """A few numbers: the differences, the seeds, the failures, the cost."""
    compared = evidence.comparison
    facts = []
    if compared is not None and compared.primary is not None and compared.closed:
        facts += _pair_facts(compared.primary)
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
        epochs = sum(len(curve.curve) for curve in curves)
        trained = duration_text(sum(curve.seconds for curve in curves))
        facts.append(Fact("Training", trained, count(epochs, "epoch")))
    return tuple(facts)


def _answer(evidence: Evidence, compared: StudyComparison) -> list[str]:
    """What to use, and the verdict, once confirm is over or there is none."""
    pair, choice = compared.primary, evidence.choice
    if not (evidence.finished if pair is None else compared.closed):
        return []
    names = {one: _called(evidence, one) for one in evidence.labels}
    lines = answer_lines(choice, pair, names, compared.rules, brief=True)
    return [_capital(line) for line in lines]


def _pair_facts(pair: PairComparison) -> list[Fact]:
    facts = []
    metric = METRIC[pair.metric].name
    if pair.new_videos is not None:
        facts.append(
            Fact(
                f"{metric} difference, videos like these",
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
        facts.append(Fact("Failed runs", f"{first} against {second}", f"of {pair.planned} each"))
    return facts


def _table_headline(evidence: Evidence, compared: StudyComparison) -> str:
    told = Counter(pair.verdict for pair in compared.others)
    rows = count(len(compared.others), "configuration")
    if not compared.closed:
        ended = sum(c.planned - c.unfinished for c in compared.configs)
        planned = sum(c.planned for c in compared.configs)
        return f"So far: {ended} of {planned} runs have ended; no verdict before all have."
    parts = []
    for verdict in Verdict:
        if told[verdict]:
            names = [_called(evidence, p.first) for p in compared.others if p.verdict is verdict]
            named = verdict in {Verdict.BETTER, Verdict.WORSE} and len(names) <= _MOST_NAMES
            parts.append(f"{told[verdict]} {verdict}" + (f" ({listing(names)})" if named else ""))
    if told[None]:
        parts.append(f"{told[None]} without verdict")
    return (
        f"Of {rows} against the default, on videos like these: {listing(parts)} "
        f"({compared.split} {METRIC[compared.metric].name}, corrected by Holm)."
    )


def _unfinished_headline(evidence: Evidence, compared: StudyComparison) -> str:
    name = METRIC[evidence.metric].name
    if compared.phase is Phase.CONFIRM:
        ended = sum(c.planned - c.unfinished for c in compared.configs)
        planned = sum(c.planned for c in compared.configs)
        return f"So far: {ended} of {planned} confirm runs have ended; test stays shut until then."
    winner = compared.winner
    if evidence.finished and winner is not None:
        return (
            f"The search chose {_called(evidence, winner)} by valid {name}; nothing confirms it, "
            "because this study has no confirm seeds."
        )
    history = evidence.history
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
    label = evidence.labels.get(config_id)
    if label is None:
        return "an unknown configuration"
    return f"the {label.text}" if label.role in {"winner", "default"} else label.text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
