"""A study in a notebook."""

import io
from pathlib import Path
from xml.etree import ElementTree as ET

from engine_steps import report
from study_factory import Simulated, write_study
from synthetic import study as synthetic_study

from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.notebook import LineProgress, study_html
from tune.views.study import open_study


def test_the_answer_is_well_formed_and_names_are_escaped(tmp_path: Path) -> None:
    what = Simulated(trials=6, refined=3, epochs=3, confirm_seeds=5, name="<script>a & b</script>")
    study = open_study(write_study(tmp_path / "s", what))
    use = study.answer()
    assert use is not None
    text = study_html(study, use)
    assert "<script>" not in text
    tree = ET.fromstring(f"<div>{text}</div>")
    said = [" ".join(part.itertext()) for part in tree.iter("p")]
    assert said[0].startswith("<script>a & b</script>")
    assert said[1] == use.sentences[0]
    rows = [[cell.text for cell in row] for row in tree.iter("tr")]
    assert rows[0] == ["parameter", "use", "default"]
    assert len(rows) == 1 + len(use.values)
    assert study._repr_html_() == text


def test_progress_is_one_line_that_is_written_over(tmp_path: Path) -> None:
    engine = Engine(Recorder(synthetic_study(), TableStore(tmp_path)), lambda: 1)
    out = io.StringIO()
    view = LineProgress(out, every_s=0.0)
    view.begin(engine, open_folder(tmp_path))
    engine.next_run("t1")
    for epoch in (1, 2):
        engine.on_message("t1", report(epoch, 1 / epoch))
        view._next = 0.0
        view.tick()
    view.end()
    view.end()
    lines = out.getvalue().split("\r")
    assert lines[0] == ""
    assert [line.split(" · ")[1] for line in lines[1:]] == ["screen: 1 running"] * 3
    assert "2 epochs" in lines[-1]
    assert out.getvalue().count("\n") == 1
