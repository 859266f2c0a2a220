// Keeps the page live: sends its forms without leaving it, and follows the sandbox's books by server-sent events.
// All HTML comes drawn and escaped from the server; this only puts it in place. Without it the page still works.
"use strict";

const phone = document.getElementById("phone");
const live = document.getElementById("live");
const choice = { payer: phone.dataset.payer, code: phone.dataset.code, opened: phone.dataset.opened };
const known = new Set([...document.querySelectorAll("[data-entry]")].map((entry) => entry.dataset.entry));
const RETRY_MS = 3000;
let stream = null;
let retry = 0;
let lead = 0; // of the sandbox's clock over this browser's

// Draws regions where they differ, and keeps the focus where it was if it is still there.
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
  tellNews();
}

// The stream's news of an opened order makes an older hint about it untrue, but not the way back to the merchant.
function follow(told) {
  const before = document.getElementById("order").innerHTML;
  draw(told.regions);
  const note = document.getElementById("order-note");
  const isOpen = document.querySelector("#order form");
  if (before !== document.getElementById("order").innerHTML && !isOpen && !note.querySelector(".done")) {
    note.replaceChildren();
  }
}

// Says what is new since this page was opened, whichever way it came: the newest entries stand first.
function tellNews() {
  const entries = [...document.querySelectorAll("[data-entry]")].filter((entry) => !known.has(entry.dataset.entry));
  for (const entry of entries) known.add(entry.dataset.entry);
  const news = entries.map((entry) => entry.dataset.news).filter(Boolean).reverse();
  if (news.length) document.getElementById("news").textContent = news.join(" ");
}

function setClock() {
  const time = document.querySelector("#clock time");
  if (time.dataset.read) return;
  lead = Number(time.dataset.now) - Date.now();
  time.dataset.read = "yes";
}

function tick() {
  const at = new Date(Date.now() + lead + 8 * 3600 * 1000); // UTC+8, as both wallets print
  const [, day, month, year, time] = at.toUTCString().split(" "); // Sun, 22 Nov 2026 23:00:07 GMT
  document.querySelector("#clock time").textContent = `${day} ${month} ${year}, ${time}`;
}

function connect() {
  clearTimeout(retry);
  if (stream) stream.close();
  if (document.hidden) return;
  stream = new EventSource(`/phone/events?${new URLSearchParams(choice)}`);
  stream.onopen = () => say("Live");
  stream.addEventListener("screen", (event) => follow(JSON.parse(event.data)));
  stream.onerror = () => {
    say("Reconnecting");
    if (stream.readyState === EventSource.CLOSED) retry = setTimeout(connect, RETRY_MS);
  };
}

function say(state) {
  if (live.textContent !== state) live.textContent = state;
  live.dataset.state = state;
}

async function send(form, submitter) {
  const asked = new FormData(form, submitter);
  for (const [name, value] of Object.entries(choice)) asked.set(name, value);
  const headers = { Accept: "application/json" };
  const answer = await fetch(form.getAttribute("action"), { method: "POST", headers, body: new URLSearchParams(asked) });
  return answer.json();
}

function take(told) {
  const hasChanged = Object.keys(choice).some((name) => choice[name] !== told.choice[name]);
  Object.assign(choice, told.choice);
  draw(told.regions);
  history.replaceState(null, "", told.address + location.hash);
  const link = document.getElementById("link");
  if (told.regions["link-note"]) link.setAttribute("aria-invalid", "true");
  else link.removeAttribute("aria-invalid");
  const next = told.focus && document.getElementById(told.focus);
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
    take(await send(form, event.submitter));
  } catch {
    const note = form.dataset.note || (form.closest("#waiting") ? "waiting-note" : "order-note");
    const text = document.createElement("p");
    text.className = "note bad";
    text.textContent = "The sandbox does not answer. Nothing is lost; try again.";
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
  } catch { // not allowed here: select it, for the reader to copy
    getSelection().selectAllChildren(document.getElementById("code-number"));
    button.textContent = "Selected; copy it";
  }
});

// One view at a time; the address's fragment says which.
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
