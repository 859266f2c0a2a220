// Keeps the page live: submits its forms without navigation, and follows the sandbox's books with server-sent events.
// The server renders and escapes all HTML; this script only inserts it. The page also works without it.
"use strict";

const phone = document.getElementById("phone");
const live = document.getElementById("live");
const choice = { payer: phone.dataset.payer, code: phone.dataset.code, opened: phone.dataset.opened };
const known = new Set([...document.querySelectorAll("[data-entry]")].map((entry) => entry.dataset.entry));
const RETRY_MS = 3000;
let stream = null;
let retry = 0;
let leadMs = 0; // how far the sandbox's clock is ahead of the browser's

// Replaces the regions that differ, and keeps the focus if its element still exists.
function draw(regions) {
  const focused = document.activeElement ? document.activeElement.id : "";
  for (const [id, html] of Object.entries(regions)) {
    const drawn = document.createElement("template");
    drawn.innerHTML = html;
    const place = document.getElementById(id);
    if (place.innerHTML !== drawn.innerHTML) place.replaceChildren(drawn.content);
  }
  const again = focused && document.getElementById(focused);
  if (again && again !== document.activeElement) again.focus({ preventScroll: true });
  setClock();
  announce();
}

// A change of the opened order outdates an earlier note about it, but not the link back to the merchant.
function follow(update) {
  const before = document.getElementById("order").innerHTML;
  draw(update.regions);
  const note = document.getElementById("order-note");
  const isOpen = document.querySelector("#order form");
  if (before !== document.getElementById("order").innerHTML && !isOpen && !note.querySelector(".done")) {
    note.replaceChildren();
  }
}

// Announces the entries that are new since the page was opened. The newest ones come first on the page.
function announce() {
  const entries = [...document.querySelectorAll("[data-entry]")].filter((entry) => !known.has(entry.dataset.entry));
  for (const entry of entries) known.add(entry.dataset.entry);
  const sentences = entries.map((entry) => entry.dataset.announcement).filter(Boolean).reverse();
  if (sentences.length) document.getElementById("announcement").textContent = sentences.join(" ");
}

function setClock() {
  const time = document.querySelector("#clock time");
  if (time.dataset.read) return;
  leadMs = Number(time.dataset.now) - Date.now();
  time.dataset.read = "yes";
}

function tick() {
  const at = new Date(Date.now() + leadMs + 8 * 3600 * 1000); // UTC+8, as both wallets print
  const [, day, month, year, time] = at.toUTCString().split(" "); // Sun, 22 Nov 2026 23:00:07 GMT
  document.querySelector("#clock time").textContent = `${day} ${month} ${year}, ${time}`;
}

function connect() {
  clearTimeout(retry);
  if (stream) stream.close();
  if (document.hidden) return;
  stream = new EventSource(`/phone/events?${new URLSearchParams(choice)}`);
  stream.onopen = () => showState("Live");
  stream.addEventListener("screen", (event) => follow(JSON.parse(event.data)));
  stream.onerror = () => {
    showState("Reconnecting");
    if (stream.readyState === EventSource.CLOSED) retry = setTimeout(connect, RETRY_MS);
  };
}

function showState(state) {
  if (live.textContent !== state) live.textContent = state;
  live.dataset.state = state;
}

async function send(form, submitter) {
  const fields = new FormData(form, submitter);
  for (const [name, value] of Object.entries(choice)) fields.set(name, value);
  const headers = { Accept: "application/json" };
  const response = await fetch(form.getAttribute("action"), { method: "POST", headers, body: new URLSearchParams(fields) });
  return response.json();
}

function apply(update) {
  const hasChanged = Object.keys(choice).some((name) => choice[name] !== update.choice[name]);
  Object.assign(choice, update.choice);
  draw(update.regions);
  history.replaceState(null, "", update.address + location.hash);
  const link = document.getElementById("link");
  if (update.regions["link-note"]) link.setAttribute("aria-invalid", "true");
  else link.removeAttribute("aria-invalid");
  const next = update.focus && document.getElementById(update.focus);
  if (next) {
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: next.matches("h3") ? "start" : "nearest" });
  }
  if (hasChanged) connect();
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  event.preventDefault();
  if (form.dataset.busy) return;
  form.dataset.busy = "yes";
  try {
    apply(await send(form, event.submitter));
  } catch {
    const note = form.dataset.note || (form.closest("#waiting") ? "waiting-note" : "order-note");
    const text = document.createElement("p");
    text.className = "note bad";
    text.textContent = "The sandbox does not respond. Nothing is lost; try again.";
    document.getElementById(note).replaceChildren(text);
  } finally {
    delete form.dataset.busy;
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch { // clipboard access was denied: select the text instead
    getSelection().selectAllChildren(document.getElementById("code-number"));
    button.textContent = "Selected, ready to copy";
  }
});

// Shows one view at a time, selected by the address's fragment.
function show(fragment, isAsked) {
  const view = document.getElementById(fragment.slice(1));
  if (!view || !view.classList.contains("view")) return;
  for (const other of document.querySelectorAll(".view")) other.classList.toggle("current", other === view);
  for (const link of document.querySelectorAll(".views a")) {
    if (link.hash === fragment) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  if (!isAsked) return;
  view.querySelector("h2").focus({ preventScroll: true });
  for (const scrolled of [document.documentElement, document.querySelector(".glass")]) {
    scrolled.scrollTo({ top: 0, behavior: "instant" });
  }
}

addEventListener("hashchange", () => show(location.hash, true));
document.addEventListener("visibilitychange", connect);
if (location.hash) show(location.hash, false);
setClock();
setInterval(tick, 1000);
connect();
