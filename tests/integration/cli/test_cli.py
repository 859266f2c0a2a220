"""The operator's commands against a real database: their changes, output and refusals."""

import base64
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.channels.outcomes import Paid
from tael.cli.app import app
from tael.db.migrate import migrate
from tael.operations.store import Store
from tael.payments.domain.entries import payment_entry
from tael.payments.domain.payment import Payment, apply_outcome
from tael.payments.domain.refund import Refund, RefundRules
from tael.payments.store.payments import Change
from tael.payments.store.reservations import Reservation, Reserved
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.webhooks import NewWebhook
from tael_demo.embedded.server import EmbeddedPostgres
from tests.support.citus import needs_plain_postgres
from tests.support.operator import Operator, operator_of

NOW = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
SYSSN = "202601010000000000000001"
REFUND_SYSSN = "202601010000000000000002"
PID = "2088000000000001"
WALLET_KEY = "abcdefghijklmnopqrstuvwxyz012345"

Answer = TypeVar("Answer")


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    return operator_of(database_url, tmp_path)


@pytest.fixture
def merchant(operator: Operator) -> str:
    """The mchid of a merchant of app SHOP, in HKD."""
    operator.run("app", "add", "--appcode", "SHOP")
    operator.run("merchant", "add", "SHOP", "--name", "Tea", "--currency", "HKD", "--mchid", "tea")
    return "tea"


# ---- apps --------------------------------------------------------------------------------------------------


def test_a_new_app_has_a_code_and_a_key_that_are_shown_once(operator: Operator) -> None:
    made = operator.run_json("app", "add", "--notify-url", "https://shop.example/notify")
    assert len(made["appcode"]) == 32
    assert len(made["key"]) == 32
    kept = operator.app(made["appcode"])
    assert kept.key.reveal() == made["key"]
    assert kept.notify_url == "https://shop.example/notify"
    assert made == {
        "appcode": kept.appcode,
        "key": made["key"],
        "notify_url": "https://shop.example/notify",
        "return_url": None,
        "webhook_style": "new",
        "sha256_only": False,
        "notify_offline": False,
        "include_currency": True,
        "cancel_codes_v2": False,
        "include_goods_name": False,
        "include_settlement": False,
        "quick_retries": True,
        "close_requires_amount": False,
        "max_request_age_s": None,
        "sha256_responses": False,
        "allowed_addresses": [],
        "redirect_uris": [],
        "signup_currency": None,
        "is_disabled": False,
        "overlap_ends_at": None,
    }
    for shown in (operator.run("app", "list"), operator.run("app", "list", "--json")):
        assert made["appcode"] in shown
        assert made["key"] not in shown


def test_the_table_shows_the_generated_key(operator: Operator) -> None:
    shown = operator.run("app", "add", "--appcode", "SHOP")
    assert operator.app("SHOP").key.reveal() in shown


def test_a_key_from_a_file_is_kept_and_not_shown(operator: Operator) -> None:
    key = secrets.token_hex(16)
    shown = operator.run("app", "add", "--appcode", "SHOP", "--key-file", operator.file("key", f"{key}\n"))
    assert operator.app("SHOP").key.reveal() == key
    assert key not in shown


def test_settings_that_are_not_named_keep_their_values(operator: Operator) -> None:
    operator.run(
        *("app", "add", "--appcode", "SHOP", "--notify-url", "https://shop.example/n", "--notify-offline"),
        *("--return-url", "https://shop.example/r", "--webhook-style", "new", "--no-include-currency"),
        *("--sha256-only", "--cancel-codes-v2", "--include-goods-name"),
        *("--include-settlement", "--no-quick-retries"),
    )
    before = operator.app("SHOP")
    operator.run("app", "set", "SHOP", "--notify-url", "http://127.0.0.1:9/other?shop=1")
    after = operator.app("SHOP")
    assert after.notify_url == "http://127.0.0.1:9/other?shop=1"
    assert after.return_url == before.return_url == "https://shop.example/r"
    assert after.key == before.key
    switches = (
        "notify_offline",
        "include_currency",
        "sha256_only",
        "cancel_codes_v2",
        "include_goods_name",
        "include_settlement",
        "quick_retries",
    )
    assert [getattr(after, name) for name in switches] == [True, False, True, True, True, True, False]

    shown = operator.run_json("app", "set", "SHOP", "--no-notify-offline", "--return-url", "")
    assert (shown["notify_offline"], shown["return_url"]) == (False, None)
    assert "key" not in shown
    last = operator.app("SHOP")
    assert (last.notify_offline, last.return_url, last.notify_url) == (False, None, after.notify_url)


