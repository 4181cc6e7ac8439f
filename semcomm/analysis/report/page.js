// What every part of the page uses: the data, the state, and small makers of elements. Texts enter as text only.

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const album = JSON.parse(element("gallery-data").textContent);
const axes = new Map(data.axes.map((axis) => [axis.key, axis]));
const ALL = "";

const state = {
  channel: data.channels[0],
  x: data.x[0]?.key,
  y: data.y[0]?.key,
  image: 0,
  at: Math.floor((axes.get(data.main)?.values.length ?? 1) / 2), // on the slider
  hidden: new Set(), // names of curves
  curveFilters: new Map(), // axis -> index of its value, or ALL
  galleryFilters: new Map(),
};

function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0 || (Number.isInteger(value) && Math.abs(value) < 1e6)) return String(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(2) : value.toPrecision(4);
}

// A value that somebody chose stands as it was written; one that was measured, with four digits.
const plain = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : number(value));

const nameOf = (transceiver, telling) => (telling ? `${transceiver}, ${telling}` : transceiver);

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

function choice(name, options, selected, onChange) {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, String(text))));
  select.value = selected;
  select.addEventListener("change", () => onChange(select.value));
  return make("label", {}, name, select);
}

// A control for each swept parameter that would otherwise give several curves or images.
function filterControls(names, filters, onChange) {
  return names.map((name) => {
    const axis = axes.get(name);
    const options = [[ALL, "all"], ...axis.values.map((value, n) => [String(n), plain(value)])];
    return choice(axis.label, options, filters.get(name) ?? ALL, (value) => {
      filters.set(name, value);
      onChange();
    });
  });
}

// A parameter that a transceiver does not have excludes none of its points.
function passes(point, names, filters) {
  return names.every((name) => {
    const chosen = filters.get(name) ?? ALL;
    const value = point.parameters[name];
    return chosen === ALL || value === null || value === axes.get(name).values[Number(chosen)];
  });
}

// Many things at once are hard to read: begin with the middle value of one parameter after the other.
function thinOut(names, filters, count, most) {
  for (const name of [...names].sort((a, b) => axes.get(b).values.length - axes.get(a).values.length)) {
    if (count() <= most || filters.has(name)) continue;
    filters.set(name, String(Math.floor(axes.get(name).values.length / 2)));
  }
}

function channelControl(onChange) {
  if (data.channels.length < 2) return [];
  const options = data.channels.map((name) => [name, name]);
  return [choice("Channel", options, state.channel, onChange)];
}

function definition(list, pairs) {
  const long = (value) => (String(value).length > 14 && typeof value !== "number" ? "long" : "");
  list.replaceChildren(...pairs.flatMap(([name, value]) => [
    make("dt", {}, name), make("dd", { className: long(value) }, number(value)),
  ]));
}
