"""WeChat's notices. A payment notice is verified with its signature; a refund notice only causes a query.

A refund notice has no signature, only text encrypted with our key in a mode without authentication (ECB): it decides
nothing itself.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tael.base.secret import Secret
from tael.channels.base import Acknowledgement, BadSignature, Notice, PaymentNotice, RefundNotice
from tael.channels.outcomes import Unknown
from tael.channels.wechat_v2 import messages, outcomes
from tael.channels.wechat_v2.account import WeChatAccount, WeChatSignType
from tael.channels.wechat_v2.exchange import names_account
from tael.channels.wechat_v2.signing import is_signed

ACKNOWLEDGEMENT: Final = Acknowledgement(
    content_type="text/xml; charset=utf-8",
    received=messages.to_xml({"return_code": "SUCCESS", "return_msg": "OK"}),
    refused=messages.to_xml({"return_code": "FAIL", "return_msg": "NOT ACCEPTED"}),
)


def read_notice(verifiers: Sequence[WeChatAccount], body: bytes) -> Notice:
    """Verify and parse a notice of a payment or a refund, with the first of `verifiers` that can. Raises BadSignature.

    In an overlap a key may come with either algorithm: WeChat signs the notice of an order with that of its request.
    """
    sign_types = {each.sign_type for each in verifiers}
    refusals: list[BadSignature] = []
    for account in verifiers:
        try:
            return _read(account, sign_types, body)
        except BadSignature as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _read(account: WeChatAccount, sign_types: Collection[WeChatSignType], body: bytes) -> Notice:
    try:
        fields = messages.from_xml(body)
        if fields.get("return_code") != "SUCCESS":
            raise BadSignature("return_code is not SUCCESS")
        other = names_account(fields, account)
        if other:
            raise BadSignature(f"another {other}")
        if "req_info" in fields:
            return _refund_notice(account, fields)
        return _payment_notice(account, sign_types, fields)
    except messages.BadMessage as error:
        raise BadSignature(str(error)) from error


def _payment_notice(
    account: WeChatAccount, sign_types: Collection[WeChatSignType], fields: messages.Fields
) -> PaymentNotice:
    # The account's algorithms, not the notice's own: otherwise an attacker could downgrade it to MD5.
    if not any(is_signed(fields, account.key, sign_type) for sign_type in sign_types):
        raise BadSignature("the signature is wrong")
    syssn = messages.number_of(fields, "out_trade_no")
    if (
        fields.get("result_code") != "SUCCESS"
    ):  # undocumented: WeChat sends notices of payments only; query it
        return PaymentNotice(syssn, Unknown(f"a notice with err_code {fields.get('err_code', '')!r}"))
    return PaymentNotice(syssn, outcomes.paid(fields, syssn))


def _refund_notice(account: WeChatAccount, fields: messages.Fields) -> RefundNotice:
    content = messages.from_xml(decrypt_req_info(fields["req_info"], account.key), root="root")
    return RefundNotice(
        syssn=messages.number_of(content, "out_refund_no"),
        payment_syssn=messages.number_of(content, "out_trade_no"),
    )


def decrypt_req_info(encrypted: str, key: Secret) -> bytes:
    """Decrypt AES-256-ECB; the key is the API key's MD5 in lower-case hex. Raises BadMessage."""
    aes_key = hashlib.md5(key.reveal().encode()).hexdigest().encode()
    cipher = Cipher(algorithms.AES256(aes_key), modes.ECB())  # noqa: S305 - WeChat's choice; the content is not trusted
    try:
        decryptor = cipher.decryptor()
        padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
        unpadder = PKCS7(algorithms.AES256.block_size).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except (binascii.Error, ValueError) as error:
        raise messages.BadMessage("req_info cannot be decrypted") from error
