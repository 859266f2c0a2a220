"""`tael account`: accounts of both protocols are added, changed, listed and checked; what cannot work is refused."""

import base64
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

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

from tael.base.secret import Secret
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.settings import certificate_of
from tael.channels.wechat_v2.account import WeChatAccount
from tael.merchants.domain.account import PreviousAccount
from tests.support.alipay import another_rsa_key
from tests.support.operator import Operator, operator_of
from tests.support.wechat import key_and_certificate

PID = "2088000000000001"
WALLET_KEY = "abcdefghijklmnopqrstuvwxyz012345"


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    return operator_of(database_url, tmp_path)


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


def settings(**values: str) -> list[str]:
    return [text for name, value in values.items() for text in ("--set", f"{name}={value}")]


def files(**paths: str) -> list[str]:
    return [text for name, path in paths.items() for text in ("--file", f"{name}={path}")]


def test_an_alipay_account_of_each_sign_type(operator: Operator, merchant: str) -> None:
    (private, _), (_, public) = rsa_pem(), rsa_pem()
    key = operator.file("key", WALLET_KEY)
    add = ("account", "add", merchant, "--protocol", "alipay_mapi")
    online = operator.run_json(*add, *settings(pid=PID, scene="online", sign_type="MD5"), *files(key=key))
    assert online == {
        "account_id": online["account_id"],
        "mchid": merchant,
        "protocol": "alipay_mapi",
        "wallet": "alipay",
        "scene": "online",
        "currency": "HKD",
        "refund_window_days": 365,
        "supports_partial_refunds": True,
        "fee_rate_ppm": 0,
        "wallet_fee_rate_ppm": None,
        "overlap_ends_at": None,
        "certificate_expires_at": None,
        "pid": PID,
        "sign_type": "MD5",
        "supports_close": True,
        "supports_alipay_hk": False,
    }
    shown = operator.run(
        *add,
        *settings(pid="2088000000000002", scene="offline", sign_type="RSA2", supports_close="false"),
        *files(
            private_key=operator.file("private.pem", private),
            alipay_public_key=operator.file("public.pem", public),
        ),
        *("--currency", "HKD", "--refund-window-days", "90", "--no-supports-partial-refunds"),
        *("--fee-rate-ppm", "6000"),
    )
    first, second = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(first, AlipayAccount)
    assert isinstance(second, AlipayAccount)
    assert first.key.reveal() == WALLET_KEY
    assert second.private_key.reveal() == private
    assert (second.alipay_public_key, second.key.reveal()) == (public, "")
    assert (second.supports_close, second.refund_window_days, second.fee_rate_ppm) == (False, 90, 6000)
    assert (first.supports_partial_refunds, second.supports_partial_refunds) == (True, False)
    for text in (shown, operator.run("account", "list"), operator.run("account", "list", "--json")):
        assert "2088000000000002" in text
        assert "PRIVATE" not in text
        assert WALLET_KEY not in text


