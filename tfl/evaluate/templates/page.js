"use strict";
(function () {
  // Light colour → its dark twin; the light ones are COLOURS and CLASS_COLOURS in tfl/evaluate/figures.py.
  var DARK = {
    "#1d2524": "#e7ecea", "#5c6866": "#9daba8", "#dedbd2": "#323c3a", "#ffffff": "#1b2221", "#1f7a5c": "#5fcaa2",
    "#c2571a": "#f2985e", "#2f6db3": "#7fb3ea", "#f1efe8": "#232b2a", "#86cbb0": "#2b7a5d", "#f0ae84": "#a35a2a", "#e3f1ea": "#21352e", "#fbe9dd": "#3a2a20", "#8b4fa8": "#c99be0", "#9a7b0f": "#d9bd55", "#b3315e": "#ee86ab",
    "#0e8a93": "#55c4cc", "#7a5230": "#c29a74", "#d26aa5": "#eda3cb", "#5b5fc7": "#a3a6f0", "#5f8a1f": "#a9cf68", "#d1443a": "#f08a82"
  };
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function coloured(value, night) {
    if (typeof value === "string") { return night && DARK[value] || value; }
    if (Array.isArray(value)) { return value.map(function (item) { return coloured(item, night); }); }
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (key) { copy[key] = coloured(value[key], night); });
      return copy;
    }
    return value;
  }

  // Paper is narrower than the screen, and the page is laid out for it only after "beforeprint": so charts get a width.
  function draw(place, night, width) {
    var figure = coloured(JSON.parse(document.getElementById(place.dataset.figure).textContent), night);
    place.style.height = figure.height + "px";
    if (width) { figure.layout.width = Math.min(width, place.clientWidth || width); }
    window.Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  }

  function drawAll(night, width) {
    document.querySelectorAll("[data-figure]").forEach(function (place) { draw(place, night, width); });
  }

  if (window.Plotly) {
    drawAll(dark.matches);
    dark.addEventListener("change", function () { drawAll(dark.matches); });
    window.addEventListener("beforeprint", function () { drawAll(false, 600); });
    window.addEventListener("afterprint", function () { drawAll(dark.matches); });
  }

  document.querySelectorAll(".code").forEach(function (block) {
    if (!navigator.clipboard) { return; }
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(block.querySelector("pre").textContent).then(function () {
        button.textContent = "Copied";
        setTimeout(function () { button.textContent = "Copy"; }, 1500);
      });
    });
    block.appendChild(button);
  });
})();
