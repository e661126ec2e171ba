"""Tables → matrices: rows found by name, gaps kept and told apart."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_study import study

from tune.evidence.pairing import pair_runs, units_of
from tune.states import TrialState
from tune.tables.fold import fold
from tune.tables.records import TrialRecord
from tune.tables.schemas import to_arrow

ITEMS = [("v1", "0"), ("v1", "1"), ("v2", "0"), ("v3", "7")]
LABELS = [1.0, -0.4, 0.0, 2.2]


def _event(seq: int, config: str, seed: int, state: str, **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "trial_id": f"{config}-{seed}",
        "config_id": config,
        "phase": "confirm",
        "seed": seed,
        "attempt": 0,
        "state": state,
        "time": datetime(2024, 1, 1, tzinfo=UTC),
    } | more


def _prediction(trial: str, item: int, value: float, split: str = "test") -> dict[str, Any]:
    video, utterance = ITEMS[item]
    return {
        "trial_id": trial,
        "split": split,
        "utterance": utterance,
        "video": video,
        "label": LABELS[item],
        "prediction": value,
    }


def _study() -> tuple[pa.Table, pa.Table]:
    events: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for config in ("aa", "bb"):
        for seed in (3, 4, 5):
            events += [_event(len(events), config, seed, "started")]
            events += [_event(len(events), config, seed, "done")]
            for item in range(4):
                value = item + seed / 10 + (100 if config == "bb" else 0)
                rows.append(_prediction(f"{config}-{seed}", item, value))
                rows.append(_prediction(f"{config}-{seed}", item, -1.0, "valid"))
    return to_arrow("trials", events), to_arrow("predictions", rows)


def _folded(trials: pa.Table) -> dict[str, TrialRecord]:
    none = {name: to_arrow(name, []) for name in ("configs", "reports", "plan")}
    return fold(study(), none | {"trials": trials}).trials


def test_every_prediction_stands_where_its_names_say() -> None:
    trials, predictions = _study()
    runs = pair_runs(_folded(trials), predictions, ["bb", "aa"], [5, 3, 4], "test")
    assert runs.predictions.shape == (2, 3, 4)
    assert runs.utterances == ("v1/0", "v1/1", "v2/0", "v3/7")
    for c, config in enumerate(["bb", "aa"]):
        for s, seed in enumerate([5, 3, 4]):
            base = 100 if config == "bb" else 0
            assert list(runs.predictions[c, s]) == [base + i + seed / 10 for i in range(4)]
    assert list(runs.labels) == LABELS
    assert list(runs.videos) == [0, 0, 1, 2]
    assert runs.video_count == 3
    assert runs.videos_named
    assert runs.problems == ()


def test_the_order_of_rows_does_not_matter() -> None:
    trials, predictions = _study()
    shuffle = np.random.default_rng(0).permutation(predictions.num_rows)
    back = pa.array(range(trials.num_rows - 1, -1, -1))
    one = pair_runs(_folded(trials), predictions, ["aa", "bb"], [3, 4, 5], "test")
    other = pair_runs(
        _folded(trials.take(back)),
        predictions.take(pa.array(shuffle)),
        ["aa", "bb"],
        [3, 4, 5],
        "test",
    )
    assert np.array_equal(one.predictions, other.predictions)
    assert one.utterances == other.utterances
    assert np.array_equal(one.videos, other.videos)


def test_splits_stay_apart() -> None:
    trials, predictions = _study()
    runs = pair_runs(_folded(trials), predictions, ["aa"], [3], "valid")
    assert (runs.predictions == -1.0).all()


def test_failed_running_and_unknown_trials_have_no_predictions_but_a_state() -> None:
    trials, predictions = _study()
    more = [
        _event(90, "aa", 3, "failed", error="CUDA out of memory"),
        _event(91, "aa", 4, "started"),
    ]
    trials = pa.concat_tables([trials, to_arrow("trials", more)])
    outcomes = _folded(trials)
    runs = pair_runs(outcomes, predictions, ["aa", "bb"], [3, 4, 5, 6], "test")
    assert runs.states[0] == (TrialState.FAILED, TrialState.STARTED, TrialState.DONE, None)
    assert list(runs.finished("aa")) == [False, False, True, False]
    assert list(runs.finished("bb")) == [True, True, True, False]
    assert (runs.failures("aa"), runs.failures("bb")) == (1, 0)
    assert outcomes["aa-3"].error == "CUDA out of memory"


def test_a_run_that_lacks_predictions_is_left_out_and_named() -> None:
    trials, predictions = _study()
    keep = pa.array(
        [
            not (row["trial_id"] == "aa-4" and row["video"] == "v2") and row["trial_id"] != "bb-5"
            for row in predictions.to_pylist()
        ]
    )
    runs = pair_runs(_folded(trials), predictions.filter(keep), ["aa", "bb"], [3, 4, 5], "test")
    assert list(runs.finished("aa")) == [True, False, True]
    assert list(runs.finished("bb")) == [True, True, False]
    assert runs.failures("aa") == 0
    assert any("aa-4 lacks 1 of 4" in problem for problem in runs.problems)
    assert any("bb-5 is finished but has no test" in problem for problem in runs.problems)


def test_without_video_names_each_utterance_is_its_own_and_that_is_said() -> None:
    trials, predictions = _study()
    column = predictions.schema.get_field_index("video")
    blank = pa.array([""] * predictions.num_rows)
    unnamed = predictions.set_column(column, "video", blank)
    numbered = unnamed.set_column(
        predictions.schema.get_field_index("utterance"),
        "utterance",
        pa.array([f"{r['video']}{r['utterance']}" for r in predictions.to_pylist()]),
    )
    runs = pair_runs(_folded(trials), numbered, ["aa"], [3, 4], "test")
    assert not runs.videos_named
    assert runs.video_count == 4


def test_nothing_in_the_tables_gives_an_empty_matrix() -> None:
    trials, predictions = _study()
    runs = pair_runs({}, predictions.slice(0, 0), ["aa", "bb"], [3], "test")
    assert runs.predictions.shape == (2, 1, 0)
    assert runs.video_count == 0
    lost = pair_runs(_folded(trials), predictions.slice(0, 0), ["aa"], [3], "test")
    assert lost.problems == ("1 finished runs have no test predictions",)


@pytest.mark.parametrize("chunks", [1, 5])
def test_tables_in_several_chunks_read_alike(chunks: int) -> None:
    trials, predictions = _study()
    step = -(-predictions.num_rows // chunks)
    parts = [predictions.slice(i, step) for i in range(0, predictions.num_rows, step)]
    runs = pair_runs(_folded(trials), pa.concat_tables(parts), ["aa", "bb"], [3, 4, 5], "test")
    whole = pair_runs(_folded(trials), predictions, ["aa", "bb"], [3, 4, 5], "test")
    assert np.array_equal(runs.predictions, whole.predictions)


def test_the_unit_is_the_speaker_where_any_is_known_and_else_the_video() -> None:
    videos = np.array([0, 0, 1, 2, 3])
    codes, unit = units_of(videos, ["Ann", "Bob", "Ann", None, None])
    assert unit == "speaker"
    assert codes[0] == codes[2] != codes[1]
    assert len(set(codes.tolist())) == 4  # Ann, Bob, and two videos whose speaker is not known
    same, unit = units_of(videos, [None] * 5)
    assert unit == "video"
    assert same.tolist() == videos.tolist()


def test_videos_and_utterances_with_slashes_in_their_names_stay_apart() -> None:
    trials, _ = _study()
    rows = [
        _prediction("aa-3", item, value) | {"video": video, "utterance": utterance}
        for item, (value, video, utterance) in enumerate([(0.5, "v/1", "2"), (0.7, "v", "1/2")])
    ]
    runs = pair_runs(_folded(trials), to_arrow("predictions", rows), ["aa"], [3], "test")
    assert runs.utterances == ("v/1/2", "v/1/2")
    assert sorted(zip(runs.predictions[0, 0], runs.labels, strict=True)) == [
        (0.5, 1.0),
        (0.7, -0.4),
    ]
    assert runs.video_count == 2


def test_an_infinite_prediction_is_no_result_where_predictions_are_clipped() -> None:
    trials, predictions = _study()
    rows = predictions.to_pylist()
    first = next(r for r in rows if (r["trial_id"], r["split"]) == ("aa-3", "test"))
    first["prediction"] = np.inf
    runs = pair_runs(_folded(trials), to_arrow("predictions", rows), ["aa"], [3, 4], "test")
    assert runs.clipped(1.0).finished("aa").tolist() == [False, True]
