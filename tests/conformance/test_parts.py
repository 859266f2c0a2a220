"""Signatures against published vectors, secrets in reports, and the bounds of the kit's own HTTP."""

import http.client
import json
import re
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tael_conformance import wire
from tael_conformance.checks import Check, Departure, Level, Outcome, run_checks
from tael_conformance.client.catalogue import CHECKS as CLIENT_CHECKS
from tael_conformance.credentials import Credentials, Redactor, masked_code, read_key
from tael_conformance.listener import Reply, listening
from tael_conformance.receiver.catalogue import CHECKS as RECEIVER_CHECKS
from tael_conformance.receiver.webhooks import Signer
from tael_conformance.report import Report, write_junit
from tael_conformance.server.catalogue import CHECKS
from tael_conformance.server.payer import Person
from tael_conformance.server.session import Options, Server
from tael_conformance.signing import digest, is_signature, sign_params, signed_text
from tael_conformance.wire import MAX_BODY_BYTES, Pacer, Wire

ROOT = Path(__file__).resolve().parents[2]
KEY = "123456"
MCHID = "eqqmYMn0Zj6pncw5ZDxjgMqbzV"
SECRET = "9f8e7d6c5b4a39281706f5e4d3c2b1a0-not-hex"


# ---- published signatures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "sign"),
    [
        (
            {
                "mchid": MCHID,
                "out_trade_no": "1470020842103",
                "pay_type": "800151",
                "txamt": "10",
                "txdtm": "2016-08-01 11:07:22",
            },
            "42537CC0A92F2BCF30C45A245BEBB22F",
        ),
        (
            {
                "valid_time": "300",
                "txdtm": "2017-09-06 14:56:43",
                "txamt": "10",
                "product_name": "香港測試：78945580",
                "pay_type": "800201",
                "out_trade_no": "78945580",
                "mchid": MCHID,
            },
            "B89662E26B3EE7A7727ADBA7FE11B888",
        ),
        ({"mchid": MCHID, "respcd": "0000", "sign": "left out"}, "B87D493241291768EAA3096D77404506"),
    ],
    ids=["ASCII", "Chinese", "sign in the body"],
)
def test_a_request_has_the_published_signature(params: dict[str, str], sign: str) -> None:
    assert sign_params(params, KEY) == sign
    assert is_signature(sign.lower(), signed_text(params).encode(), KEY)


def test_sha256_has_the_published_signature() -> None:
    params = {"mchid": "ZaMVg12345", "txamt": "100", "txcurrcd": "HKD"}
    expected = "99d9f7174823928b74c74b1c7a7e1538df733774dd21c9606a202cb8bb3d74e8"
    assert sign_params(params, "abcd1234", "SHA256") == expected.upper()


def test_a_response_has_the_published_signature() -> None:
    body = (
        rb'{"pay_type": "800108", "sysdtm": "2018-01-12 19:31:16", "cardcd": "2088802362210279", '
        rb'"txdtm": "2018-01-12 19:31:22", "resperr": "\u4ea4\u6613\u6210\u529f", "txcurrcd": "CNY", '
        rb'"txamt": "1", "respmsg": "", "out_trade_no": "130145934788787530052", '
        rb'"syssn": "20180112000100020001662134", "respcd": "0000"}'
    )
    assert len(body) == 302
    assert digest(body, "615ED178BA524459976CE40FAB78000F") == "1E2CE7C2A7F8F581C354A857182B7A31"


def test_webhooks_of_both_styles_have_the_published_signatures() -> None:
    members = {
        "pay_type": "800151",
        "txdtm": "2017-06-15 10:21:37",
        "mchid": MCHID,
        "txamt": "10",
        "respmsg": "",
        "out_trade_no": "A",
        "syssn": "201706150902990034076180",
        "respcd": "0000",
    }
    body = (
        json.dumps(members).replace('"10"', "10").replace(f'"{members["syssn"]}"', members["syssn"]).encode()
    )
    assert Signer("old", KEY).webhook(members).sign == "67A4F8CD7C48E6E1900F300D803A0F67"
    assert len(body) == 195
    assert Signer("new", KEY).sign(body, members) == "E5458FD1705D723733F85F06E6101D6A"


# ---- secrets -----------------------------------------------------------------------------------------------------


def test_keys_and_digests_are_removed_from_texts() -> None:
    redact = Redactor((SECRET,))
    signature = "67A4F8CD7C48E6E1900F300D803A0F67"
    text = redact(f"key {SECRET} sign {signature.lower()} {signature * 2} syssn 201706150902990034076180")
    assert text == "key <hidden> sign <hidden> <hidden> syssn 201706150902990034076180"


def test_no_repr_shows_a_key() -> None:
    for each in (Credentials("app", SECRET), Redactor((SECRET,)), Signer("new", SECRET)):
        assert SECRET not in repr(each)


def test_a_result_has_no_key_wherever_the_check_found_it(tmp_path: Path) -> None:
    def depart(subject: None) -> None:
        raise Departure(f"expected {SECRET}", f"received {SECRET}", f"sent {SECRET}\x00")

    check = Check("server.topic.check", "title", "rule", "section", Level.MUST, depart)
    (result,) = run_checks([check], None, Redactor((SECRET,)))
    write_junit(Report("server", "http://x", (result,)), tmp_path / "report.xml")
    for text in (repr(result), (tmp_path / "report.xml").read_text()):
        assert "received" in text
        assert SECRET not in text