def test_a_new_key_is_shown_once_and_the_one_before_kept_until_the_end_of_the_overlap(
    operator: Operator,
) -> None:
    operator.run("app", "add", "--appcode", "SHOP")
    first = operator.app("SHOP").key.reveal()
    made = operator.run_json("app", "rotate-key", "SHOP", "--overlap-hours", "48")
    after = operator.app("SHOP")
    assert after.previous_key is not None
    assert (after.key.reveal(), after.previous_key.key.reveal()) == (made["key"], first)
    assert len({first, made["key"]}) == 2
    left = datetime.fromisoformat(made["overlap_ends_at"]) - datetime.now(UTC)
    assert timedelta(hours=47) < left <= timedelta(hours=48)
    given = secrets.token_hex(16)
    shown = operator.run(
        *("app", "rotate-key", "SHOP", "--overlap-hours", "0", "--key-file", operator.file("key", given))
    )
    assert operator.app("SHOP").key.reveal() == given
    for output in (shown, operator.run("app", "list"), operator.run("app", "end-overlap", "SHOP")):
        assert not [key for key in (first, made["key"], given) if key in output]


def test_an_unknown_app_is_not_changed_and_a_known_one_not_added_again(operator: Operator) -> None:
    operator.run("app", "add", "--appcode", "SHOP")
    assert "no app UNKNOWN" in operator.is_refused("app", "set", "UNKNOWN", "--sha256-only", code=1)
    assert "SHOP exists" in operator.is_refused("app", "add", "--appcode", "SHOP", code=1)


@pytest.mark.parametrize(
    "url",
    [
        "shop.example/n",
        "ftp://shop.example/n",
        "https://",
        "http://a b/",
        "http://h:99999/",
        "http://[::1/",
        "https://u:p@shop.example/",
        "http://x/" + "a" * 3000,
        "http://x/\x1b[31m",
    ],
)
@pytest.mark.parametrize("option", ["--notify-url", "--return-url"])
def test_a_url_that_cannot_be_called_is_refused(option: str, url: str) -> None:
    result = CliRunner().invoke(app, ["app", "add", option, url], env={"TAEL_DATABASE_URL": ""})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"tael: {option}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["https://shop.example/#here", "https://shop.example/n#"])
def test_a_fragment_is_for_browsers_and_not_for_servers(operator: Operator, url: str) -> None:
    assert "--notify-url" in operator.is_refused("app", "add", "--notify-url", url, code=2)
    operator.run("app", "add", "--appcode", "SHOP", "--return-url", url)
    assert operator.app("SHOP").return_url == url


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("http://shop.example/n?key=secret", True),
        ("HTTP://192.0.2.7/n", True),
        ("https://shop.example/n", False),
        ("http://127.0.0.1:5000/n", False),
        ("http://[::1]/n", False),
        ("http://localhost/n", False),
        ("", False),
    ],
)
def test_a_notify_url_without_tls_is_accepted_with_a_warning(
    operator: Operator, url: str, warns: bool
) -> None:
    operator.run("app", "add", "--appcode", "OTHER")
    for command in (("app", "add", "--appcode", "SHOP"), ("app", "set", "OTHER")):
        result = CliRunner().invoke(app, [*command, "--notify-url", url], env=operator.environment)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.startswith("tael: warning: --notify-url") is warns
        assert result.stderr.count("\n") == warns
        assert "secret" not in result.stderr
        assert operator.app(command[-1]).notify_url == (url or None)
    operator.run("app", "set", "OTHER", "--return-url", "http://shop.example/")


