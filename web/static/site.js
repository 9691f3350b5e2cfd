// Comfort on top of pages that work without it.

const wide = matchMedia("(min-width: 62rem)");
const filters = document.querySelector("[data-filters]");
if (filters) {
  const fit = () => { if (wide.matches) filters.open = true; };
  fit();
  wide.addEventListener("change", fit);
}

// Empty fields stay out of the address.
document.querySelector("#filter")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && field.value === "") field.disabled = true;
});
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("#filter :disabled")) field.disabled = false;
});

for (const form of document.querySelectorAll("[data-auto]")) {
  form.querySelector("[data-without-script]")?.remove();
  form.addEventListener("change", () => form.requestSubmit());
}
document.querySelector("form[data-submit]")?.requestSubmit();

// Stars change without loading the page again.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches(".star")) return;
  event.preventDefault();
  const button = form.querySelector("button");
  const body = new URLSearchParams(new FormData(form));
  body.set("on", button.value);
  try {
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (answer.type !== "opaqueredirect") throw new Error(answer.status);
    const isOn = button.value === "1";
    button.value = isOn ? "0" : "1";
    button.setAttribute("aria-pressed", String(isOn));
  } catch {
    location.reload();
  }
});

// Photos in a dialog: arrows, swipes, Escape.
const box = document.querySelector("dialog.lightbox");
const links = [...document.querySelectorAll("[data-photos] a")];
if (box && links.length) {
  const picture = box.querySelector("img");
  const place = box.querySelector(".place");
  let at = 0;
  const show = (number) => {
    at = (number + links.length) % links.length;
    picture.src = links[at].href;
    picture.alt = links[at].querySelector("img").alt;
    place.textContent = `${at + 1} / ${links.length}`;
  };
  links.forEach((link, number) => link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(number);
    box.showModal();
  }));
  box.querySelector(".close").addEventListener("click", () => box.close());
  box.querySelector(".previous").addEventListener("click", () => show(at - 1));
  box.querySelector(".following").addEventListener("click", () => show(at + 1));
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(at - 1);
    if (event.key === "ArrowRight") show(at + 1);
  });
  let from = null;
  box.addEventListener("pointerdown", (event) => { from = event.clientX; });
  box.addEventListener("pointerup", (event) => {
    if (from !== null && Math.abs(event.clientX - from) > 40) show(at + (event.clientX < from ? 1 : -1));
    from = null;
  });
  box.addEventListener("close", () => { links[at].focus(); });
}
