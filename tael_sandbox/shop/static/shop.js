// Keeps pages fresh: the total while a basket is filled, and an order's regions while it is open.
// All HTML comes drawn and escaped from the server; this only puts it in place. Without it the pages still work.
"use strict";

const POLL_MS = 1000;
const SLOW_POLL_MS = 5000;

// ---- the basket

const checkout = document.getElementById("checkout");

function countOf(input) {
  const text = input.value.trim() || "0";
  return /^[0-9]{1,4}$/.test(text) ? Number(text) : 0;
}

function setTotal() {
  const total = document.getElementById("total");
  const inputs = [...checkout.querySelectorAll("[data-price]")];
  const minor = inputs.reduce((sum, input) => sum + countOf(input) * Number(input.dataset.price), 0);
  const whole = String(Math.floor(minor / 100)).replace(/\B(?=(\d{3})+$)/g, ",");
  total.textContent = `${total.dataset.currency}\u00a0${whole}.${String(minor % 100).padStart(2, "0")}`;
}

if (checkout) {
  checkout.addEventListener("input", setTotal);
  checkout.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (!button) return;
    const input = document.getElementById(button.dataset.for);
    const count = countOf(input) + Number(button.dataset.step);
    input.value = Math.min(Number(input.dataset.most), Math.max(0, count)) || "";
    setTotal();
  });
  setTotal();
  const errors = document.getElementById("errors");
  if (errors) errors.focus();
}

// A form that is on its way is not sent again by a second press.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.busy) event.preventDefault();
  event.target.dataset.busy = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.busy;
});

// ---- an open order

const order = document.getElementById("live-order");
const drawn = {};

// What two drawings are compared by: the browser's own writing of them, with nothing opened.
function written(content) {
  for (const details of content.querySelectorAll("details")) details.open = false;
  const holder = document.createElement("div");
  holder.append(content);
  return holder.innerHTML;
}

// Draws a region anew if it differs from what is there, and keeps what is typed, opened and focused in it.
function draw(id, html) {
  if (drawn[id] === html) return;
  const place = document.getElementById(id);
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const isSame = written(fresh.content.cloneNode(true)) === written(cloned(place));
  drawn[id] = html;
  if (isSame) return;
  const open = new Set([...place.querySelectorAll("details[open]")].map((details) => details.id));
  const typed = new Map([...place.querySelectorAll("input[id]")].map((input) => [input.id, input.value]));
  const held = place.contains(document.activeElement) ? document.activeElement : null;
  const focused = held && held.closest("[id]").id;
  place.replaceChildren(fresh.content);
  for (const details of place.querySelectorAll("details")) details.open = open.has(details.id);
  for (const input of place.querySelectorAll("input[id]")) input.value = typed.get(input.id) || input.value;
  const again = focused && document.getElementById(focused);
  if (again) (held.matches("summary") ? again.querySelector("summary") : again).focus({ preventScroll: true });
}

function cloned(place) {
  const copy = document.createDocumentFragment();
  for (const child of place.childNodes) copy.append(child.cloneNode(true));
  return copy;
}

async function follow() {
  let rest = POLL_MS;
  if (!document.hidden) {
    try {
      const answer = await fetch(order.dataset.address, { headers: { Accept: "application/json" } });
      const told = await answer.json();
      for (const [id, html] of Object.entries(told.regions)) draw(id, html);
      document.title = document.title.replace(/^.*?:/, `${document.querySelector(".headline").textContent}:`);
      order.dataset.live = "yes";
    } catch { // the shop is away; what is shown stays
      rest = SLOW_POLL_MS;
    }
  }
  setTimeout(follow, rest);
}

// A form that was sent back with a mark on it stays until it is sent again.
if (order && !document.querySelector("[aria-invalid]")) follow();