def test_bad_codes_and_keys_are_refused(operator: Operator) -> None:
    assert "--appcode" in operator.is_refused("app", "add", "--appcode", "two words", code=2)
    short = operator.file("short", "secret\n")
    refusal = operator.is_refused("app", "add", "--key-file", short, code=2)
    assert "--key-file" in refusal
    assert "secret" not in refusal
    missing = str(operator.folder / "missing")
    assert "No such file" in operator.is_refused("app", "add", "--key-file", missing, code=2)
    assert "--key-file" in operator.is_refused("app", "add", "--key-file", str(operator.folder), code=2)
    binary = operator.folder / "binary"
    binary.write_bytes(b"\xff\xfe" * 16)
    assert "not a text file" in operator.is_refused("app", "add", "--key-file", str(binary), code=2)


# ---- merchants ---------------------------------------------------------------------------------------------


def test_merchants_are_added_and_listed(operator: Operator) -> None:
    operator.run("app", "add", "--appcode", "SHOP")
    operator.run("app", "add", "--appcode", "OTHER")
    first = operator.run_json(
        *("merchant", "add", "SHOP", "--name", "香港 [bold]茶[/bold]", "--currency", "HKD", "--default"),
        *("--max-amount-minor", "500000", "--state", "waiting"),
    )
    assert first == {
        "mchid": first["mchid"],
        "appcode": "SHOP",
        "name": "香港 [bold]茶[/bold]",
        "currency": "HKD",
        "state": "waiting",
        "is_default": True,
        "cell": 0,
        "max_amount_minor": 500000,
        "denied": [],
        "unmatched_payments": "hold",
        "max_per_second": None,
        "max_per_minute": None,
        "max_daily_minor": None,
        "max_monthly_minor": None,
    }
    returning = operator.run_json(
        *("merchant", "add", "OTHER", "--name", "Books", "--currency", "JPY", "--mchid", "books"),
        *("--unmatched-payments", "return", "--max-per-second", "7", "--max-per-minute", "0"),
        *("--max-daily-minor", "1000", "--max-monthly-minor", "20000"),
    )
    assert (returning["max_daily_minor"], returning["max_monthly_minor"]) == (1000, 20000)
    assert returning["unmatched_payments"] == "return"
    assert (returning["max_per_second"], returning["max_per_minute"]) == (7, 0)
    assert [row["mchid"] for row in operator.run_json("merchant", "list")] == [first["mchid"], "books"]
    assert [row["mchid"] for row in operator.run_json("merchant", "list", "--appcode", "OTHER")] == ["books"]
    table = operator.run("merchant", "list")
    assert "香港 [bold]茶[/bold]" in table
    assert "5000.00 HKD" in table


def test_a_merchant_is_changed_and_other_settings_stay(operator: Operator, merchant: str) -> None:
    change = ("merchant", "set", merchant)
    named = operator.run_json(*change, "--deny", "reversal", "--deny", "refund", "--max-amount-minor", "500")
    assert (named["denied"], named["max_amount_minor"], named["state"]) == (
        ["refund", "reversal"],
        500,
        "active",
    )
    assert operator.run_json(*change, "--allow", "refund", "--state", "disabled") == named | {
        "denied": ["reversal"],
        "state": "disabled",
    }
    assert operator.run_json(*change, "--max-amount-minor", "0")["max_amount_minor"] is None
    for option, member in (
        ("--max-daily-minor", "max_daily_minor"),
        ("--max-monthly-minor", "max_monthly_minor"),
    ):
        assert operator.run_json(*change, option, "700")[member] == 700
        assert operator.run_json(*change)[member] == 700
        assert operator.run_json(*change, option, "0")[member] is None
    assert "0.00 HKD" in operator.run("merchant", "show", merchant)
    assert operator.run_json("merchant", "show", merchant)["volume"] == {"day_minor": 0, "month_minor": 0}
    assert named["unmatched_payments"] == "hold"
    for policy in ("return", "hold"):
        assert operator.run_json(*change, "--unmatched-payments", policy)["unmatched_payments"] == policy
        assert operator.run_json(*change, "--state", "disabled")["unmatched_payments"] == policy
    limited = operator.run_json(*change, "--max-per-second", "0", "--max-per-minute", "50")
    assert (limited["max_per_second"], limited["max_per_minute"]) == (0, 50)
    assert operator.run_json(*change, "--state", "disabled") == limited
    assert operator.run_json(*change, "--default-rates", "--max-per-second", "9")["max_per_minute"] is None
    operator.run(*change, "--default-rates")
    assert operator.run_json("merchant", "list") == [
        named | {"denied": ["reversal"], "state": "disabled", "max_amount_minor": None}
    ]
    assert "reversal" in operator.run("merchant", "list")
    assert "no merchant unknown" in operator.is_refused("merchant", "set", "unknown", code=1)
    assert "close is given in both" in operator.is_refused(
        *change, "--deny", "close", "--allow", "close", code=2
    )


