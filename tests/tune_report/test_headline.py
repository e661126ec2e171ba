"""The headline says what is known and no more."""

from dataclasses import replace
from pathlib import Path

import pytest
from study_factory import Simulated, evidence_of, write_study

from tune.evidence.gather import Evidence, gather
from tune.evidence.pair import Judgement
from tune.report.headline import facts_of, headline_of, lead_of, verdict_of
from tune.report.html import make_report
from tune.states import Verdict
from tune.tables.storage import open_folder

SMALL = Simulated(trials=8, refined=3, gap=-0.12, seed=1, failures=1)


def _with_verdict(verdict: Verdict | None, *, below: bool = False) -> Evidence:
    evidence = evidence_of(SMALL)
    compared = evidence.comparison
    assert compared is not None
    assert compared.primary is not None
    told = Judgement(verdict, below_margin=below, reason="so it is")
    pair = replace(compared.primary, judgement=told)
    return replace(evidence, comparison=replace(compared, primary=pair))


@pytest.mark.parametrize("verdict", [*Verdict, None])
def test_the_word_better_stands_only_where_the_verdict_has_it(verdict: Verdict | None) -> None:
    evidence = _with_verdict(verdict)
    said = " ".join((headline_of(evidence), *verdict_of(evidence), *lead_of(evidence)))
    assert ("better" in said) == (verdict is Verdict.BETTER)
    assert verdict_of(evidence)[1] == (str(verdict) if verdict else "none")


def test_each_verdict_has_its_sentence() -> None:
    def said(verdict: Verdict | None, *, below: bool = False) -> tuple[str, str]:
        evidence = _with_verdict(verdict, below=below)
        return headline_of(evidence), lead_of(evidence)[0]

    for verdict in (Verdict.BETTER, Verdict.EQUIVALENT, Verdict.UNDECIDED, None):
        assert said(verdict)[0].startswith("Use configuration ")
    headline, small = said(Verdict.WORSE, below=True)
    assert headline.startswith("Use the default: confirm finds configuration ")
    assert "is worse than the default, by less than the margin of 0.02" in small
    assert "is better than the default: test MAE" in said(Verdict.BETTER)[1]
    assert "equivalent within ± 0.02" in said(Verdict.EQUIVALENT)[1]
    assert said(Verdict.UNDECIDED)[1].startswith("It is undecided whether")
    assert "so it is. On this test set alone, where only seeds vary, " in said(None)[1]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("screen", "configurations are screened; the best valid MAE is"),
        ("refine", "8 configurations screened, 1 of 3 refined; the best valid MAE is"),
        ("confirm", "confirm runs have ended; test stays shut"),
    ],
)
def test_a_running_study_says_so_far_and_claims_nothing(part: str, words: str) -> None:
    evidence = evidence_of(Simulated(until=part, trials=8, refined=3))
    assert headline_of(evidence).startswith("So far: ")
    assert words in headline_of(evidence)
    assert verdict_of(evidence) == ("so far", "running")
    assert lead_of(evidence) == ()
    assert "better" not in headline_of(evidence)


def test_a_list_whose_plan_is_lost_is_told_by_its_trainings(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", Simulated(sampler="list", confirm_seeds=2, epochs=3))
    for part in (folder / "tables" / "plan").glob("*.parquet"):
        part.write_bytes(b"broken")
    evidence = gather(open_folder(folder))
    report, _ = make_report(evidence)
    assert report.headline == f"So far: {len(evidence.trials)} confirm runs ended."
    assert any("tables/plan" in damage for damage in report.damages)


def test_a_table_counts_its_verdicts_and_names_the_few_that_differ() -> None:
    evidence = evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3))
    compared = evidence.comparison
    assert compared is not None
    told = [Verdict.BETTER, Verdict.WORSE, Verdict.UNDECIDED, Verdict.UNDECIDED]
    pairs = tuple(
        replace(p, judgement=Judgement(v)) for p, v in zip(compared.others, told, strict=True)
    )
    said = headline_of(replace(evidence, comparison=replace(compared, others=pairs)))
    assert "1 better (− high), 1 worse (− low) and 2 undecided" in said
    assert "corrected by Holm" in said
    why = replace(
        pairs[0], judgement=Judgement(None, reason="only 4 of 4 seeds have both results")
    )
    said = headline_of(replace(evidence, comparison=replace(compared, others=(why, *pairs[1:]))))
    assert "1 without verdict, because only 4 of 4 seeds have both results" in said


def test_a_table_of_two_is_told_as_the_one_question_that_it_asks() -> None:
    evidence = evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3))
    compared = evidence.comparison
    assert compared is not None
    why = replace(compared.others[0], judgement=Judgement(None, reason="test has 2 speakers"))
    said = headline_of(replace(evidence, comparison=replace(compared, others=(why,))))
    assert said == "No verdict on − high against the default: test has 2 speakers."
    decided = replace(why, judgement=Judgement(Verdict.WORSE))
    two = replace(evidence, comparison=replace(compared, others=(decided,)))
    assert verdict_of(two) == ("worse on videos like these", "worse")
    assert "MAE difference, this test set" in {fact.name for fact in facts_of(two)}


def test_a_search_without_confirm_names_its_choice_and_that_nothing_confirms_it() -> None:
    evidence = evidence_of(Simulated(trials=6, refined=3, confirm_seeds=0, epochs=3))
    assert "nothing confirms it" in headline_of(evidence)


def test_the_facts_hold_both_intervals_the_seeds_and_the_failures() -> None:
    facts = {fact.name: fact for fact in facts_of(evidence_of(SMALL))}
    compared = evidence_of(SMALL).comparison
    assert compared is not None
    assert compared.primary is not None
    assert compared.primary.new_videos is not None
    low = f"{compared.primary.new_videos.low:.4f}".replace("-", "−")
    assert low in facts["MAE difference, videos like these"].note
    assert "MAE difference, this test set" in facts
    assert facts["Failed runs"].value == "0 against 1"
    assert "failed" in facts["Trials"].note
    seed = evidence_of(SMALL).variance.seed
    assert seed is not None
    assert facts["Seed noise, valid MAE"].value == f"sd {seed.sd:.4f}"
