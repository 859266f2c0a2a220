"""The operator's commands against a real database: their changes, output and refusals."""

import base64
import json
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from typer.testing import CliRunner

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.base.secret import Secret
from tael.channels.outcomes import Paid
from tael.cli.app import app
from tael.cli.finding import with_store
from tael.db.migrate import migrate
from tael.embedded.server import EmbeddedPostgres
from tael.merchants.domain.account import AlipayAccount, WeChatAccount
from tael.merchants.domain.merchant import App
from tael.operations.store import Store
from tael.payments.domain.entries import payment_entry
from tael.payments.domain.payment import Payment, apply_outcome
from tael.payments.domain.refund import Refund, RefundRules
from tael.payments.store.payments import Change
from tael.payments.store.reservations import Reservation, Reserved
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.webhooks import NewWebhook
from tests.support.alipay import another_rsa_key
from tests.support.wechat import key_and_certificate

NOW = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
SYSSN = "202601010000000000000001"
REFUND_SYSSN = "202601010000000000000002"
PID = "2088000000000001"
WALLET_KEY = "abcdefghijklmnopqrstuvwxyz012345"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator with a shell: runs commands and reads the store as the gateway would."""

    environment: dict[str, str]
    folder: Path

    def run(self, *arguments: str) -> str:
        """Standard output of a command that succeeds without a warning."""
        result = CliRunner().invoke(app, list(arguments), env=self.environment)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def run_json(self, *arguments: str) -> Any:
        """The parsed `--json` output of a command that succeeds: one compact line."""
        text = self.run(*arguments, "--json")
        assert text.count("\n") == 1
        return json.loads(text)

    def is_refused(self, *arguments: str, code: int) -> str:
        """The single line on standard error of a command that fails without standard output."""
        result = CliRunner().invoke(app, list(arguments), env=self.environment)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        assert result.stderr.startswith("tael: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    def in_store(self, work: Callable[[Store], Awaitable[Answer]]) -> Answer:
        """Run `work` on a gateway's store."""

        async def with_time(store: Store, _: datetime) -> Answer:
            return await work(store)

        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return with_store(None, with_time)

    def app(self, appcode: str) -> App:
        found = self.in_store(lambda store: store.merchants.app(appcode))
        assert found is not None
        return found

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    encryption_key = base64.b64encode(secrets.token_bytes(32)).decode()
    return Operator({"TAEL_DATABASE_URL": database_url, "TAEL_ENCRYPTION_KEY": encryption_key}, tmp_path)


@pytest.fixture
def merchant(operator: Operator) -> str:
    """The mchid of a merchant of app SHOP, in HKD."""
    operator.run("app", "add", "--appcode", "SHOP")
    operator.run("merchant", "add", "SHOP", "--name", "Tea", "--currency", "HKD", "--mchid", "tea")
    return "tea"


def rsa_pem(bits: int = 2048) -> tuple[str, str]:
    """A private key and its public one."""
    key = (
        another_rsa_key() if bits == 2048 else rsa.generate_private_key(public_exponent=65537, key_size=bits)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


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
        "quick_retries": True,
        "close_requires_amount": False,
        "max_request_age_s": None,
        "sha256_responses": False,
        "allowed_addresses": [],
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
        *("--sha256-only", "--cancel-codes-v2", "--include-goods-name", "--no-quick-retries"),
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
        "quick_retries",
    )
    assert [getattr(after, name) for name in switches] == [True, False, True, True, True, False]

    shown = operator.run_json("app", "set", "SHOP", "--no-notify-offline", "--return-url", "")
    assert (shown["notify_offline"], shown["return_url"]) == (False, None)
    assert "key" not in shown
    last = operator.app("SHOP")
    assert (last.notify_offline, last.return_url, last.notify_url) == (False, None, after.notify_url)


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
        "max_amount_minor": 500000,
        "denied": [],
    }
    operator.run("merchant", "add", "OTHER", "--name", "Books", "--currency", "JPY", "--mchid", "books")
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
        await store.database.execute("UPDATE merchant SET name = $1", "Tea\x1b]0;title\x07")

    operator.in_store(rename)
    assert "\x1b" not in operator.run("merchant", "list")


# ---- wallets -----------------------------------------------------------------------------------------------