def test_a_maintenance_window_starts_and_ends(operator: Operator) -> None:
    assert operator.run_json("maintenance", "status") == {"maintenance": "off"}
    begun = operator.run_json("maintenance", "on")
    assert (begun["maintenance"], begun["reason"]) == ("on", "")
    status = operator.run_json("maintenance", "on", "--reason", "new disks until 06:00")
    assert status == begun | {"reason": "new disks until 06:00"}
    assert operator.run_json("maintenance", "status") == status
    assert "new disks" in operator.run("maintenance", "status")
    assert "--reason" in operator.is_refused("maintenance", "on", "--reason", "two\nlines", code=2)
    assert operator.run_json("maintenance", "off") == {"maintenance": "off"}
    assert operator.run_json("maintenance", "status") == {"maintenance": "off"}


def test_an_invalid_merchant_is_refused(operator: Operator, merchant: str) -> None:
    add = ("merchant", "add", "SHOP", "--name", "Tea", "--currency")
    assert f"{merchant} exists" in operator.is_refused(*add, "HKD", "--mchid", merchant, code=1)
    operator.run(*add, "HKD", "--default")
    assert "default merchant" in operator.is_refused(*add, "HKD", "--default", code=1)
    assert "--currency" in operator.is_refused(*add, "hkd", code=2)
    assert "--mchid" in operator.is_refused(*add, "HKD", "--mchid", "a/b", code=2)
    unknown_app = ("merchant", "add", "UNKNOWN", "--name", "Tea", "--currency", "HKD")
    assert "no app UNKNOWN" in operator.is_refused(*unknown_app, code=1)
    assert "--name" in operator.is_refused(
        "merchant", "add", "SHOP", "--name", " ", "--currency", "HKD", code=2
    )
    assert "no app UNKNOWN" in operator.is_refused("merchant", "list", "--appcode", "UNKNOWN", code=1)


def test_a_name_cannot_send_terminal_escapes(operator: Operator, merchant: str) -> None:
    async def rename(store: Store) -> None:
        await store.directory.execute("UPDATE merchant SET name = $1", "Tea\x1b]0;title\x07")

    operator.in_store(rename)
    assert "\x1b" not in operator.run("merchant", "list")


# ---- payments ----------------------------------------------------------------------------------------------


async def paid_and_being_refunded(store: Store) -> None:
    pending = Payment(
        mchid="tea",
        syssn=SYSSN,
        appcode="SHOP",
        pay_type=PAY_TYPES["800201"],
        reference="order-1",
        amount=Money(3925, "HKD"),
        account_id="account",
        protocol="wechat_v2",
        content="",
        subject="A cup of \x1b[31mtea",
        openid="",
        client_time="2026-01-01 12:00:00",
        device="",
        goods_info="loose leaf, 50 g",
        notify_merchant=True,
        created_at=NOW,
        changed_at=NOW,
        expires_at=NOW + timedelta(minutes=30),
        deadline=NOW + timedelta(minutes=30),
        check_at=NOW,
    )
    assert await store.payments.open(pending)
    paid_at = NOW + timedelta(seconds=9)
    paid = apply_outcome(pending, Paid(pending.amount, "wallet-1", "payer-1", paid_at), at=paid_at)
    webhook = NewWebhook("tea", SYSSN, WebhookKind.PAYMENT, "SHOP", SYSSN, paid_at)
    assert await store.payments.record(Change(paid, (payment_entry(paid, paid_at),), (webhook,)))
    refund = Refund(
        mchid="tea",
        syssn=REFUND_SYSSN,
        payment_syssn=SYSSN,
        account_id="account",
        protocol=pending.protocol,
        reference="refund-1",
        amount=Money(925, "HKD"),
        client_time="",
        device="",
        created_at=paid_at,
        changed_at=paid_at,
        check_at=paid_at,
    )
    wanted = Reservation(refund, RefundRules(timedelta(days=365)), paid_at)
    assert isinstance(await store.refunds.reserve(wanted), Reserved)


