"""A comparison in plain words; "better" stands only where the verdict says so."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from hscl.metrics import DIGITS, METRIC
from tune.display import count, listing, number, signed
from tune.evidence.comparison import ConfigSummary, StudyComparison
from tune.evidence.curves import UNNAMED, Label
from tune.evidence.pair import Outlook, PairComparison, PairEstimate, Rules
from tune.states import Verdict
from tune.stats.collapses import collapse_rate_bound
from tune.stats.intervals import Interval
from tune.stats.power import FEWEST_VIDEOS, Range
from tune.stats.significance import EXACT_PAIRS
from tune.tables.records import DEFAULT_NAME

__all__ = [
    "called",
    "collapse_texts",
    "deciding_text",
    "deployed_text",
    "ensemble_cells",
    "here_text",
    "interval_text",
    "outlook_lines",
    "p_text",
    "pair_lines",
    "reason_text",
    "risk_text",
    "seed_deviation",
    "seed_lines",
    "several_text",
    "verdict_counts",
    "verdict_label",
    "verdict_text",
]

_NAMED = 5  # seeds in a sentence
_MOST_NAMES = 3  # configurations in a sentence
_MOST_SEEDS = 200  # more seeds than these nobody trains


def called(names: Mapping[str, str], config_id: str) -> str:
    """What a sentence calls a configuration; the default has an article there."""
    name = names[config_id]
    return f"the {name}" if name == DEFAULT_NAME else name


def p_text(p: float | None) -> str:
    """A p value as "p = 0.012", "p < 0.001"; empty where there is none."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def interval_text(interval: Interval) -> str:
    """Such as "−0.0312 (95 % interval −0.0601 to −0.0023)"."""
    ends = f"{signed(interval.low, DIGITS)} to {signed(interval.high, DIGITS)}"
    level = f"{100 * interval.level:g} % interval"
    return f"{signed(interval.estimate, DIGITS)} ({level} {ends})"


def seed_deviation(pairs: Sequence[PairEstimate]) -> float | None:
    """One run's standard deviation over seeds on the pairs' split, pooled; None: unknown."""
    both = [zip((p.first, p.second), p.sds, strict=True) for p in pairs]
    known = {config_id: sd for pair in both for config_id, sd in pair if math.isfinite(sd)}
    return math.hypot(*known.values()) / math.sqrt(len(known)) if known else None


def seed_lines(sd: float | None, split: str) -> list[str]:
    """The noise floor in a sentence, if it is known."""
    if not sd:
        return []
    return [f"Seeds of one configuration differ by {number(sd, DIGITS)} (sd, {split} set)."]


def verdict_label(pair: PairComparison) -> str:
    """The verdict in a word, for badges, cells and lines; "no verdict" where none may be given."""
    return "no verdict" if pair.verdict is None else str(pair.verdict)


def verdict_text(
    pair: PairComparison, names: Mapping[str, str], rules: Rules, *, brief: bool = False
) -> str:
    """The verdict in one sentence, the same wherever it stands; "better" only if it is one.

    Args:
        pair: A judged pair.
        names: What output calls each configuration.
        rules: What was fixed beforehand.
        brief: Leave out what stands beside the sentence: the differences and the reason.
    """
    first, second = called(names, pair.first), called(names, pair.second)
    means = (
        f"{pair.split} {METRIC[pair.metric].name} {number(pair.means[0], DIGITS)} against "
        f"{number(pair.means[1], DIGITS)}"
    )
    judgement = pair.judgement
    if judgement.verdict is None:
        known = "" if brief else f" ({means})"
        none = f"No verdict on {first} against {second}{known}: {judgement.reason}."
        return none if brief else f"{none} {here_text(pair)}".rstrip()
    claim = {
        Verdict.BETTER: f"{first} is better than {second}",
        Verdict.WORSE: f"{first} is worse than {second}",
        Verdict.EQUIVALENT: f"{first} and {second} are equivalent within ± {rules.margin:g}",
        Verdict.UNDECIDED: f"It is undecided whether {first} improves on {second}",
    }[judgement.verdict]
    if judgement.below_margin:
        claim += f", by less than the margin of {rules.margin:g}"
    if judgement.collapse_bound is not None and not any(pair.fallen):
        claim += ", among runs that do not collapse"
    told = [f"{claim}: {means}"]
    if not brief and pair.new_videos:
        here = pair.this_test_set
        told.append(
            f"difference for {pair.unit}s like these {interval_text(pair.new_videos)}"
            + ("" if here is None else f", on this {pair.split} set {interval_text(here)}")
        )
    told += collapse_texts(pair, names)
    if not brief and judgement.verdict is Verdict.UNDECIDED:
        told.append(judgement.reason)
    return "; ".join(told) + "."


