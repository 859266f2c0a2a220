"""Authlib's grants over our values: what passes, and what each other request is refused with."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from tael.base.secret import Secret
from tael.merchants.domain.merchant import PreviousKey
from tael.oauth.domain.grant import GRANT_LIFE, Grant, digest_of, token_row
from tael.oauth.domain.scopes import Scope
from tael.oauth.parameters import BadParameters, Parameters, read, read_once
from tael.oauth.server import RefreshToken, Refused, Request, Server
from tests.support.values import NOW, an_app

PAGE: Final = "https://app.example/cb"
KEY: Final = "k" * 32
APP: Final = an_app("APP", key=Secret(KEY), redirect_uris=(PAGE,))
GRANT: Final = Grant("g", "APP", "u", (Scope.BASEINFO, Scope.TRADELIST), digest_of("code"), PAGE, "", NOW)
CODE: Final = {"grant_type": "authorization_code", "code": "code", "client_id": "APP", "client_secret": KEY}
REFRESH: Final = {**CODE, "grant_type": "refresh_token", "refresh_token": "r"}


def request(values: Mapping[str, str], method: str = "POST") -> Request:
    return Request(method, Parameters(values, frozenset()))


def error_of(server: Server, values: Mapping[str, str], method: str = "POST") -> tuple[str, int]:
    with pytest.raises(Refused) as refused:
        server.check_token(request(values, method))
    return refused.value.error, refused.value.status


def test_one_registered_page_may_be_left_out_and_the_scope_too() -> None:
    asked = request({"client_id": "APP", "response_type": "code"}, "GET")
    assert Server(APP, NOW).check_authorization(asked) == (PAGE, "user_baseinfo")
    both = request(
        {"response_type": "code", "client_id": "APP", "scope": "user_tradelist, user_baseinfo"}, "GET"
    )
    assert Server(APP, NOW).check_authorization(both) == (PAGE, "user_baseinfo user_tradelist")


def test_without_an_app_nothing_is_redirected() -> None:
    for app in (None, replace(APP, redirect_uris=())):
        for values in ({"redirect_uri": PAGE}, {}, {"redirect_uri": PAGE, "response_type": "token"}):
            asked = request({"client_id": "APP", "response_type": "code"} | values, "GET")
            with pytest.raises(Refused) as refused:
                Server(app, NOW).check_authorization(asked)
            assert refused.value.redirect_uri == ""


def test_the_current_key_and_during_an_overlap_the_previous_are_the_secret() -> None:
    previous = PreviousKey(Secret("p" * 32), NOW + timedelta(hours=1))
    app = replace(APP, previous_key=previous)
    for secret in (KEY, "p" * 32):
        Server(app, NOW, grant=GRANT).check_token(request(CODE | {"client_secret": secret}))
    later = Server(app, NOW + timedelta(hours=1), grant=GRANT)
    assert error_of(later, CODE | {"client_secret": "p" * 32}) == ("invalid_client", 401)
    for stand_in in ("0" * 32, "", "x"):  # what is compared where there is no key
        for unknown in (None, app):
            given = Server(unknown, NOW, grant=GRANT)
            assert error_of(given, CODE | {"client_secret": stand_in}) == ("invalid_client", 401)


def test_a_grant_is_its_apps_only() -> None:
    other = replace(APP, appcode="OTHER")
    assert error_of(Server(other, NOW, grant=GRANT), CODE) == ("invalid_grant", 400)
    token = token_row("a", "r", GRANT, GRANT.scopes, NOW)
    assert error_of(Server(other, NOW, refresh_token=RefreshToken(GRANT, token)), REFRESH) == (
        "invalid_grant",
        400,
    )
    assert error_of(Server(APP, NOW), CODE) == ("invalid_grant", 400)
    assert error_of(Server(APP, NOW), REFRESH) == ("invalid_grant", 400)
    assert error_of(Server(APP, NOW, grant=GRANT), CODE, "GET") == ("unsupported_grant_type", 400)


def test_a_refresh_asks_for_no_more_than_was_permitted() -> None:
    grant = replace(GRANT, scopes=(Scope.BASEINFO,))
    server = Server(
        APP, NOW, refresh_token=RefreshToken(grant, token_row("a", "r", grant, grant.scopes, NOW))
    )
    assert error_of(server, REFRESH | {"scope": "user_tradelist"}) == ("invalid_scope", 400)
    server.check_token(request(REFRESH | {"scope": "user_baseinfo"}))


def test_no_token_outlives_its_grant() -> None:
    late = token_row("a", "r", GRANT, GRANT.scopes, NOW + GRANT_LIFE - timedelta(minutes=1))
    assert late.access_expires_at == late.refresh_expires_at == NOW + GRANT_LIFE
    assert "code" not in (digest_of("code"), GRANT.code_digest)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"code=%ff", b"state=%0A", b"state=%22", "code=ü".encode(), b"redirect_uri=%C3%BC", b"scope=a%00b"),
        *(b"code=" + b"a" * 1025, b"a" * 9000, b"&".join(b"a=1" for _ in range(31))),
    ],
)
def test_parameters_are_bounded_ascii(raw: bytes) -> None:
    with pytest.raises(BadParameters):
        read(raw)


def test_a_repeated_parameter_is_refused_even_if_equal() -> None:
    assert read(b"code=a&code=a&x=1&x=1").repeated == {"code", "x"}
    with pytest.raises(BadParameters, match="code is given more than once"):
        read_once(b"code=a&code=a")
    assert read_once(b"code=a%20b&empty=&client_secret=%C3%BC") == {"code": "a b", "client_secret": "ü"}
