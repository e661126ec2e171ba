"""Figures as files: drawn by a real browser, or refused in a sentence."""

import re
import shutil
import struct
from pathlib import Path

import pytest
from study_factory import Simulated, evidence_of

from hscl.errors import InputError, RunError
from tune.charts.figures import charts_of
from tune.charts.theme import Chart
from tune.report.pictures import BROWSERS, write_pictures


@pytest.fixture(scope="module")
def charts() -> list[Chart]:
    grid = Simulated(sampler="grid", confirm_seeds=5, epochs=3)
    return [c for c in charts_of(evidence_of(grid)).values() if c.name.startswith("heat-map")]


@pytest.mark.browser
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser is there")
def test_each_figure_is_written_in_three_forms_of_one_size(
    charts: list[Chart], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "plots"
    written = write_pictures(charts, folder)
    assert sorted(written) == sorted(folder.iterdir())
    assert [path.suffix for path in written] == [".png", ".svg", ".pdf"]
    png, svg, pdf = (path.read_bytes() for path in written)
    width, height = struct.unpack(">II", png[16:24])
    assert height == 3 * charts[0].figure.layout.height
    assert re.search(rf'<svg[^>]* width="{width // 3}" height="{height // 3}"'.encode(), svg)
    assert b"temperature" in svg
    (box,) = re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", pdf)  # one page
    assert [float(side) for side in box] == pytest.approx([width / 4, height / 4], abs=1)
    assert b"/FontFile2" in pdf  # text, not a picture of it
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        write_pictures(charts, folder)


def test_without_a_browser_a_sentence_says_what_to_do(
    charts: list[Chart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs a Chromium or Chrome"):
        write_pictures(charts, tmp_path / "plots")
    assert not (tmp_path / "plots").exists()


def test_a_browser_that_fails_is_named_with_its_last_words(
    charts: list[Chart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(RunError, match="no display"):
        write_pictures(charts, tmp_path / "plots")
    fake.write_text("#!/bin/sh\necho '<html></html>'\n")
    with pytest.raises(RunError, match="without them"):
        write_pictures(charts, tmp_path / "plots")
    assert not (tmp_path / "plots").exists()
