"""The wallets' pages in a payer's browser: an order to pay, its result, and an error.

Self-contained: no script, and one inline style that the content security policy allows by its hash. Values are escaped.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from starlette.responses import HTMLResponse

from tael_sandbox.payers import Payer

STYLE: Final = Markup("""
:root{color-scheme:light dark;--page:#f3f5f8;--card:#fff;--ink:#1c2430;--soft:#5a6472;--quiet:#e6ebf1}
.alipay{--accent:#1264c8}.wechat{--accent:#0b7a3f}
@media(prefers-color-scheme:dark){
:root{--page:#12161c;--card:#1c232d;--ink:#eef2f6;--soft:#aab4c0;--quiet:#36404d}
.alipay{--accent:#7db4f5}.wechat{--accent:#6fd19a}
button{color:#0c1118}button.quiet{color:#eef2f6}}
@media(prefers-color-scheme:light){button{color:#fff}button.quiet{color:#1c2430}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:26rem;margin:0 auto;padding:1.25rem;box-sizing:border-box}
section{background:var(--card);border-radius:12px;padding:1.25rem;box-shadow:0 1px 4px #0002}
h1{font-size:1.125rem;margin:0 0 .75rem;color:var(--accent)}
.amount{font-size:2rem;font-weight:600;margin:.25rem 0}
.cny{color:var(--soft);margin:0 0 1rem}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:0 0 1rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;text-align:right}
label{display:block;margin:0 0 1rem}select,button{font:inherit;width:100%;min-height:44px;border-radius:8px}
button{border:0;margin-top:.5rem;background:var(--accent)}
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
<body class="{{ wallet }}"><main><section><h1>{{ title }}</h1>
%s
</section></main></body></html>
"""
_ORDER: Final = """
<p class="amount">{{ currency }} {{ amount }}</p>
{% if currency != "CNY" %}<p class="cny">CNY {{ amount_cny }}</p>{% endif %}
<dl><dt>Payee</dt><dd>{{ payee }}</dd><dt>For</dt><dd>{{ subject }}</dd>
<dt>Order</dt><dd>{{ order }}</dd></dl>
"""
_FORM: Final = """
{% if note %}<p role="alert">{{ note }}</p>{% endif %}
<form method="post" action="{{ action }}">
<label>Pay as <select name="payer">
{% for payer in payers %}<option value="{{ payer.payer }}">{{ payer.name }}</option>
{% endfor %}
</select></label>
<button name="action" value="pay">Pay</button>
<button class="quiet" name="action" value="cancel">Cancel</button>
</form>
"""
_CASHIER: Final = _PAGES.from_string(_FRAME % (_ORDER + _FORM))
_RESULT: Final = _PAGES.from_string(_FRAME % ("<p>{{ message }}</p>" + _ORDER))
_CONSENT: Final = _PAGES.from_string(
    _FRAME
    % """
<p>{{ merchant }} asks for your public profile: nickname, picture and region.</p>
<form method="post" action="{{ action }}">
<label>Continue as <select name="payer">
{% for payer in payers %}<option value="{{ payer.payer }}">{{ payer.name }}</option>
{% endfor %}
</select></label>
<button name="action" value="allow">Allow</button>
<button class="quiet" name="action" value="reject">Reject</button>
</form>
"""
)
_CLOSED: Final = _PAGES.from_string(_FRAME % "<p>{{ message }}</p>")
_ERROR: Final = _PAGES.from_string(_FRAME % "<p>The payment cannot be opened.</p><p>{{ detail }}</p>")


@dataclass(frozen=True, slots=True)
class ShownOrder:
    payee: str
    subject: str
    order: str  #: the merchant's number
    amount: str  #: in units of the currency
    currency: str
    amount_cny: str


def cashier_page(
    wallet: str, title: str, order: ShownOrder, *, action: str, payers: Sequence[Payer], note: str | None
) -> HTMLResponse:
    """A form that posts `action`, pay or cancel, and the `payer` to the address `action`."""
    return _page(_CASHIER, wallet, title, **asdict(order), action=action, payers=payers, note=note)


def result_page(wallet: str, title: str, order: ShownOrder, message: str) -> HTMLResponse:
    return _page(_RESULT, wallet, title, **asdict(order), message=message)


def consent_page(
    wallet: str, title: str, merchant: str, *, action: str, payers: Sequence[Payer]
) -> HTMLResponse:
    """A form that posts `action`, allow or reject, and the `payer` to the address `action`."""
    return _page(_CONSENT, wallet, title, merchant=merchant, action=action, payers=payers)


def closed_page(wallet: str, title: str, message: str) -> HTMLResponse:
    """The end of a page that the wallet's app would close."""
    return _page(_CLOSED, wallet, title, message=message)


def error_page(wallet: str, title: str, detail: Markup) -> HTMLResponse:
    """HTTP 200, like the wallets' own pages: the detail is all that a merchant's developer gets."""
    return _page(_ERROR, wallet, title, detail=detail)


def _page(template: Template, wallet: str, title: str, **values: object) -> HTMLResponse:
    content = template.render(wallet=wallet, title=title, style=STYLE, **values)
    return HTMLResponse(content, headers=HEADERS)
