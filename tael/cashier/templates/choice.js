/* Disables the buttons after a choice, and reloads the page when the link expires. */
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
  /* A page restored from the browser's back/forward cache has disabled buttons. */
  window.addEventListener("pageshow", function (event) { if (event.persisted) { window.location.reload(); } });
  window.setTimeout(function () { window.location.reload(); }, Number(choice.dataset.leftS) * 1000 + 1000);
})();
