/* Counts down and polls the state at growing intervals: not while the page is hidden, not after the result. */
(function () {
  "use strict";
  var waiting = document.getElementById("waiting");
  var status = document.getElementById("status");
  var left = document.getElementById("left");
  var end = Date.now() + Number(waiting.dataset.leftS) * 1000;
  var polls = 0, maxPolls = 400, timer = 0, ticking = 0, isOver = false;

  function two(number) { return (number < 10 ? "0" : "") + number; }

  function tick() {
    var s = Math.max(0, Math.round((end - Date.now()) / 1000));
    left.textContent = (s >= 3600 ? Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) : Math.floor(s / 60)) + ":" + two(s % 60);
    if (s === 0 && !isOver) {
      isOver = true;
      document.getElementById("action").hidden = true;
      status.textContent = waiting.dataset.over;
      window.clearInterval(ticking);
    }
  }

  function show(state) {
    var template = document.getElementById("when-" + state);
    if (!template) { return false; }
    window.clearInterval(ticking);
    waiting.hidden = true;
    status.textContent = "";
    var result = document.getElementById("result");
    result.appendChild(document.importNode(template.content, true));
    var heading = result.querySelector("h2");
    document.title = heading.textContent;
    heading.focus();
    goOn();
    return true;
  }

  function interval() { return Math.min(10000, 2000 + Math.max(0, polls - 10) * 400); }

  function pollLater() {
    window.clearTimeout(timer);
    if (!document.hidden && polls < maxPolls) { timer = window.setTimeout(poll, interval()); }
  }

  function poll() {
    polls += 1;
    window.fetch(waiting.dataset.statePath, { cache: "no-store", credentials: "omit" })
      .then(function (response) { return response.json(); })
      .then(function (payment) { if (!show(payment.state)) { pollLater(); } })
      .catch(pollLater);
  }

  document.addEventListener("visibilitychange", function () {
    window.clearTimeout(timer);
    if (!document.hidden && !waiting.hidden) { poll(); }
  });
  if (left) { // not while the order is being closed
    document.getElementById("clock").hidden = false;
    ticking = window.setInterval(tick, 1000);
    tick();
  }
  pollLater();
})();
