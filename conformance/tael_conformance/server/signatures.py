"""Checks of request signatures. Each carrier is a query for an unknown number, which changes nothing."""

from typing import Final
from urllib.parse import urlencode

from tael_conformance.checks import Group, Skipped
from tael_conformance.server.session import OK, Server, new_reference
from tael_conformance.signing import digest, sign_params, signed_text
from tael_conformance.wire import SIGN_HEADER, Exchange

GROUP: Final[Group[Server]] = Group("server.signature", "Signing a request")
REFUSED: Final = "1108"
HTTP_OK: Final = 200
BOUNDARY: Final = "kit-4f1c2a"


def query(server: Server, **more: str) -> dict[str, str]:
    return server.params("query", {"out_trade_no": new_reference(), **more})


def expect_accepted(answer: Exchange) -> None:
    answer.expect(answer.status == HTTP_OK and answer.respcd == OK, f"HTTP 200 with respcd {OK}")


def expect_refused(answer: Exchange) -> None:
    answer.expect(answer.status == HTTP_OK and answer.respcd == REFUSED, f"HTTP 200 with respcd {REFUSED}")


@GROUP.must(
    "accepted", "A correct signature", "A request signed as documented is accepted: HTTP 200, respcd 0000."
)
def accepted(server: Server) -> None:
    answer = server.send("query", query(server))
    server.is_locked_out = answer.respcd == REFUSED
    expect_accepted(answer)


@GROUP.must("md5", "MD5 without X-QF-SIGNTYPE", "Without X-QF-SIGNTYPE, the signature is MD5.")
def md5(server: Server) -> None:
    if server.options.algorithm != "MD5":
        raise Skipped("the app is checked with --sign-type SHA256")
    expect_accepted(server.send("query", query(server), headers={"X-QF-SIGNTYPE": None}))


@GROUP.must("sha256", "SHA256", "X-QF-SIGNTYPE: SHA256 selects SHA256.")
def sha256(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, server.credentials.key, "SHA256")
    expect_accepted(
        server.send("query", params, sign=sign, headers={"X-QF-SIGNTYPE": "SHA256"}, note="SHA256")
    )


@GROUP.should(
    "sha256-by-length", "SHA256 without X-QF-SIGNTYPE", "Without the header, 64 hex characters are SHA256."
)
def sha256_by_length(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, server.credentials.key, "SHA256")
    expect_accepted(server.send("query", params, sign=sign, headers={"X-QF-SIGNTYPE": None}, note="SHA256"))


@GROUP.must("lower-case", "Lower-case hex", "The signature may be in hex of either case.")
def lower_case(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, server.credentials.key, server.options.algorithm).lower()
    expect_accepted(server.send("query", params, sign=sign, note="signature in lower case"))


@GROUP.must(
    "unsorted", "Parameters in any order", "The text is sorted by name, whatever the order in the body."
)
def unsorted(server: Server) -> None:
    params = query(server, page="1", udid="counter-1")
    body = urlencode(sorted(params.items(), reverse=True))
    expect_accepted(server.send("query", params, body=body, note="body in reverse order"))


@GROUP.must(
    "values",
    "Unencoded values in UTF-8",
    "The text has the values before URL encoding, in UTF-8, not trimmed.",
)
def values(server: Server) -> None:
    expect_accepted(server.send("query", query(server, udid=" 香港 a+b%2F/c ")))


@GROUP.should("empty-signed", "Empty values in the text", "Empty values may be included in the signed text.")
def empty_signed(server: Server) -> None:
    expect_accepted(server.send("query", query(server, pay_type="")))


@GROUP.should("empty-left-out", "Empty values left out", "Empty values may be left out of the signed text.")
def empty_left_out(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, server.credentials.key, server.options.algorithm)
    sent = {**params, "pay_type": ""}
    expect_accepted(server.send("query", sent, sign=sign, note="signed without pay_type="))


@GROUP.must(
    "query-string", "Parameters in the query string", "Parameters may be sent in the query string of a POST."
)
def query_string(server: Server) -> None:
    params = query(server)
    target = f"query?{urlencode(params)}"
    expect_accepted(server.send(target, params, body="", headers={"Content-Type": None}))


@GROUP.should(
    "literal-values", "Values without URL encoding", "QFPay's PHP and Java samples send blanks as they are."
)
def literal_values(server: Server) -> None:
    params = query(server, udid="counter 1")
    body = "&".join(f"{name}={params[name]}" for name in sorted(params))
    expect_accepted(server.send("query", params, body=body, note="not URL-encoded"))


