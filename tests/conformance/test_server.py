"""The kit accepts the gateway with every pay type and both webhook styles, and finds each mistake of a wrong server."""

import json
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from defusedxml import ElementTree
from tael_conformance.checks import Outcome, Result
from tael_conformance.server.catalogue import CHECKS
from tael_conformance.server.payer import Person

from tests.conformance.kit import check_server, departed, explained, run_kit
from tests.conformance.wrong_server import (
    DEFECTS,
    MONEY_DEFECTS,
    Answer,
    Call,
    Defect,
    Upstream,
    WrongServer,
    has_times_in_utc,
)
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo

AMOUNT: Final = 200
WRONG_MERCHANT: Final = "server.signature.mchid-foreign"
#: The topics of the checks that a defect is run against, by the topic of the check that names it.
TOPICS: Final = {
    "signature": ("server.signature", "server.response.signature-unverified"),
    "response": ("server.response", "server.payment", "server.query"),
    "field": ("server.field",),
    "payment": ("server.payment", "server.query", "server.close"),
    "query": ("server.query", "server.close"),
    "settlement": ("server.settlement",),
    "close": ("server.close", "server.field.unknown"),
    "money": ("server.money",),
}
#: How far UTC+8 is ahead of UTC.
HOURS_AHEAD: Final = 8
#: The checks that find each mistake; all others of these topics pass.
FOUND: Final = {
    "believes_any_signature": {
        *("server.signature.wrong", "server.signature.empty-key", "server.signature.altered"),
        *("server.signature.added", "server.signature.algorithm-mismatch"),
        "server.response.signature-unverified",
    },
    "believes_unsigned_requests": {"server.signature.missing"},
    "signs_without_the_key": {"server.signature.empty-key"},
    "ignores_unsigned_parameters": {"server.signature.added"},
    "needs_capitals": {"server.signature.lower-case"},
    "is_md5_only": {"server.signature.sha256", "server.signature.sha256-by-length"},
    "takes_any_merchant": {"server.signature.mchid-unknown", WRONG_MERCHANT},
    "signs_nothing": {
        *("server.response.signature", "server.response.signature-payment"),
        "server.response.signature-refusal",
    },
    "signs_other_bytes": {
        *("server.response.signature", "server.response.signature-payment"),
        "server.response.signature-refusal",
    },
    "signs_every_response": {"server.response.signature-unverified"},
    "refuses_with_http_400": {"server.response.http-200"},
    "sends_numbers": {"server.response.strings"},
    "sends_page_as_text": {"server.query.page-type"},
    "hides_resperr": {"server.response.members", "server.response.text-refusal"},
    "has_a_wrong_code_for_a_missing_field": {
        "server.field.missing.txamt",
        "server.field.missing.refund.txamt",
    },
    "does_not_name_the_missing_field": {
        f"server.field.missing.auth_code.{code}"
        for code in ("800008", "800108", "800208", "800228", "801008")
    },
    "accepts_a_short_valid_time": {"server.field.valid_time"},
    "names_no_channel": {"server.field.pay_type"},
    "accepts_a_number_twice": {"server.payment.duplicate"},
    "has_other_pay_data_each_time": {"server.payment.repeated"},
    "has_times_in_utc": {"server.payment.time", "server.query.time", "server.query.time-filter"},
    "has_no_cancel_in_rows": {"server.query.row-members", "server.close.row"},
    "ignores_pages": {"server.query.paging"},
    "refuses_get": {"server.query.get"},
    "shows_rows_of_others": {"server.query.foreign"},
    "settles_the_gross_amount": {"server.settlement.amounts"},
    "has_amounts_as_text": {"server.settlement.types", "server.settlement.amounts"},
    "has_days_without_dashes": {"server.settlement.types"},
    "mixes_the_wallets": {"server.settlement.paymethod"},
    "settles_any_range": {"server.settlement.required", "server.settlement.order"},
    "closes_without_a_number": {"server.close.numbers"},
    "closes_unknown_orders": {"server.field.unknown.close"},
    "closes_a_paid_order": {"server.money.close.online", "server.money.close.barcode"},
    "accepts_an_over_refund": {"server.money.refund.over"},
    "refunds_twice_under_one_number": {"server.money.refund.repeated", "server.money.refund.full"},
    "reports_a_partial_refund_as_none": {"server.money.refund.cancel"},
    "refunds_more_when_nothing_is_left": {"server.money.refund.nothing-left"},
    "lists_reversals": {"server.money.reversal.no-row"},
    "refuses_to_reverse_paid_payments": {"server.money.reversal.paid"},
}
#: The topic of a defect is that of its first check, except for these.
TOPIC_OF: Final = {"sends_page_as_text": "response", "closes_unknown_orders": "close"}
LEVELS: Final = {check.id: check.level for check in CHECKS}


