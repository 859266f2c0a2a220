"""Signatures of the merchant API: MD5 or SHA256 over a text with the key appended.

This module defines every text over which a request may have been signed; `api/authenticate.py` decides which of them
it accepts.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tael.base.secret import Secret
from tael.merchants.domain.merchant import Algorithm

#: Carries the signature itself, so it is never part of the signed text.
SIGN: Final = "sign"
SIGN_TYPE: Final = "sign_type"
#: Most merchants leave it out of a checkout link's signature, so that the language can be changed afterwards.
LANG: Final = "lang"

Pair = tuple[str, str]


def joined(pairs: Iterable[Pair]) -> str:
    """`pairs` in the given order as `name=value&…`, without percent-encoding."""
    return "&".join(map("=".join, pairs))


def request_texts(values: Mapping[str, str]) -> tuple[bytes, ...]:
    """Every text that a client may have signed for `values`, without duplicates.

    All parameters but `sign` (T1), only those with a value (T2), and those without `sign_type` (T3): genuine clients
    of all three kinds exist. Each is sorted by name and, if that differs, by the whole `name=value`, as Go clients do.
    """
    everything = sorted(values.items())
    if SIGN in values:
        everything = [pair for pair in everything if pair[0] != SIGN]
    filled = everything if all(values.values()) else [pair for pair in everything if pair[1]]
    plain = [pair for pair in filled if pair[0] != SIGN_TYPE] if SIGN_TYPE in values else filled
    texts: dict[bytes, None] = {}
    for pairs in (everything, filled, plain):
        by_name = list(map("=".join, pairs))
        texts["&".join(by_name).encode()] = None
        by_name.sort()
        texts["&".join(by_name).encode()] = None
        if len(plain) == len(pairs):  # the remaining lists are the same
            break
    return tuple(texts)


def link_text(values: Mapping[str, str]) -> bytes:
    """The signed text of a checkout link: parameters with a value, by name, without `sign` and `lang`."""
    return joined(sorted(pair for pair in values.items() if pair[1] and pair[0] not in (SIGN, LANG))).encode()


def link_texts(values: Mapping[str, str]) -> tuple[bytes, ...]:
    """Every text that a merchant may have signed for a checkout link: some include the language."""
    if not values.get(LANG):
        return (link_text(values),)
    with_lang = joined(sorted(pair for pair in values.items() if pair[1] and pair[0] != SIGN)).encode()
    return link_text(values), with_lang


def raw_text(raw: bytes) -> bytes:
    """A form or query string exactly as sent, without its `sign` pair (T4)."""
    if SIGN.encode() not in raw:
        return raw
    return b"&".join([chunk for chunk in raw.split(b"&") if chunk.partition(b"=")[0] != SIGN.encode()])


def digest(text: bytes, key: Secret, algorithm: Algorithm) -> str:
    """The digest of `text` with the key appended, in lower-case hex."""
    keyed = text + key.reveal().encode()
    return md5_hex(keyed) if algorithm == "MD5" else sha256_hex(keyed)


def md5_hex(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def sha256_hex(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def sign_body(body: bytes, key: Secret, algorithm: Algorithm = "MD5") -> str:
    """The signature of a response or a new-style webhook, over the bytes sent. Receivers expect upper case."""
    return digest(body, key, algorithm).upper()


def sign_chunks(chunks: Iterable[bytes], key: Secret, algorithm: Algorithm = "MD5") -> str:
    """As `sign_body`, for a body in pieces."""
    hashed = hashlib.md5(usedforsecurity=False) if algorithm == "MD5" else hashlib.sha256()
    for chunk in chunks:
        hashed.update(chunk)
    hashed.update(key.reveal().encode())
    return hashed.hexdigest().upper()


def sign_members(members: Mapping[str, str], key: Secret) -> str:
    """The signature of an old-style webhook: all members by name, empty ones included."""
    return digest(joined(sorted(members.items())).encode(), key, "MD5").upper()


def which_signed(texts: Sequence[bytes], key: Secret, algorithm: Algorithm, sign: str) -> list[bool]:
    """For each text whether `sign` is its digest, in any case. Compared in constant time."""
    octets, given = key.reveal().encode(), sign.lower().encode()
    hexdigest = md5_hex if algorithm == "MD5" else sha256_hex
    return [hmac.compare_digest(hexdigest(text + octets).encode(), given) for text in texts]
