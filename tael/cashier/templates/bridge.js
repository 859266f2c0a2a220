/* Hands the stored parameters to WeChat's bridge; what the bridge says is no proof, so the page goes on asking us. */
(function () {
  "use strict";
  var button = document.getElementById("bridge");
  var word = document.getElementById("word");
  function said(result) {
    var name = { "get_brand_wcpay_request:ok": "ok", "get_brand_wcpay_request:cancel": "cancel" }[result.err_msg] || "fail";
    word.textContent = button.dataset[name];
    button.hidden = name === "ok";
  }
  function pay() {
    window.WeixinJSBridge.invoke("getBrandWCPayRequest", JSON.parse(button.dataset.params), said);
  }
  function ready() {
    word.textContent = "";
    button.disabled = false;
    button.addEventListener("click", pay);
    pay();
  }
  if (window.WeixinJSBridge) { ready(); } else {
    button.disabled = true;
    document.addEventListener("WeixinJSBridgeReady", ready);
  }
})();