def topic_of(name: str) -> str:
    return TOPIC_OF.get(name) or min(FOUND[name], key=_rank).split(".")[1]


def _rank(check_id: str) -> int:
    return list(TOPICS).index(check_id.split(".")[1])


def outcome_of(check_id: str) -> Outcome:
    return Outcome.FAILED if LEVELS[check_id] == "must" else Outcome.WARNING


@pytest.fixture(scope="session")
def other(chain: Merchant, published: Merchant, foreign_syssn: str) -> dict[str, Any]:
    """Options that name what belongs to another app."""
    return {"foreign_syssn": foreign_syssn, "foreign_mchid": chain.mchid}


@pytest.fixture(scope="module")
def transport() -> Iterator[httpx.HTTPTransport]:
    with httpx.HTTPTransport() as transport:
        yield transport


# ---- the gateway -------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def kit_of(merchant: Merchant, *options: str) -> Any:
    """The whole command, with money, a sandbox and a webhook listener to which the app's notify URL is set."""
    demo, port = merchant.demo, free_port()
    demo.set_app(merchant.appcode, "--notify-url", f"http://127.0.0.1:{port}/notify")
    return run_kit(
        *("server", demo.gateway, "--sandbox", demo.sandbox, "--sandbox-shop", merchant.shop),
        *("--move-money", "--pace", "0", "--listen", f"127.0.0.1:{port}", "--strict", *options),
        QFPAY_APPCODE=merchant.appcode,
        QFPAY_KEY=merchant.key,
        QFPAY_MCHID=merchant.mchid,
    )


def test_the_gateway_departs_from_no_rule_with_any_pay_type(
    published: Merchant, other: dict[str, str], tmp_path: Path
) -> None:
    """Old-style webhooks. Also that a JUnit report has every check once."""
    junit = tmp_path / "report.xml"
    done = kit_of(
        published,
        *("--webhook-style", "old", "--foreign-syssn", other["foreign_syssn"]),
        *("--foreign-mchid", other["foreign_mchid"], "--junit", str(junit)),
    )
    assert done.exit_code == 0, done.output
    cases = list(ElementTree.parse(junit).iter("testcase"))
    assert [case.get("name") for case in cases] == [check.id for check in CHECKS]
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    assert skipped == ["server.webhook.refund"]  # the old style notifies payments only


def test_the_gateway_departs_from_no_rule_with_sha256_and_new_webhooks(
    chain: Merchant, kit_demo: Demo
) -> None:
    options = ("--sign-type", "SHA256", "--webhook-style", "new", "--pay-type", "800201")
    done = kit_of(
        chain, *options, "--pay-type", "800208", "--only", "server.signature", "--only", "server.webhook"
    )
    assert done.exit_code == 0, done.output
    assert "A refund is notified  server.webhook.refund\n" in done.output
    assert chain.key not in done.output


def test_without_move_money_nothing_is_paid(published: Merchant) -> None:
    before = paid_trades(published.demo)
    done = run_kit(
        *(
            "server",
            published.demo.gateway,
            "--pace",
            "0",
            "--only",
            "server.money",
            "--only",
            "server.close",
        ),
        QFPAY_APPCODE=published.appcode,
        QFPAY_KEY=published.key,
    )
    assert done.exit_code == 0, done.output
    assert "moves money; allow it with --move-money" in done.output
    assert paid_trades(published.demo) == before


