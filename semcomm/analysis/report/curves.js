// The curves: Plotly draws, the legend is the page's own, so that it wraps, reads aloud and takes the keyboard.

const MOST_CURVES = 10;

const transceivers = Object.keys(data.transceivers);
const axisOf = (list, key) => list.find((entry) => entry.key === key);
// Plotly reads a little HTML in its texts; names are to stand there as they are.
const asPlotText = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const curveAxes = () => axisOf(data.x, state.x)?.telling ?? [];

function chosenCurves() {
  const names = curveAxes();
  const curves = new Map();
  for (const point of data.points) {
    if (point.channel !== state.channel || !passes(point, names, state.curveFilters)) continue;
    const { transceiver, telling, style } = axisOf(data.x, state.x).curves[point.curve[state.x]];
    const name = nameOf(transceiver, telling);
    if (!curves.has(name)) curves.set(name, { name, transceiver, telling, ...style, points: [] });
    const [mean, low, high, count, infinite, images] = point.y[state.y];
    curves.get(name).points.push({ x: point.x[state.x], mean, low, high, count, infinite, images });
  }
  const oneKind = new Set([...curves.values()].map((curve) => curve.telling)).size === 1;
  for (const curve of curves.values()) {
    if (oneKind) Object.assign(curve, { name: curve.transceiver, ...data.transceivers[curve.transceiver] });
    if (curve.points.every((point) => typeof point.x === "number")) curve.points.sort((a, b) => a.x - b.x);
  }
  return [...curves.values()];
}

function showCurves() {
  if (!data.points.length || !data.y.length) {
    element("chart").remove();
    element("curve-notes").textContent = data.points.length ? "Nothing was measured." : "There are no results yet.";
    return;
  }
  if (!overs().some((x) => x.key === state.x)) state.x = overs()[0].key;
  thinOut(curveAxes(), state.curveFilters, () => chosenCurves().length, MOST_CURVES);
  const options = (list) => list.map((entry) => [entry.key, entry.label]);
  element("curve-controls").replaceChildren(
    choice("Measure", options(data.y), state.y, (key) => { state.y = key; drawCurves(); }),
    choice("Over", options(overs()), state.x, (key) => { state.x = key; showCurves(); focusOn("curve-controls", 1); }),
    ...channelControl((name) => { state.channel = name; showCurves(); showGallery(); }),
    ...filterControls(curveAxes(), state.curveFilters, drawCurves),
  );
  drawCurves();
}

// The horizontal axes that curves of this channel have; all where none has one.
function overs() {
  const there = data.x.filter((x) => x.channels.includes(state.channel));
  return there.length ? there : data.x;
}

function focusOn(controls, number) {
  element(controls).querySelectorAll("select")[number]?.focus();
}

function drawCurves() {
  const chosen = chosenCurves();
  const curves = chosen.filter((curve) => curve.points.some((point) => point.mean !== null || point.infinite));
  showLegend(curves);
  const shown = curves.filter((curve) => !state.hidden.has(curve.name));
  const x = axisOf(data.x, state.x);
  const y = axisOf(data.y, state.y);
  const categories = placesOf(state.x);
  const opacity = shown.length <= 4 ? "26" : "14"; // many bands over each other would hide the curves
  const traces = shown.flatMap((curve) => tracesOf(curve, x, y, categories, opacity));
  const touch = matchMedia("(pointer: coarse)").matches;
  Plotly.react("chart", traces, layoutOf(shown, x, y, categories, touch), { displayModeBar: false, responsive: true });
  element("chart").setAttribute("aria-label", `${y.label} over ${x.label}; the table below has the numbers`);
  element("curve-notes").textContent = notesOn(chosen, curves, x, y).join(" ");
}

function placesOf(key) {
  const values = axes.get(key)?.values ?? (key === "transceiver" ? transceivers : []);
  return values.some((value) => typeof value !== "number") ? values.map(String) : null;
}

const isEndless = (point) => point.mean === null && point.infinite > 0;
const isAtZero = (point, y) => y.log && point.mean !== null && point.mean <= 0;

