"""OAuth for merchants' users over HTTP, with Authlib's own client as the app; and what is refused."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from authlib.integrations.requests_client import OAuth2Session, OAuthError

from tests.end_to_end.merchant import MOMENT, Merchant, at_once
from tests.end_to_end.rig import Demo

PAGE: Final = "http://127.0.0.1:5000/cb?shop=1"
SECOND: Final = "https://app.example/cb"
PASSWORD: Final = "correct horse battery"
VERIFIER: Final = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE: Final = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
BOTH: Final = "user_baseinfo,user_tradelist"


@dataclass(frozen=True, slots=True)
class App:
    """An app with OAuth, and a user of the merchant `shop`."""

    shop: Merchant
    username: str
    userid: str

    @property
    def gateway(self) -> str:
        return self.shop.demo.gateway

    def request(self, **given: str | None) -> str:
        """The query of a request for consent. None leaves a parameter out."""
        params = {
            "client_id": self.shop.appcode,
            "redirect_uri": PAGE,
            "response_type": "code",
            "scope": BOTH,
            "state": "a b/ü".encode().hex(),
        } | given
        return urlencode({name: value for name, value in params.items() if value is not None})

    def redeem(self, code: str | None, **given: str | None) -> httpx.Response:
        """POST /oauth/v2/access_token. None leaves a parameter out."""
        params = {
            "client_id": self.shop.appcode,
            "client_secret": self.shop.key,
            "grant_type": "authorization_code",
            "code": code,
        } | given
        form = {name: value for name, value in params.items() if value is not None}
        answer = httpx.post(f"{self.gateway}/oauth/v2/access_token", data=form)
        assert answer.headers["cache-control"] == "no-store"
        return answer

    def refresh(self, token: str, **given: str | None) -> httpx.Response:
        return self.redeem(None, grant_type="refresh_token", refresh_token=token, **given)

    def read(self, call: str, token: str, **params: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.gateway}/user/v1/{call}", params={"access_token": token} | params)
        assert answer.status_code == 200
        members: dict[str, Any] = answer.json()
        return members


@pytest.fixture(scope="module")
def app(demo: Demo, chain: Merchant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    file = tmp_path_factory.mktemp("users") / "password"
    file.write_text(PASSWORD)
    demo.ask("app", "set", chain.appcode, "--redirect-uri", PAGE, "--redirect-uri", SECOND)
    user = demo.ask(
        *("user", "add", chain.mchid, "--username", "anna@tea", "--nickname", "钱台测试"),
        *("--password-file", str(file)),
    )
    assert "password" not in user
    yield App(chain, "anna@tea", user["userid"])
    demo.ask("app", "set", chain.appcode, "--redirect-uri", "")


class Browser:
    """The user's browser: it keeps cookies, and follows no redirect by itself."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.cookies: dict[str, str] = {}

    def open(self, query: str) -> httpx.Response:
        return self.send("GET", f"/oauth/v2/authorize?{query}")

    def post(self, page: httpx.Response, query: str, **fields: str) -> httpx.Response:
        (form,) = re.findall(r'name="form" value="(\w+)"', page.text)
        return self.send("POST", f"/oauth/v2/authorize?{query}", {"form": form} | fields)

    def send(self, method: str, target: str, form: dict[str, str] | None = None) -> httpx.Response:
        answer = httpx.request(method, self.app.gateway + target, data=form, cookies=self.cookies)
        self.cookies |= dict(answer.cookies)
        return answer

    def signed_in(self, query: str, password: str = PASSWORD) -> httpx.Response:
        """The page after signing in."""
        page = self.open(query)
        assert "Sign in" in page.text
        answer = self.post(page, query, action="sign_in", username=self.app.username, password=password)
        return self.send("GET", answer.headers["location"]) if answer.status_code == 303 else answer

    def allowed(self, query: str) -> str:
        """Where the browser goes after the consent."""
        answer = self.post(self.signed_in(query), query, action="allow")
        assert (answer.status_code, answer.headers["cache-control"]) == (303, "no-store")
        return answer.headers["location"]