@pytest.mark.parametrize("of_merchant", [(), ("--mchid", "tea")])
def test_a_payment_is_shown_with_its_refunds_entries_and_webhooks(
    operator: Operator, merchant: str, of_merchant: tuple[str, ...]
) -> None:
    operator.in_store(paid_and_being_refunded)
    shown = operator.run_json("payment", "show", SYSSN, *of_merchant)
    assert list(shown) == ["payment", "refunds", "reversals", "ledger", "webhooks"]
    payment = shown["payment"]
    assert (payment["mchid"], payment["state"], payment["respcd"]) == ("tea", "PAID", "0000")
    assert (payment["amount_minor"], payment["reserved_minor"], payment["currency"]) == (3925, 925, "HKD")
    assert payment["paid_at"] == "2026-01-01T04:00:09Z"
    assert payment["goods_info"] == "loose leaf, 50 g"
    (refund,) = shown["refunds"]
    assert (refund["syssn"], refund["state"], refund["amount_minor"]) == (REFUND_SYSSN, "PROCESSING", 925)
    assert shown["reversals"] == []
    (entry,) = shown["ledger"]
    assert (entry["kind"], entry["debit"], entry["amount_minor"]) == ("payment", "wallet:HKD:account", 3925)
    (webhook,) = shown["webhooks"]
    assert (webhook["state"], webhook["attempts"], webhook["last_result"]) == ("DUE", 0, "")

    table = operator.run("payment", "show", SYSSN, *of_merchant)
    assert all(text in table for text in ("39.25 HKD", "9.25 HKD", REFUND_SYSSN, "2026-01-01 12:00:09 UTC+8"))
    assert "\x1b" not in table


def test_an_unknown_payment_is_refused(operator: Operator, merchant: str) -> None:
    operator.in_store(paid_and_being_refunded)
    assert "no payment 1" in operator.is_refused("payment", "show", "1", code=1)
    refusal = operator.is_refused("payment", "show", SYSSN, "--mchid", "other", code=1)
    assert "of merchant other" in refusal


# ---- finding the database ----------------------------------------------------------------------------------


def test_invalid_settings_are_named(operator: Operator) -> None:
    def refusal(**changes: str) -> str:
        changed = Operator(operator.environment | changes, operator.folder)
        return changed.is_refused("app", "list", code=2)

    operator.run("app", "add")
    assert "TAEL_DATABASE_URL is not set" in refusal(TAEL_DATABASE_URL="")
    assert "TAEL_ENCRYPTION_KEY" in refusal(TAEL_ENCRYPTION_KEY="short")
    assert "cannot be reached" in refusal(TAEL_DATABASE_URL="postgresql://tael:hidden@127.0.0.1:1/tael")
    assert "not a valid database URL" in refusal(TAEL_DATABASE_URL="nonsense")
    wrong_key = base64.b64encode(secrets.token_bytes(32)).decode()
    assert "TAEL_ENCRYPTION_KEY does not decrypt" in refusal(TAEL_ENCRYPTION_KEY=wrong_key)


def test_nothing_is_encrypted_with_another_key_than_the_databases(operator: Operator, merchant: str) -> None:
    wrong_key = base64.b64encode(secrets.token_bytes(32)).decode()
    other = Operator(operator.environment | {"TAEL_ENCRYPTION_KEY": wrong_key}, operator.folder)
    assert "does not decrypt" in other.is_refused("app", "add", code=2)
    key = operator.file("key", WALLET_KEY)
    account = ("--protocol", "alipay_mapi", "--set", f"pid={PID}", "--set", "scene=online")
    signing = ("--set", "sign_type=MD5", "--file", f"key={key}")
    refusal = other.is_refused("account", "add", merchant, *account, *signing, code=2)
    assert "does not decrypt" in refusal
    assert len(operator.run_json("app", "list")) == 1


