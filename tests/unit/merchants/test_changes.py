"""What an operator may store about an app and a merchant, and what a change makes of them."""

from dataclasses import fields
from typing import Any

import pytest

from tael.base.secret import Secret
from tael.merchants.apps import new_app
from tael.merchants.domain.changes import (
    MAX_AMOUNT_MINOR,
    MAX_REQUEST_AGE_S,
    MAX_VOLUME_MINOR,
    AppChanges,
    MerchantChanges,
)
from tael.merchants.domain.forms import MAX_NETWORKS, MAX_URL_CHARS, InvalidValue
from tael.merchants.domain.merchant import App, MerchantState, Operation, Style
from tael.merchants.merchants import new_merchant
from tests.support.values import a_merchant, an_app

URL = "https://shop.example/notify"


def invalid(**values: Any) -> InvalidValue:
    """Why these settings cannot be stored."""
    with pytest.raises(InvalidValue) as refusal:
        AppChanges(**values)
    return refusal.value


def test_a_setting_that_is_not_given_keeps_its_value() -> None:
    app = an_app(notify_url=URL, return_url=URL, max_request_age_s=60, allowed_addresses=("192.0.2.7/32",))
    assert AppChanges().applied_to(app) == app
    assert AppChanges(quick_retries=False).applied_to(app) == an_app(
        notify_url=URL,
        return_url=URL,
        max_request_age_s=60,
        allowed_addresses=("192.0.2.7/32",),
        quick_retries=False,
    )


def test_an_empty_value_clears_a_setting() -> None:
    app = an_app(notify_url=URL, return_url=URL, max_request_age_s=60, allowed_addresses=("192.0.2.7/32",))
    cleared = AppChanges(notify_url="", return_url="", max_request_age_s=0, allowed_addresses=[""])
    assert cleared.applied_to(app) == an_app()


def test_every_setting_of_an_app_can_be_changed() -> None:
    own_commands = {"key", "previous_key", "is_disabled"}  # rotate-key, end-overlap, disable and enable
    settings = {field.name for field in fields(App)} - {"appcode"} - own_commands
    assert {field.name for field in fields(AppChanges)} == settings


def test_networks_are_stored_in_one_form_and_once() -> None:
    given = ["192.0.2.7", " 192.0.2.7/32 ", "2001:DB8::/32", ""]
    assert AppChanges(allowed_addresses=given).applied_to(an_app()).allowed_addresses == (
        "192.0.2.7/32",
        "2001:db8::/32",
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("shop.example/notify", "must be a URL such as"),
        ("ftp://shop.example/", "must be a URL such as"),
        ("https://", "must be a URL such as"),
        ("https://shop.example:0/", "must be a URL such as"),
        ("https://shop.example:x/", "must be a URL such as"),
        ("https://shop.example/ä", "must be a URL such as"),
        (f"https://shop.example/{'x' * MAX_URL_CHARS}", "must be a URL such as"),
        ("https://user@shop.example/", "must not contain a user name"),
        (f"{URL}#here", "must not contain a #fragment"),
    ],
)
def test_a_notify_url_that_cannot_be_called_is_refused(url: str, reason: str) -> None:
    refusal = invalid(notify_url=url)
    assert refusal.field == "notify_url"
    assert reason in refusal.reason


def test_a_return_url_may_have_a_fragment() -> None:
    assert AppChanges(return_url=f"{URL}#here").applied_to(an_app()).return_url == f"{URL}#here"
    assert invalid(return_url="shop.example").field == "return_url"


def test_networks_that_are_none_or_too_many_are_refused() -> None:
    assert invalid(allowed_addresses=["192.0.2.0/33"]).field == "allowed_addresses"
    many = [f"192.0.2.{number}" for number in range(MAX_NETWORKS + 1)]
    assert f"at most {MAX_NETWORKS}" in invalid(allowed_addresses=many).reason


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "http://app.example/cb",
            "https://app.example/cb#x",
            "https://u:p@app.example/cb",
            "app.example/cb",
        ),
        *("https://", "https://app.example:0/cb", "https://app.example/ü", "https://app.example/a b"),
        *("https://app.example/" + "a" * 500, "javascript:alert(1)", "myapp:/cb", 'https://app.example/"'),
        *("http://127.0.0.1.evil.example/", "http://10.0.0.1/cb", "https://app.example/\\cb"),
    ],
)
def test_a_redirect_uri_that_is_not_safe_is_refused(uri: str) -> None:
    assert invalid(redirect_uris=[uri]).field == "redirect_uris"