def paid_trades(demo: Demo) -> set[str]:
    """The wallets' numbers of all orders that were paid."""
    return {trade["trade"] for trade in demo.control("book")["trades"] if trade["state"] == "SUCCESS"}


def test_a_person_s_barcode_is_charged_once(published: Merchant) -> None:
    code = published.demo.code("wechat")
    done = run_kit(
        *("server", published.demo.gateway, "--pace", "0", "--move-money", "--auth-code", code),
        *("--only", "server.money.barcode"),
        QFPAY_APPCODE=published.appcode,
        QFPAY_KEY=published.key,
    )
    assert done.exit_code == 0, done.output
    assert "800208 is paid" in done.output
    assert "needs --auth-code with a barcode for 800108" in done.output
    assert code not in done.output


def person(show: Callable[[str], None]) -> Person:
    return Person(deque(), {}, show)


def test_a_person_is_shown_the_link_and_waited_for(
    transport: httpx.BaseTransport, published: Merchant
) -> None:
    def pay(text: str) -> None:
        number, _, link = text.removeprefix("pay ").partition(" now: ")
        published.demo.confirm(url=link)
        published.until(published.rows(out_trade_no=number)[0]["syssn"], "0000")

    only = ("server.money.online.800201", "server.money.close.online")
    results = check_server(transport, published, *only, payer=person(pay), move_money=True)
    assert [result.outcome for result in results] == [Outcome.PASSED] * 2, explained(results)


def test_the_wait_for_a_person_is_bounded(transport: httpx.BaseTransport, published: Merchant) -> None:
    links: list[str] = []
    (result,) = check_server(
        *(transport, published, "server.money.online.800201"),
        payer=person(links.append),
        move_money=True,
        wait_s=0.1,
    )
    assert (result.outcome, len(links)) == (Outcome.FAILED, 1)
    assert result.expected == "a row with respcd 0000 within 0.1 s"


# ---- a wrong server ----------------------------------------------------------------------------------------------


def wrong(
    defect: Defect | None,
    transport: httpx.BaseTransport,
    merchant: Merchant,
    other: dict[str, Any],
    topic: str,
) -> list[Result]:
    memory = {"foreign": other["foreign_syssn"], "amount": AMOUNT}
    upstream = Upstream(transport, merchant.appcode, merchant.key, merchant.mchid, memory)
    return check_server(
        WrongServer(defect, upstream) if defect else transport,
        merchant,
        *TOPICS[topic],
        amount=AMOUNT,
        pay_types=("800201", "800208"),
        move_money=topic == "money",
        wait_s=2 if topic == "money" else 1,
        **other,
    )


def test_every_mistake_is_expected_to_be_found() -> None:
    assert FOUND.keys() == {defect.__name__ for defect in (*DEFECTS, *MONEY_DEFECTS)}


@pytest.mark.parametrize("defect", [*DEFECTS, *MONEY_DEFECTS], ids=lambda defect: defect.__name__)
def test_a_server_with_one_mistake_is_found_by_the_checks_about_it(
    defect: Defect, transport: httpx.BaseTransport, published: Merchant, other: dict[str, Any]
) -> None:
    topic = topic_of(defect.__name__)
    results = wrong(defect, transport, published, other, topic)
    made = {result.id for result in results}
    found = set(FOUND[defect.__name__])
    if defect is has_times_in_utc and published.demo.now().hour < HOURS_AHEAD:
        found.add(
            "server.payment.syssn"
        )  # which begins with the day of UTC+8, when UTC's is still the day before
    expected = {name: outcome_of(name) for name in found & made}
    assert expected
    assert departed(results) == expected, explained(results)


# ---- the command -------------------------------------------------------------------------------------------------


def refused_by_the_gateway(published: Merchant, *options: str) -> Any:
    """A run with a wrong key: nearly every check fails."""
    return run_kit(
        *("server", published.demo.gateway, "--pace", "0", "--only", "server.signature", *options),
        QFPAY_APPCODE=published.appcode,
        QFPAY_KEY="a-key-of-another-app-0123456789",
    )