def code_of(location: str) -> str:
    return parse_qs(urlsplit(location).query)["code"][0]


def new_code(app: App, **given: str | None) -> str:
    return code_of(Browser(app).allowed(app.request(**given)))


def error_of(location: str) -> tuple[str, str, str]:
    """(address, error, state)"""
    query = parse_qs(urlsplit(location).query)
    return location.split("&error")[0].split("?error")[0], query["error"][0], query.get("state", [""])[0]


# ---- the story -----------------------------------------------------------------------------------------------------


def test_an_app_reads_what_its_user_permits(app: App) -> None:
    """With PKCE, as Authlib's client does it, and with a refresh."""
    paid = app.shop.paid("800201", txamt="1200")
    client = OAuth2Session(
        app.shop.appcode,
        app.shop.key,
        redirect_uri=PAGE,
        scope="user_baseinfo user_tradelist",
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_post",
    )
    url, state = client.create_authorization_url(f"{app.gateway}/oauth/v2/authorize", code_verifier=VERIFIER)
    location = Browser(app).allowed(urlsplit(url).query)
    assert location.startswith(f"{PAGE}&code=")
    endpoint = f"{app.gateway}/oauth/v2/access_token"
    token = client.fetch_token(endpoint, authorization_response=location, code_verifier=VERIFIER, state=state)
    assert (token["token_type"], token["expires_in"], token["userid"]) == ("Bearer", 7200, app.userid)
    assert set(token) == {"access_token", "expires_in", "refresh_token", "token_type", "userid", "expires_at"}

    data = {"nickname": "钱台测试", "userid": app.userid}
    expected = {"respcd": "0000", "data": data, "resperr": "", "respmsg": ""}
    assert app.read("baseinfo", token["access_token"]) == expected
    spelled = httpx.get(f"{app.gateway}/user/v1/baseinfo", params={"Access_token": token["access_token"]})
    assert spelled.json() == expected  # as in a table of QFPay's
    assert client.get(f"{app.gateway}/user/v1/baseinfo").json() == expected  # the header of RFC 6750

    now = app.shop.demo.now()
    times = {"start_time": (now - timedelta(days=1)).strftime(MOMENT), "end_time": now.strftime(MOMENT)}
    answer = app.read("tradelist", token["access_token"], page="1", page_size="10", **times)
    assert (answer["respcd"], answer["data"]["page"], answer["data"]["pagesize"]) == ("0000", 1, 10)
    row = next(each for each in answer["data"]["tradelist"] if each["syssn"] == paid["syssn"])
    shown = app.shop.row(paid["syssn"])
    names = ("pay_type", "sysdtm", "txcurrcd", "txdtm", "txamt", "syssn")
    assert row == {name: shown[name] for name in names} | {"customer_id": ""}

    old = token["refresh_token"]
    new = client.refresh_token(endpoint, refresh_token=old)
    assert app.read("baseinfo", new["access_token"])["respcd"] == "0000"
    with pytest.raises(OAuthError, match="invalid_grant"):  # a used one ends all of them
        client.refresh_token(endpoint, refresh_token=old)
    assert app.read("baseinfo", new["access_token"])["respcd"] == "1108"
    assert app.refresh(new["refresh_token"]).json()["error"] == "invalid_grant"
    client.close()


def test_the_answer_is_qfpays(app: App) -> None:
    """A client of QFPay sends neither redirect_uri nor scope with the code."""
    answer = app.redeem(new_code(app, scope=None))
    assert (answer.status_code, answer.headers["pragma"]) == (200, "no-cache")
    token = answer.json()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", token["access_token"])
    refused = app.read("tradelist", token["access_token"])
    assert (refused["respcd"], "user_tradelist" in refused["respmsg"]) == ("1115", True)


# ---- codes ---------------------------------------------------------------------------------------------------------


