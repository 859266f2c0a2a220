/* The link's parameters stand behind "#/?": they are posted as they stand, and nothing of them is shown. */
(function () {
  "use strict";
  var reader = document.getElementById("reader");
  var query = window.location.hash.replace(/^#\/?\??/, "");
  var lang = (new URLSearchParams(query).get("lang") || "").toLowerCase();
  var asked = (new URLSearchParams(window.location.search).get("lang") || "").toLowerCase();

  function refuse(name, code) {
    var refused = document.getElementById("refused");
    document.getElementById("opening").hidden = true;
    refused.appendChild(document.importNode(document.getElementById(name).content, true));
    if (code) { refused.querySelector("code").textContent = code; }
    refused.querySelector("h2").focus();
  }

  function opened(told) {
    if (told.respcd === "0000") {
      var chosen = asked || lang;
      window.location.replace(told.page + (/^(en|zh-cn|zh-hk)$/.test(chosen) ? "?lang=" + chosen : ""));
    } else if (/^11(00|12)$/.test(told.respcd)) { refuse("when-unreachable"); } else { refuse("when-refused", told.respcd); }
  }

  document.querySelectorAll("nav a").forEach(function (link) { link.href += window.location.hash; });
  window.addEventListener("hashchange", function () { window.location.reload(); });
  if (!asked && /^(en|zh-cn|zh-hk)$/.test(lang) && lang !== reader.dataset.lang) {
    window.location.replace("?lang=" + lang + window.location.hash);
    return;
  }
  window.fetch(reader.dataset.open, {
    method: "POST", body: query, credentials: "omit", headers: { "Content-Type": "application/x-www-form-urlencoded" }
  })
    .then(function (answer) { return answer.json(); })
    .then(opened)
    .catch(function () { refuse("when-unreachable"); });
})();
