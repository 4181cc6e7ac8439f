"use strict";
// The raters' page. What is asked now is the server's to say; an answer is kept in this browser until it is saved there.

const study = JSON.parse(document.getElementById("study").textContent);
const words = study.words;
const base = location.pathname.replace(/\/+$/, "");
const KEPT = `semcomm ${base}`;
const STEP = 0.05, FINE = 0.01, FAR = 0.2;
const byId = (id) => document.getElementById(id);
const form = byId("trial");
const sliders = [...form.querySelectorAll("input[type=range]")];
const choices = [...form.querySelectorAll(".choose")];
const slots = [...form.querySelectorAll("figure")].map((figure) => figure.dataset.slot);
let state = null; // what the server said last
let busy = true; // an answer is on its way, or the images are
let clock = null; // when the images were seen, less what the page was hidden
let hiddenAt = null;
let last = "first"; // the image that was looked at last
let preloaded = [];

const say = (text) => { byId("status").textContent = text; };
const pause = (ms) => new Promise((go) => { setTimeout(go, ms); addEventListener("online", go, { once: true }); });

function kept() {
  try { return JSON.parse(localStorage.getItem(KEPT)); } catch { return null; }
}
function keep(answer) {
  try {
    if (answer) localStorage.setItem(KEPT, JSON.stringify(answer));
    else localStorage.removeItem(KEPT);
  } catch { /* a browser that keeps nothing still sends */ }
}

// Ask until there is an answer. Asking twice is harmless: the server keeps the first.
async function ask(path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      const answer = await fetch(base + path, { cache: "no-store", signal: AbortSignal.timeout(15000), ...options });
      if (answer.ok) return await answer.json();
      if (answer.status === 404) return { stage: "closed" };
      if (answer.status < 500 && answer.status !== 429 && answer.status !== 408) return null; // not what was asked: look again
    } catch { /* no connection */ }
    say(words.offline);
    await pause(wait);
  }
}

async function send(answer) {
  keep(answer);
  const found = await ask("/rating", answer);
  keep(null);
  return found ?? await ask("/state");
}

async function loaded(image, path) {
  image.src = path;
  await image.decode();
}

async function show(next) {
  busy = true;
  const before = state;
  state = next;
  for (const id of ["consent", "done", "closed"]) byId(id).hidden = state.stage !== id;
  form.hidden = state.stage !== "rate";
  byId("progress").hidden = !("total" in state);
  if ("total" in state) {
    const practising = state.position < state.practice && state.stage === "rate";
    const [done, total] = practising ? [state.position, state.practice] : [state.position - state.practice, state.total - state.practice];
    byId("practice").hidden = !practising;
    byId("count").textContent = words.progress.replace("{done}", done).replace("{total}", total);
    byId("bar").value = total ? done / total : 1;
    if (before?.position === state.practice - 1 && state.position === state.practice) say(words.practice_over);
  }
  if (state.stage === "consent") byId("begin").focus();
  if (state.stage === "done" || state.stage === "closed") byId(state.stage).focus();
  if (state.stage !== "rate") { busy = false; return; }
  reset();
  try {
    await Promise.all(slots.map((slot) => loaded(form.querySelector(`figure[data-slot="${slot}"] img`), state.images[slot])));
  } catch {
    say(words.broken);
    return;
  }
  viewer.load(state.images);
  preloaded = state.next.flatMap((paths) => slots.map((slot) => Object.assign(new Image(), { src: paths[slot] })));
  form.classList.remove("loading");
  clock = performance.now();
  hiddenAt = document.hidden ? clock : null;
  busy = false;
  (sliders[0] ?? byId("next")).focus({ preventScroll: true });
}

function reset() {
  if (viewer.isOpen()) viewer.close();
  last = "first";
  for (const slider of sliders) {
    slider.value = 0.5;
    slider.classList.add("unset");
    slider.setAttribute("aria-valuetext", words.unset);
    slider.previousElementSibling.querySelector("output").textContent = words.unset;
  }
  choose(null);
}

function take(slider, value) {
  slider.value = value;
  slider.classList.remove("unset");
  const said = Number(slider.value).toFixed(2);
  slider.previousElementSibling.querySelector("output").textContent = said;
  slider.setAttribute("aria-valuetext", `${said} (0: ${study.low}, 1: ${study.high})`);
  say("");
}

