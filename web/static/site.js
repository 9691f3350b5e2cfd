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

// On a phone the row of pages scrolls: the page that is open is in view.
const pages = document.querySelector(".top nav");
const open = pages?.querySelector("[aria-current]");
if (open) pages.scrollLeft = open.offsetLeft - pages.offsetLeft - (pages.clientWidth - open.clientWidth) / 2;

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

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
