/* Passes the stored parameters to WeChat's bridge. Its result is no proof of payment: the page keeps polling. */
(function () {
  "use strict";
  var button = document.getElementById("bridge");
  var status = document.getElementById("status");
  function showResult(result) {
    var name = { "get_brand_wcpay_request:ok": "ok", "get_brand_wcpay_request:cancel": "cancel" }[result.err_msg] || "fail";
    status.textContent = button.dataset[name];
    button.hidden = name === "ok";
  }
  function pay() {
    window.WeixinJSBridge.invoke("getBrandWCPayRequest", JSON.parse(button.dataset.params), showResult);
  }
  function ready() {
    status.textContent = "";
    button.disabled = false;
    button.addEventListener("click", pay);
    pay();
  }
  if (window.WeixinJSBridge) { ready(); } else {
    button.disabled = true;
    document.addEventListener("WeixinJSBridgeReady", ready);
  }
})();
