"""A table from elsewhere, as models with runs; who speaks is the unit where it says so."""

from pathlib import Path

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
