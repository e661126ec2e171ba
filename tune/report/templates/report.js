"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const toDark = JSON.parse(document.getElementById("colours").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
    doubleClick: false,
    scrollZoom: false,
  };

  // Every colour of a figure is a role with a value of its own, so replacing values recolours it.
  const inColours = (value, colours) => {
    if (typeof value === "string") return colours[value] ?? value;
    if (Array.isArray(value)) return value.map((item) => inColours(item, colours));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, inColours(item, colours)]),
    );
  };

  const draw = (isDark) => {
    const drawn = Object.entries(figures).map(([name, figure]) => {
      const { data, layout } = inColours(figure, isDark ? toDark : {});
      return Plotly.react(`plot-${name}`, data, layout, options);
    });
    return Promise.all(drawn);
  };

  dark.addEventListener("change", () => draw(dark.matches));
  // Paper is white whatever the screen is, and narrower: figures are drawn again for it.
  const resize = () => {
    for (const name of Object.keys(figures)) Plotly.Plots.resize(`plot-${name}`);
  };
  window.addEventListener("beforeprint", () => draw(false).then(resize));
  window.addEventListener("afterprint", () => draw(dark.matches).then(resize));
  // A saved figure is for paper: light whatever the screen is, and on white.
  for (const button of document.querySelectorAll("button[data-save]")) {
    button.addEventListener("click", () => {
      const [name, format] = button.dataset.save.split(" ");
      const { data, layout } = figures[name];
      Plotly.downloadImage(
        { data, layout: { ...layout, paper_bgcolor: "#ffffff" } },
        {
          format,
          filename: name,
          width: document.getElementById(`plot-${name}`).clientWidth,
          height: layout.height,
          scale: format === "png" ? 2 : 1,
        },
      );
    });
  }
  // What a cell is sorted by: its first number, durations in seconds, else its words.
  const units = { s: 1, min: 60, h: 3600 };
  const keyOf = (row, place) => {
    const text = row.cells[place].textContent.replaceAll("−", "-").trim();
    if (text === "" || text === "–") return null;
    const found = /^(-?[\d.]+(?:e-?\d+)?)(?: (s|min|h)$)?/.exec(text.replaceAll(",", ""));
    return found ? Number(found[1]) * (units[found[2]] ?? 1) : text;
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      head.querySelector("button").addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, place), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null); // gaps stand last
          const order = typeof a === typeof b ? (a < b ? -1 : a > b) : typeof a === "number" ? -1 : 1;
          return falling ? -order : +order;
        });
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }
  draw(dark.matches).then(() => document.documentElement.setAttribute("data-drawn", ""));
})();