def test_a_code_is_used_once_also_by_many_at_once_and_then_nothing_of_it_is_valid(app: App) -> None:
    code = new_code(app)
    answers = at_once(4, lambda _: app.redeem(code))
    issued = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(issued) == 1
    assert {answer.json().get("error") for answer in answers} == {None, "invalid_grant"}
    assert app.read("baseinfo", issued[0]["access_token"])["respcd"] == "1108"


def test_a_code_is_the_apps_the_pages_the_challenges_and_a_minute_old_at_most(
    app: App, wechat_only: Merchant, demo: Demo
) -> None:
    code = new_code(app, code_challenge=CHALLENGE, code_challenge_method="S256")
    demo.ask("app", "set", wechat_only.appcode, "--redirect-uri", PAGE)
    try:
        other = {"client_id": wechat_only.appcode, "client_secret": wechat_only.key}
        for given, error in (
            (other, "invalid_grant"),
            ({"redirect_uri": SECOND}, "invalid_grant"),
            ({"redirect_uri": f"{PAGE}/"}, "invalid_grant"),
            ({}, "invalid_request"),  # without the verifier
            ({"code_verifier": "short"}, "invalid_request"),
            ({"code_verifier": VERIFIER[::-1]}, "invalid_grant"),
            ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ):
            answer = app.redeem(code, **({"code_verifier": VERIFIER} if given is other else {}) | given)
            assert (answer.status_code, answer.json()["error"]) == (400, error), given
        assert app.redeem(code, redirect_uri=PAGE, code_verifier=VERIFIER).status_code == 200
        late = new_code(app)
        demo.advance(60)
        assert app.redeem(late).json()["error"] == "invalid_grant"
        token = app.redeem(new_code(app)).json()
        assert app.refresh(token["refresh_token"], **other).json()["error"] == "invalid_grant"
        assert app.refresh(token["refresh_token"]).status_code == 200  # the attempt ended nothing
    finally:
        demo.ask("app", "set", wechat_only.appcode, "--redirect-uri", "")


@pytest.mark.parametrize(
    "given",
    [
        {"client_secret": "wrong"},
        {"client_secret": None},
        {"client_secret": ""},
        {"client_secret": "密"},
        {"client_id": "unknown"},
        {"client_id": None},
        {"client_id": "123456", "client_secret": "123456"},  # an app without redirect URIs
    ],
)
def test_a_client_without_its_secret_is_401(app: App, given: dict[str, str | None]) -> None:
    answer = app.redeem("code", **given)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_client_may_authenticate_in_its_header_but_not_twice(app: App) -> None:
    url, basic = f"{app.gateway}/oauth/v2/access_token", (app.shop.appcode, app.shop.key)
    form = {"grant_type": "authorization_code", "code": new_code(app)}
    twice = httpx.post(url, data=form | {"client_secret": app.shop.key}, auth=basic)
    another = httpx.post(url, data=form | {"client_id": "another"}, auth=basic)
    assert {twice.json()["error"], another.json()["error"]} == {"invalid_request"}
    assert httpx.post(url, data=form, auth=("unknown", app.shop.key)).status_code == 401
    assert httpx.post(url, data=form, auth=basic).status_code == 200


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "invalid_request"),
        (b"grant_type=authorization_code&grant_type=authorization_code", "invalid_request"),
        (b"grant_type=password&username=a&password=b", "unsupported_grant_type"),
        (b"code=a&code=b", "invalid_request"),
        (b"code=%ff", "invalid_request"),
        (b"state=%00", "invalid_request"),
        (b"code=" + b"a" * 2000, "invalid_request"),
        (b"&".join(b"a%d=1" % number for number in range(40)), "invalid_request"),
        ("code=中".encode("gb18030"), "invalid_request"),
        (b'{"grant_type": "authorization_code"}', "invalid_request"),
    ],
)
def test_a_form_that_is_none_is_invalid(app: App, body: bytes, error: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = httpx.post(f"{app.gateway}/oauth/v2/access_token", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


# ---- the browser is never sent elsewhere ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        *(f"{SECOND}/", f"{SECOND}?a=1", "https://app.example/CB", "https://APP.example/cb", f"{SECOND}#x"),
        *("http://app.example/cb", "https://app.example:443/cb", "https://u@app.example/cb"),
        *("https://app.example/%63b", "https://app.example/a/%2e%2e/cb", "https://app.example//cb"),
        *("https://app.example/cb%2e", "https://app.example.evil.example/cb", "//app.example/cb", "/cb"),
        *(
            "javascript:alert(1)",
            "https://app.example/cb\\",
            "https://app.example/cb ",
            "a" * 3000,
            "ü",
            "\0",
        ),
    ],
)
def test_a_redirect_uri_that_almost_matches_is_an_error_page(app: App, uri: str) -> None:
    answer = Browser(app).open(app.request(redirect_uri=uri))
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert "This request cannot be opened" in answer.text


