// Keeps pages up to date: the total while the basket is edited, and an order's regions while its page is open.
// The server renders and escapes all HTML; this script only inserts it. The pages also work without it.
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
  const decimals = Number(total.dataset.decimals);
  const digits = String(minor).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+$)/g, ",");
  const part = decimals ? `.${digits.slice(-decimals)}` : "";
  total.textContent = `${total.dataset.currency}\u00a0${whole}${part}`;
}

if (checkout) {
  checkout.addEventListener("input", setTotal);
  checkout.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (!button) return;
    const input = document.getElementById(button.dataset.for);
    const count = countOf(input) + Number(button.dataset.step);
    input.value = Math.min(Number(input.dataset.max), Math.max(0, count)) || "";
    setTotal();
  });
  setTotal();
  const errors = document.getElementById("errors");
  if (errors) errors.focus();
}

// Prevents a second submit while a form is being sent.
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

// The form in which two renderings are compared: serialised by the browser, with all details closed.
function serialised(content) {
  for (const details of content.querySelectorAll("details")) details.open = false;
  const holder = document.createElement("div");
  holder.append(content);
  return holder.innerHTML;
}

// Replaces a region if it differs, and keeps its input values, open details and focus.
function draw(id, html) {
  if (drawn[id] === html) return;
  const place = document.getElementById(id);
  const rendered = document.createElement("template");
  rendered.innerHTML = html;
  const isSame = serialised(rendered.content.cloneNode(true)) === serialised(cloned(place));
  drawn[id] = html;
  if (isSame) return;
  const open = new Set([...place.querySelectorAll("details[open]")].map((details) => details.id));
  const typed = new Map([...place.querySelectorAll("input[id]")].map((input) => [input.id, input.value]));
  const held = place.contains(document.activeElement) ? document.activeElement : null;
  const focused = held && held.closest("[id]").id;
  place.replaceChildren(rendered.content);
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
  let delay = POLL_MS;
  if (!document.hidden) {
    try {
      const response = await fetch(order.dataset.address, { headers: { Accept: "application/json" } });
      const update = await response.json();
      for (const [id, html] of Object.entries(update.regions)) draw(id, html);
      document.title = document.title.replace(/^.*?:/, `${document.querySelector(".headline").textContent}:`);
      order.dataset.live = "yes";
    } catch { // the shop cannot be reached; the page stays as it is
      delay = SLOW_POLL_MS;
    }
  }
  setTimeout(follow, delay);
}

// A form that is shown with errors stays until it is sent again.
if (order && !document.querySelector("[aria-invalid]")) follow();
