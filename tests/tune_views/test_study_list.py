"""All studies of a folder at a glance."""

import io
import shutil
from collections import Counter
from pathlib import Path

from rich.console import Console
from study_factory import Simulated, write_study

from tune.evidence.gather import gather
from tune.report.headline import headline_of
from tune.tables.storage import open_folder
from tune.views.search_text import ending_lines
from tune.views.study import open_study
from tune.views.study_list import list_studies, render_list


def test_every_study_has_a_row_with_state_best_verdict_and_age(tmp_path: Path) -> None:
    write_study(tmp_path / "over", Simulated(trials=5, refined=2, gap=-0.2))
    small = Simulated(trials=4, epochs=3, confirm_seeds=2, refined=1, until="screen")
    write_study(tmp_path / "half way", small)
    shutil.copytree(tmp_path / "half way", tmp_path / "broken")
    (tmp_path / "broken" / "study.toml").write_text("[study")
    (tmp_path / "other").mkdir()
    found = {one.folder: one for one in list_studies(open_folder(tmp_path))}
    assert list(found) == ["broken", "half way", "over"]
    compared = open_study(tmp_path / "over").comparison()
    assert compared is not None
    assert compared.primary is not None
    assert found["over"].verdict == compared.primary.verdict is not None
    assert found["half way"].verdict is None
    assert "readable study file" in str(found["broken"].problem)
    console = Console(file=io.StringIO(), width=400, record=True)
    console.print(render_list(list(found.values())))
    broken, half_way, done = console.export_text().splitlines()[1:]
    assert broken.startswith("broken    can't be read ")
    assert "readable study file" in broken
    assert "unfinished" in half_way
    over = found["over"].status
    assert over is not None
    assert over.summary.best is not None
    assert f"{over.summary.best.value_text()}, " in done
    assert " ago" in done
    assert found["over"].to_dict()["alive"] == "done"


def test_a_damaged_study_is_listed_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    small = Simulated(trials=4, epochs=3, confirm_seeds=2, refined=1, until="screen")
    write_study(tmp_path / "sound", small)
    shutil.copytree(tmp_path / "sound", tmp_path / "broken")
    for part in (tmp_path / "broken" / "tables" / "configs").glob("*.parquet"):
        part.write_bytes(b"broken")
    broken, sound = list_studies(open_folder(tmp_path))
    assert sound.problem is None
    assert broken.problem is None  # its configurations are without names, and its trials are told
    assert broken.status is not None
    assert sound.status is not None
    assert broken.status.summary.trials == sound.status.summary.trials
    (running,) = broken.status.summary.running
    assert running.epochs == 3
    for part in (tmp_path / "broken" / "tables" / "trials").glob("*.parquet"):
        part.write_bytes(b"broken")
    broken, sound = list_studies(open_folder(tmp_path))
    assert sound.problem is None
    assert "must be a whole Parquet file" in str(broken.problem)


def test_a_list_s_answer_is_the_same_on_every_screen(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "four", Simulated(sampler="list", confirm_seeds=5, epochs=3))
    study = open_study(folder)
    compared = study.comparison()
    assert compared is not None
    (told,) = list_studies(open_folder(tmp_path))
    counts = Counter(str(pair.verdict) for pair in compared.others)
    assert sorted(str(told.verdict).split(", ")) == sorted(f"{n} {v}" for v, n in counts.items())
    first, *_ = ending_lines(study)
    assert first.startswith("Of 4 configurations against the default, on videos like these: ")
    assert all(f"{number} {verdict}" in first for verdict, number in counts.items())
    assert study.answer_text() == f"{first}\n\n"
    assert headline_of(gather(open_folder(folder))) == first


def test_a_study_itself_is_no_list(tmp_path: Path) -> None:
    small = Simulated(trials=3, epochs=2, confirm_seeds=0, refined=0, until="screen")
    folder = write_study(tmp_path / "s", small)
    assert list_studies(open_folder(folder)) == []
    assert list_studies(open_folder(tmp_path / "nowhere")) == []