@pytest.mark.parametrize(
    "given",
    [
        {"client_id": "unknown"},
        {"client_id": None},
        {"client_id": "123456"},  # without redirect URIs OAuth is off
        {"redirect_uri": None},  # the app has two
        {"state": "a" * 2000},
        {"state": "\n"},
    ],
)
def test_an_unknown_app_is_an_error_page(app: App, given: dict[str, str | None]) -> None:
    answer = Browser(app).open(app.request(**given))
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    twice = Browser(app).open(f"{app.request()}&client_id={app.shop.appcode}")
    assert (twice.status_code, "location" in twice.headers) == (400, False)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "user_baseinfo,all"}, "invalid_scope"),
        ({"scope": "USER_BASEINFO"}, "invalid_scope"),
        ({"code_challenge": CHALLENGE}, "invalid_request"),  # plain by default
        ({"code_challenge": CHALLENGE, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request"),
        ({"code_challenge_method": "S256"}, "invalid_request"),
    ],
)
def test_another_error_is_sent_to_the_app_with_the_state(
    app: App, given: dict[str, str | None], error: str
) -> None:
    answer = Browser(app).open(app.request(state="s&t=1", **given))
    assert answer.status_code == 303
    assert error_of(answer.headers["location"]) == (PAGE, error, "s&t=1")


# ---- the user ------------------------------------------------------------------------------------------------------


def test_a_user_who_refuses_gives_no_code(app: App) -> None:
    browser, query = Browser(app), app.request(state="x")
    page = browser.signed_in(query)
    assert "钱台测试" in page.text
    answer = browser.post(page, query, action="deny")
    assert error_of(answer.headers["location"]) == (PAGE, "access_denied", "x")


def test_a_form_of_another_site_does_nothing(app: App) -> None:
    browser, query = Browser(app), app.request()
    page = browser.signed_in(query)
    for form in ("", "0" * 64, "ü"):
        answer = browser.send("POST", f"/oauth/v2/authorize?{query}", {"form": form, "action": "allow"})
        assert (answer.status_code, "location" in answer.headers) == (403, False)
    stranger = Browser(app)
    foreign = stranger.post(page, query, action="allow")  # the form without the cookie
    assert foreign.status_code == 403
    asked = stranger.post(stranger.open(query), query, action="allow")  # not signed in
    assert (asked.status_code, "Sign in" in asked.text) == (200, True)
    for header, value in (("x-frame-options", None), ("referrer-policy", "no-referrer")):
        assert page.headers.get(header) == value
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_signing_out_and_an_hour_end_the_session(app: App, demo: Demo) -> None:
    browser, query = Browser(app), app.request()
    page = browser.signed_in(query)
    assert browser.post(page, query, action="sign_out").status_code == 303
    assert "Sign in" in browser.open(query).text
    browser.signed_in(query)
    demo.advance(3600)
    assert "Sign in" in browser.open(query).text