function tracesOf(curve, x, y, categories, opacity) {
  const points = curve.points.filter((point) => point.x !== null);
  const at = (point) => (categories ? categories.indexOf(String(point.x)) : point.x);
  const drawn = (point) => point.mean !== null && !isAtZero(point, y);
  const hover = (list) => list.map((point) => hoverText(curve, point, x, y));
  const single = categories || points.filter(drawn).length < 2;
  const line = {
    x: points.map(at),
    y: points.map((point) => (drawn(point) ? point.mean : null)),
    mode: single ? "markers" : "lines+markers",
    line: { color: curve.colour, dash: curve.line, width: 2 },
    marker: { color: curve.colour, symbol: curve.marker + (curve.hollow ? "-open" : ""), size: 7 },
    hoverinfo: "text",
    hovertext: hover(points),
  };
  if (single) {
    const reach = (end) => points.map((point) => (drawn(point) ? Math.abs(point[end] - point.mean) : 0));
    line.error_y = { type: "data", symmetric: false, array: reach("high"), arrayminus: reach("low"), thickness: 1.2 };
  }
  const edges = [[points.filter(isEndless), 0.98, "triangle-up"], [points.filter((p) => isAtZero(p, y)), 0.02, "triangle-down"]];
  const marks = edges.filter(([list]) => list.length).map(([list, height, symbol]) => ({
    x: list.map(at),
    y: list.map(() => height),
    yaxis: "y2",
    mode: "markers",
    marker: { color: curve.colour, symbol, size: 10 },
    cliponaxis: false,
    hoverinfo: "text",
    hovertext: hover(list),
  }));
  return [...(single ? [] : [{ ...bandOf(points, drawn, at, y), fillcolor: curve.colour + opacity }]), line, ...marks];
}

// One outline for each stretch of neighbouring points, so that a gap in the curve is a gap in its band.
function bandOf(points, drawn, at, y) {
  const outline = { x: [], y: [] };
  let stretch = [];
  const smallest = Math.min(...points.filter(drawn).map((point) => point.mean)) / 10;
  const close = () => {
    const there = stretch.map((point) => [at(point), point.high]);
    const back = stretch.map((point) => [at(point), y.log ? Math.max(point.low, smallest) : point.low]).reverse();
    for (const [px, py] of [...there, ...back, [null, null]]) {
      outline.x.push(px);
      outline.y.push(py);
    }
    stretch = [];
  };
  for (const point of points) {
    if (drawn(point)) stretch.push(point);
    else if (stretch.length) close();
  }
  if (stretch.length) close();
  return { ...outline, mode: "lines", line: { width: 0 }, fill: "toself", hoverinfo: "skip" };
}

function hoverText(curve, point, x, y) {
  const name = asPlotText(curve.name.length > 48 ? `${curve.name.slice(0, 47)}…` : curve.name);
  const value = isEndless(point) ? "∞" : `${number(point.mean)}  [${number(point.low)}, ${number(point.high)}]`;
  const left = point.infinite ? `, ${point.infinite} infinite left out` : "";
  const lines = [`${asPlotText(x.label)}: ${asPlotText(x.swept ? plain(point.x) : number(point.x))}`, `${asPlotText(y.label)}: ${value}`];
  return [`<b>${name}</b>`, ...lines, `${plural(point.count, "value")} of ${plural(point.images, "image")}${left}`].join("<br>");
}

// A logarithmic axis over whole decades.
function decades(curves) {
  const means = curves.flatMap((curve) => curve.points.map((point) => point.mean)).filter((mean) => mean > 0);
  const logs = means.length ? means.map(Math.log10) : [-1, 0];
  const range = [Math.floor(Math.min(...logs) - 0.2), Math.ceil(Math.max(...logs)) + 0.1];
  return { type: "log", range, dtick: 1, exponentformat: "power" };
}