function choose(slot) {
  for (const button of choices) {
    const on = button.dataset.slot === slot;
    button.setAttribute("aria-pressed", String(on));
    button.querySelector(".say").textContent = on ? words.chosen : words.choose;
  }
  if (slot) { last = slot; say(""); }
}

function answered() {
  if (study.kind === "choices") {
    const chosen = choices.find((button) => button.getAttribute("aria-pressed") === "true");
    return chosen ? { first: Number(chosen.dataset.slot === "first"), second: Number(chosen.dataset.slot === "second") } : null;
  }
  if (sliders.some((slider) => slider.classList.contains("unset"))) return null;
  return Object.fromEntries(sliders.map((slider) => [slider.id.replace("score-", ""), Number(slider.value)]));
}

async function next() {
  if (busy || viewer.isOpen()) return;
  const scores = answered();
  if (!scores) {
    say(study.kind === "choices" ? words.undecided : words.incomplete);
    (sliders.find((slider) => slider.classList.contains("unset")) ?? choices[0]).focus();
    return;
  }
  busy = true;
  const seconds = Math.max(0, performance.now() - clock) / 1000;
  const asked = state.position;
  say("");
  const slow = setTimeout(() => say(words.saving), 700);
  const found = await send({ position: asked, seconds, ...scores });
  clearTimeout(slow);
  say(found.kept === false && found.stage === "rate" ? words.elsewhere : "");
  await show(found);
}

function move(slider, event) {
  const forward = document.documentElement.dir === "rtl" ? -1 : 1;
  const step = event.shiftKey ? FINE : STEP;
  const moves = { ArrowUp: step, ArrowDown: -step, ArrowRight: forward * step, ArrowLeft: -forward * step, PageUp: FAR, PageDown: -FAR };
  if (event.key in moves) take(slider, Math.round(100 * (Number(slider.value) + moves[event.key])) / 100);
  else if (event.key === "Home" || event.key === "End") take(slider, Number(event.key === "End"));
  else if (event.key === " ") take(slider, slider.value);
  else if (/^[0-9]$/.test(event.key)) take(slider, Number(event.key) / 10);
  else return false;
  return true;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || viewer.isOpen() || state?.stage !== "rate") return;
  const on = event.target;
  const key = event.key.toLowerCase();
  const button = on.tagName === "BUTTON" || on.tagName === "SUMMARY";
  if (on.type === "range" && move(on, event)) { /* done */ }
  else if (key === "enter" && !(button && on.id !== "next" && !on.classList.contains("choose"))) next();
  else if (choices.length && (key === "arrowleft" || key === "1" || key === "arrowright" || key === "2")) {
    const left = key === "1" || (key === "arrowleft") === (document.documentElement.dir !== "rtl") && key !== "2";
    choose(left ? "first" : "second");
  }
  else if (key === "z") viewer.open(last, false);
  else if (key === "f") viewer.open(last, true);
  else if (key === "?") byId("keys").open = !byId("keys").open;
  else return;
  event.preventDefault();
}

for (const slider of sliders) {
  slider.addEventListener("input", () => take(slider, slider.value));
  slider.addEventListener("pointerup", () => take(slider, slider.value)); // a click where it is already
  slider.addEventListener("focus", () => { last = slider.id.replace("score-", ""); });
}
for (const button of choices) button.addEventListener("click", () => choose(button.dataset.slot));
for (const button of form.querySelectorAll(".open")) button.addEventListener("click", () => viewer.open(button.dataset.slot, false));
byId("flicker-from-here").addEventListener("click", () => viewer.open(last, true));
byId("begin").addEventListener("click", async () => {
  if (busy) return;
  busy = true;
  await show((await ask("/consent", {})) ?? await ask("/state"));
});
form.addEventListener("submit", (event) => { event.preventDefault(); next(); });
document.addEventListener("keydown", pressed);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenAt = performance.now();
  else if (hiddenAt !== null && clock !== null) { clock += performance.now() - hiddenAt; hiddenAt = null; }
});
(async () => {
  const waiting = kept(); // an answer that was not saved when this page was last open
  await show(waiting ? await send(waiting) : await ask("/state"));
})();