def here_text(pair: PairComparison) -> str:
    """What a pair without a verdict shows on the test set itself; empty where nothing."""
    if pair.verdict is not None or pair.split != "test" or pair.this_test_set is None:
        return ""
    told = f"On this test set alone, where only seeds vary, the difference over {len(pair.seeds)}"
    return f"{told} seeds is {interval_text(pair.this_test_set)}."


def collapse_texts(pair: PairComparison, names: Mapping[str, str]) -> list[str]:
    """How many runs collapsed or had bad luck, and which rate a claim leaves open."""
    told = [
        f"{len(seeds)} of {runs} runs of {called(names, config)} collapsed or had bad luck "
        f"({listing([f'seed {seed}' for seed in seeds[:_NAMED]])}"
        + (f" and {len(seeds) - _NAMED} more)" if len(seeds) > _NAMED else ")")
        for config, seeds, runs in zip(
            (pair.first, pair.second), pair.fallen, pair.runs, strict=True
        )
        if seeds
    ]
    bound = pair.judgement.collapse_bound
    if bound is None:
        return told
    rate = f"a rate up to {100.0 * bound:.0f} % can't be excluded"
    if told:
        return [*told, f"none of the other's, where {rate}"]
    if pair.runs[0] == pair.runs[1]:
        return [f"0 of {pair.runs[0]} seeds collapsed on either side; {rate}"]
    # The rate is of a side that the verdict speaks well of.
    side = next(k for k in (0, 1) if collapse_rate_bound(pair.runs[k]) == bound)
    names_of = called(names, pair.first), called(names, pair.second)
    clean = [f"0 of {runs} runs of {name}" for runs, name in zip(pair.runs, names_of, strict=True)]
    return [f"{listing(clean)} collapsed; of {names_of[side]} {rate}"]


def reason_text(pair: PairComparison, names: Mapping[str, str]) -> str:
    """A verdict with its reason in a line, for tables that have room for a word only."""
    told = f"{called(names, pair.first)} against {called(names, pair.second)}"
    parts = [verdict_label(pair), *collapse_texts(pair, names), pair.judgement.reason]
    return f"{told}: {'; '.join(filter(None, parts))}."


