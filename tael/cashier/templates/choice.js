/* One choice at a time; and when the link's time is over the page says so. */
(function () {
  "use strict";
  var choice = document.getElementById("choice");
  var forms = document.querySelectorAll("form");
  forms.forEach(function (form) {
    form.addEventListener("submit", function () {
      window.setTimeout(function () {
        document.querySelectorAll("button").forEach(function (button) { button.disabled = true; });
      }, 0);
    });
  });
  /* A page that comes back out of the browser's memory may be chosen from again. */
  window.addEventListener("pageshow", function (event) { if (event.persisted) { window.location.reload(); } });
  window.setTimeout(function () { window.location.reload(); }, Number(choice.dataset.leftS) * 1000 + 1000);
})();
