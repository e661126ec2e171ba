"""A study's figures as PNG, SVG and PDF, drawn by a Chromium that is there.

The page that draws them is the report's library with nothing but figures; its answers are read
from the document that Chromium prints, and each PDF is a page of just the figure's size.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from hscl.errors import InputError, RunError
from tune.charts.theme import Chart
from tune.report.html import BUNDLE

__all__ = ["BROWSERS", "write_pictures"]

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
"""Programs that can draw, in the order in which they are looked for."""

_WIDTHS = {"half": 460, "wide": 960, "usual": 760}  # CSS pixels, 96 an inch
_FORMS = ("png", "svg", "pdf")
_SECONDS = 180
_BEGIN, _END = '<pre id="drawn">', "</pre>"
_DRAW = """
const told = JSON.parse(document.getElementById("figures").textContent);
const draw = async ([name, { data, layout, width }]) => {
  const figure = { data, layout: { ...layout, paper_bgcolor: "#ffffff" } };
  const size = { width, height: layout.height, imageDataOnly: true };
  const svg = await Plotly.toImage(figure, { ...size, format: "svg" });
  const png = await Plotly.toImage(figure, { ...size, format: "png", scale: 3 });
  const bytes = new TextEncoder().encode(svg);
  return [name, [btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join("")), png]];
};
Promise.all(Object.entries(told).map(draw)).then((drawn) => {
  document.getElementById("drawn").textContent = JSON.stringify(Object.fromEntries(drawn));
});
"""


def write_pictures(charts: Sequence[Chart], folder: Path) -> list[Path]:
    """Write each figure as NAME.png, NAME.svg and NAME.pdf.

    Args:
        charts: The figures.
        folder: New, empty, or holding nothing but earlier ones.

    Returns:
        The files.

    Raises:
        InputError: No browser is there, or the folder holds something else.
        RunError: The browser fails, or the disk refuses.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise InputError(
            f"--plots needs a Chromium or Chrome to draw with, but none of {', '.join(BROWSERS)} "
            "is on the PATH; install one, or save figures one by one from the report's page"
        )
    wanted = [
        folder / f"{chart.name}.{form}" for chart in charts for form in ("png", "svg", "pdf")
    ]
    if folder.exists() and (
        not folder.is_dir() or {path.name for path in folder.iterdir()} - {p.name for p in wanted}
    ):
        raise InputError(
            f"--plots must be a new or empty folder, or one of earlier plots, but {folder} holds "
            "something else; choose another"
        )
    try:
        with tempfile.TemporaryDirectory(prefix="hscl-plots-") as room:
            drawn = _drawn(browser, charts, Path(room))
            folder.mkdir(parents=True, exist_ok=True)
            for chart in charts:
                svg, png = (base64.b64decode(part) for part in drawn[chart.name])
                (folder / f"{chart.name}.svg").write_bytes(svg)
                (folder / f"{chart.name}.png").write_bytes(png)
                size = _width(chart), int(chart.figure.layout.height)
                _print(browser, svg.decode(), size, folder / f"{chart.name}.pdf", Path(room))
    except OSError as error:
        raise RunError(f"{folder} must be a folder that can be written, but: {error}") from error
    return wanted


def _width(chart: Chart) -> int:
    return _WIDTHS["half" if chart.half else "wide" if chart.wide else "usual"]


def _drawn(browser: str, charts: Sequence[Chart], room: Path) -> Mapping[str, list[str]]:
    """Each figure's SVG and PNG, both in base64.

    Raises:
        RunError: The browser does not answer.
    """
    told: dict[str, Any] = {
        chart.name: json.loads(chart.figure.to_json()) | {"width": _width(chart)}
        for chart in charts
    }
    figures = json.dumps(told).replace("<", "\\u003c")
    plotly = (files("tune.report") / "templates" / BUNDLE).read_text(encoding="utf-8")
    page = room / "figures.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8">{_BEGIN}{_END}'
        f'<script type="application/json" id="figures">{figures}</script>'
        f"<script>{plotly}</script><script>{_DRAW}</script>",
        encoding="utf-8",
    )
    budget = f"--virtual-time-budget={1000 * _SECONDS}"
    printed = _run(browser, room, budget, "--dump-dom", page.as_uri())
    _, _, after = printed.partition(_BEGIN)
    answer = after.partition(_END)[0]
    if not answer:
        raise RunError(f"{browser} must draw the figures, but printed a page without them")
    drawn: dict[str, list[str]] = json.loads(answer)
    return drawn


def _print(browser: str, svg: str, size: tuple[int, int], out: Path, room: Path) -> None:
    """A figure as a PDF of its own size, its text as text."""
    width, height = size
    page = room / "page.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><style>@page {{ size: {width}px {height}px; '
        f"margin: 0 }} body {{ margin: 0 }} svg {{ display: block }}</style>{svg}",
        encoding="utf-8",
    )
    made = room / "page.pdf"
    _run(browser, room, "--no-pdf-header-footer", f"--print-to-pdf={made}", page.as_uri())
    made.replace(room / out.name)
    shutil.copyfile(room / out.name, out)


def _run(browser: str, room: Path, *arguments: str) -> str:
    """What the browser prints.

    Raises:
        RunError: It fails.
    """
    command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={room / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # Chromium refuses it to root otherwise
    try:
        done = subprocess.run(  # noqa: S603 - found by its name, it is told our own files
            [*command, *arguments], capture_output=True, timeout=_SECONDS, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        told = getattr(error, "stderr", None) or b""
        last = told.decode(errors="replace").strip().splitlines()[-1:]
        raise RunError(f"{browser} must draw the figures, but: {error} {''.join(last)}") from error
    return done.stdout.decode("utf-8")
