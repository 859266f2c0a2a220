/* Posts the link's parameters, which are behind "#/?", unchanged. None of them is shown. */
(function () {
  "use strict";
  var reader = document.getElementById("reader");
  var query = window.location.hash.replace(/^#\/?\??/, "");
  var lang = (new URLSearchParams(query).get("lang") || "").toLowerCase();
  var requested = (new URLSearchParams(window.location.search).get("lang") || "").toLowerCase();

  function refuse(name, code) {
    var refused = document.getElementById("refused");
    document.getElementById("opening").hidden = true;
    refused.appendChild(document.importNode(document.getElementById(name).content, true));
    if (code) { refused.querySelector("code").textContent = code; }
    refused.querySelector("h2").focus();
  }

  function opened(response) {
    if (response.respcd === "0000") {
      var chosen = requested || lang;
      window.location.replace(response.page + (/^(en|zh-cn|zh-hk)$/.test(chosen) ? "?lang=" + chosen : ""));
    } else if (/^11(00|12)$/.test(response.respcd)) { refuse("when-unreachable"); } else { refuse("when-refused", response.respcd); }
  }

  document.querySelectorAll("nav a").forEach(function (link) { link.href += window.location.hash; });
  window.addEventListener("hashchange", function () { window.location.reload(); });
  if (!requested && /^(en|zh-cn|zh-hk)$/.test(lang) && lang !== reader.dataset.lang) {
    window.location.replace("?lang=" + lang + window.location.hash);
    return;
  }
  window.fetch(reader.dataset.open, {
    method: "POST", body: query, credentials: "omit", headers: { "Content-Type": "application/x-www-form-urlencoded" }
  })
    .then(function (response) { return response.json(); })
    .then(opened)
    .catch(function () { refuse("when-unreachable"); });
})();
