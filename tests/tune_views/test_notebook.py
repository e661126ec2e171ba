"""A study in a notebook."""

from pathlib import Path
from xml.etree import ElementTree as ET

from study_factory import Simulated, write_study

from tune.views.notebook import study_html
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