def test_a_direct_merchant_of_wechat_pay_has_no_sub_merchant(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("merchant")
    paths = {
        "key": operator.file("v2.key", WALLET_KEY),
        "certificate": operator.file("own.pem", certificate),
        "certificate_key": operator.file("own.key", key),
    }
    own = {"mch_id": "1900000109", "appid": "wx1111111111111111", "sign_type": "MD5"}
    add = ("account", "add", merchant, "--protocol", "wechat_v2", *files(**paths))
    half = operator.is_refused(*add, *settings(**own, sub_mch_id="1900000110"), code=2)
    assert "sub_appid: required with sub_mch_id" in half
    other = operator.is_refused(*add, *settings(**own, sub_appid="wx2222222222222222"), code=2)
    assert "sub_appid: not used without sub_mch_id" in other
    shown = operator.run_json(*add, *settings(**own))
    assert (shown["mch_id"], shown["sub_mch_id"], shown["sub_appid"]) == ("1900000109", "", "")
    (account,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(account, WeChatAccount)
    assert account.is_direct
    assert account.official_appid == "wx1111111111111111"


def test_a_wechat_account(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("provider")
    add = wechat(operator, merchant, key, certificate)
    shown = operator.run_json(*add, *settings(supports_wechat_hk="true"))
    end = certificate_of(certificate).not_valid_after_utc
    assert shown == {
        "account_id": shown["account_id"],
        "mchid": merchant,
        "protocol": "wechat_v2",
        "wallet": "wechat",
        "scene": "both",
        "currency": "HKD",
        "refund_window_days": 365,
        "supports_partial_refunds": True,
        "fee_rate_ppm": 0,
        "wallet_fee_rate_ppm": None,
        "overlap_ends_at": None,
        "certificate_expires_at": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "mch_id": "1900000109",
        "appid": "wx1111111111111111",
        "sign_type": "HMAC-SHA256",
        "sub_mch_id": "1900000110",
        "sub_appid": "wx2222222222222222",
        "mini_appid": "",
        "app_appid": "",
        "supports_h5": False,
        "supports_wechat_hk": True,
    }
    (account,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(account, WeChatAccount)
    assert account.key.reveal() == WALLET_KEY
    assert (account.certificate, account.certificate_key.reveal()) == (certificate, key)
    assert operator.run_json("account", "list", "--mchid", merchant) == [shown]
    listed = operator.run("account", "list") + operator.run("account", "list", "--json")
    assert not any(text in listed for text in (WALLET_KEY, "PRIVATE", "CERTIFICATE"))
    assert "already has an account at this wallet" in operator.is_refused(*add, code=1)


def test_a_contracts_refund_terms_are_changed_and_the_rest_is_kept(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("provider")
    account = operator.run_json(*wechat(operator, merchant, key, certificate))
    before = operator.in_store(lambda store: store.accounts.by_id(account["account_id"]))
    whole = operator.run_json("account", "set", account["account_id"], "--no-supports-partial-refunds")
    assert whole == account | {"supports_partial_refunds": False}
    short = operator.run_json("account", "set", account["account_id"], "--refund-window-days", "90")
    assert short == whole | {"refund_window_days": 90}
    after = operator.in_store(lambda store: store.accounts.by_id(account["account_id"]))
    assert before is not None
    assert after == replace(before, refund_window_days=90, supports_partial_refunds=False)
    operator.run("account", "set", account["account_id"], "--supports-partial-refunds")
    assert operator.run_json("account", "list") == [account | {"refund_window_days": 90}]
    assert "no account unknown" in operator.is_refused("account", "set", "unknown", code=1)
    dearer = operator.run_json("account", "set", account["account_id"], "--fee-rate-ppm", "6000")
    assert dearer["fee_rate_ppm"] == 6000
    (stored,) = operator.run_json("account", "list", "--mchid", merchant)
    assert stored == dearer


def wechat(
    operator: Operator, mchid: str, key: str, certificate: str, sub_mch_id: str = "1900000110"
) -> tuple[str, ...]:
    numbers = settings(
        mch_id="1900000109",
        appid="wx1111111111111111",
        sign_type="HMAC-SHA256",
        sub_mch_id=sub_mch_id,
        sub_appid="wx2222222222222222",
    )
    keys = files(
        key=operator.file("key", WALLET_KEY),
        certificate=operator.file("certificate.pem", certificate),
        certificate_key=operator.file("certificate_key.pem", key),
    )
    return ("account", "add", mchid, "--protocol", "wechat_v2", *numbers, *keys)


def test_contracts_are_kept(operator: Operator, merchant: str) -> None:
    operator.run("merchant", "add", "SHOP", "--name", "Books", "--currency", "JPY", "--mchid", "books")
    key = files(key=operator.file("key", WALLET_KEY))

    def add(mchid: str, pid: str, scene: str, *more: str) -> tuple[str, ...]:
        values = settings(pid=pid, scene=scene, sign_type="MD5")
        return ("account", "add", mchid, "--protocol", "alipay_mapi", *values, *key, *more)

    operator.run(*add(merchant, PID, "online"))
    for arguments, reason in (
        (add(merchant, "2088000000000002", "online"), "already has an account at this wallet for this scene"),
        (add("books", PID, "offline"), "already belongs to a merchant"),
        (add("unknown", "2088000000000003", "online"), "no merchant unknown"),
        (add("books", "2088000000000003", "online", "--currency", "HKD"), "must be in JPY"),
        (("account", "list", "--mchid", "unknown"), "no merchant unknown"),
        (("account", "check", "--mchid", "unknown"), "no merchant unknown"),
        (("account", "check", "unknown"), "no account unknown"),
    ):
        assert reason in operator.is_refused(*arguments, code=1)


def test_settings_that_are_not_the_protocol_s_are_refused(operator: Operator, merchant: str) -> None:
    key = operator.file("key", WALLET_KEY)
    pid = settings(pid=PID, scene="online", sign_type="MD5")

    def refusal(*more: str, protocol: str = "alipay_mapi") -> str:
        return operator.is_refused("account", "add", merchant, "--protocol", protocol, *more, code=2)

    assert "no protocol alipay is installed; there are alipay_mapi, wechat_v2" in refusal(protocol="alipay")
    assert "mch_id: no setting of alipay_mapi, which has pid," in refusal(*pid, "--set", "mch_id=1900000109")
    assert "pid: required" in refusal(*settings(scene="online", sign_type="MD5"))
    assert "scene: must be online or offline" in refusal(*settings(pid=PID, scene="both", sign_type="MD5"))
    assert "sign_type: must be MD5, RSA or RSA2" in refusal(*settings(pid=PID, scene="online", sign_type="X"))
    assert "supports_close: must be true or false" in refusal(*pid, "--set", "supports_close=1")
    assert "--set: must be NAME=VALUE" in refusal("--set", "pid")
    assert "--set: pid is given twice" in refusal(*pid, "--set", "pid=1")
    assert "pid: given with --set and --file" in refusal(*pid, *files(pid=key))
    assert "--file no: nowhere cannot be read" in refusal("--file", "no=nowhere")
    assert operator.run_json("account", "list") == []


def test_a_secret_is_taken_from_a_file_only(operator: Operator, merchant: str) -> None:
    values = settings(pid=PID, scene="online", sign_type="MD5", key=WALLET_KEY)
    refusal = operator.is_refused("account", "add", merchant, "--protocol", "alipay_mapi", *values, code=2)
    assert "key: a secret; give the path of a file with --file key=PATH" in refusal
    assert WALLET_KEY not in refusal


def test_keys_that_cannot_sign_are_refused(operator: Operator, merchant: str) -> None:
    private, public = rsa_pem(1024)
    key, private_file = operator.file("key", WALLET_KEY), operator.file("private.pem", private)
    public_file, other = operator.file("public.pem", public), operator.file("other", "no key at all")

    def refusal(sign_type: str, pid: str = PID, **paths: str) -> str:
        values = settings(pid=pid, scene="online", sign_type=sign_type)
        add = ("account", "add", merchant, "--protocol", "alipay_mapi", *values, *files(**paths))
        return operator.is_refused(*add, code=2)

    assert "key: required with sign_type MD5" in refusal("MD5")
    assert "key: must be 32 letters and digits" in refusal("MD5", key=other)
    apps = "required for payments in apps"
    assert f"alipay_public_key: {apps}" in refusal("MD5", key=key, private_key=private_file)
    assert f"private_key: {apps}" in refusal("MD5", key=key, alipay_public_key=public_file)
    both = {"private_key": private_file, "alipay_public_key": public_file}
    assert "key: not used with sign_type RSA" in refusal("RSA", key=key, **both)
    assert "alipay_public_key: required with sign_type RSA" in refusal("RSA", private_key=private_file)
    assert "alipay_public_key: must be a public key" in refusal("RSA", **both | {"alipay_public_key": other})
    assert "private_key: must be an RSA key of at least 2048 bits" in refusal("RSA2", **both)
    assert "pid: must be a PID" in refusal("MD5", "1234", key=key)


def test_certificates_that_do_not_fit_are_refused(operator: Operator, merchant: str) -> None:
    key, certificate = key_and_certificate("provider")
    other_key, _ = key_and_certificate("someone else")
    locked_key, locked = key_and_certificate("provider", encrypted=True)

    def refusal(key: str, certificate: str) -> str:
        return operator.is_refused(*wechat(operator, merchant, key, certificate), code=2)

    assert "certificate_key: the key does not match the certificate" in refusal(other_key, certificate)
    assert "certificate_key: the key has a passphrase" in refusal(locked_key, locked)
    assert "certificate: must be a certificate in PEM" in refusal(key, key)
    assert "certificate_key: must be a private key" in refusal(certificate, certificate)
    assert operator.run_json("account", "list") == []


def test_certificates_out_of_their_time_or_too_weak_are_refused(operator: Operator, merchant: str) -> None:

    def refusal(pair: tuple[str, str]) -> str:
        return operator.is_refused(*wechat(operator, merchant, *pair), code=2)

    expired = key_and_certificate("provider", days=(-9, -1))
    assert "certificate: the certificate expired on" in refusal(expired)
    assert "is not valid before" in refusal(key_and_certificate("provider", days=(1, 9)))
    assert "at least 2048 bits" in refusal(key_and_certificate("provider", rsa_bits=1024))
    assert operator.run_json("account", "list") == []
    operator.run(*wechat(operator, merchant, *key_and_certificate("provider", rsa_bits=2048)))


def rsa2(operator: Operator, mchid: str, private: str, public: str) -> tuple[str, ...]:
    return (
        *("account", "add", mchid, "--protocol", "alipay_mapi"),
        *settings(pid=PID, scene="online", sign_type="RSA2"),
        *files(
            private_key=operator.file("private", private),
            alipay_public_key=operator.file("public", public),
        ),
    )


def test_the_merchant_s_own_public_key_is_not_alipay_s(operator: Operator, merchant: str) -> None:
    private, public = rsa_pem()
    refusal = operator.is_refused(*rsa2(operator, merchant, private, public), code=2)
    assert "alipay_public_key: this is the public key of the merchant's own private key" in refusal
    assert operator.run_json("account", "list") == []


@pytest.mark.parametrize(("sign_type", "bits"), [("RSA", 512), ("RSA", 1023), ("RSA2", 1024), ("RSA2", 2047)])
def test_keys_that_are_too_short_are_refused_on_both_sides(
    operator: Operator, merchant: str, sign_type: str, bits: int
) -> None:
    good_private, good_public = operator.file("a", rsa_pem()[0]), operator.file("b", rsa_pem()[1])
    short_private, short_public = (operator.file(f"short{i}", pem) for i, pem in enumerate(short_pem(bits)))
    values = settings(pid=PID, scene="online", sign_type=sign_type)
    add = ("account", "add", merchant, "--protocol", "alipay_mapi", *values)
    for private, public, name in (
        (short_private, good_public, "private_key"),
        (good_private, short_public, "alipay_public_key"),
    ):
        keys = files(private_key=private, alipay_public_key=public)
        assert f"{name}: must be an RSA key of at least" in operator.is_refused(*add, *keys, code=2)


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
    kept = load_pem_private_key(account.private_key.reveal().encode(), password=None)
    assert kept.private_numbers() == ours.private_numbers()  # type: ignore[union-attr]
    assert load_pem_public_key(account.alipay_public_key.encode()) == theirs
    own = base64.b64encode(ours.public_key().public_bytes(Encoding.DER, public_kind)).decode()
    refusal = operator.is_refused(
        *("account", "set", account.account_id, *files(alipay_public_key=operator.file("own", own))), code=2
    )
    assert "public key of the merchant's own" in refusal


@pytest.mark.parametrize("text", ["MIIB", "A" * 400, "no key at all", "", "-----BEGIN PUBLIC KEY-----"])
def test_an_invalid_key_is_refused_in_one_line(operator: Operator, merchant: str, text: str) -> None:
    private, public = rsa_pem()[0], rsa_pem()[1]
    refusal = operator.is_refused(*rsa2(operator, merchant, text, public), code=2)
    assert "private_key: must be a private key in PEM or Base64" in refusal
    refusal = operator.is_refused(*rsa2(operator, merchant, private, text), code=2)
    assert "alipay_public_key: must be a public key in PEM or Base64" in refusal


def test_keys_of_an_account_are_replaced_and_the_rest_stays(operator: Operator, merchant: str) -> None:
    account = operator.run_json(*rsa2(operator, merchant, rsa_pem()[0], rsa_pem()[1]))
    (before,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(before, AlipayAccount)
    private, public = rsa_pem()[0], rsa_pem()[1]
    change = ("account", "set", account["account_id"], "--overlap-hours", "0")
    public_file = operator.file("new-public", public)
    assert operator.run_json(*change, *files(alipay_public_key=public_file)) == account
    after = replace(before, alipay_public_key=public)
    assert operator.in_store(lambda store: store.accounts.all()) == [after]
    operator.run(*change, *files(private_key=operator.file("new-private", private)))
    after = replace(after, private_key=Secret(private))
    assert operator.in_store(lambda store: store.accounts.all()) == [after]
    for name in ("key", "certificate", "certificate_key"):
        assert f"{name}: " in operator.is_refused(*change, *files(**{name: public_file}), code=2)
    assert operator.in_store(lambda store: store.accounts.all()) == [after]


def test_another_sign_type_comes_with_its_keys_and_drops_the_old_ones(
    operator: Operator, merchant: str
) -> None:
    account = operator.run_json(*rsa2(operator, merchant, rsa_pem()[0], rsa_pem()[1]))
    change = ("account", "set", account["account_id"], *settings(sign_type="MD5"), "--overlap-hours", "0")
    assert "key: required with sign_type MD5" in operator.is_refused(*change, code=2)
    changed = operator.run_json(*change, *files(key=operator.file("key", WALLET_KEY)))
    assert changed == account | {"sign_type": "MD5"}
    (after,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(after, AlipayAccount)
    assert (after.key.reveal(), after.private_key.reveal(), after.alipay_public_key) == (WALLET_KEY, "", "")


def test_an_md5_account_has_keys_for_payments_in_apps_or_none(operator: Operator, merchant: str) -> None:
    """They stay when the other settings change; Alipay's own public key is recognised as elsewhere."""
    (private, own), (_, public) = rsa_pem(), rsa_pem()
    values = settings(pid=PID, scene="online", sign_type="MD5")
    add = ("account", "add", merchant, "--protocol", "alipay_mapi", *values)
    paths = {"key": operator.file("key", WALLET_KEY), "private_key": operator.file("private", private)}
    mistaken = files(**paths, alipay_public_key=operator.file("own", own))
    assert "public key of the merchant's own" in operator.is_refused(*add, *mistaken, code=2)
    account = operator.run_json(*add, *files(**paths, alipay_public_key=operator.file("public", public)))
    operator.run("account", "set", account["account_id"], *settings(supports_close="false"))
    (after,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(after, AlipayAccount)
    assert (after.key.reveal(), after.private_key.reveal(), after.alipay_public_key) == (
        WALLET_KEY,
        private,
        public,
    )
    assert after.sign_types == {"MD5", "RSA"}


def test_what_identifies_an_account_stays(operator: Operator, merchant: str) -> None:
    account = operator.run_json(*rsa2(operator, merchant, rsa_pem()[0], rsa_pem()[1]))
    for change in (settings(pid="2088000000000009"), settings(scene="offline")):
        refusal = operator.is_refused("account", "set", account["account_id"], *change, code=2)
        assert "identifies the account and cannot be changed" in refusal
    assert operator.run_json("account", "list") == [account]


def test_keys_of_a_provider_are_replaced_for_all_of_its_merchants(operator: Operator, merchant: str) -> None:
    pair = key_and_certificate("provider")
    operator.run("merchant", "add", "SHOP", "--name", "Books", "--currency", "HKD", "--mchid", "books")
    operator.run(*wechat(operator, merchant, *pair))
    operator.run(*wechat(operator, "books", *pair, sub_mch_id="1900000111"))
    operator.run(*rsa2(operator, merchant, rsa_pem()[0], rsa_pem()[1]))
    before = operator.in_store(lambda store: store.accounts.all())
    key, certificate = key_and_certificate("renewed")
    change = ("account", "set", "--where", "mch_id=1900000109")
    new = files(
        key=operator.file("v2", WALLET_KEY[::-1]),
        certificate=operator.file("new.pem", certificate),
        certificate_key=operator.file("new-key.pem", key),
    )
    half = files(certificate=operator.file("new.pem", certificate))
    refusal = operator.is_refused(*change, *half, code=2)
    assert "certificate_key: the key does not match the certificate" in refusal
    assert operator.in_store(lambda store: store.accounts.all()) == before
    changed = operator.run_json(*change, *new, "--overlap-hours", "2")
    assert [row["mchid"] for row in changed] == [merchant, "books"]
    (end,) = {row["overlap_ends_at"] for row in changed}
    until = datetime.fromisoformat(end)
    after = [
        replace(
            each,
            key=Secret(WALLET_KEY[::-1]),
            certificate=certificate,
            certificate_key=Secret(key),
            previous=PreviousAccount(each, until),
        )
        if isinstance(each, WeChatAccount)
        else each
        for each in before
    ]
    assert operator.in_store(lambda store: store.accounts.all()) == after
    back = files(key=operator.file("old-v2", WALLET_KEY))
    refusal = operator.is_refused(*change, *back, code=1)
    assert f"are accepted until {until.isoformat()}; end that overlap first" in refusal
    ended = operator.run_json("account", "end-overlap", "--where", "mch_id=1900000109")
    assert [row["overlap_ends_at"] for row in ended] == [None, None]
    assert operator.in_store(lambda store: store.accounts.all()) == [
        replace(each, previous=None) for each in after
    ]
    (one,) = operator.run_json(*change, "--where", "mchid=books", "--refund-window-days", "90")
    assert (one["mchid"], one["refund_window_days"]) == ("books", 90)


def test_a_selection_of_accounts_is_exact(operator: Operator, merchant: str) -> None:
    account = operator.run_json(*wechat(operator, merchant, *key_and_certificate("provider")))
    days = ("--refund-window-days", "9")
    for arguments, code, reason in (
        (("--where", "mch_id=1900000999", *days), 1, "no account with mch_id 1900000999"),
        (("--where", "key=x", *days), 2, "key: no member of accounts that can be compared"),
        (("--where", "mch_id=1900000109", account["account_id"], *days), 2, "either ACCOUNT or --where"),
        (days, 2, "either ACCOUNT or --where"),
    ):
        assert reason in operator.is_refused("account", "set", *arguments, code=code)
    assert operator.run_json("account", "list") == [account]


def test_the_protocols_are_listed_with_their_settings(operator: Operator) -> None:
    text = operator.run("account", "protocols")
    for word in ("alipay_mapi", "wechat_v2", "alipay_public_key", "certificate_key", "--file"):
        assert word in text
    rows = operator.run_json("account", "protocols")
    assert {row["setting"]: row["given_with"] for row in rows if row["protocol"] == "wechat_v2"} == {
        **dict.fromkeys(("mch_id", "appid", "sign_type", "sub_mch_id", "sub_appid"), "--set"),
        **dict.fromkeys(("key", "certificate", "certificate_key", "official_secret"), "--file"),
        **dict.fromkeys(("mini_appid", "app_appid", "supports_h5", "supports_wechat_hk"), "--set"),
    }
