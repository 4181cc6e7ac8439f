// The table of the points: sorted by a click on a heading, downloaded as CSV.

const columns = [
  { name: "Transceiver", csv: ["transceiver"], cells: (point) => [point.transceiver], text: true },
  { name: "Channel", csv: ["channel"], cells: (point) => [point.channel], text: true },
  ...data.axes.map(({ key, label }) => ({ name: label, csv: [key], cells: (point) => [point.parameters[key]], set: true })),
  ...data.measured.map(({ key, label }) => ({ name: label, csv: [key], cells: (point) => [point.x[key]] })),
  ...data.y.map(({ key, label }) => ({
    name: label,
    csv: ["mean", "low", "high", "count", "infinite", "images"].map((part) => `${key} ${part}`),
    cells: (point) => point.y[key],
    estimate: true,
  })),
];
const sorting = { column: null, down: false };

function sortedPoints() {
  const { column, down } = sorting;
  if (!column) return data.points;
  const rank = (value) => (value === null || value === undefined ? 2 : typeof value === "number" ? 0 : 1);
  const compare = (a, b) => rank(a) - rank(b) || (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  const value = (point) => column.cells(point)[0];
  const known = data.points.filter((point) => rank(value(point)) < 2).sort((a, b) => compare(value(a), value(b)));
  const unknown = data.points.filter((point) => rank(value(point)) === 2); // last, whichever way
  return [...(down ? known.reverse() : known), ...unknown];
}

function showTable() {
  const sort = (column) => (sorting.column !== column ? "none" : sorting.down ? "descending" : "ascending");
  const head = make("tr", {}, ...columns.map((column) => {
    const button = make("button", { type: "button" }, column.name);
    button.addEventListener("click", () => {
      sorting.down = sorting.column === column && !sorting.down;
      sorting.column = column;
      showTable();
      element("table").querySelectorAll("th button")[columns.indexOf(column)].focus();
    });
    const properties = { scope: "col", className: column.text ? "" : "number", "aria-sort": sort(column) };
    return make("th", properties, button);
  }));
  const rows = sortedPoints().map((point) => make("tr", {}, ...columns.map((column) => cell(column, point))));
  element("table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  const means = `Means with ${data.confidence} % intervals over images and realisations`;
  element("table-notes").textContent = `${means}; infinite values are left out of them and counted as “× ∞”.`;
}

function cell(column, point) {
  const values = column.cells(point);
  if (column.text) return make("td", { className: "name", title: values[0] }, values[0]);
  const made = make("td", { className: "number" }, (column.set ? plain : number)(values[0]));
  if (!column.estimate) return made;
  const [mean, low, high, , infinite] = values;
  if (mean !== null) made.append(make("small", {}, `${number(low)} – ${number(high)}`));
  if (infinite) made.append(make("small", {}, `${infinite} × ∞`));
  return made;
}

function csvText() {
  const quote = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const line = (values) => values.map((value) => quote(value === null ? "" : String(value))).join(",");
  const rows = sortedPoints().map((point) => line(columns.flatMap((column) => column.cells(point))));
  return `${[line(columns.flatMap((column) => column.csv)), ...rows].join("\r\n")}\r\n`;
}

function download() {
  const address = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  make("a", { href: address, download: "points.csv" }).click();
  URL.revokeObjectURL(address);
}
