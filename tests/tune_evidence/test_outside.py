"""Predictions made elsewhere: the numbers are SciPy's, and what is unequal is named."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from hscl.errors import InputError
from hscl.metrics import evaluate
from tune.evidence.outside import NEEDED, compare_outside, opening_outside
from tune.evidence.pair import Role
from tune.evidence.sentences import pair_lines
from tune.states import Verdict

VIDEOS, CLIPS = 12, 5
LABELS = np.random.default_rng(0).uniform(-3, 3, VIDEOS * CLIPS)
Row = dict[str, Any]


def _runs(seeds: int, error: float, seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return LABELS + rng.normal(0, error, (seeds, LABELS.size))


def _rows(model: str, predictions: npt.NDArray[np.float64], names: str = "s") -> list[Row]:
    return [
        {
            "model": model,
            "seed": f"{names}{run}",
            "utterance": str(k % CLIPS),
            "video": f"v_{k // CLIPS}",
            "prediction": float(value),
            "label": float(LABELS[k]),
        }
        for run, values in enumerate(predictions)
        for k, value in enumerate(values)
    ]


def _file(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, NEEDED)
        writer.writeheader()
        writer.writerows(rows)
    return path


GOOD, BAD = _runs(8, 0.5, 1), _runs(8, 0.9, 2)


def _scores(predictions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scores: npt.NDArray[np.float64] = np.abs(predictions - LABELS).mean(axis=1)
    return scores


def test_runs_with_the_same_seeds_are_paired_and_the_numbers_are_scipys(tmp_path: Path) -> None:
    path = _file(tmp_path / "r.csv", [*_rows("mine", GOOD), *_rows("theirs", BAD)[::-1]])
    found = compare_outside(path, against="theirs")
    pair = found.primary
    assert pair is not None
    assert (pair.first, pair.second, pair.role) == ("mine", "theirs", Role.PRIMARY)
    expected = stats.ttest_rel(_scores(GOOD), _scores(BAD))
    low, high = expected.confidence_interval(0.95)
    assert pair.this_test_set is not None
    assert (pair.this_test_set.low, pair.this_test_set.high) == pytest.approx((low, high))
    signs = stats.permutation_test(
        (_scores(GOOD) - _scores(BAD),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert pair.sign_flip_p == pytest.approx(signs.pvalue)
    # Seeds × videos, written out: equally long videos, so a cell is a video's mean.
    cells = (np.abs(GOOD - LABELS) - np.abs(BAD - LABELS)).reshape(8, VIDEOS, CLIPS).mean(axis=2)
    by_seed, by_video = cells.mean(axis=1), cells.mean(axis=0)
    rest = cells - by_seed[:, None] - by_video + cells.mean()
    squares = (
        VIDEOS * by_seed.var(ddof=1), 8 * by_video.var(ddof=1), (rest**2).sum() / (7 * 11)
    )  # fmt: skip
    scaled = max(squares[0] + squares[1] - squares[2], squares[2])
    degrees = scaled**2 / (squares[0] ** 2 / 7 + squares[1] ** 2 / 11 + squares[2] ** 2 / 77)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(scaled / (8 * VIDEOS))
    assert pair.new_videos is not None
    assert pair.new_videos.low == pytest.approx(cells.mean() - half)
    assert pair.new_videos.high == pytest.approx(cells.mean() + half)
    assert pair.verdict is Verdict.BETTER
    assert found.names == {"mine": "mine", "theirs": "theirs"}
    assert len(found.notes) == 1
    assert "The data name no speakers" in found.notes[0]
    assert {other.metric for other in found.other_metrics} == {
        "corr", "acc7", "acc5", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0",
    }  # fmt: skip


def test_other_names_of_seeds_are_two_groups_and_that_is_said(tmp_path: Path) -> None:
    rows = [*_rows("theirs", BAD), *_rows("mine", GOOD[:6], names="run")]
    found = compare_outside(_file(tmp_path / "r.csv", rows))
    pair = found.primary
    assert pair is not None
    assert (pair.first, pair.second) == ("mine", "theirs"), (
        "the first in the table is compared with"
    )
    expected = stats.ttest_ind(_scores(GOOD[:6]), _scores(BAD), equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert pair.this_test_set is not None
    assert (pair.this_test_set.low, pair.this_test_set.high) == pytest.approx((low, high))
    assert pair.sign_flip_p is None
    assert pair.verdict is Verdict.BETTER
    assert "mine and theirs name their seeds differently" in found.notes[0]
    assert "wider than that of runs paired by seed" in found.notes[0]


def test_several_models_are_corrected_together(tmp_path: Path) -> None:
    rows = [*_rows("base", BAD), *_rows("a", GOOD), *_rows("b", _runs(8, 0.88, 3))]
    found = compare_outside(_file(tmp_path / "r.csv", rows))
    assert found.primary is None
    first, second = found.others
    assert (first.first, second.first, second.second) == ("a", "b", "base")
    raw = [first.p_value, second.p_value]
    assert None not in raw
    assert first.judgement.p_holm == pytest.approx(2 * min(p for p in raw if p is not None))
    assert first.verdict is Verdict.BETTER


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_all_three_kinds_of_tables_say_the_same(tmp_path: Path, kind: str) -> None:
    rows = [*_rows("a", GOOD), *_rows("b", BAD)]
    expected = compare_outside(_file(tmp_path / "r.csv", rows)).primary
    table = pa.Table.from_pylist(rows)
    path = tmp_path / "r.bin"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with new(str(path), table.schema) as writer:
            writer.write_table(table)
    found = compare_outside(path).primary
    assert found is not None
    assert expected is not None
    assert found.differences == pytest.approx(expected.differences)


def test_too_few_seeds_or_videos_give_no_verdict_and_say_so(tmp_path: Path) -> None:
    few = [*_rows("a", GOOD[:4]), *_rows("b", BAD[:4])]
    pair = compare_outside(_file(tmp_path / "r.csv", few)).primary
    assert pair is not None
    assert pair.verdict is None
    assert "only 4 of 4 seeds have both results" in pair.judgement.reason
    unpaired = [*_rows("a", GOOD[:4]), *_rows("b", BAD, names="run")]
    pair = compare_outside(_file(tmp_path / "r.csv", unpaired)).primary
    assert pair is not None
    assert "only 4 of 4 seeds" in pair.judgement.reason
    narrow = [{**row, "video": "v", "utterance": f"{row['video']}{row['utterance']}"}
              for row in (*_rows("a", GOOD), *_rows("b", BAD))]  # fmt: skip
    pair = compare_outside(_file(tmp_path / "r.csv", narrow)).primary
    assert pair is not None
    assert "the test set has 1 videos, and fewer than 8" in pair.judgement.reason


def test_a_run_with_a_prediction_that_is_no_number_failed_and_is_named(tmp_path: Path) -> None:
    rows = [*_rows("a", GOOD), *_rows("b", BAD)]
    rows[3]["prediction"] = "nan"
    found = compare_outside(_file(tmp_path / "r.csv", rows), against="b")
    assert found.primary is not None
    assert found.primary.failures == (1, 0)
    assert len(found.primary.seeds) == 7
    assert found.primary.verdict is not Verdict.BETTER, "who fails more often can't win"
    assert "a has predictions that are no finite number on seed s0" in found.notes[0]


Change = Callable[[list[Row]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(7), "model a, seed s0 has 59 of 60; it lacks v_1/2"),
        (lambda rows: rows[700].update(label=9.0), "row 701: every row of utterance v_8/0 must"),
        (lambda rows: rows[1].update(label="inf"), "must have one finite label"),
        (lambda rows: rows[1].update(label=""), "row 2: only a prediction may be missing"),
        (lambda rows: rows.append(rows[0]), "model a, seed s0 has utterance v_0/0 twice"),
        (
            lambda rows: rows.__delitem__(slice(480, None)),
            "two models or more; it holds 'a' alone",
        ),
        (lambda rows: rows.clear(), "must hold predictions; it holds none"),
        (lambda rows: rows[5].update(prediction="good"), "it is not .*good"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: Change, message: str) -> None:
    rows = [*_rows("a", GOOD), *_rows("b", BAD)]
    change(rows)
    with pytest.raises(InputError, match=message):
        compare_outside(_file(tmp_path / "r.csv", rows))


def test_a_missing_column_and_unknown_names_are_told_with_the_nearest(tmp_path: Path) -> None:
    rows = [*_rows("mine", GOOD), *_rows("theirs", BAD)]
    path = _file(tmp_path / "r.csv", rows)
    with pytest.raises(InputError, match=r"--against must name a model .* did you mean 'theirs'"):
        compare_outside(path, against="their")
    with pytest.raises(InputError, match=r"the labels of .* got .mea.; did you mean .mae."):
        compare_outside(path, metric="mea")
    path.write_text(path.read_text().replace("video", "vid", 1))
    with pytest.raises(InputError, match=r"'video' is missing .did you mean 'vid'"):
        compare_outside(path)
    with pytest.raises(InputError, match="can't be read"):
        compare_outside(tmp_path / "nothing.csv")


def test_of_several_models_one_sentence_says_who_beats_whom(tmp_path: Path) -> None:
    rows = [*_rows("old", BAD), *_rows("new", GOOD), *_rows("same", BAD)]
    found = compare_outside(_file(tmp_path / "r.csv", rows))
    (told,) = opening_outside(found)
    assert told.startswith("Of 2 models against old, on videos like these: 1 better (new) and 1 ")


def test_labels_of_ch_sims_have_its_metrics_and_predictions_are_clipped(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(-5, 6, VIDEOS * CLIPS) / 5
    runs = {
        model: labels + rng.normal(0, error, (6, labels.size))
        for model, error in (("old", 0.9), ("new", 0.3))
    }
    rows = [
        row | {"label": float(labels[k % labels.size])}
        for model, predictions in runs.items()
        for k, row in enumerate(_rows(model, predictions))
    ]
    found = compare_outside(_file(tmp_path / "sims.csv", rows))
    assert found.metrics == ("mae", "corr", "acc5_sims", "acc3_sims", "acc2_sims", "f1_sims")
    own = [np.mean([evaluate(labels, run, 1.0)["mae"] for run in runs[m]]) for m in runs]
    assert [one.mean for one in found.configs] == pytest.approx(own)
    (acc3,) = [pair for pair in found.other_metrics if pair.metric == "acc3_sims"]
    assert acc3.means[1] == pytest.approx(
        np.mean([evaluate(labels, run, 1.0)["acc3_sims"] for run in runs["old"]])
    )
    assert any("as CH-SIMS's" in note for note in found.notes)
    with pytest.raises(InputError, match=r"--metric must be one that the labels of .* have"):
        compare_outside(tmp_path / "sims.csv", metric="acc7")


@pytest.mark.parametrize("names", ["s", "run"])
def test_a_run_that_collapsed_is_named_by_its_seed(tmp_path: Path, names: str) -> None:
    """Paired and as two groups."""
    flat = BAD.copy()
    flat[5] = 0.1
    found = compare_outside(
        _file(tmp_path / "r.csv", [*_rows("mine", GOOD), *_rows("theirs", flat, names=names)])
    )
    pair = found.primary
    assert pair is not None
    assert (pair.first, pair.fallen) == ("theirs", ((f"{names}5",), ()))
    assert [one.fallen for one in found.configs] == [(), (f"{names}5",)]
    told = " ".join(pair_lines(pair, found.names, found.rules))
    assert f"1 of 8 runs of theirs collapsed or had bad luck (seed {names}5)" in told


def test_groups_of_different_sizes_are_told_with_theirs(tmp_path: Path) -> None:
    """2 of 30 failed is less often than 1 of 6; 7 of 30 is not."""
    many = _runs(30, 0.5, 4)
    for failed, verdict in ((2, Verdict.BETTER), (7, Verdict.UNDECIDED)):
        rows = [*_rows("theirs", BAD[:6]), *_rows("mine", many, names="run")]
        lost = {("theirs", "s0"), *(("mine", f"run{k}") for k in range(failed))}
        for row in rows:
            if (row["model"], row["seed"]) in lost:
                row["prediction"] = ""
        found = compare_outside(_file(tmp_path / "r.csv", rows))
        pair = found.primary
        assert pair is not None
        assert (pair.failures, pair.planned_runs) == ((failed, 1), (30, 6))
        assert pair.verdict is verdict
        told = "\n".join(pair_lines(pair, found.names, found.rules))
        assert f"{30 - failed} of 30 runs against 5 of 6 runs, test set" in told
        assert f"Of 30 and 6 runs: mine {failed} failed" in told
        assert "runs each" not in told


def test_too_few_common_seeds_to_pair_are_counted(tmp_path: Path) -> None:
    found = compare_outside(
        _file(tmp_path / "r.csv", [*_rows("theirs", BAD), *_rows("mine", GOOD[:4])])
    )
    assert "mine and theirs have 4 common seeds, and pairs need 5, so" in found.notes[0]
    assert "name their seeds differently" not in found.notes[0]


def test_a_table_that_names_no_videos_says_so(tmp_path: Path) -> None:
    rows = [
        row | {"video": "", "utterance": f"{row['video']}-{row['utterance']}"}
        for row in (*_rows("a", GOOD), *_rows("b", BAD))
    ]
    found = compare_outside(_file(tmp_path / "r.csv", rows))
    assert found.videos == VIDEOS * CLIPS
    assert "ids name no videos, so each utterance is its own video" in found.notes[0]