@GROUP.should("no-content-type", "No Content-Type", "QFPay's C# sample sends a form without a Content-Type.")
def no_content_type(server: Server) -> None:
    expect_accepted(
        server.send("query", query(server), headers={"Content-Type": None}, note="no Content-Type")
    )


@GROUP.should("multipart", "A multipart body", "Parameters may be sent as a multipart body.")
def multipart(server: Server) -> None:
    params = query(server)
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in params.items()
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    body = f"{''.join(parts)}--{BOUNDARY}--\r\n"
    expect_accepted(server.send("query", params, body=body, headers=headers, note="multipart"))


@GROUP.should("sign-in-body", "A sign parameter", "A parameter named sign is not signed; X-QF-SIGN decides.")
def sign_in_body(server: Server) -> None:
    expect_accepted(server.send("query", {**query(server), "sign": "0" * 32}))


@GROUP.must("wrong", "A wrong signature", "A wrong signature is 1108, with HTTP 200.")
def wrong(server: Server) -> None:
    params = query(server)
    sign = digest(signed_text(params).encode(), f"not {server.credentials.key}", server.options.algorithm)
    expect_refused(server.send("query", params, sign=sign, note="signed with another key"))


@GROUP.must("empty-key", "Signed with an empty key", "A text signed without the key is 1108.")
def empty_key(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, "", server.options.algorithm)
    expect_refused(server.send("query", params, sign=sign, note="signed with an empty key"))


@GROUP.must("missing", "No X-QF-SIGN", "A request without a signature is 1108.")
def missing(server: Server) -> None:
    expect_refused(server.send("query", query(server), headers={SIGN_HEADER: None}, note="no X-QF-SIGN"))


@GROUP.must("altered", "A parameter changed after signing", "The signature covers every value.")
def altered(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, server.credentials.key, server.options.algorithm)
    changed = {**params, "out_trade_no": new_reference()}
    expect_refused(server.send("query", changed, sign=sign, note="out_trade_no changed after signing"))


@GROUP.must(
    "added", "A parameter added after signing", "The signature covers every parameter, unknown ones too."
)
def added(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, server.credentials.key, server.options.algorithm)
    expect_refused(server.send("query", {**params, "page": "2"}, sign=sign, note="page added after signing"))


@GROUP.should("appcode-unknown", "An unknown appcode", "An unknown appcode is 1108, like a wrong signature.")
def appcode_unknown(server: Server) -> None:
    headers = {"X-QF-APPCODE": f"kit{server.credentials.appcode[:8]}"}
    expect_refused(server.send("query", query(server), headers=headers, note="unknown X-QF-APPCODE"))


@GROUP.should("appcode-missing", "No X-QF-APPCODE", "A request without an appcode is 1108.")
def appcode_missing(server: Server) -> None:
    expect_refused(
        server.send("query", query(server), headers={"X-QF-APPCODE": None}, note="no X-QF-APPCODE")
    )


@GROUP.should(
    "algorithm-mismatch", "MD5 declared as SHA256", "X-QF-SIGNTYPE decides how the signature is verified."
)
def algorithm_mismatch(server: Server) -> None:
    params = query(server)
    sign = sign_params(params, server.credentials.key, "MD5")
    headers = {"X-QF-SIGNTYPE": "SHA256"}
    expect_refused(server.send("query", params, sign=sign, headers=headers, note="MD5 declared as SHA256"))


@GROUP.must(
    "mchid-unknown", "An mchid of no merchant", "An mchid that does not belong to the appcode is 1108."
)
def mchid_unknown(server: Server) -> None:
    expect_refused(server.call("query", mchid="kit0unknown0merchant", out_trade_no=new_reference()))


@GROUP.must("mchid-foreign", "Another app's mchid", "Another app's mchid is 1108.")
def mchid_foreign(server: Server) -> None:
    if not server.options.foreign_mchid:
        raise Skipped("needs --foreign-mchid")
    expect_refused(server.call("query", mchid=server.options.foreign_mchid, out_trade_no=new_reference()))


@GROUP.should(
    "values-differ",
    "One parameter with two values",
    "A parameter sent twice must have the same value both times: 1104.",
)
def values_differ(server: Server) -> None:
    params = query(server, page="1")
    answer = server.send("query", params, body=f"{urlencode(params)}&page=2", note="page=2 as well")
    answer.expect(answer.respcd == "1104", "respcd 1104")
