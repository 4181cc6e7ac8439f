// The images: the original beside what each transceiver made of it, over the main axis at a slider.

const MOST_RECONSTRUCTIONS = 8;
let gallery = []; // what is on show, for the enlarged view: {title, source, alt, pairs}

const slider = axes.get(data.main);
const sliderValues = slider?.values ?? [null];
const galleryAxes = data.axes.filter((axis) => axis.values.length > 1 && axis.key !== data.main).map((axis) => axis.key);

function chosenReceptions() {
  return album.images[state.image].received.filter(({ point: n }) => {
    const point = data.points[n];
    const value = point.parameters[data.main] ?? null;
    const here = value === null || value === sliderValues[state.at];
    return here && point.channel === state.channel && passes(point, galleryAxes, state.galleryFilters);
  });
}

function showGallery() {
  const notes = [];
  if (!album.images.length) {
    element("gallery-notes").textContent = "No reconstruction is on disk: the experiment's keep says how many stay.";
    return;
  }
  thinOut(galleryAxes, state.galleryFilters, () => chosenReceptions().length, MOST_RECONSTRUCTIONS);
  const images = album.images.map((image, n) => [String(n), image.name]);
  element("gallery-controls").replaceChildren(
    choice("Image", images, String(state.image), (n) => { state.image = Number(n); drawGallery(); }),
    ...channelControl((name) => { state.channel = name; showCurves(); drawGallery(); }),
    ...filterControls(galleryAxes, state.galleryFilters, drawGallery),
    ...(sliderValues.length > 1 ? [sliderControl()] : []),
  );
  notes.push(`Display copies: WebP at quality ${album.quality}, at most ${album.longestSide} pixels. Scores are of the exact images.`);
  if (data.counts.realisations > 1) notes.push(`The first of ${data.counts.realisations} realisations.`);
  if (album.notKept) notes.push(`Reconstructions of ${plural(album.notKept, "further image")} were not kept on disk.`);
  if (album.leftOut) notes.push(`${plural(album.leftOut, "image")} left out, so that this page stays small enough to open.`);
  element("gallery-notes").textContent = notes.join(" ");
  drawGallery();
}

function sliderControl() {
  const shown = make("output", {});
  const input = make("input", { type: "range", min: "0", max: String(sliderValues.length - 1), step: "1" });
  input.value = String(state.at);
  const tell = () => {
    shown.textContent = plain(sliderValues[state.at]);
    input.setAttribute("aria-valuetext", `${slider.label}: ${plain(sliderValues[state.at])}`);
  };
  input.addEventListener("input", () => {
    state.at = Number(input.value);
    tell();
    drawGallery();
  });
  tell();
  return make("label", { className: "wide" }, make("span", {}, `${slider.label}: `, shown), input);
}

function drawGallery() {
  const image = album.images[state.image];
  const original = {
    title: "Original", source: album.sources[image.original], alt: `${image.name}, original`, failed: [],
    pairs: [["Image", image.name], ["Size", image.size]],
    missing: image.fault ?? "not here",
  };
  const receptions = chosenReceptions();
  const curveOf = (entry) => axisOf(data.x, data.main).curves[data.points[entry.point].curve[data.main]];
  const oneKind = new Set(receptions.map((entry) => curveOf(entry).telling)).size === 1;
  gallery = [original, ...receptions.map((entry) => {
    const { transceiver, telling, style } = curveOf(entry);
    const title = nameOf(transceiver, oneKind ? "" : telling);
    return {
      title,
      colour: (oneKind ? data.transceivers[transceiver] : style).colour,
      source: entry.shown ? album.sources[entry.hash] : undefined,
      alt: `${image.name} as received by ${title}`,
      pairs: [...entry.scores, ...entry.facts],
      failed: entry.failed.map((name) => ({ decode_failed: "decoding failed", infeasible: "budget infeasible" })[name]),
      missing: "not on disk or left out",
    };
  })];
  element("gallery").replaceChildren(...gallery.map(card));
}

function card(entry, n) {
  const caption = make("figcaption", {}, heading(entry), ...entry.failed.map((text) => make("span", { className: "failed" }, text)));
  const facts = make("dl", { className: "facts" });
  definition(facts, entry.pairs);
  caption.append(facts);
  if (!entry.source) return make("figure", {}, make("div", { className: "absent" }, entry.missing), caption);
  const button = make("button", { type: "button", "aria-label": `Enlarge: ${entry.alt}` }, shownImage(make("img"), entry));
  button.addEventListener("click", () => enlarge(n));
  return make("figure", {}, button, caption);
}

function heading(entry) {
  const name = make("strong", {});
  if (entry.colour) {
    const chip = make("span", { className: "chip" });
    chip.style.background = entry.colour;
    name.append(chip);
  }
  name.append(make("span", {}, entry.title));
  return name;
}

function shownImage(img, entry) {
  img.decoding = "sync"; // so that a moving slider does not flicker
  img.onload = () => img.classList.toggle("small", img.naturalWidth < 200); // show the pixels of tiny images
  img.alt = entry.alt;
  img.src = entry.source;
  return img;
}

let enlargedAt = 0;

function enlarge(n) {
  enlargedAt = n;
  const entry = gallery[n];
  element("enlarged-title").textContent = [entry.title, ...entry.failed].join(", ");
  shownImage(element("enlarged-image"), entry);
  definition(element("enlarged-facts"), entry.pairs);
  if (!element("enlarged").open) element("enlarged").showModal();
}

function step(by) {
  let n = enlargedAt;
  do n = (n + by + gallery.length) % gallery.length; while (!gallery[n].source);
  enlarge(n);
}

function listenEnlarged() {
  const dialog = element("enlarged");
  dialog.addEventListener("click", (event) => {
    const by = event.target.dataset.step;
    if (by) step(Number(by));
    else if (event.target === dialog || "close" in event.target.dataset) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}
