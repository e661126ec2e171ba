"""The worlds that break claims, in a few studies each: they run, and what must never be is not."""

import numpy as np
import pytest

from calibrated.broken import BrokenCell, BrokenResult, broken_cells, run_broken_cell

CELLS = {(cell.name, cell.pairs): cell for cell in broken_cells()}


def _run(name: str, pairs: int = 10, studies: int = 60) -> BrokenResult:
    cell: BrokenCell = CELLS[name, pairs]
    found = run_broken_cell(cell, max(studies // cell.studies, 1), np.random.default_rng(0))
    assert len(found.line().splitlines()) == 1
    return found


def test_collapses_on_one_side_make_no_claim_false_as_it_is_worded() -> None:
    found = _run("20 % of a's runs collapse")
    assert found.false(as_worded=True).value <= 0.1
    assert found.false(as_worded=False).value == pytest.approx(found.saying("BW").value)


def test_six_speakers_give_no_verdict_and_fifteen_give_one() -> None:
    assert _run("6 speakers", studies=5).saying("-").value == 1.0
    assert _run("15 speakers", studies=5).saying("-").value == 0.0


def test_three_finalists_claim_no_more_than_one() -> None:
    assert sum(_run("three finalists").any_claim) <= 9


def test_the_same_draws_give_the_same_answers() -> None:
    first, second = (_run("lognormal(1) lengths", studies=20) for _ in range(2))
    assert first.said == second.said
    assert len(first.said) == 20


def test_shared_styles_and_lost_runs_are_drawn_too() -> None:
    assert _run("six styles, valid and test", studies=5).said
    assert _run("a's worst 30 % fail, MOSI", studies=5).said