def test_an_alipay_account_of_each_sign_type(operator: Operator, merchant: str) -> None:
    (private, _), (_, public) = rsa_pem(), rsa_pem()
    key = operator.file("key", WALLET_KEY)
    add = ("wallet", "add", "alipay", merchant)
    online = operator.run_json(
        *add, "--pid", PID, "--scene", "online", "--sign-type", "MD5", "--key-file", key
    )
    assert online == {
        "account_id": online["account_id"],
        "mchid": merchant,
        "wallet": "alipay",
        "scene": "online",
        "currency": "HKD",
        "refund_window_days": 365,
        "supports_partial_refunds": True,
        "fee_rate_ppm": 0,
        "pid": PID,
        "sign_type": "MD5",
        "supports_close": True,
    }
    shown = operator.run(
        *(
            *add,
            "--pid",
            "2088000000000002",
            "--scene",
            "offline",
            "--sign-type",
            "RSA2",
            "--currency",
            "HKD",
        ),
        *("--private-key-file", operator.file("private.pem", private)),
        *("--alipay-public-key-file", operator.file("public.pem", public)),
        *("--no-supports-close", "--refund-window-days", "90", "--no-supports-partial-refunds"),
    )
    first, second = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(first, AlipayAccount)
    assert isinstance(second, AlipayAccount)
    assert first.key.reveal() == WALLET_KEY
    assert second.private_key_pem.reveal() == private
    assert (second.alipay_public_key_pem, second.key.reveal()) == (public, "")
    assert (second.supports_close, second.refund_window_days) == (False, 90)
    assert (first.supports_partial_refunds, second.supports_partial_refunds) == (True, False)
    for text in (shown, operator.run("wallet", "list"), operator.run("wallet", "list", "--json")):
        assert "2088000000000002" in text
        assert "PRIVATE" not in text
        assert WALLET_KEY not in text