// Wide intervals of few images do not squeeze the curves.
function roomFor(curves) {
  const points = curves.flatMap((curve) => curve.points).filter((point) => point.mean !== null);
  const [low, high] = [Math.min, Math.max].map((end) => end(...points.map((point) => point.mean)));
  if (!(high > low)) return {};
  const ends = points.flatMap((point) => [point.low, point.high, point.mean]).filter((value) => value !== null);
  const [bottom, top] = [Math.max(Math.min(...ends), low - (high - low) / 2), Math.min(Math.max(...ends), high + (high - low) / 2)];
  return { range: [bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom)] };
}

function layoutOf(shown, x, y, categories, touch) {
  const [ink, soft, grid, surface] = ["--ink", "--soft", "--grid", "--surface"].map(cssColour);
  const common = { gridcolor: grid, zeroline: false, linecolor: soft, tickcolor: soft, ticks: "outside", automargin: true };
  const title = (entry) => ({ text: asPlotText(entry.label), standoff: 12 });
  const places = categories && {
    tickvals: categories.map((_, n) => n),
    ticktext: categories.map(asPlotText),
    range: [-0.5, categories.length - 0.5],
  };
  return {
    font: { family: "system-ui, sans-serif", size: 13, color: ink },
    paper_bgcolor: surface,
    plot_bgcolor: surface,
    margin: { l: 56, r: 16, t: 14, b: 48 },
    showlegend: false,
    hovermode: "closest",
    hoverlabel: { align: "left", bgcolor: surface, font: { color: ink } },
    dragmode: touch ? false : "zoom",
    xaxis: { ...common, title: title(x), fixedrange: touch, ...places },
    yaxis: { ...common, title: title(y), fixedrange: touch, ...(y.log ? decades(shown) : roomFor(shown)) },
    yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
  };
}

function showLegend(curves) {
  element("legend").replaceChildren(...curves.map((curve) => {
    const button = make("button", { type: "button", "aria-pressed": String(!state.hidden.has(curve.name)) });
    button.append(sample(curve), curve.name);
    button.addEventListener("click", () => {
      if (!state.hidden.delete(curve.name)) state.hidden.add(curve.name);
      drawCurves();
      [...element("legend").children].find((other) => other.lastChild.data === curve.name)?.focus();
    });
    return button;
  }));
}

function sample(curve) {
  const draw = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const line = { x1: 0, y1: 7, x2: 36, y2: 7, stroke: curve.colour, "stroke-width": 2, "stroke-dasharray": curve.dashes };
  const fill = curve.hollow ? "var(--surface)" : curve.colour;
  const mark = { d: curve.outline, transform: "translate(18 7) scale(5)", fill, stroke: curve.colour, "stroke-width": 0.25 };
  const size = { width: 36, height: 14, "aria-hidden": "true" };
  return draw("svg", size, draw("line", line), draw("path", mark));
}

const few = (points) => points.some((point) => point.images > 1 && point.images < 5);

function notesOn(chosen, curves, x, y) {
  const without = new Set(chosen.filter((curve) => !curves.includes(curve)).map((curve) => curve.transceiver));
  const points = curves.flatMap((curve) => curve.points);
  const placed = points.filter((point) => point.x !== null);
  const away = new Set(curves.filter((c) => c.points.some((p) => p.x === null)).map((c) => c.transceiver));
  const partly = placed.filter((p) => !isEndless(p)).reduce((sum, p) => sum + p.infinite, 0);
  const empty = placed.filter((p) => p.mean === null && !p.infinite).length;
  const name = y.label.replace(/ \(.*\)$/, "");
  return [
    `Means over ${plural(data.counts.images, "image")} and ${plural(data.counts.realisations, "realisation")}; bands are ${data.confidence} % intervals over images.`,
    few(placed) && "Intervals over fewer than five images are Student's: wide, and right only for values that are near to normal.",
    placed.some(isEndless) && `▲ ${name} is infinite for every image.`,
    partly && `${plural(partly, "infinite value")} left out of the means and counted apart.`,
    placed.some((p) => isAtZero(p, y)) && `▼ ${name} is 0, which a logarithmic axis has no place for.`,
    empty && `${plural(empty, "point")} without a value.`,
    without.size && `${name}: none of ${[...without].join(", ")}.`,
    away.size && `Without a place on this axis: ${[...away].join(", ")}.`,
  ].filter(Boolean);
}
