"""Signatures of Alipay's gateway: MD5 with a shared key, RSA (SHA-1) and RSA2 (SHA-256).

Requests, responses, notices and browser returns sign the same text: the fields without `sign` and `sign_type`, sorted
by name, unencoded, joined with `&`. Merchants sign with their key, Alipay with its own.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tael_sandbox.shops import AlipayContract, Shops

SIGN_TYPES: Final = ("MD5", "RSA", "RSA2")
UNSIGNED: Final = frozenset({"sign", "sign_type"})


def signing_text(fields: Mapping[str, str], *, with_empties: bool = False) -> str:
    names = sorted(name for name in fields if name not in UNSIGNED and (with_empties or fields[name]))
    return "&".join(f"{name}={fields[name]}" for name in names)


def md5_sign(text: str, key: str, charset: str) -> str:
    return hashlib.md5((text + key).encode(charset)).hexdigest()


def rsa_sign(text: str, private_key: rsa.RSAPrivateKey, sign_type: str, charset: str) -> str:
    signed = private_key.sign(text.encode(charset), padding.PKCS1v15(), _digest(sign_type))
    return base64.b64encode(signed).decode()


def rsa_verify(text: str, sign: str, public_key: rsa.RSAPublicKey, sign_type: str, charset: str) -> bool:
    try:
        signed = base64.b64decode(sign, validate=True)
        if base64.b64encode(signed).decode() != sign:  # another encoding of the same bytes
            return False
        public_key.verify(signed, text.encode(charset), padding.PKCS1v15(), _digest(sign_type))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


class Keyring:
    """Every merchant's keys and Alipay's own."""

    def __init__(self, shops: Shops) -> None:
        self.use(shops)

    def use(self, shops: Shops) -> None:
        self._contracts = {contract.pid: contract for shop in shops.shops for contract in shop.alipay}
        self._own = _private_key(shops.alipay_private_key_pem)

    @property
    def public_key_pem(self) -> str:
        return self._own.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def is_signed_by(
        self,
        contract: AlipayContract,
        fields: Mapping[str, str],
        sign_type: str,
        charset: str,
        *,
        is_strict: bool,
    ) -> bool:
        """Whether the merchant signed these fields. Unless strict, empty values may be signed, as some clients do."""
        sign = fields.get("sign", "")
        texts = {signing_text(fields), signing_text(fields, with_empties=not is_strict)}
        return any(self._verify(contract, text, sign, sign_type, charset) for text in texts)

    def is_text_signed_by(self, contract: AlipayContract, text: str, sign: str) -> bool:
        """Whether the merchant signed this text with RSA."""
        return self._verify(contract, text, sign, "RSA", "utf-8")

    def sign(self, pid: str, fields: Mapping[str, str], sign_type: str, charset: str) -> str:
        """Alipay's signature for this merchant."""
        text = signing_text(fields)
        if sign_type == "MD5":
            return md5_sign(text, self._contracts[pid].key, charset)
        return rsa_sign(text, self._own, sign_type, charset)

    def sign_text(self, text: str, sign_type: str) -> str:
        """Alipay's own signature over any text."""
        return rsa_sign(text, self._own, sign_type, "utf-8")

    def _verify(self, contract: AlipayContract, text: str, sign: str, sign_type: str, charset: str) -> bool:
        try:
            if sign_type == "MD5":
                return hmac.compare_digest(md5_sign(text, contract.key, charset).encode(), sign.encode())
            public_key = _private_key(contract.private_key_pem).public_key()
            return rsa_verify(text, sign, public_key, sign_type, charset)
        except UnicodeEncodeError:  # bytes outside the charset were decoded as replacement characters
            return False


@cache
def _private_key(pem: str) -> rsa.RSAPrivateKey:
    # One of our own files: the slow check of its numbers is left out.
    private_key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private_key, rsa.RSAPrivateKey)
    return private_key


def _digest(sign_type: str) -> hashes.HashAlgorithm:
    return hashes.SHA1() if sign_type == "RSA" else hashes.SHA256()