def test_passwords_cannot_be_guessed_by_trying(app: App, demo: Demo) -> None:
    browser, query = Browser(app), app.request()
    statuses = [browser.signed_in(query, "a wrong password").status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    right = browser.signed_in(query)
    assert (right.status_code, right.headers["retry-after"]) == (429, "900")
    demo.advance(900)
    assert "Allow access?" in browser.signed_in(query).text


def test_a_disabled_user_an_app_and_a_merchant_end_the_access(app: App, demo: Demo) -> None:
    off = {
        ("app", app.shop.appcode): ("app",),
        ("merchant", app.shop.mchid): ("merchant",),
        ("user", app.username): ("user",),
    }
    for kind, name in off:
        token = app.redeem(new_code(app)).json()
        assert app.read("baseinfo", token["access_token"])["respcd"] == "0000"
        state = ("set", name, "--state", "disabled") if kind == "merchant" else ("disable", name)
        demo.ask(kind, *state)
        try:
            expected = "1108" if kind == "user" else "1114"  # a disabled user's tokens have ended
            assert app.read("baseinfo", token["access_token"])["respcd"] == expected
            error = "invalid_client" if kind == "app" else "invalid_grant"
            assert app.refresh(token["refresh_token"]).json()["error"] == error
        finally:
            again = ("set", name, "--state", "active") if kind == "merchant" else ("enable", name)
            demo.ask(kind, *again)


def test_what_is_refused_is_logged_without_secrets(app: App, demo: Demo) -> None:
    token = app.redeem(new_code(app)).json()
    assert app.redeem("code", client_secret="not-the-secret").status_code == 401
    assert Browser(app).signed_in(app.request(), "not the password").status_code == 401
    logs = "".join(path.read_text() for path in demo.folder.glob("**/logs/api-*.log"))
    assert '"sign_in.failed"' in logs
    assert '"authentication.failed"' in logs
    secrets = ("not-the-secret", "not the password", PASSWORD, app.username, app.shop.key)
    for secret in (*secrets, token["access_token"], token["refresh_token"]):
        assert secret not in logs


# ---- what is read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "unknown", "0" * 500, "ü"])
def test_a_token_that_is_none_is_1108(app: App, token: str) -> None:
    assert app.read("baseinfo", token)["respcd"] == "1108"


def test_a_token_expires_after_two_hours_and_is_refreshed(app: App, demo: Demo) -> None:
    token = app.redeem(new_code(app)).json()
    demo.advance(7200)
    assert app.read("baseinfo", token["access_token"])["respcd"] == "1108"
    new = app.refresh(token["refresh_token"], scope="user_baseinfo").json()
    assert app.read("baseinfo", new["access_token"])["respcd"] == "0000"
    assert app.read("tradelist", new["access_token"])["respcd"] == "1115"
    assert app.refresh(new["refresh_token"], scope="all").json()["error"] == "invalid_scope"


def test_the_list_of_trades_is_bounded(app: App, demo: Demo) -> None:
    token = app.redeem(new_code(app)).json()["access_token"]
    now: datetime = demo.now()
    good = {
        "start_time": now.strftime(MOMENT),
        "end_time": now.strftime(MOMENT),
        "page": "1",
        "page_size": "1000",
    }
    answer = app.read("tradelist", token, **good)
    assert (answer["respcd"], answer["data"]["pagesize"], answer["data"]["tradelist"]) == ("0000", 100, [])
    for name, value in (
        *((name, "") for name in good),
        ("start_time", (now - timedelta(days=94)).strftime(MOMENT)),
        ("start_time", "2026-02-30 00:00:00"),
        ("start_time", "1"),
        ("end_time", (now - timedelta(days=1)).strftime(MOMENT)),
        *(("page", value) for value in ("0", "-1", "1.5", "x")),
        ("page_size", "0"),
    ):
        refused = app.read("tradelist", token, **good | {name: value})
        assert (refused["respcd"], name in refused["respmsg"]) == ("1104", True), (name, value)
    assert httpx.post(f"{app.gateway}/user/v1/tradelist").status_code == 405
