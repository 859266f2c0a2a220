"""A WeChat account and orders for tests, and the wallet's side of the protocol, written independently."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.base.secret import Secret
from tael.channels.base import ChannelOrder, ChannelRefund
from tael.channels.wechat_v2.account import WeChatAccount, WeChatSignType

KEY: Final = "0123456789abcdef0123456789ABCDEF"
OPENED: Final = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)  # noon in Hong Kong
SYSSN: Final = "20260101000300020000000001"
REFUND_SYSSN: Final = "20260101000300020000000002"


def account(
    sign_type: WeChatSignType = "MD5", certificate_pem: str = "", certificate_key_pem: str = ""
) -> WeChatAccount:
    return WeChatAccount(
        account_id="account",
        mchid="merchant",
        currency="HKD",
        mch_id="1900000109",
        appid="wx1111111111111111",
        key=Secret(KEY),
        certificate=certificate_pem,
        certificate_key=Secret(certificate_key_pem),
        sign_type=sign_type,
        sub_mch_id="1900000110",
        sub_appid="wx2222222222222222",
    )


def order(
    code: str,
    of: WeChatAccount,
    *,
    syssn: str = SYSSN,
    amount_minor: int = 888,
    subject: str = "A cup of tea",
    at: datetime = OPENED,
    auth_code: str = "",
    openid: str = "",
    notice_url: str = "http://127.0.0.1:1/notices/wechat/account",
    wallet_ref: str = "",
) -> ChannelOrder:
    return ChannelOrder(
        account=of,
        pay_type=PAY_TYPES[code],
        syssn=syssn,
        amount=Money(amount_minor, "HKD"),
        subject=subject,
        created_at=at,
        expires_at=at + timedelta(seconds=PAY_TYPES[code].expires_after_s),
        notice_url=notice_url,
        return_url="",
        auth_code=auth_code,
        openid=openid,
        wallet_ref=wallet_ref,
    )


def refund_of(
    payment: ChannelOrder, *, syssn: str = REFUND_SYSSN, amount_minor: int | None = None
) -> ChannelRefund:
    amount = payment.amount if amount_minor is None else Money(amount_minor, payment.amount.currency)
    return ChannelRefund(payment, syssn, amount, payment.created_at, payment.notice_url)


# ---- the wallet's side -------------------------------------------------------------------------------------


def signed(fields: Mapping[str, str], key: str = KEY, sign_type: WeChatSignType = "MD5") -> dict[str, str]:
    text = "".join(f"{name}={fields[name]}&" for name in sorted(fields) if fields[name] and name != "sign")
    payload = f"{text}key={key}".encode()
    if sign_type == "MD5":
        return {**fields, "sign": hashlib.md5(payload).hexdigest().upper()}
    return {**fields, "sign": hmac.new(key.encode(), payload, "sha256").hexdigest().upper()}


def written(fields: Mapping[str, str], root: str = "xml") -> bytes:
    lines = (f"<{name}><![CDATA[{value}]]></{name}>\n" for name, value in fields.items())
    return f"<{root}>{''.join(lines)}</{root}>".encode()


IDENTITY: Final = {
    "return_code": "SUCCESS",
    "appid": "wx1111111111111111",
    "mch_id": "1900000109",
    "sub_mch_id": "1900000110",
    "nonce_str": "n0nce",
}
SUCCESS: Final = {**IDENTITY, "result_code": "SUCCESS"}
PAID: Final = {
    **SUCCESS,
    "openid": "o-of-the-provider",
    "sub_openid": "o-of-the-merchant",
    "trade_type": "NATIVE",
    "bank_type": "CFT",
    "total_fee": "888",
    "fee_type": "HKD",
    "cash_fee": "808",
    "cash_fee_type": "CNY",
    "transaction_id": "4200000000202601010000000001",
    "out_trade_no": SYSSN,
    "time_end": "20260101120001",
}
PAID_AT: Final = datetime(2026, 1, 1, 4, 0, 1, tzinfo=UTC)


def key_and_certificate(
    common_name: str, *, encrypted: bool = False, days: tuple[int, int] = (-1, 1), rsa_bits: int | None = None
) -> tuple[str, str]:
    """A new private key and a self-signed certificate for it, as PEM; valid between these days from now."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = ec.generate_private_key(ec.SECP256R1())
    if rsa_bits is not None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .sign(key, hashes.SHA256())
    )
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if encrypted:
        how = serialization.BestAvailableEncryption(b"a passphrase")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, how).decode(), certificate.public_bytes(pem).decode()