def pair_lines(pair: PairComparison, names: Mapping[str, str], rules: Rules) -> list[str]:
    """All sentences on a pair: both questions labelled, failures, what would decide it."""
    metric = METRIC[pair.metric]
    what = f"{metric.name}, where {metric.wanted} is wanted"
    told = pair.judgement
    first, second = called(names, pair.first), called(names, pair.second)
    lines = [f"{first} minus {second}: {what}; {_seeds_text(pair)}, {pair.split} set"]
    if pair.this_test_set is not None:
        p = p_text(pair.sign_flip_p)
        exact = "exact " if len(pair.seeds) <= EXACT_PAIRS else ""  # beyond, patterns are drawn
        lines.append(
            f"On this {pair.split} set: {interval_text(pair.this_test_set)}"
            + (f", {exact}sign-flip {p}" if p else "")
            + (f", {p_text(told.sign_flip_p_holm)} by Holm" if told.sign_flip_p_holm else "")
        )
    if pair.ahead is not None:
        wins = pair.ahead.estimate * len(pair.seeds)
        lines.append(
            f"{first} is ahead on {wins:g} of {len(pair.seeds)} seeds "
            f"(share {pair.ahead.estimate:.2f}, 95 % interval "
            f"{pair.ahead.low:.2f} to {pair.ahead.high:.2f})"
        )
    if pair.new_videos is not None:
        lines.append(
            f"On {pair.unit}s like these: {interval_text(pair.new_videos)}, {p_text(pair.p_value)}"
            + (f", {p_text(told.p_holm)} by Holm" if told.p_holm is not None else "")
        )
    here, new = pair.this_test_set, pair.new_videos
    if here is not None and new is not None and new.high - new.low < here.high - here.low:
        lines.append(
            f"The interval for {pair.unit}s like these is the narrower one only because "
            f"{len(pair.seeds)} seeds tell little of how seeds vary: the other estimates that by "
            f"them alone, this one from {pair.unit}s too. More seeds usually turn that."
        )
    if pair.bootstrap is not None:
        lines.append(f"Two-level bootstrap, decides nothing: {interval_text(pair.bootstrap)}")
    if any(pair.failures) or any(pair.missing):
        lines.append(_failures(pair, names))
    lines += [f"{text[0].upper()}{text[1:]}." for text in collapse_texts(pair, names)]
    verdict = verdict_label(pair)
    if told.below_margin:
        verdict += f", by less than the margin of {rules.margin:g}"
    lines.append(f"Verdict: {verdict}; {told.reason}")
    if told.outlook is not None:
        lines += outlook_lines(told.outlook, pair, rules)
    return lines


def risk_text(config: ConfigSummary) -> str:
    """How many single runs are worse than the default's mean by more than the margin: "2 of 6"."""
    runs = sum(score is not None for score in config.scores)
    if config.risk is None or runs < 2:
        return ""
    return f"{round(config.risk * runs)} of {runs}"


def ensemble_cells(comparison: StudyComparison) -> list[tuple[str, str, str]]:
    """What people deploy besides single runs: name, metric and interval over videos (or empty)."""
    rows = []
    for one in comparison.configs:
        if one.ensemble_value is not None:
            among = one.ensemble
            ends = (
                ""
                if among is None
                else f"{number(among.low, DIGITS)} to {number(among.high, DIGITS)}"
            )
            value = number(one.ensemble_value, DIGITS)
            rows.append((f"ensemble of {called(comparison.names, one.config_id)}", value, ends))
    return rows


def deployed_text(comparison: StudyComparison) -> str:
    """What the cells of `risk_text` and `ensemble_cells` say, for a caption."""
    if comparison.reference is None or not ensemble_cells(comparison):
        return ""
    return (
        "People deploy one run or an ensemble. Worse runs: how many single ones are worse than "
        f"the mean of {called(comparison.names, comparison.reference)} by more than "
        f"{comparison.margin:g}. An ensemble is the mean of all runs' predictions; its interval "
        f"is the 95 % one over {comparison.unit}s"
        + (
            "."
            if any(one.ensemble for one in comparison.configs)
            else f", and below {FEWEST_VIDEOS} of them there is none."
        )
    )


def verdict_counts(compared: StudyComparison) -> str:
    """How many pairs with the reference have each verdict, such as "1 worse, 2 undecided"."""
    told = Counter(pair.verdict for pair in compared.others)
    parts = [f"{told[verdict]} {verdict}" for verdict in Verdict if told[verdict]]
    return ", ".join([*parts, *([f"{told[None]} without verdict"] if told[None] else [])])