def test_most_of_a_barcode_is_hidden() -> None:
    assert masked_code("131234567890123456") == "1312…"


def test_a_key_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\n")
    assert read_key(path) == SECRET
    path.write_bytes(b"k" * 5000)
    with pytest.raises(ValueError, match="more than 4096 bytes"):
        read_key(path)


# ---- all checks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "checks"), [("server", CHECKS), ("receiver", RECEIVER_CHECKS), ("client", CLIENT_CHECKS)]
)
def test_every_check_has_an_id_of_its_own_and_names_a_section_of_the_manual(
    command: str, checks: list[Check[Any]]
) -> None:
    manual = (ROOT / "docs" / "merchant-manual.md").read_text("utf-8")
    headings = set(re.findall("^#+ (.+)$", manual, re.MULTILINE))
    assert {check.section for check in checks} <= headings
    assert len({check.id for check in checks}) == len(checks)
    assert not [check.id for check in checks if any(each.id.startswith(f"{check.id}.") for each in checks)]
    assert {check.id.split(".")[0] for check in checks} == {command}


# ---- bounds ------------------------------------------------------------------------------------------------------


class FakeTime:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_requests_are_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    time = FakeTime()
    monkeypatch.setattr(wire, "time", time)
    pacer = Pacer(5)
    sent_at = []
    for _ in range(4):
        pacer.wait()
        sent_at.append(round(time.now - 100, 3))
    assert sent_at == [0, 0.2, 0.4, 0.6]


def test_a_pause_between_requests_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    time = FakeTime()
    monkeypatch.setattr(wire, "time", time)
    pacer = Pacer(5)
    pacer.wait()
    time.now += 60
    pacer.wait()
    pacer.wait()
    assert round(time.now - 160, 3) == 0.2


def test_waiting_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    time = FakeTime()
    monkeypatch.setattr(wire, "time", time)
    assert not wire.until(lambda: False, 12, 5)
    assert time.now == 112


def wire_to(body: bytes, status: int = 200) -> Wire:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body))
    return Wire("http://server", httpx.Client(transport=transport))


@pytest.mark.parametrize(
    ("refusals", "retry_after", "status", "waited_s"),
    [(2, "7", 200, 14), (9, "1", 429, 3), (1, "3600", 200, 60), (1, "soon", 429, 0), (1, "", 429, 0)],
)
def test_a_request_above_a_limit_is_sent_again_later(
    monkeypatch: pytest.MonkeyPatch, refusals: int, retry_after: str, status: int, waited_s: int
) -> None:
    time, bodies = FakeTime(), []
    began, answers = time.now, iter([429] * refusals + [200])
    monkeypatch.setattr(wire, "time", time)

    def respond(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(next(answers), headers={"Retry-After": retry_after})

    paced = Wire("http://server", httpx.Client(transport=httpx.MockTransport(respond)))
    assert paced.send("POST", "/", b"a=b").status == status
    assert (set(bodies), time.now - began) == ({b"a=b"}, waited_s)


def test_a_response_that_is_too_long_is_a_departure() -> None:
    with pytest.raises(Departure, match="at most"):
        wire_to(b"x" * (MAX_BODY_BYTES + 1)).send("GET", "/")


def test_the_listener_refuses_large_requests_and_cuts_connections() -> None:
    answers = iter([Reply(200, b"SUCCESS"), Reply(is_cut=True)])
    with listening(lambda request: next(answers)) as listener:
        assert post(listener.url, b"small") == (200, b"SUCCESS")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            post(listener.url, b"small")
        status, _ = post(listener.url, b"", {"Content-Length": "10000000"})
        assert status == 413
        assert [each.body for each in listener.received] == [b"small", b"small"]


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", "/", body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


#: Responses of a server that is not QFPay's.
HOSTILE = {
    "nothing": b"",
    "a list": b"[]",
    "a null": b'{"respcd": null, "data": null, "syssn": null}',
    "rows of other types": b'{"respcd": "0000", "data": [[], 1, null], "syssn": 5, "sysdtm": {}}',
    "rows without members": b'{"respcd": "0000", "data": [{}], "syssn": "1", "pay_params": []}',
    "numbers": b'{"respcd": "0000", "data": [{"syssn": 1, "sysdtm": 2}], "syssn": 1e400, "qrcode": true}',
    "depth": b'{"respcd":' + b"[" * 100_000,
    "not UTF-8": b'{"respcd": "\xff"}',
    "a page": b"<html><body>It works!</body></html>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_response_ends_a_run(name: str) -> None:
    person = Person(deque(["131234567890123456", "281234567890123456"] * 3), {}, lambda text: None)
    options = Options(move_money=True, wait_s=0, foreign_syssn="1", foreign_mchid="other")
    with listening(lambda request: Reply(200, b"SUCCESS")) as listener:
        server = Server(wire_to(HOSTILE[name]), Credentials("app", KEY, MCHID), person, options, listener)
        results = list(run_checks(CHECKS, server, Redactor()))
        server.close_open_orders()
    assert len(results) == len(CHECKS)
    assert sum(result.outcome is Outcome.FAILED for result in results) > 40
    assert not [result for result in results if "what cannot be read" in result.received]
