"""The words in the tables."""

import json

from tune.states import Kind, Origin, Phase, TrialState, Verdict


def test_the_words_are_those_of_the_tables() -> None:
    assert [*TrialState] == ["started", "done", "pruned", "failed"]
    assert [*Phase] == ["screen", "refine", "race", "confirm"]
    assert [*Origin] == ["default", "known", "sampler"]
    assert [*Verdict] == ["better", "worse", "equivalent", "undecided"]


def test_a_word_is_written_as_plain_text() -> None:
    assert f"{TrialState.DONE}" == "done"
    assert json.dumps({"kind": Kind.WINNER}) == '{"kind": "winner"}'


def test_kinds_of_plan_rows_differ() -> None:
    assert len({kind.value for kind in Kind}) == len(Kind)
