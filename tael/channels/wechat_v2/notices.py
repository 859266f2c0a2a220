"""WeChat's calls to us. A payment notice is proven by its signature; a refund notice is news to ask about.

A refund notice carries no signature, only text sealed with our key in a mode that proves nothing: it may make
us ask sooner and decides nothing itself.
"""

import base64
import binascii
import hashlib
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tael.base.secret import Secret
from tael.channels.base import Acknowledgement, BadSignature, Notice, PaymentNotice, RefundNotice
from tael.channels.outcomes import Unknown
from tael.channels.wechat_v2 import messages, outcomes
from tael.channels.wechat_v2.exchange import identity
from tael.channels.wechat_v2.signing import is_signed
from tael.merchants.domain.account import WeChatAccount

ACKNOWLEDGEMENT: Final = Acknowledgement(
    content_type="text/xml; charset=utf-8",
    received=messages.to_xml({"return_code": "SUCCESS", "return_msg": "OK"}),
    refused=messages.to_xml({"return_code": "FAIL", "return_msg": "NOT ACCEPTED"}),
)


def read_notice(account: WeChatAccount, body: bytes) -> Notice:
    """What WeChat tells the account of a payment or a refund. Raises BadSignature."""
    try:
        fields = messages.from_xml(body)
        if fields.get("return_code") != "SUCCESS":
            raise BadSignature("no news in it")
        for name, ours in identity(account).items():
            if fields.get(name) != ours:
                raise BadSignature(f"another {name}")
        return _refund_notice(account, fields) if "req_info" in fields else _payment_notice(account, fields)
    except messages.BadMessage as error:
        raise BadSignature(str(error)) from error


def _payment_notice(account: WeChatAccount, fields: messages.Fields) -> PaymentNotice:
    # The account's algorithm, not the one the notice claims: else MD5 would do for those who chose better.
    if not is_signed(fields, account.provider.key, account.sign_type):
        raise BadSignature("the signature is wrong")
    syssn = messages.number_of(fields, "out_trade_no")
    if fields.get("result_code") != "SUCCESS":  # WeChat tells payments only, so this is a reason to ask
        return PaymentNotice(syssn, Unknown(f"a notice with err_code {fields.get('err_code', '')!r}"))
    return PaymentNotice(syssn, outcomes.paid(fields, syssn))


def _refund_notice(account: WeChatAccount, fields: messages.Fields) -> RefundNotice:
    told = messages.from_xml(decrypt_req_info(fields["req_info"], account.provider.key), root="root")
    return RefundNotice(
        syssn=messages.number_of(told, "out_refund_no"),
        payment_syssn=messages.number_of(told, "out_trade_no"),
    )


def decrypt_req_info(encrypted: str, key: Secret) -> bytes:
    """Opens AES-256-ECB whose key is the API key's MD5 in lower-case hex. Raises BadMessage."""
    aes_key = hashlib.md5(key.reveal().encode()).hexdigest().encode()
    cipher = Cipher(algorithms.AES256(aes_key), modes.ECB())  # noqa: S305 - WeChat's choice, trusted with nothing
    try:
        decryptor = cipher.decryptor()
        padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
        unpadder = PKCS7(algorithms.AES256.block_size).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except (binascii.Error, ValueError) as error:
        raise messages.BadMessage("req_info cannot be opened") from error
