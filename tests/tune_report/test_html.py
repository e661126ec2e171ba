"""The page is whole, escaped, needs no network, and replaces nothing but an earlier report."""

import base64
import hashlib
import html
import itertools
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from study_factory import Simulated, evidence_of

from hscl.errors import InputError
from tune.charts.figures import charts_of
from tune.evidence.outside import compare_outside
from tune.report.html import (
    GENERATOR,
    make_outside_report,
    make_page,
    make_report,
    put_in_place,
)
from tune.report.text import latex_table, markdown
from tune.tables.storage import open_folder

NASTY = '</script><script>alert("x")</script><img src=x onerror=y> & "quoted" {{ 7*7 }}'
SEARCH = Simulated(trials=8, refined=3, failures=2)
_VOID = {"meta", "br", "img", "link", "input", "hr"}


class _Outline(HTMLParser):
    """What a page's parser sees: elements in order, and that every one is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)


def _page(what: Simulated) -> str:
    report, charts = make_report(evidence_of(what), now=datetime(2026, 3, 3, tzinfo=UTC))
    return make_page(report, charts)


def _outline(page: str) -> _Outline:
    outline = _Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == []
    return outline


@pytest.fixture(scope="module")
def page() -> str:
    return _page(SEARCH)


def test_the_headline_comes_first_and_is_the_only_first_level_heading(page: str) -> None:
    outline = _outline(page)
    levels = [int(tag[1]) for tag, _ in outline.seen if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    report, _ = make_report(evidence_of(SEARCH))
    assert outline.text["h1"] == [report.headline]


def test_language_landmarks_and_a_way_past_the_navigation_are_there(page: str) -> None:
    seen = _outline(page).seen
    tags = [tag for tag, _ in seen]
    assert ("html", {"lang": "en"}) in seen
    assert all(tags.count(tag) == 1 for tag in ("header", "main", "footer", "nav", "title"))
    assert ("a", {"class": "skip", "href": "#main"}) in seen


def test_links_within_the_page_lead_somewhere_and_names_are_unique(page: str) -> None:
    seen = _outline(page).seen
    names = [attributes["id"] for _, attributes in seen if "id" in attributes]
    assert len(names) == len(set(names))
    links = [a["href"] for tag, a in seen if tag == "a"]
    assert all(link and link.startswith("#") and link[1:] in names for link in links)
    labelled = [a["aria-labelledby"] for _, a in seen if "aria-labelledby" in a]
    assert set(labelled) <= set(names)


def test_each_figure_has_a_text_alternative_and_a_table_of_its_data(page: str) -> None:
    seen = _outline(page).seen
    charts = charts_of(evidence_of(SEARCH))
    drawn = [a for _, a in seen if a.get("class") == "plot"]
    assert [a["id"] for a in drawn] == [f"plot-{name}" for name in charts]
    for attributes, chart in zip(drawn, charts.values(), strict=True):
        assert attributes["role"] == "img"
        assert attributes["aria-label"] == chart.alternative
        for cell in chart.rows[0]:
            assert html.escape(cell) in page or cell in page


def test_nothing_in_the_page_points_outside_it(page: str) -> None:
    for tag, attributes in _outline(page).seen:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)


def test_the_policy_allows_its_two_scripts_by_hash_and_nothing_else(page: str) -> None:
    policy = next(
        a["content"] for tag, a in _outline(page).seen if "http-equiv" in a and tag == "meta"
    )
    assert policy is not None
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == ["'none'"]
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 2
    assert rules["script-src"] == [
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    ]


def test_plotly_is_in_the_page_once(page: str) -> None:
    assert len(re.findall(r"\* plotly\.js \(cartesian - minified\) v\d", page)) == 1
    assert len(page.encode()) < 2_000_000


def test_names_from_the_study_are_text_and_nothing_else() -> None:
    what = Simulated(
        sampler="random",
        trials=6,
        refined=3,
        name=NASTY,
        known=((NASTY, "loss.temperature", 0.2), ("<b>b</b>", "loss.temperature", 0.3)),
    )
    page = _page(what)
    outline = _outline(page)
    tags = [tag for tag, _ in outline.seen]
    assert tags.count("script") == 4
    assert "img" not in tags
    assert "b" not in tags
    assert NASTY in "".join(outline.text["title"])
    figures = _json(page, "figures")
    assert "<b>b</b>" not in json.dumps(figures)
    assert "&lt;b&gt;b&lt;/b&gt;" in json.dumps(figures)


def test_predictions_made_elsewhere_have_a_page_that_is_as_closed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["model,seed,utterance,video,prediction,label"]
    models = (("old", 0.9, "abcdef"), ("<b>b</b>", 0.5, "abcdef"), ("x", 1, "uvw"))
    lines += [
        f"{model},{seed},{k % 4},v{k // 4},{y + rng.normal(0, error)},{y}"
        for model, error, seeds in models
        for seed in seeds
        for k, y in enumerate(np.linspace(-3, 3, 40))
    ]
    file = tmp_path / "results.csv"
    file.write_text("\n".join(lines))
    report, charts = make_outside_report(compare_outside(file), "hscl compare")
    page = make_page(report, charts, "hscl compare")
    seen = _outline(page).seen
    assert report.headline.startswith("Of 2 models against old, on videos like these: 1 better")
    assert "b" not in [tag for tag, _ in seen]
    assert not any("src" in attributes for _, attributes in seen)
    (forest,) = charts
    assert [row[-1].count(":") for row in forest.rows] == [6, 0]  # what is not paired has no seeds
    names = [attributes["id"] for _, attributes in seen if "id" in attributes]
    assert len(names) == len(set(names))
    assert "two independent groups" in page


def _json(page: str, name: str) -> dict[str, object]:
    text = re.findall(rf'id="{name}">(.*?)</script>', page, flags=re.DOTALL)[0]
    loaded: dict[str, object] = json.loads(text)
    return loaded


def test_the_figures_in_the_page_are_the_notebooks_figures(page: str) -> None:
    figures = _json(page, "figures")
    charts = charts_of(evidence_of(SEARCH))
    assert figures == {name: json.loads(c.figure.to_json()) for name, c in charts.items()}


def test_damage_is_told_at_the_top() -> None:
    from dataclasses import replace

    from tune.tables.salvage import Damage

    evidence = evidence_of(SEARCH)
    hurt = replace(evidence, damages=(Damage("reports", "tables/reports/1.parquet", "is gone"),))
    report, charts = make_report(hurt)
    page = make_page(report, charts)
    assert page.index("tables/reports/1.parquet is gone") < page.index("<main")


def test_the_same_study_gives_the_same_page(page: str) -> None:
    assert _page(SEARCH) == page


def test_a_report_replaces_an_earlier_one_and_leaves_no_other_file(tmp_path: Path) -> None:
    study = open_folder(tmp_path)
    for content in (f"<!-- {GENERATOR} --> old", f"<!-- {GENERATOR} --> new"):
        assert put_in_place(content, None, study, "report.html") == f"{tmp_path}/report.html"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text().endswith("new")


def test_whatever_a_report_was_written_as_is_known_again(tmp_path: Path, page: str) -> None:
    evidence, study = evidence_of(SEARCH), open_folder(tmp_path)
    made = markdown(make_report(evidence)[0], GENERATOR)
    for content in (page, made, latex_table(evidence, GENERATOR)):
        (tmp_path / "report").write_text(content)
        put_in_place("new", None, study, "report")
        assert (tmp_path / "report").read_text() == "new"


@pytest.mark.parametrize(
    "content",
    [
        b"my thesis",
        b"",
        b"\x00" * 100,
        b"# My project\nRun `hscl report runs/mosi` to see the evidence.\n",
        b"% made with hscl report; see notes\n",
        b"<!doctype html>\n<p>hscl report</p>",
    ],
)
def test_a_file_that_is_no_report_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "report.html"
    target.write_bytes(content)
    with pytest.raises(InputError, match="must be free or an earlier report"):
        put_in_place(GENERATOR, target, open_folder(tmp_path), "report.html")
    assert target.read_bytes() == content


def test_out_may_be_a_folder_a_new_file_or_nothing_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_folder(tmp_path / "study")
    assert put_in_place("x", tmp_path, study, "report.md") == f"{tmp_path}/report.md"
    assert put_in_place("x", tmp_path / "a.html", study, "report.html") == f"{tmp_path}/a.html"
    monkeypatch.chdir(tmp_path)
    put_in_place("here", "b.html", study, "report.html")
    assert (tmp_path / "b.html").read_text() == "here"
    with pytest.raises(InputError, match="folder that exists"):
        put_in_place("x", tmp_path / "none" / "c.html", study, "report.html")