def test_a_wechat_account(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("provider")
    secret = secrets.token_hex(16)
    shown = operator.run_json(*wechat(operator, merchant, key, certificate, secret), "--supports-wechat-hk")
    assert shown == {
        "account_id": shown["account_id"],
        "mchid": merchant,
        "wallet": "wechat",
        "scene": "both",
        "currency": "HKD",
        "refund_window_days": 365,
        "supports_partial_refunds": True,
        "fee_rate_ppm": 0,
        "mch_id": "1900000109",
        "appid": "wx1111111111111111",
        "sign_type": "HMAC-SHA256",
        "sub_mch_id": "1900000110",
        "sub_appid": "wx2222222222222222",
        "supports_wechat_hk": True,
    }
    (account,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(account, WeChatAccount)
    assert account.sub_secret.reveal() == secret
    assert account.provider.key.reveal() == WALLET_KEY
    assert account.provider.certificate_key_pem.reveal() == key
    assert operator.run_json("wallet", "list", "--mchid", merchant) == [shown]
    listed = operator.run("wallet", "list") + operator.run("wallet", "list", "--json")
    assert not any(text in listed for text in (secret, WALLET_KEY, "PRIVATE", "CERTIFICATE"))
    refusal = operator.is_refused(*wechat(operator, merchant, key, certificate, secret), code=1)
    assert "WeChat" in refusal or "already has an account at this wallet" in refusal


def test_the_secret_of_a_merchants_appid_may_be_set_later(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("provider")
    without = wechat(operator, merchant, key, certificate, "")[:-2]
    account_id = operator.run_json(*without)["account_id"]

    def secret() -> str:
        account = operator.in_store(lambda store: store.accounts.by_id(account_id))
        assert isinstance(account, WeChatAccount)
        return account.sub_secret.reveal()

    assert secret() == ""
    operator.run("wallet", "set", account_id, "--refund-window-days", "90")
    assert secret() == ""
    operator.run("wallet", "set", account_id, "--sub-secret-file", operator.file("later", "s" * 32))
    assert secret() == "s" * 32


def test_a_contracts_refund_terms_are_changed_and_the_rest_is_kept(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("provider")
    account = operator.run_json(*wechat(operator, merchant, key, certificate, secrets.token_hex(16)))
    before = operator.in_store(lambda store: store.accounts.by_id(account["account_id"]))
    whole = operator.run_json("wallet", "set", account["account_id"], "--no-supports-partial-refunds")
    assert whole == account | {"supports_partial_refunds": False}
    short = operator.run_json("wallet", "set", account["account_id"], "--refund-window-days", "90")
    assert short == whole | {"refund_window_days": 90}
    after = operator.in_store(lambda store: store.accounts.by_id(account["account_id"]))
    assert before is not None
    assert after == replace(before, refund_window_days=90, supports_partial_refunds=False)
    operator.run("wallet", "set", account["account_id"], "--supports-partial-refunds")
    assert operator.run_json("wallet", "list") == [account | {"refund_window_days": 90}]
    assert "no account unknown" in operator.is_refused("wallet", "set", "unknown", code=1)


def wechat(operator: Operator, mchid: str, key: str, certificate: str, secret: str) -> tuple[str, ...]:
    return (
        *("wallet", "add", "wechat", mchid, "--mch-id", "1900000109", "--appid", "wx1111111111111111"),
        *("--key-file", operator.file("key", WALLET_KEY), "--sign-type", "HMAC-SHA256"),
        *("--certificate-file", operator.file("certificate.pem", certificate)),
        *("--certificate-key-file", operator.file("certificate_key.pem", key)),
        *("--sub-mch-id", "1900000110", "--sub-appid", "wx2222222222222222"),
        *("--sub-secret-file", operator.file("secret", secret)),
    )


def test_contracts_are_kept(operator: Operator, merchant: str) -> None:
    operator.run("merchant", "add", "SHOP", "--name", "Books", "--currency", "JPY", "--mchid", "books")
    sign = ("--sign-type", "MD5", "--key-file", operator.file("key", WALLET_KEY))

    def refusal(mchid: str, pid: str, scene: str, *more: str) -> str:
        return operator.is_refused(
            *("wallet", "add", "alipay", mchid, "--pid", pid, "--scene", scene, *sign, *more), code=1
        )

    operator.run("wallet", "add", "alipay", merchant, "--pid", PID, "--scene", "online", *sign)
    assert "already has an account at this wallet for this scene" in refusal(
        merchant, "2088000000000002", "online"
    )
    assert "already belongs to a merchant" in refusal("books", PID, "offline")
    assert "no merchant unknown" in refusal("unknown", "2088000000000003", "online")
    assert "must be in JPY" in refusal("books", "2088000000000003", "online", "--currency", "HKD")
    assert "no merchant unknown" in operator.is_refused("wallet", "list", "--mchid", "unknown", code=1)


def test_keys_that_cannot_sign_are_refused(operator: Operator, merchant: str) -> None:
    private, public = rsa_pem(1024)
    key, private_file = operator.file("key", WALLET_KEY), operator.file("private.pem", private)
    public_file, other = operator.file("public.pem", public), operator.file("other", "no key at all")

    def refusal(sign_type: str, *files: str, pid: str = PID) -> str:
        scene = ("--pid", pid, "--scene", "online", "--sign-type", sign_type)
        return operator.is_refused("wallet", "add", "alipay", merchant, *scene, *files, code=2)

    both = ("--private-key-file", private_file, "--alipay-public-key-file")
    assert "--key-file: required with --sign-type MD5" in refusal("MD5")
    assert "--key-file" in refusal("MD5", "--key-file", other)
    assert "--private-key-file" in refusal("MD5", "--key-file", key, "--private-key-file", private_file)
    assert "--key-file: not used with --sign-type RSA" in refusal(
        "RSA", "--key-file", key, *both, public_file
    )
    assert "--alipay-public-key-file" in refusal("RSA", "--private-key-file", private_file)
    assert "--alipay-public-key-file" in refusal("RSA", *both, other)
    assert "--private-key-file" in refusal("RSA2", *both, public_file)  # 1024 bits
    assert "--pid" in refusal("MD5", "--key-file", key, pid="1234")


def test_certificates_that_do_not_fit_are_refused(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("provider")
    other_key, _ = key_and_certificate("someone else")
    locked_key, locked = key_and_certificate("provider", encrypted=True)
    secret = secrets.token_hex(16)

    def refusal(key: str, certificate: str) -> str:
        return operator.is_refused(*wechat(operator, merchant, key, certificate, secret), code=2)

    assert "--certificate-key-file: the key" in refusal(other_key, certificate)
    assert "passphrase" in refusal(locked_key, locked)
    assert "--certificate-file" in refusal(key, key)
    assert "--certificate-key-file" in refusal(certificate, certificate)
    assert operator.run_json("wallet", "list") == []


def test_certificates_out_of_their_time_or_too_weak_are_refused(operator: Operator, merchant: str) -> None:
    secret = secrets.token_hex(16)

    def refusal(pair: tuple[str, str]) -> str:
        return operator.is_refused(*wechat(operator, merchant, *pair, secret), code=2)

    assert "--certificate-file: the certificate" in refusal(key_and_certificate("provider", days=(-9, -1)))
    assert "expired on" in refusal(key_and_certificate("provider", days=(-9, -1)))
    assert "is not valid before" in refusal(key_and_certificate("provider", days=(1, 9)))
    assert "at least 2048 bits" in refusal(key_and_certificate("provider", rsa_bits=1024))
    assert operator.run_json("wallet", "list") == []
    operator.run(*wechat(operator, merchant, *key_and_certificate("provider", rsa_bits=2048), secret))


def rsa2(operator: Operator, mchid: str, private: str, public: str) -> tuple[str, ...]:
    return (
        *("wallet", "add", "alipay", mchid, "--pid", PID, "--scene", "online", "--sign-type", "RSA2"),
        *("--private-key-file", operator.file("private", private)),
        *("--alipay-public-key-file", operator.file("public", public)),
    )


def test_the_merchant_s_own_public_key_is_not_alipay_s(operator: Operator, merchant: str) -> None:
    private, public = rsa_pem()
    refusal = operator.is_refused(*rsa2(operator, merchant, private, public), code=2)
    assert "--alipay-public-key-file: this is the public key of the merchant's own private key" in refusal
    assert operator.run_json("wallet", "list") == []


@pytest.mark.parametrize(("sign_type", "bits"), [("RSA", 512), ("RSA", 1023), ("RSA2", 1024), ("RSA2", 2047)])
def test_keys_that_are_too_short_are_refused_on_both_sides(
    operator: Operator, merchant: str, sign_type: str, bits: int
) -> None:
    good_private, good_public = operator.file("a", rsa_pem()[0]), operator.file("b", rsa_pem()[1])
    short_private, short_public = (operator.file(f"short{i}", pem) for i, pem in enumerate(short_pem(bits)))
    add = ("wallet", "add", "alipay", merchant, "--pid", PID, "--scene", "online", "--sign-type", sign_type)
    for private, public, option in (
        (short_private, good_public, "--private-key-file"),
        (good_private, short_public, "--alipay-public-key-file"),
    ):
        files = ("--private-key-file", private, "--alipay-public-key-file", public)
        assert f"{option}: " in operator.is_refused(*add, *files, code=2)


def short_pem(bits: int) -> tuple[str, str]:
    """A pair that `cryptography` no longer generates but a file may contain."""
    if bits >= 1024:
        return rsa_pem(bits)
    openssl = ["openssl", "genrsa", "-traditional", str(bits)]
    private = subprocess.run(openssl, capture_output=True, text=True, check=True).stdout
    made = subprocess.run(
        ["openssl", "rsa", "-pubout"], input=private, capture_output=True, text=True, check=True
    )
    return private, made.stdout


@pytest.mark.parametrize("kind", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("public_kind", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_keys_in_one_line_as_alipay_issues_them_are_accepted(
    operator: Operator, merchant: str, kind: PrivateFormat, public_kind: PublicFormat, ending: str
) -> None:
    ours = another_rsa_key()
    theirs = another_rsa_key().public_key()
    private = base64.b64encode(ours.private_bytes(Encoding.DER, kind, NoEncryption())).decode()
    public = base64.b64encode(theirs.public_bytes(Encoding.DER, public_kind)).decode()
    operator.run(*rsa2(operator, merchant, private + ending, public + ending))
    (account,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(account, AlipayAccount)
    kept = load_pem_private_key(account.private_key_pem.reveal().encode(), password=None)
    assert kept.private_numbers() == ours.private_numbers()  # type: ignore[union-attr]
    assert load_pem_public_key(account.alipay_public_key_pem.encode()) == theirs
    own = base64.b64encode(ours.public_key().public_bytes(Encoding.DER, public_kind)).decode()
    refusal = operator.is_refused(
        *("wallet", "set", account.account_id, "--alipay-public-key-file", operator.file("own", own)), code=2
    )
    assert "public key of the merchant's own" in refusal


@pytest.mark.parametrize("text", ["MIIB", "A" * 400, "no key at all", "", "-----BEGIN PUBLIC KEY-----"])
def test_an_invalid_key_is_refused_in_one_line(operator: Operator, merchant: str, text: str) -> None:
    private, public = rsa_pem()[0], rsa_pem()[1]
    assert "no private key" in operator.is_refused(*rsa2(operator, merchant, text, public), code=2)
    assert "no public key" in operator.is_refused(*rsa2(operator, merchant, private, text), code=2)


def test_keys_of_an_account_are_replaced_and_the_rest_stays(operator: Operator, merchant: str) -> None:
    account = operator.run_json(*rsa2(operator, merchant, rsa_pem()[0], rsa_pem()[1]))
    (before,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(before, AlipayAccount)
    private, public = rsa_pem()[0], rsa_pem()[1]
    change = ("wallet", "set", account["account_id"])
    public_file = operator.file("new-public", public)
    assert operator.run_json(*change, "--alipay-public-key-file", public_file) == account
    after = replace(before, alipay_public_key_pem=public)
    assert operator.in_store(lambda store: store.accounts.all()) == [after]
    operator.run(*change, "--private-key-file", operator.file("new-private", private))
    after = replace(after, private_key_pem=Secret(private))
    assert operator.in_store(lambda store: store.accounts.all()) == [after]
    for option in ("--key-file", "--certificate-file", "--certificate-key-file", "--sub-secret-file"):
        assert f"{option}: " in operator.is_refused(*change, option, public_file, code=2)
    assert operator.in_store(lambda store: store.accounts.all()) == [after]


def test_keys_of_a_provider_are_replaced_for_all_of_its_merchants(operator: Operator, merchant: str) -> None:
    pair, secret = key_and_certificate("provider"), secrets.token_hex(16)
    account = operator.run_json(*wechat(operator, merchant, *pair, secret))
    (before,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(before, WeChatAccount)
    key, certificate = key_and_certificate("renewed")
    change = ("wallet", "set", account["account_id"])
    certificate_file, key_file = operator.file("new.pem", certificate), operator.file("new-key.pem", key)
    assert "must be given together" in operator.is_refused(
        *change, "--certificate-file", certificate_file, code=2
    )
    old_key = operator.file("old-key.pem", pair[0])
    both = ("--certificate-file", certificate_file, "--certificate-key-file")
    assert "does not match the certificate" in operator.is_refused(*change, *both, old_key, code=2)
    operator.run(*change, *both, key_file, "--key-file", operator.file("v2", WALLET_KEY[::-1]))
    operator.run(*change, "--sub-secret-file", operator.file("sub", "s" * 32))
    provider = replace(
        before.provider,
        key=Secret(WALLET_KEY[::-1]),
        certificate_pem=certificate,
        certificate_key_pem=Secret(key),
    )
    after = replace(before, provider=provider, sub_secret=Secret("s" * 32))
    assert operator.in_store(lambda store: store.accounts.all()) == [after]
    for option in ("--private-key-file", "--alipay-public-key-file"):
        assert f"{option}: " in operator.is_refused(*change, option, key_file, code=2)


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
    account = ("--pid", PID, "--scene", "online", "--sign-type", "MD5", "--key-file", key)
    assert "does not decrypt" in other.is_refused("wallet", "add", "alipay", merchant, *account, code=2)
    assert len(operator.run_json("app", "list")) == 1


def test_a_database_without_tables_is_named(operator: Operator) -> None:
    async def forget(store: Store) -> None:
        await store.database.execute("DROP TABLE app CASCADE")

    operator.in_store(forget)
    assert "tael migrate" in operator.is_refused("app", "list", code=2)


def test_a_database_that_refuses_us_is_one_line(operator: Operator) -> None:
    url = operator.environment["TAEL_DATABASE_URL"] + "_not_there"
    other = Operator(operator.environment | {"TAEL_DATABASE_URL": url}, operator.folder)
    assert "does not exist" in other.is_refused("app", "list", code=2)


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