def several_text(
    compared: StudyComparison,
    labels: Mapping[str, Label],
    reference: str,
    what: str = "configuration",
) -> str:
    """How many are better, worse, equivalent and undecided; of a single one its verdict.

    Args:
        compared: All against one reference.
        labels: What each configuration is called.
        reference: What the sentence calls the reference.
        what: What it calls one of the others.
    """
    rows = count(len(compared.others), what)
    if not compared.closed:
        ended = sum(c.planned - c.unfinished for c in compared.configs)
        planned = sum(c.planned for c in compared.configs) + compared.to_come
        return f"So far: {ended} of {planned} runs have ended; no verdict before all have."
    if compared.asked is not None:
        said = verdict_text(compared.asked, compared.names, compared.rules, brief=True)
        return f"{said[0].upper()}{said[1:]}"
    if not compared.others:
        return f"There is nothing to compare: {reference} is the only {what}."
    told = Counter(pair.verdict for pair in compared.others)
    parts = []
    for verdict in Verdict:
        if told[verdict]:
            those = [pair.first for pair in compared.others if pair.verdict is verdict]
            names = [labels.get(config_id, UNNAMED).called for config_id in those]
            named = verdict in {Verdict.BETTER, Verdict.WORSE} and len(names) <= _MOST_NAMES
            parts.append(f"{told[verdict]} {verdict}" + (f" ({listing(names)})" if named else ""))
    if told[None]:
        reasons = dict.fromkeys(p.judgement.reason for p in compared.others if p.verdict is None)
        why = "; ".join(filter(None, reasons))
        parts.append(f"{told[None]} without verdict" + (f", because {why}" if why else ""))
    return (
        f"Of {rows} against {reference}, on {compared.unit}s like these: "
        f"{listing(parts)} "
        f"({compared.split} {METRIC[compared.metric].name}, corrected by Holm)."
    )


def _seeds_text(pair: PairEstimate) -> str:
    """On how many seeds both have a value; of two groups, how many runs of each have one."""
    if pair.paired:
        return f"{len(pair.seeds)} of {pair.planned} seeds"
    sides = zip(pair.runs, pair.planned_runs, strict=True)
    return " against ".join(f"{have} of {planned} runs" for have, planned in sides)


def _failures(pair: PairEstimate, names: Mapping[str, str]) -> str:
    parts = [
        f"{called(names, config)} {failed} failed, {missing} without a value"
        for config, failed, missing in zip(
            (pair.first, pair.second), pair.failures, pair.missing, strict=True
        )
    ]
    first, second = pair.planned_runs
    runs = f"{first} runs each" if first == second else f"{first} and {second} runs"
    return f"Of {runs}: " + "; ".join(parts)


def outlook_lines(outlook: Outlook, pair: PairEstimate, rules: Rules) -> list[str]:
    """What would decide an open question, in one or two sentences."""
    margin, seeds, videos = f"{rules.margin:g}", len(pair.seeds), pair.videos
    found = (
        f"These {seeds} seeds and {videos} {pair.unit}s find a true difference of {margin} in "
        f"{100 * outlook.power:.0f} % of studies"
    )
    if outlook.power >= 0.8:
        return [f"{found}: what is left open is a smaller one."]
    lines = [f"{found}, and only one from about {outlook.detectable:.2g} on in 80 %."]
    return [*lines, f"What would decide it: {deciding_text(outlook)}."]


def deciding_text(outlook: Outlook) -> str:
    """What would find a true difference of one margin: seeds, or only a larger test set.

    Numbers are ranges: so few seeds and videos know the variances only so well.
    """
    if outlook.power >= 0.8:
        return "nothing that can be planned: a difference of the margin would have been found"
    videos = _range_text(outlook.videos_range, f"{outlook.unit}s like these")
    bigger = (
        "more seeds and a far larger test set"
        if videos is None
        else f"{videos}, with {outlook.videos_pairs} seeds"
    )
    low, here = outlook.pairs_range[0], f"on these {outlook.unit}s"
    if low is None:
        return f"only a larger test set ({bigger}); no number of seeds does it {here}"
    if low > _MOST_SEEDS:
        return f"more than {_MOST_SEEDS} seeds {here}, or a larger test set ({bigger})"
    return f"{_range_text(outlook.pairs_range, 'seeds', _MOST_SEEDS)}, or {bigger}"


def _range_text(ends: Range, what: str, most: int = 10**9) -> str | None:
    """Such as "about 12 to 40 seeds"; None for no number."""
    low, high = ends
    if low is None:
        return None
    if high is None:
        return f"about {low} {what} or more, if any number does"
    if high > most:
        return f"about {low} to more than {most} {what}"
    return f"about {low} {what}" if low == high else f"about {low} to {high} {what}"
