"""Bad input at the phone: a clear note beside the field, no input lost, no stack trace."""

import html

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.handset import Handset, fetch, text_of

SCRIPT = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.mark.parametrize(
    ("form", "fields", "place"),
    [
        ("code", {"payer": "nobody"}, "page-note"),
        ("scan", {"wallet": "paypal"}, "page-note"),
        ("code", {"payer": "ada\x00"}, "page-note"),
        ("code", {"behaviour": "explodes"}, "code-note"),
        ("scan", {"link": ""}, "link-note"),
        ("scan", {"link": " \t "}, "link-note"),
        ("scan", {"link": "http://["}, "link-note"),
        ("scan", {"link": "a\x1bb"}, "link-note"),
        ("scan", {"link": "https://elsewhere.example/x"}, "link-note"),
        ("scan", {"link": "weixin://wxpay/bizpayurl?pr=nothing"}, "link-note"),
        ("scan", {"link": "weixin://wxpay/bizpayurl?pr=nothing", "payer": "chen"}, "link-note"),
        ("scan", {"link": "x" * 5000}, "link-note"),
        ("scan", {"link": "/gateway.do?service=create_forex_trade"}, "link-note"),
        ("scan", {"link": SCRIPT}, "link-note"),
        ("act", {"action": "pay"}, "order-note"),
        ("act", {"action": "steal", "opened": "x"}, "order-note"),
        ("act", {"action": "pay", "opened": "http://["}, "order-note"),
        ("act", {"action": "pay", "number": "12"}, "waiting-note"),
        ("act", {"action": "pay", "number": "12\n"}, "waiting-note"),
        ("clock", {"advance_s": "-1"}, "tester-note"),
        ("clock", {"advance_s": "nan"}, "tester-note"),
        ("clock", {}, "tester-note"),
        ("faults", {"action": "add", "kind": "earthquake"}, "tester-note"),
        ("faults", {}, "tester-note"),
    ],
)
def test_an_invalid_action_gets_a_note_beside_it_and_the_fields_stay(
    sandbox: Sandbox, form: str, fields: dict[str, str], place: str
) -> None:
    refused = Handset(sandbox).send(form, **fields)
    assert refused.status == 400
    assert refused[place].endswith(".")
    assert [name for name in refused.members["regions"] if name.endswith("-note") and refused[name]] == [
        place
    ]
    page = fetch(sandbox, f"/phone/{form}", {"payer": "ada"} | fields)
    assert page.status == 400
    assert refused[place] in text_of(page.body)
    if "link" in fields:
        assert f'value="{html.escape(fields["link"], quote=True)}"'.replace("&quot;", "&#34;") in page.body


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("", "Paste a code or a link first."),
        ("x" * 4097, "This is too long to be a code or a link."),
        ("weixin://\x1b", "This has characters that are not allowed in a code or a link."),
        ("http://[", "This is neither a code nor a link."),
        ("weixin://wxpay/bizpayurl?pr=nothing", "WeChat Pay has no such code."),
        (
            "/gateway.do?service=create_forex_trade",
            "WeChat Pay does not know this. Paste a pay_url, a qrcode, pay_params or an app's order string,"
            " and choose its wallet above.",
        ),
    ],
)
def test_a_bad_link_gets_its_reason(sandbox: Sandbox, link: str, message: str) -> None:
    assert Handset(sandbox, "chen").scan(link)["link-note"] == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"payer=%ff%fe",
        b"a=1&" * 30 + b"a=1",
        b"link=" + b"a" * 70_000,
        b"{}",
        b"payer=a;link=b",
    ],
)
@pytest.mark.parametrize("form", ["code", "scan", "act", "clock", "faults"])
def test_no_body_breaks_a_form(sandbox: Sandbox, form: str, body: bytes) -> None:
    answer = fetch(sandbox, f"/phone/{form}", body)
    is_without_fields = form == "code" and b"=" not in body  # defaults to the first payer and `pays`
    assert answer.status == (200 if is_without_fields else 400)
    assert "A payer's phone" in answer.body


def test_an_unknown_payer_in_an_address_is_named_and_the_first_phone_is_shown(sandbox: Sandbox) -> None:
    page = fetch(sandbox, "/?payer=%3Cb%3Enobody")
    assert page.status == 400
    assert "There is no payer '<b>nobody'." in text_of(page.body.replace("<b>", "BROKEN"))
    assert 'data-payer="ada"' in page.body
