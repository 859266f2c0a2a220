"""Signatures of the merchants' API: texts in, digests out. MD5 or SHA256 over a text with the key behind it.

Used by `api/authenticate.py` for requests, by `api/wire.py` for answers and by the webhooks. Which texts a
request may have been signed over is said here once; which of them counts is decided in
`api/authenticate.py`.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

from tael.base.secret import Secret
from tael.merchants.domain.merchant import Algorithm

#: Carries the signature itself, so it is never part of the signed text.
SIGN: Final = "sign"
SIGN_TYPE: Final = "sign_type"
#: Of a checkout link: left out of its signature by most, so whoever passes it on may change the language.
LANG: Final = "lang"

Pair = tuple[str, str]


def joined(pairs: Iterable[Pair]) -> str:
    """`pairs` in the given order as `name=value&…`, values as they are: nothing is percent-encoded."""
    return "&".join(f"{name}={value}" for name, value in pairs)


def request_texts(values: Mapping[str, str]) -> tuple[bytes, ...]:
    """Every text a client may have signed `values` as, without repeats.

    All parameters but `sign` (T1), those of them with a value (T2), and those again without `sign_type`
    (T3): honest clients of all three kinds exist. Each by name and, where that differs, by the whole
    `name=value`, as Go's do.
    """
    everything = sorted([pair for pair in values.items() if pair[0] != SIGN])
    filled = [pair for pair in everything if pair[1]]
    plain = [pair for pair in filled if pair[0] != SIGN_TYPE]
    texts: dict[bytes, None] = {}
    for pairs in (everything, filled, plain):
        by_name = [f"{name}={value}" for name, value in pairs]
        texts["&".join(by_name).encode()] = None
        by_name.sort()
        texts["&".join(by_name).encode()] = None
        if len(plain) == len(pairs):  # so are those that follow
            break
    return tuple(texts)


def link_text(values: Mapping[str, str]) -> bytes:
    """What signs a checkout link: parameters with a value, by name, `sign_type` too, but neither `sign` nor `lang`."""
    return joined(sorted(pair for pair in values.items() if pair[1] and pair[0] not in (SIGN, LANG))).encode()


def link_texts(values: Mapping[str, str]) -> tuple[bytes, ...]:
    """Every text a merchant may have signed a checkout link as: some sign its language like the rest."""
    if not values.get(LANG):
        return (link_text(values),)
    with_lang = joined(sorted(pair for pair in values.items() if pair[1] and pair[0] != SIGN)).encode()
    return link_text(values), with_lang


def raw_text(raw: bytes) -> bytes:
    """A form or query string exactly as it was sent, with the pair of `sign` cut out (T4)."""
    chunks = raw.split(b"&")
    return b"&".join(chunk for chunk in chunks if chunk.partition(b"=")[0] != SIGN.encode())


def digest(text: bytes, key: Secret, algorithm: Algorithm) -> str:
    """`text` with the key directly behind it, digested, in lower-case hex."""
    keyed = text + key.reveal().encode()
    return md5_hex(keyed) if algorithm == "MD5" else sha256_hex(keyed)


def md5_hex(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def sha256_hex(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def sign_body(body: bytes, key: Secret, algorithm: Algorithm = "MD5") -> str:
    """The signature of an answer or a new-style webhook, over the bytes sent. Receivers want upper case."""
    return digest(body, key, algorithm).upper()


def sign_members(members: Mapping[str, str], key: Secret) -> str:
    """The signature of an old-style webhook: all members by name, empty ones included."""
    return digest(joined(sorted(members.items())).encode(), key, "MD5").upper()


def is_same(digest_hex: str, given: str) -> bool:
    """Whether `given` is that digest, in whichever case, in a time that says nothing of how near it came."""
    return hmac.compare_digest(digest_hex.lower().encode(), given.lower().encode())
