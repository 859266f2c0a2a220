"""The environment to frozen settings, or an exit that says what is wrong. Read once, by `main` and the command line.

Secrets may be given as files: for TAEL_X_FILE, the file's text is what TAEL_X would be.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tael.domain.address import Reach
from tael.domain.secret import Secret
from tael.transport import DEFAULT_CONNECTIONS, DEFAULT_WAIT_S

ALIPAY_ONLINE: Final = "https://intlmapi.alipay.com/gateway.do"
ALIPAY_INSTORE: Final = "https://globalmapi.alipay.com/gateway.do"
WECHAT: Final = "https://apihk.mch.weixin.qq.com"


class BadSettings(Exception):
    """A setting is missing or cannot be understood; the message names it and says what it should be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process is set up. URLs carry no slash at the end."""

    database_url: Secret  #: it holds a password
    seal_key: Secret  #: base64 of 32 bytes
    public_url: str
    node: int
    alipay_url: str
    alipay_instore_url: str
    wechat_url: str
    wechat_ca_pem: str | None
    server_ip: str
    clock_file: Path | None
    returns_stray_money: bool  #: money that belongs to nobody's order is sent back
    webhook_reach: Reach
    wallet_connections: int = DEFAULT_CONNECTIONS  #: to each wallet, in each process
    wallet_wait_s: float = DEFAULT_WAIT_S  #: that a call waits for one of them before it is not sent

    def seal_key_bytes(self) -> bytes:
        return base64.b64decode(self.seal_key.reveal())


def read_database_url(environment: Mapping[str, str] = os.environ) -> Secret:
    """Where the database is; it holds a password. Raises BadSettings."""
    return Secret(_required(environment, "TAEL_DATABASE_URL", "postgresql://user:password@host/name"))


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises BadSettings."""
    clock_file = environment.get("TAEL_CLOCK_FILE")
    ca_file = environment.get("TAEL_WECHAT_CA_FILE")
    return Settings(
        database_url=read_database_url(environment),
        seal_key=_seal_key(environment),
        public_url=environment.get("TAEL_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/"),
        node=_node(environment),
        alipay_url=environment.get("TAEL_ALIPAY_URL", ALIPAY_ONLINE).rstrip("/"),
        alipay_instore_url=environment.get("TAEL_ALIPAY_INSTORE_URL", ALIPAY_INSTORE).rstrip("/"),
        wechat_url=environment.get("TAEL_WECHAT_URL", WECHAT).rstrip("/"),
        wechat_ca_pem=_file(ca_file, "TAEL_WECHAT_CA_FILE") if ca_file else None,
        server_ip=environment.get("TAEL_SERVER_IP", "127.0.0.1"),
        clock_file=Path(clock_file) if clock_file else None,
        returns_stray_money=_switch(environment, "TAEL_RETURN_STRAY_MONEY", "on"),
        webhook_reach=Reach(
            loopback=_switch(environment, "TAEL_WEBHOOK_LOOPBACK", "off"),
            any_port=_switch(environment, "TAEL_WEBHOOK_ANY_PORT", "off"),
        ),
        wallet_connections=_whole(environment, "TAEL_WALLET_CONNECTIONS", DEFAULT_CONNECTIONS, 2, 10_000),
        wallet_wait_s=_whole(environment, "TAEL_WALLET_WAIT_MS", int(DEFAULT_WAIT_S * 1000), 0, 10_000)
        / 1000,
    )


def _required(environment: Mapping[str, str], name: str, what: str) -> str:
    value = environment.get(name)
    if value:
        return value
    path = environment.get(f"{name}_FILE")
    if path:
        return _file(path, f"{name}_FILE").strip()
    raise BadSettings(f"{name} is not set; it should be {what} ({name}_FILE may name a file that holds it)")


def _seal_key(environment: Mapping[str, str]) -> Secret:
    text = _required(environment, "TAEL_SEAL_KEY", "32 random bytes in base64 (openssl rand -base64 32)")
    try:
        is_good = len(base64.b64decode(text, validate=True)) == 32
    except ValueError:
        is_good = False
    if not is_good:
        raise BadSettings("TAEL_SEAL_KEY is not 32 bytes in base64; openssl rand -base64 32 makes one")
    return Secret(text)


def _node(environment: Mapping[str, str]) -> int:
    text = environment.get("TAEL_NODE", "9")
    if not (text.isascii() and text.isdigit() and int(text) <= 99):
        raise BadSettings(
            "TAEL_NODE is a number from 0 to 99, one per group of processes that share a database"
        )
    return int(text)


def _whole(environment: Mapping[str, str], name: str, default: int, minimum: int, maximum: int) -> int:
    text = environment.get(name) or str(default)
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(maximum))
    if not (is_short and minimum <= int(text) <= maximum):
        raise BadSettings(f"{name} is a whole number from {minimum} to {maximum}")
    return int(text)


def _switch(environment: Mapping[str, str], name: str, default: str = "off") -> bool:
    text = environment.get(name, "") or default
    if text not in ("on", "off"):
        raise BadSettings(f"{name} is on or off")
    return text == "on"


def _file(path: str, name: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise BadSettings(f"{name} names {path}, which cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadSettings(f"{name} names {path}, which is not a text") from error
