"""The report in a real browser: drawn, silent, alone, fit for a phone, for the dark, for paper."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium
from study_factory import Simulated, evidence_of

from tune.charts.figures import charts_of
from tune.charts.theme import DARK, LIGHT
from tune.evidence.search.trials import trials_table
from tune.report.html import make_page, make_report

pytestmark = pytest.mark.browser

STUDIES = {
    "search": Simulated(trials=12, refined=3, failures=1, name="</script> <b>x</b>"),
    "list": Simulated(sampler="list", confirm_seeds=5, epochs=3),
    "grid": Simulated(sampler="grid", confirm_seeds=5, epochs=3),
    "running": Simulated(until="screen", trials=12),
}
VIEWS = [(1280, False), (1280, True), (390, False), (390, True)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, what in STUDIES.items():
        report, charts = make_report(evidence_of(what))
        (folder / f"{name}.html").write_text(make_page(report, charts), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in STUDIES}


@pytest.fixture(scope="module")
def running() -> Iterator[Chromium]:
    with Chromium() as chromium:
        yield chromium


@pytest.fixture
def browser(running: Chromium) -> Chromium:
    running.errors.clear()
    running.requests.clear()
    return running


@pytest.mark.parametrize("study", STUDIES)
def test_every_figure_is_drawn_without_an_error_or_a_request(
    browser: Chromium, pages: dict[str, Path], study: str
) -> None:
    for width, dark in VIEWS:
        browser.view(width, 900, dark=dark)
        browser.open(pages[study])
        drawn = browser.run("document.querySelectorAll('.plot svg.main-svg').length > 0")
        empty = browser.run(
            "[...document.querySelectorAll('.plot')].filter(p => !p.querySelector('svg')).length"
        )
        assert drawn
        assert empty == 0
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelectorAll('.plot').length") == len(
        charts_of(evidence_of(STUDIES[study]))
    )
    assert browser.errors == []
    assert {url.split(":")[0] for url in browser.requests} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in browser.requests) == len(VIEWS)


def test_figures_follow_the_readers_scheme_while_the_page_is_open(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    text = "getComputedStyle(document.querySelector('.plot .annotation-text')).fill"
    browser.view(1280, 900)
    browser.open(pages["search"])
    assert browser.run(text) == _css(LIGHT.ink)
    browser.view(1280, 900, dark=True)
    browser.wait(f"{text} === '{_css(DARK.ink)}'")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == _css(DARK.page)
    browser.view(1280, 900)
    browser.wait(f"{text} === '{_css(LIGHT.ink)}'")


def test_a_figure_is_saved_as_png_and_svg_in_light_colours(
    browser: Chromium, pages: dict[str, Path], tmp_path: Path
) -> None:
    browser.view(1280, 900, dark=True)
    browser.open(pages["grid"])
    browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for number, form in enumerate(("png", "svg"), start=1):
        browser.run(
            f"document.querySelector('#learning-curves button[data-save$={form}]').click()"
        )
        deadline = time.monotonic() + 30.0
        while len(list(tmp_path.glob("*.[ps][nv]g"))) < number:
            assert time.monotonic() < deadline, browser.errors
            time.sleep(0.05)
    assert (tmp_path / "learning-curves.png").read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "learning-curves.svg").read_text(encoding="utf-8")
    assert _css(LIGHT.winner) in drawn or _css(LIGHT.ink) in drawn
    assert _css(DARK.ink) not in drawn
    assert browser.errors == []


def test_paper_is_white_and_figures_on_it_are_drawn_in_light_colours(
    browser: Chromium, pages: dict[str, Path], tmp_path: Path
) -> None:
    browser.view(1280, 900, dark=True)
    browser.open(pages["search"])
    browser.run(
        "window.seen = []; window.addEventListener('beforeprint', () => window.seen.push("
        "getComputedStyle(document.querySelector('.plot .annotation-text')).fill))"
    )
    browser.print(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert browser.run("window.seen") == [_css(LIGHT.ink)]
    assert browser.errors == []


def test_the_policy_stops_foreign_scripts_and_requests(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.view(1280, 900)
    browser.open(pages["search"])
    browser.run(
        "{ const s = document.createElement('script'); s.textContent = 'window.ran = 1'; "
        "document.body.append(s); }"
    )
    assert browser.run("window.ran === undefined")
    assert (
        browser.run("fetch('data:text/plain,x').then(() => 'sent', () => 'refused')") == "refused"
    )
    assert any("Content Security Policy" in error for error in browser.errors)


def test_tables_scroll_by_keyboard_and_details_open(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.view(390, 844)
    browser.open(pages["search"])
    regions = "[...document.querySelectorAll('.scroll, .wide')]"
    assert browser.run(f"{regions}.every(e => e.tabIndex === 0 && e.getAttribute('aria-label'))")
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_a_click_on_a_head_sorts_the_trials_by_numbers_and_a_second_one_turns_them(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.view(1280, 900, dark=False)
    browser.open(pages["search"])
    rows = trials_table(evidence_of(STUDIES["search"])).to_pylist()
    table = "document.querySelector('#trials ~ .scroll table[data-sortable]')"

    def numbers(head: str) -> list[int]:
        click = f"[...{table}.querySelectorAll('.sort')].find(b => b.textContent === '{head}')"
        browser.run(f"{click}.click()")
        found = browser.run(f"[...{table}.tBodies[0].rows].map(r => +r.cells[0].textContent)")
        assert isinstance(found, list)
        return found

    rising = sorted(rows, key=lambda row: float(f"{row['loss.temperature']:.3g}"))
    assert numbers("temperature") == [row["number"] for row in rising]
    assert numbers("temperature") == [row["number"] for row in rising][::-1]
    tested = numbers("test MAE")
    with_test = [row["number"] for row in rows if row["test"] is not None]
    assert set(tested[: len(with_test)]) == set(with_test)  # gaps stand last
    assert browser.errors == []


@pytest.mark.parametrize("study", STUDIES)
def test_axe_finds_nothing_serious(browser: Chromium, pages: dict[str, Path], study: str) -> None:
    axe = os.environ.get("HSCL_AXE")
    if axe is None:
        pytest.skip("set HSCL_AXE to axe.min.js of the npm package axe-core")
    for width, dark in VIEWS:
        browser.view(width, 900, dark=dark)
        browser.open(pages[study])
        browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        browser.run(Path(axe).read_text(encoding="utf-8") + "\n;0")
        found = browser.run("axe.run(document).then(r => r.violations.map(v => [v.id, v.impact]))")
        assert found == []


def _css(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"
