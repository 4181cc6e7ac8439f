"use strict";
// The enlarged view: one image at a time, at a chosen size, and flicker between the original and another.

const viewer = (() => {
  const dialog = document.getElementById("viewer");
  const stage = document.getElementById("stage");
  const images = [...stage.querySelectorAll("img")];
  const showButtons = [...dialog.querySelectorAll(".show")];
  const sizeButtons = [...dialog.querySelectorAll(".size")];
  const flickerButton = document.getElementById("flicker");
  const ALTERNATE_MS = 500; // far below three flashes a second
  let shown = "original";
  let other = "first"; // what the original flickers with
  let size = "fit";
  let timer = null;

  const press = (button, on) => button.setAttribute("aria-pressed", String(on));

  function show(slot) {
    shown = slot;
    if (slot !== "original") other = slot;
    for (const image of images) image.classList.toggle("shown", image.dataset.slot === slot);
    for (const button of showButtons) press(button, button.dataset.slot === slot);
    stage.setAttribute("aria-label", showButtons.find((button) => button.dataset.slot === slot).textContent);
  }

  function resize(wanted) {
    size = wanted;
    stage.classList.toggle("fit", size === "fit");
    stage.classList.toggle("close", size === "2" || size === "4");
    for (const button of sizeButtons) press(button, button.dataset.size === size);
    // an image of another size is drawn at the size of the original, so that flicker compares like with like
    const { naturalWidth: width, naturalHeight: height } = images[0];
    for (const image of images) {
      image.style.width = size === "fit" ? "" : `${width * Number(size)}px`;
      image.style.height = size === "fit" ? "" : `${height * Number(size)}px`;
    }
  }

  const alternate = () => show(shown === "original" ? other : "original");

  function flicker(on) {
    clearInterval(timer);
    timer = on ? setInterval(alternate, ALTERNATE_MS) : null;
    press(flickerButton, on);
  }

  function open(slot, flickering) {
    resize("fit");
    show(slot);
    if (!dialog.open) dialog.showModal();
    stage.focus();
    // those who asked for less motion alternate by hand, with the space bar
    flicker(flickering && !matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  for (const button of showButtons) button.addEventListener("click", () => { flicker(false); show(button.dataset.slot); });
  for (const button of sizeButtons) button.addEventListener("click", () => resize(button.dataset.size));
  flickerButton.addEventListener("click", () => flicker(timer === null));
  document.getElementById("close").addEventListener("click", () => dialog.close());
  stage.addEventListener("click", () => { flicker(false); alternate(); });
  dialog.addEventListener("close", () => { if (!dialog.open) flicker(false); });
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const slot = { 0: "original", o: "original", 1: "first", 2: "second" }[key];
    if (slot && images.some((image) => image.dataset.slot === slot)) { flicker(false); show(slot); }
    else if (key === "f") flicker(timer === null);
    else if (key === "z") dialog.close();
    else if (key === " " && event.target.tagName !== "BUTTON") { flicker(false); alternate(); }
    else if (key === "+" || key === "-") {
      const sizes = sizeButtons.map((button) => button.dataset.size);
      resize(sizes[Math.max(0, Math.min(sizes.length - 1, sizes.indexOf(size) + (key === "+" ? 1 : -1)))]);
    } else return;
    event.preventDefault();
  });

  return {
    open,
    isOpen: () => dialog.open,
    close: () => dialog.close(),
    load: (paths) => { for (const image of images) image.src = paths[image.dataset.slot]; },
  };
})();
