// Photos in a dialog: arrows, swipes, Escape; the address names the photo that is shown (#p3), and Back closes it.
// Without this, the links lead to the photos themselves.

const links = [...document.querySelectorAll("[data-lightbox] a")];
const box = document.querySelector("dialog.lightbox");
const picture = box.querySelector("img");
const place = box.querySelector(".place");
const name = (link) => `#${link.closest("[id]").id}`;
const named = () => links.findIndex((link) => name(link) === location.hash);
let at = 0;

const show = (number) => {
  at = (number + links.length) % links.length;
  picture.src = links[at].href;
  picture.alt = links[at].querySelector("img").alt;
  place.textContent = `${at + 1} / ${links.length}`;
  new Image().src = links[(at + 1) % links.length].href;
  if (!box.open) box.showModal();
};
const move = (number) => {
  show(number);
  history.replaceState(history.state, "", name(links[at]));
};
const follow = () => {
  if (named() >= 0) show(named());
  else box.close();
};

links.forEach((link, number) => link.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState({ lightbox: true }, "", name(link));
  show(number);
}));
box.querySelector(".close").addEventListener("click", () => box.close());
box.querySelector(".previous").addEventListener("click", () => move(at - 1));
box.querySelector(".following").addEventListener("click", () => move(at + 1));
box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
box.addEventListener("keydown", (event) => {
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: links.length - 1 }[event.key];
  if (to === undefined || event.altKey) return;
  event.preventDefault();
  move(to);
});
let from = null;
box.addEventListener("pointerdown", (event) => { from = event.isPrimary ? event.clientX : null; });
box.addEventListener("pointercancel", () => { from = null; });
box.addEventListener("pointerup", (event) => {
  if (from !== null && event.isPrimary && Math.abs(event.clientX - from) > 40) move(at + (event.clientX < from ? 1 : -1));
  from = null;
});
box.addEventListener("close", () => {
  links[at].focus();
  if (named() < 0) return; // closed by Back
  if (history.state?.lightbox) history.back();
  else history.replaceState(null, "", location.pathname + location.search);
});
window.addEventListener("hashchange", follow);
if (named() >= 0) follow();