@needs_plain_postgres
def test_a_database_without_tables_is_named(operator: Operator) -> None:
    async def forget(store: Store) -> None:
        await store.directory.execute("DROP TABLE app CASCADE")

    operator.in_store(forget)
    assert "tael migrate" in operator.is_refused("app", "list", code=2)


@needs_plain_postgres
def test_a_database_that_refuses_us_is_one_line(operator: Operator) -> None:
    url = operator.environment["TAEL_DATABASE_URL"] + "_not_there"
    other = Operator(operator.environment | {"TAEL_DATABASE_URL": url}, operator.folder)
    assert "does not exist" in other.is_refused("app", "list", code=2)


@needs_plain_postgres
def test_migrate_explains_in_one_line_why_a_database_cannot_be_used(operator: Operator) -> None:
    url = operator.environment["TAEL_DATABASE_URL"]
    user, _, place = url.rpartition("@")
    for changed, expected in (
        (f"{url}_not_there", 'database "'),
        (f"{user}-wrong@{place}", "password authentication failed"),
        ("postgresql://tael:hidden@127.0.0.1:1/tael", "cannot be reached"),
        (f"{url}?nonsense=1", "the database cannot be used"),
    ):
        elsewhere = Operator(operator.environment | {"TAEL_DATABASE_URL": changed}, operator.folder)
        refusal = elsewhere.is_refused("migrate", code=2)
        assert expected in refusal
        assert user.rpartition(":")[2] not in refusal
        assert "hidden" not in refusal


def test_the_folder_of_a_demo_locates_its_data(operator: Operator) -> None:
    data = operator.folder / "data"
    elsewhere = Operator({"TAEL_DATABASE_URL": "", "TAEL_ENCRYPTION_KEY": ""}, operator.folder)
    show = ("app", "list", "--data", str(data))
    assert "there is no folder" in elsewhere.is_refused(*show, code=2)
    data.mkdir()
    assert "no demo is running in" in elsewhere.is_refused(*show, code=2)
    (data / "database_url").write_text(operator.environment["TAEL_DATABASE_URL"] + "\n")
    assert "encryption.key is missing" in elsewhere.is_refused(*show, code=2)
    (data / "encryption.key").write_text(operator.environment["TAEL_ENCRYPTION_KEY"] + "\n")
    operator.run("app", "add", "--appcode", "SHOP")
    assert [row["appcode"] for row in elsewhere.run_json(*show)] == ["SHOP"]


def test_the_folder_wins_over_the_environment(operator: Operator) -> None:
    (operator.folder / "database_url").write_text(operator.environment["TAEL_DATABASE_URL"])
    (operator.folder / "encryption.key").write_text(operator.environment["TAEL_ENCRYPTION_KEY"])
    other = {"TAEL_DATABASE_URL": "postgresql://tael:hidden@127.0.0.1:1/tael", "TAEL_ENCRYPTION_KEY": "x"}
    elsewhere = Operator(other, operator.folder)
    assert elsewhere.run_json("app", "list", "--data", str(operator.folder)) == []


def test_a_file_of_a_demo_that_cannot_be_read_is_named(operator: Operator) -> None:
    (operator.folder / "database_url").write_text(operator.environment["TAEL_DATABASE_URL"])
    (operator.folder / "encryption.key").mkdir()
    refusal = operator.is_refused("app", "list", "--data", str(operator.folder), code=2)
    assert "encryption.key cannot be read" in refusal


def test_the_server_of_a_running_demo_is_found(operator: Operator, readable_folder: Path) -> None:
    (readable_folder / "encryption.key").write_text(operator.environment["TAEL_ENCRYPTION_KEY"])
    (readable_folder / "database_url").write_text("postgresql://left-by-an-earlier-demo@127.0.0.1:1/tael")
    with EmbeddedPostgres(readable_folder) as postgres:
        migrate(postgres.url)
        made = operator.run_json("app", "add", "--appcode", "SHOP", "--data", str(readable_folder))
        assert made["appcode"] == "SHOP"
        assert operator.run_json("app", "list") == []  # the other database is empty
        assert len(operator.run_json("app", "list", "--data", str(readable_folder))) == 1
