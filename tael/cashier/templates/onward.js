/* A result with an address to go on to is shown for a moment, then the browser goes there. */
function goOn() {
  var end = document.querySelector("#result .end[data-onward]");
  if (end && end.dataset.onward) {
    window.setTimeout(function () { window.location.replace(end.dataset.onward); }, 3000);
  }
}
goOn();
