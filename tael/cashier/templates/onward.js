/* Shows a result for 3 seconds, then redirects to its address if it has one. */
function goOn() {
  var end = document.querySelector("#result .end[data-onward]");
  if (end && end.dataset.onward) {
    window.setTimeout(function () { window.location.replace(end.dataset.onward); }, 3000);
  }
}
goOn();
