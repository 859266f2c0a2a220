"""TLS to WeChat: the trusted authorities, and the client certificate of an account.

A context is created once per certificate and reused, because pooled connections belong to their context: a request
under way keeps the certificate of its connection. The `ssl` module reads a key only from a file, so the key is written
to one briefly, in memory where possible.
"""

import hashlib
import os
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cachetools import TTLCache

from tael.channels.wechat_v2.account import WeChatAccount

#: Without it, `ssl` would prompt on the terminal for the passphrase of an encrypted key, and the gateway would hang.
NO_PASSPHRASE: Final = ""
#: Certificates whose context is kept; beyond that, the one that was not used for longest is made anew when needed.
MAX_CONTEXTS: Final = 1000
#: Afterwards a context is made anew if its certificate is still in use, and that of a replaced certificate is dropped.
CONTEXT_LIFE_S: Final = 3600.0


class UnusableCertificate(Exception):
    """The account's client certificate or its key cannot be read, or they do not match."""


class Certificates:
    """The TLS contexts of one channel. `ca_pem` replaces the public authorities, for the sandbox."""

    def __init__(self, ca_pem: str | None = None, timer: Callable[[], float] = time.monotonic) -> None:
        self._ca_pem = ca_pem
        self._anonymous: ssl.SSLContext | None = None
        self._of_certificate: TTLCache[bytes, ssl.SSLContext] = TTLCache(MAX_CONTEXTS, CONTEXT_LIFE_S, timer)

    def anonymous(self) -> ssl.SSLContext:
        """Verifies WeChat, without a client certificate."""
        if self._anonymous is None:
            self._anonymous = self._verifying()
        return self._anonymous

    def of_account(self, account: WeChatAccount) -> ssl.SSLContext:
        """Verifies WeChat, with the account's client certificate. Raises UnusableCertificate."""
        pem = f"{account.certificate_key.reveal()}\n{account.certificate}\n".encode()
        fingerprint = hashlib.sha256(pem).digest()
        cached = self._of_certificate.get(fingerprint)
        if cached is not None:
            return cached
        context = self._verifying()
        try:
            with pem_file(pem) as path:
                context.load_cert_chain(path, password=NO_PASSPHRASE)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise UnusableCertificate(type(error).__name__) from error
        self._of_certificate[fingerprint] = context
        return context

    def _verifying(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._ca_pem)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@contextmanager
def pem_file(pem: bytes) -> Iterator[str]:
    """A temporary path that contains `pem`; on Linux it is never written to disk."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(suffix=".pem")  # only we may read it
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        yield path
    finally:
        os.close(descriptor)
        if sys.platform != "linux":
            os.unlink(path)
