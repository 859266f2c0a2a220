"""The pages in a payer's browser: the cashier, the result, and the gateway's error page.

Self-contained: no script, and one inline style that the content security policy allows by its hash. Values are escaped.
"""

import base64
import hashlib
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from tael_sandbox import rates
from tael_sandbox.alipay.trades import Trade
from tael_sandbox.payers import Payer

STYLE: Final = Markup("""
:root{color-scheme:light dark;--page:#f3f5f8;--card:#fff;--ink:#1c2430;--soft:#5a6472;--blue:#1264c8;--quiet:#e6ebf1}
@media(prefers-color-scheme:dark){
:root{--page:#12161c;--card:#1c232d;--ink:#eef2f6;--soft:#aab4c0;--blue:#7db4f5;--quiet:#36404d}
button{color:#0c1118}button.quiet{color:#eef2f6}}
@media(prefers-color-scheme:light){button{color:#fff}button.quiet{color:#1c2430}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:26rem;margin:0 auto;padding:1.25rem;box-sizing:border-box}
section{background:var(--card);border-radius:12px;padding:1.25rem;box-shadow:0 1px 4px #0002}
h1{font-size:1.125rem;margin:0 0 .75rem;color:var(--blue)}
.amount{font-size:2rem;font-weight:600;margin:.25rem 0}
.cny{color:var(--soft);margin:0 0 1rem}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:0 0 1rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;text-align:right}
label{display:block;margin:0 0 1rem}select,button{font:inherit;width:100%;min-height:44px;border-radius:8px}
button{border:0;margin-top:.5rem;background:var(--blue)}
button.quiet{background:var(--quiet)}
code{overflow-wrap:anywhere}
""")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
#: Browsers also apply `form-action` to the redirects after a form: the merchant's return page and its own redirects.
#: The form's own target is ours and fixed.
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self' http: https:;"
    " base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_PAGES: Final = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_FRAME: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>{{ style }}</style></head>
<body><main><section><h1>{{ title }}</h1>
%s
</section></main></body></html>
"""
_TRADE: Final = """
<p class="amount">{{ currency }} {{ amount }}</p>
{% if currency != "CNY" %}<p class="cny">CNY {{ amount_cny }}</p>{% endif %}
<dl><dt>Payee</dt><dd>{{ payee }}</dd><dt>For</dt><dd>{{ subject }}</dd>
<dt>Order</dt><dd>{{ order }}</dd></dl>
"""
_CASHIER: Final = _PAGES.from_string(
    _FRAME
    % (
        _TRADE
        + """
{% if note %}<p role="alert">{{ note }}</p>{% endif %}
<form method="post" action="/alipay/cashier/{{ token }}">
<label>Pay as <select name="payer">
{% for payer in payers %}<option value="{{ payer.payer }}">{{ payer.name }}</option>
{% endfor %}
</select></label>
<button name="action" value="pay">Pay</button>
<button class="quiet" name="action" value="cancel">Cancel</button>
</form>
"""
    )
)
_RESULT: Final = _PAGES.from_string(_FRAME % ("<p>{{ message }}</p>" + _TRADE))
_ERROR: Final = _PAGES.from_string(
    _FRAME % "<p>The payment cannot be opened.</p><p>Error code: <code>{{ code }}</code></p>"
)


def cashier_page(trade: Trade, payee: str, payers: list[Payer], note: str | None = None) -> HTMLResponse:
    content = _CASHIER.render(
        title="Alipay cashier",
        style=STYLE,
        token=trade.token,
        payers=payers,
        note=note,
        **_page_values(trade, payee),
    )
    return HTMLResponse(content, headers=HEADERS)


def result_page(trade: Trade, payee: str, title: str, message: str) -> HTMLResponse:
    content = _RESULT.render(title=title, style=STYLE, message=message, **_page_values(trade, payee))
    return HTMLResponse(content, headers=HEADERS)


def error_page(code: str) -> HTMLResponse:
    """HTTP 200, like Alipay's own page: the code is all that a merchant's developer gets."""
    return HTMLResponse(_ERROR.render(title="Alipay", style=STYLE, code=code), headers=HEADERS)


def _page_values(trade: Trade, payee: str) -> dict[str, str]:
    return {
        "payee": payee,
        "subject": trade.subject,
        "order": trade.order_no,
        "amount": trade.amount,
        "currency": trade.price_currency,
        "amount_cny": rates.in_units(trade.cny_minor, "CNY"),
    }