def test_a_failure_is_explained_without_key_and_signatures(published: Merchant, tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    done = refused_by_the_gateway(published, "--junit", str(junit))
    assert done.exit_code == 1
    assert "POST /trade/v1/query" in done.output
    assert "HTTP 200 with respcd 0000" in done.output
    assert '"respcd": "1108"' in done.output
    failures = list(ElementTree.parse(junit).iter("failure"))
    assert "expected: HTTP 200 with respcd 0000" in str(failures[0].text)
    for text in (done.output, junit.read_text()):
        assert "a-key-of-another-app" not in text


def test_with_a_wrong_key_only_signatures_are_checked(published: Merchant) -> None:
    done = run_kit(
        *("server", published.demo.gateway, "--pace", "0", "--json"),
        QFPAY_APPCODE=published.appcode,
        QFPAY_KEY="a-key-of-another-app-0123456789",
    )
    results = json.loads(done.output)["results"]
    made = {result["group"] for result in results if result["outcome"] != "skipped"}
    assert (done.exit_code, made) == (1, {"signature"})


def test_no_order_is_paid_again_because_its_payment_looked_wrong(
    transport: httpx.HTTPTransport, published: Merchant
) -> None:
    """A server that shows a paid barcode payment as pending: the barcodes of a person are for one attempt each."""

    def shows_all_as_pending(call: Call, upstream: Upstream) -> Answer:
        answer = upstream.forward(call)
        rows = answer.members.get("data") or []
        pending = [row | {"respcd": "1145"} for row in rows]
        return upstream.signed(answer, answer.members | {"data": pending}) if rows else answer

    codes = deque([published.demo.code("wechat") for _ in range(6)])
    upstream = Upstream(transport, published.appcode, published.key, published.mchid)
    results = check_server(
        *(WrongServer(shows_all_as_pending, upstream), published, "server.money.refund"),
        payer=Person(codes, {}, lambda text: None),
        pay_types=("800201", "800208"),
        move_money=True,
        wait_s=0,
    )
    assert Counter(result.outcome for result in results)[Outcome.FAILED] == 1
    assert len(codes) == 5


def test_json_has_every_result(published: Merchant) -> None:
    done = refused_by_the_gateway(published, "--json")
    report = json.loads(done.output)
    assert report["counts"]["failed"] == len([r for r in report["results"] if r["outcome"] == "failed"]) > 0
    assert {result["group"] for result in report["results"]} == {"signature"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("http://127.0.0.1:9",),
        ("gateway",),
        ("http://127.0.0.1:9", "--pay-type", "123456"),
        ("http://127.0.0.1:9", "--only", "server.no.such"),
        ("http://127.0.0.1:9", "--key-file", "/no/such/file"),
        ("http://127.0.0.1:9", "--listen", "8000"),
    ],
    ids=str,
)
def test_wrong_arguments_and_an_unreachable_server_are_unusable(arguments: tuple[str, ...]) -> None:
    done = run_kit("server", *arguments, QFPAY_APPCODE="123456", QFPAY_KEY="123456")
    assert done.exit_code == 2


def test_without_credentials_it_is_unusable() -> None:
    done = run_kit("server", "http://127.0.0.1:9", QFPAY_APPCODE="", QFPAY_KEY="")
    assert (done.exit_code, "QFPAY_KEY" in done.output) == (2, True)


def test_the_list_has_every_check_with_its_rule() -> None:
    done = run_kit("server", "--list")
    assert done.exit_code == 0
    assert [line.partition(" ")[0] for line in done.output.splitlines()] == [check.id for check in CHECKS]


def test_a_topic_can_be_left_out() -> None:
    done = run_kit("server", "--list", "--skip", "server.money", "--skip", "server.webhook.sent")
    listed = {line.partition(" ")[0] for line in done.output.splitlines()}
    left_out = {check.id for check in CHECKS if check.id.startswith("server.money.")} | {
        "server.webhook.sent"
    }
    assert listed == {check.id for check in CHECKS} - left_out
