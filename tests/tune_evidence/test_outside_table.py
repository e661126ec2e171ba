"""A table from elsewhere, as models with runs; who speaks is the unit where it says so."""

from pathlib import Path

import numpy as np
import pytest

from hscl.errors import InputError
from tune.evidence.outside_table import read_results

HEAD = "model,seed,utterance,video,prediction,label"
ROWS = [f"{model},s,{u},v{u % 2},0.5,1.0" for model in "ab" for u in range(4)]


def _file(folder: Path, head: str, rows: list[str]) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_models_have_their_runs_and_videos_are_numbered(tmp_path: Path) -> None:
    found = read_results(_file(tmp_path, HEAD, ROWS))
    assert [model.name for model in found.models] == ["a", "b"]
    assert found.models[0].predictions.shape == (1, 4)
    assert found.models[0].finite.all()
    assert found.unit == "video"
    assert found.videos.tolist() == [0, 1, 0, 1]


def test_speakers_are_the_unit_where_the_table_names_them(tmp_path: Path) -> None:
    rows = [f"{row},{'Ann' if i % 4 < 3 else ''}" for i, row in enumerate(ROWS)]
    found = read_results(_file(tmp_path, HEAD + ",speaker", rows))
    assert found.unit == "speaker"
    assert len(set(found.videos[:3].tolist())) == 1
    assert found.videos[3] != found.videos[0]


def test_a_run_that_lacks_an_utterance_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model b, seed s has 3 of 4; it lacks v1/3"):
        read_results(_file(tmp_path, HEAD, ROWS[:-1]))


def test_a_column_that_comes_twice_is_named(tmp_path: Path) -> None:
    for again in ("label", "speaker"):
        head = f"{HEAD},{again}" + ",speaker" * (again == "speaker")
        rows = [row + ",1.0" * (head.count(",") - HEAD.count(",")) for row in ROWS]
        with pytest.raises(InputError, match=f"each column once, but '{again}' comes 2 times"):
            read_results(_file(tmp_path, head, rows))


def test_utterances_that_name_no_video_are_their_own(tmp_path: Path) -> None:
    rows = [f"{model},s,{u},{'v' if u > 1 else ''},0.5,1.0" for model in "ab" for u in range(4)]
    found = read_results(_file(tmp_path, HEAD, rows))
    assert not found.videos_named
    assert len(set(found.videos.tolist())) == 3  # two of their own, and v
    assert read_results(_file(tmp_path, HEAD, ROWS)).videos_named


def test_names_with_slashes_stay_apart(tmp_path: Path) -> None:
    rows = [f"{m},s,{u},{v},0.5,1.0" for m in "ab" for v, u in (("v/1", "2"), ("v", "1/2"))]
    found = read_results(_file(tmp_path, HEAD, rows))
    assert found.utterances == ("v/1/2", "v/1/2")
    assert found.models[0].predictions.shape == (1, 2)


def test_an_infinite_prediction_is_no_result_on_any_labels(tmp_path: Path) -> None:
    """CH-SIMS's labels clip predictions to their range, but not these."""
    for label in ("1.0", "2.5"):
        rows = [row.replace("1.0", label) for row in ROWS]
        rows[0] = rows[0].replace("0.5", "inf")
        found = read_results(_file(tmp_path, HEAD, rows))
        assert found.models[0].finite.tolist() == [False]
        assert np.isnan(found.models[0].predictions[0, 0])