def test_redirect_uris_are_kept_as_they_are_and_once() -> None:
    given = [
        "https://App.example/%63b/",
        "http://127.0.0.1:5000/cb?a=1",
        "http://[::1]/cb",
        "http://localhost/",
    ]
    app = AppChanges(redirect_uris=[*given, given[0]]).applied_to(an_app())
    assert app.redirect_uris == tuple(given)
    assert AppChanges(redirect_uris=[""]).applied_to(app).redirect_uris == ()
    assert invalid(redirect_uris=[f"https://app.example/{n}" for n in range(21)]).field == "redirect_uris"


@pytest.mark.parametrize("age_s", [-1, MAX_REQUEST_AGE_S + 1])
def test_an_age_that_limits_nothing_is_refused(age_s: int) -> None:
    assert invalid(max_request_age_s=age_s).field == "max_request_age_s"


def test_a_new_app_has_the_new_style_and_a_generated_id_and_key() -> None:
    app, other = new_app(AppChanges(notify_url=URL)), new_app(AppChanges())
    assert (app.webhook_style, app.notify_url) == (Style.NEW, URL)
    assert app.appcode != other.appcode
    assert app.key.reveal() != other.key.reveal()


def test_a_new_app_may_have_an_id_and_a_key_of_a_valid_form() -> None:
    app = new_app(AppChanges(), "SHOP", Secret("k" * 16))
    assert (app.appcode, app.key.reveal()) == ("SHOP", "k" * 16)
    with pytest.raises(InvalidValue, match=r"^appcode: must be"):
        new_app(AppChanges(), "no/slash")
    with pytest.raises(InvalidValue, match=r"^key: must be 16 to 128 characters without spaces$") as refusal:
        new_app(AppChanges(), "SHOP", Secret("too-short"))
    assert "too-short" not in str(refusal.value)


def test_a_change_of_a_merchant_keeps_what_it_does_not_name() -> None:
    merchant = a_merchant(
        state=MerchantState.WAITING, max_amount_minor=500, denied=frozenset({Operation.REFUND})
    )
    assert MerchantChanges().applied_to(merchant) == merchant
    changed = MerchantChanges(
        MerchantState.ACTIVE,
        max_amount_minor=0,
        deny=frozenset({Operation.CLOSE}),
        allow=frozenset({Operation.REFUND}),
    ).applied_to(merchant)
    assert changed == a_merchant(denied=frozenset({Operation.CLOSE}))


def test_an_operation_is_not_denied_and_allowed_at_once() -> None:
    both = frozenset({Operation.CLOSE})
    with pytest.raises(InvalidValue, match="close is given in both") as refusal:
        MerchantChanges(deny=both, allow=both)
    assert refusal.value.field == "denied"


@pytest.mark.parametrize("name", ["max_daily_minor", "max_monthly_minor"])
@pytest.mark.parametrize("volume_minor", [-1, MAX_VOLUME_MINOR + 1])
def test_a_volume_out_of_range_is_refused(name: str, volume_minor: int) -> None:
    with pytest.raises(InvalidValue, match=rf"^{name}: "):
        MerchantChanges(**{name: volume_minor})  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=rf"^{name}: "):
        new_merchant("SHOP", "Tea", "HKD", **{name: volume_minor})  # type: ignore[arg-type]


@pytest.mark.parametrize("amount_minor", [-1, MAX_AMOUNT_MINOR + 1])
def test_a_limit_above_any_amount_is_refused(amount_minor: int) -> None:
    with pytest.raises(InvalidValue, match=r"^max_amount_minor: "):
        MerchantChanges(max_amount_minor=amount_minor)
    with pytest.raises(InvalidValue, match=r"^max_amount_minor: "):
        new_merchant("SHOP", "Tea", "HKD", max_amount_minor=amount_minor)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("mchid", {"mchid": "no/slash"}),
        ("name", {"name": " "}),
        ("name", {"name": "x" * 129}),
        ("currency", {"currency": "hkd"}),
    ],
)
def test_a_new_merchant_with_an_invalid_value_is_refused(field: str, values: dict[str, str]) -> None:
    named = {"name": "Tea", "currency": "HKD"} | values
    with pytest.raises(InvalidValue) as refusal:
        new_merchant("SHOP", **named)  # type: ignore[arg-type] # one of them is the mchid
    assert refusal.value.field == field


def test_a_new_merchant_is_active_without_a_limit_under_a_generated_id() -> None:
    merchant, other = new_merchant("SHOP", "Tea", "HKD"), new_merchant("SHOP", "Tea", "HKD")
    assert merchant == a_merchant(merchant.mchid, "SHOP", name="Tea")
    assert merchant.mchid != other.mchid
