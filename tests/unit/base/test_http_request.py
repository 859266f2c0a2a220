"""The head of a request: what a server gets to read, and what must not get into it."""

import pytest
from yarl import URL

from tael.base.http_request import USER_AGENT, Request, target_of

URL_OF_SHOP = URL("https://user:p%40ss@shop.example:8443/notify?a=%2b#top", encoded=True)


def lines_of(request: Request) -> list[str]:
    octets = request.octets(target_of(request.url, True, None))
    head, separator, body = octets.partition(b"\r\n\r\n")
    assert separator
    assert body == request.body
    return head.decode().split("\r\n")


async def test_a_head_has_the_target_the_length_and_the_credentials_of_the_url() -> None:
    first, *others = lines_of(Request("POST", URL_OF_SHOP, b"money", {}))
    assert first == "POST /notify?a=%2b HTTP/1.1"
    assert set(others) == {
        "Host: shop.example:8443",
        f"User-Agent: {USER_AGENT}",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "Authorization: Basic dXNlcjpwQHNz",  # user:p@ss
        "Content-Length: 5",
        "Content-Type: application/octet-stream",
    }


async def test_the_callers_headers_replace_others_of_any_case() -> None:
    headers = {"content-type": "application/json", "X-QF-SIGN": "AB", "user-agent": "ours"}
    lines = lines_of(Request("POST", URL("http://shop.example/"), b"{}", headers))
    assert "Host: shop.example" in lines
    assert [line for line in lines if line.lower().startswith(("content-type", "user-agent"))] == [
        "user-agent: ours",
        "content-type: application/json",
    ]
    assert "X-QF-SIGN: AB" in lines


@pytest.mark.parametrize("forged", ["a\r\nX: b", "a\nb", "a\x00b", "a\x7f"])
async def test_a_control_character_cannot_get_into_a_head(forged: str) -> None:
    url = URL("http://shop.example/")
    for headers in ({"X": forged}, {forged: "b"}):
        with pytest.raises(ValueError, match="control character"):
            lines_of(Request("POST", url, b"", headers))
    in_path = URL.build(scheme="http", host="shop.example", path=f"/{forged}", encoded=True)
    with pytest.raises(ValueError, match="control character"):
        lines_of(Request("POST", in_path, b"", {}))
