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
  draw(dark.matches).then(() => document.documentElement.setAttribute("data-drawn", ""));
})();
