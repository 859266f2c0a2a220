/* Counts down, and asks for the state: rarely, ever more rarely, not while hidden, never after the end. */
(function () {
  "use strict";
  var waiting = document.getElementById("waiting");
  var word = document.getElementById("word");
  var left = document.getElementById("left");
  var end = Date.now() + Number(waiting.dataset.leftS) * 1000;
  var asked = 0, mostAsked = 400, timer = 0, ticking = 0, isOver = false;

  function two(number) { return (number < 10 ? "0" : "") + number; }

  function tick() {
    var s = Math.max(0, Math.round((end - Date.now()) / 1000));
    left.textContent = (s >= 3600 ? Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) : Math.floor(s / 60)) + ":" + two(s % 60);
    if (s === 0 && !isOver) {
      isOver = true;
      document.getElementById("way").hidden = true;
      word.textContent = waiting.dataset.over;
      window.clearInterval(ticking);
    }
  }

  function show(state) {
    var template = document.getElementById("when-" + state);
    if (!template) { return false; }
    window.clearInterval(ticking);
    waiting.hidden = true;
    word.textContent = "";
    var result = document.getElementById("result");
    result.appendChild(document.importNode(template.content, true));
    var heading = result.querySelector("h2");
    document.title = heading.textContent;
    heading.focus();
    goOn();
    return true;
  }

  function gap() { return Math.min(10000, 2000 + Math.max(0, asked - 10) * 400); }

  function later() {
    window.clearTimeout(timer);
    if (!document.hidden && asked < mostAsked) { timer = window.setTimeout(ask, gap()); }
  }

  function ask() {
    asked += 1;
    window.fetch(waiting.dataset.ask, { cache: "no-store", credentials: "omit" })
      .then(function (answer) { return answer.json(); })
      .then(function (told) { if (!show(told.state)) { later(); } })
      .catch(later);
  }

  document.addEventListener("visibilitychange", function () {
    window.clearTimeout(timer);
    if (!document.hidden && !waiting.hidden) { ask(); }
  });
  if (left) { // not while the order is being closed
    document.getElementById("clock").hidden = false;
    ticking = window.setInterval(tick, 1000);
    tick();
  }
  later();
})();
