// Put everything on the page once, then let the listeners do.

function showHead() {
  const { counts } = data;
  const parts = ["transceivers", "channels", "images", "realisations"].map((key) => {
    return plural(counts[key], key === "images" ? "image" : key.slice(0, -1));
  });
  element("summary").textContent = parts.join(" · ");
  if (counts.rows < counts.planned) {
    const done = `${counts.rows.toLocaleString("en")} of ${counts.planned.toLocaleString("en")}`;
    element("unfinished").textContent = `Unfinished: ${done} planned results are here. Run the same command again for the rest.`;
    element("unfinished").hidden = false;
  }
  element("remarks").textContent = data.remarks.join(" ");
  element("remarks").hidden = !data.remarks.length;
  element("experiment").textContent = data.experiment;
  const facts = Object.entries(data.environment);
  element("environment").hidden = !facts.length;
  definition(element("environment").querySelector("dl"), facts);
}

showHead();
showCurves();
showGallery();
showTable();
listenEnlarged();
element("download").addEventListener("click", download);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (element("chart")) drawCurves(); });
