"""Reads the settings from the environment, once, and validates them.

Secrets may be given as files: TAEL_X_FILE is the path of a file with the value of TAEL_X.
"""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tael.base.admission import DEFAULT_PLACES
from tael.base.egress import EgressPolicy
from tael.base.key_file import KeyFile, KeySource
from tael.base.key_ring import BadKeys, KeyRing, read_keys
from tael.base.secret import Secret
from tael.base.wallet_limits import DEFAULT_CONNECTIONS, DEFAULT_WAIT_S
from tael.db.database import MAX_CONNECTIONS, MIN_CONNECTIONS, Limits
from tael.merchants.domain.changes import MAX_RATE
from tael.merchants.domain.rate_limits import RateLimits

ALIPAY_ONLINE: Final = "https://intlmapi.alipay.com/gateway.do"
ALIPAY_INSTORE: Final = "https://globalmapi.alipay.com/gateway.do"
WECHAT: Final = "https://apihk.mch.weixin.qq.com"
WECHAT_AUTHORIZE: Final = "https://open.weixin.qq.com"
WECHAT_API: Final = "https://api.weixin.qq.com"
#: Maximum of the limits for a head, a body and an idle connection.
MAX_LIMIT_S: Final = 3_600
DEFAULT_SETTINGS_CACHE_S: Final = 1.0
#: A merchant's requests, as documented for QFPay's API.
DEFAULT_RATE_LIMITS: Final = RateLimits(per_second=100, per_minute=400)
#: For this long a disabled merchant can still take payments.
MAX_SETTINGS_CACHE_MS: Final = 60_000
#: A demo's database, instead of --database-url: every user of the machine can read command lines.
#: A host with its port, without user and password; several are separated by commas.
DATABASE_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^][:/@]*)(?::([0-9]{1,5}))?")
MAX_PORT: Final = 65_535
#: The names that S3 permits, and a prefix.
BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._-]+)*")


class BadSettings(Exception):
    """A setting is missing or invalid; the message names it and the valid values."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one API process for incoming requests."""

    max_head_s: float = 10.0
    max_body_s: float = 20.0
    max_idle_s: float = (
        75.0  #: longer than the 60 s of load balancers, since the client side must close first
    )
    max_connections: int = 1_000
    max_head_bytes: int = 64 * 1024
    max_form_bytes: int = 96 * 1024
    max_concurrent_calls: int = DEFAULT_PLACES  #: merchants' calls that are worked on
    max_per_second_of_address: int = 500  #: requests, before their signature is verified; 0 for no limit


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of this process. URLs have no slash at the end."""

    database_url: Secret  #: contains a password
    encryption_keys: KeyRing
    public_url: str
    node: int
    cells: frozenset[int] | None  #: whose jobs a worker runs; None for all
    alipay_url: str
    alipay_instore_url: str
    wechat_url: str
    wechat_authorize_url: str  #: where payers consent to give their openid
    wechat_api_url: str  #: of official accounts
    wechat_ca_pem: str | None
    server_ip: str
    clock_file: Path | None
    webhook_egress: EgressPolicy
    encryption_key_file: Path | None = None  #: where the keys are from, and new ones may come from
    documents: str = (
        ""  #: a folder, or s3://bucket/prefix, for merchants' documents; "" if none can be stored
    )
    database_connections: int = MAX_CONNECTIONS  #: maximum per process
    database_timeout_s: float = Limits().call_s  #: for all statements of one call
    http: HttpLimits = HttpLimits()
    wallet_proxy: Secret | None = None  #: for calls to wallets only; may contain a password
    exports_traces: bool = False  #: with OpenTelemetry, which is an extra
    takes_published_key: bool = False  #: accept an app with QFPay's published key; in a demo only
    wallet_connections: int = DEFAULT_CONNECTIONS  #: to each wallet, per process
    wallet_wait_s: float = DEFAULT_WAIT_S  #: maximum wait for a connection; then the call is not sent
    settings_cache_s: float = (
        DEFAULT_SETTINGS_CACHE_S  #: until a change of an app, merchant or account is seen
    )
    rate_limits: RateLimits = DEFAULT_RATE_LIMITS  #: of merchants without limits of their own

    def key_source(self) -> KeySource:
        """The encryption keys, which follow their file if they have one."""
        path = self.encryption_key_file
        return KeyFile(path, self.encryption_keys) if path else self.encryption_keys


def read_database_url(environment: Mapping[str, str] = os.environ) -> Secret:
    """The database's URL, which contains a password. Raises BadSettings."""
    url = _required(environment, "TAEL_DATABASE_URL", "postgresql://user:password@host/name")
    return checked_database_url(url, "TAEL_DATABASE_URL")


def checked_database_url(url: str, name: str) -> Secret:
    """`url`, if every driver parses it in the same way. Raises BadSettings, with no part of it in the message.

    A password that is not percent-encoded shifts the parts of the URL: the rest of it would be parsed as a host, a port
    or a database, and shown as such.
    """
    if not _is_database_url(url):
        raise BadSettings(
            f"{name}: not a valid database URL; it should be postgresql://user:password@host:port/name, "
            "with / as %2F, # as %23, ? as %3F, @ as %40 and % as %25 in the password"
        )
    return Secret(url)


def _is_database_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    before, _, hosts = parts.netloc.rpartition("@")
    query = parts.query if hosts and not before else ""
    matches = [DATABASE_HOST.fullmatch(host) for host in hosts.split(",")]
    return (
        parts.scheme in ("postgresql", "postgres")
        and "@" not in before + parts.path + query
        and "#" not in url
        and all(match and 0 < int(match.group(1) or 1) <= MAX_PORT for match in matches)
    )


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises BadSettings."""
    clock_file = environment.get("TAEL_CLOCK_FILE")
    ca_file = environment.get("TAEL_WECHAT_CA_FILE")
    encryption_keys, encryption_key_file = _encryption_keys(environment)
    return Settings(
        database_url=read_database_url(environment),
        encryption_keys=encryption_keys,
        encryption_key_file=encryption_key_file,
        public_url=environment.get("TAEL_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/"),
        node=_node(environment),
        cells=_cells(environment.get("TAEL_CELLS", "")),
        alipay_url=environment.get("TAEL_ALIPAY_URL", ALIPAY_ONLINE).rstrip("/"),
        alipay_instore_url=environment.get("TAEL_ALIPAY_INSTORE_URL", ALIPAY_INSTORE).rstrip("/"),
        wechat_url=environment.get("TAEL_WECHAT_URL", WECHAT).rstrip("/"),
        wechat_authorize_url=environment.get("TAEL_WECHAT_AUTHORIZE_URL", WECHAT_AUTHORIZE).rstrip("/"),
        wechat_api_url=environment.get("TAEL_WECHAT_API_URL", WECHAT_API).rstrip("/"),
        wechat_ca_pem=_certificates(ca_file, "TAEL_WECHAT_CA_FILE") if ca_file else None,
        server_ip=environment.get("TAEL_SERVER_IP", "127.0.0.1"),
        clock_file=Path(clock_file) if clock_file else None,
        webhook_egress=EgressPolicy(
            loopback=_switch(environment, "TAEL_WEBHOOK_LOOPBACK", "off"),
            any_port=_switch(environment, "TAEL_WEBHOOK_ANY_PORT", "off"),
        ),
        documents=_documents(environment.get("TAEL_DOCUMENTS", "")),
        database_connections=_database_connections(environment),
        database_timeout_s=_database_timeout_s(environment),
        http=_http_limits(environment),
        wallet_proxy=_proxy(environment.get("TAEL_WALLET_PROXY", "")),
        exports_traces=_traces(environment),
        wallet_connections=_whole(environment, "TAEL_WALLET_CONNECTIONS", DEFAULT_CONNECTIONS, 2, 10_000),
        wallet_wait_s=_whole(environment, "TAEL_WALLET_WAIT_MS", int(DEFAULT_WAIT_S * 1000), 0, 10_000)
        / 1000,
        settings_cache_s=_whole(
            environment,
            "TAEL_SETTINGS_CACHE_MS",
            int(DEFAULT_SETTINGS_CACHE_S * 1000),
            0,
            MAX_SETTINGS_CACHE_MS,
        )
        / 1000,
        rate_limits=RateLimits(
            _whole(
                environment,
                "TAEL_MERCHANT_MAX_PER_SECOND",
                DEFAULT_RATE_LIMITS.per_second,
                0,
                MAX_RATE,
            ),
            _whole(
                environment,
                "TAEL_MERCHANT_MAX_PER_MINUTE",
                DEFAULT_RATE_LIMITS.per_minute,
                0,
                MAX_RATE,
            ),
        ),
    )


def _traces(environment: Mapping[str, str]) -> bool:
    """Whether traces are exported. Raises BadSettings if what exports them is not installed."""
    is_on = _switch(environment, "TAEL_TRACES", "off")
    if is_on and find_spec("opentelemetry") is None:
        raise BadSettings("TAEL_TRACES: OpenTelemetry is not installed; pip install 'tael[traces]'")
    return is_on


def _required(environment: Mapping[str, str], name: str, what: str) -> str:
    value = environment.get(name)
    if value:
        return value
    path = environment.get(f"{name}_FILE")
    if path:
        return _file(path, f"{name}_FILE").strip()
    raise BadSettings(f"{name} is not set; it should be {what} (or set {name}_FILE to the path of a file)")


def _encryption_keys(environment: Mapping[str, str]) -> tuple[KeyRing, Path | None]:
    """The keys, and the file they are from."""
    name, path = "TAEL_ENCRYPTION_KEY", environment.get("TAEL_ENCRYPTION_KEY_FILE")
    text = _required(environment, name, "32 random bytes in base64 (openssl rand -base64 32)")
    try:
        if environment.get(name) or not path:
            return read_keys(text, ","), None
        return read_keys(text, "\n"), Path(path)
    except BadKeys as error:
        raise BadSettings(f"{name} {error}") from None


def _node(environment: Mapping[str, str]) -> int:
    text = environment.get("TAEL_NODE", "9")
    if not (text.isascii() and text.isdigit() and int(text) <= 99):
        raise BadSettings(
            "TAEL_NODE must be a number from 0 to 99, one for each group of processes that share a database"
        )
    return int(text)


def _cells(text: str) -> frozenset[int] | None:
    """Those whose jobs a worker runs; None for all."""
    if text and not re.fullmatch(r"[0-9]{1,2}(,[0-9]{1,2})*", text):
        raise BadSettings("TAEL_CELLS must be numbers of cells from 0 to 99, with commas, such as 0,2")
    return frozenset(map(int, text.split(","))) if text else None


def _database_connections(environment: Mapping[str, str]) -> int:
    text = environment.get("TAEL_DATABASE_CONNECTIONS", "") or str(MAX_CONNECTIONS)
    if not (text.isascii() and text.isdigit() and MIN_CONNECTIONS <= int(text) <= 100):
        raise BadSettings(
            f"TAEL_DATABASE_CONNECTIONS must be a number from {MIN_CONNECTIONS} to 100, per process"
        )
    return int(text)


def _database_timeout_s(environment: Mapping[str, str]) -> float:
    text = environment.get("TAEL_DATABASE_TIMEOUT", "") or f"{Limits().call_s:g}"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 60):
        raise BadSettings("TAEL_DATABASE_TIMEOUT must be a number of seconds from 1 to 60")
    return float(text)


def _http_limits(environment: Mapping[str, str]) -> HttpLimits:
    defaults = HttpLimits()

    def seconds(name: str, default: float) -> float:
        text = environment.get(name, "") or str(default)
        if not (re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) and 0 < float(text) <= MAX_LIMIT_S):
            raise BadSettings(f"{name} must be a number of seconds above 0 and at most {MAX_LIMIT_S}")
        return float(text)

    def whole(name: str, default: int, minimum: int, maximum: int) -> int:
        text = environment.get(name, "") or str(default)
        if not (re.fullmatch(r"[0-9]{1,9}", text) and minimum <= int(text) <= maximum):
            raise BadSettings(f"{name} must be a whole number from {minimum} to {maximum}")
        return int(text)

    return HttpLimits(
        max_head_s=seconds("TAEL_MAX_HEAD_S", defaults.max_head_s),
        max_body_s=seconds("TAEL_MAX_BODY_S", defaults.max_body_s),
        max_idle_s=seconds("TAEL_MAX_IDLE_S", defaults.max_idle_s),
        max_connections=whole("TAEL_MAX_CONNECTIONS", defaults.max_connections, 1, 100_000),
        max_head_bytes=whole("TAEL_MAX_HEAD_BYTES", defaults.max_head_bytes, 4_096, 1_048_576),
        max_form_bytes=whole("TAEL_MAX_FORM_BYTES", defaults.max_form_bytes, 4_096, 1_048_576),
        max_concurrent_calls=whole("TAEL_MAX_CONCURRENT_CALLS", defaults.max_concurrent_calls, 1, 10_000),
        max_per_second_of_address=whole(
            "TAEL_ADDRESS_MAX_PER_SECOND", defaults.max_per_second_of_address, 0, MAX_RATE
        ),
    )


def _whole(environment: Mapping[str, str], name: str, default: int, minimum: int, maximum: int) -> int:
    text = environment.get(name) or str(default)
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(maximum))
    if not (is_short and minimum <= int(text) <= maximum):
        raise BadSettings(f"{name} must be a whole number from {minimum} to {maximum}")
    return int(text)


def _switch(environment: Mapping[str, str], name: str, default: str = "off") -> bool:
    text = environment.get(name, "") or default
    if text not in ("on", "off"):
        raise BadSettings(f"{name} must be on or off")
    return text == "on"


def _proxy(url: str) -> Secret | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or parts.path not in ("", "/") or parts.query or parts.fragment or not url.isascii():
        raise BadSettings("TAEL_WALLET_PROXY must be a URL such as http://proxy.example:3128")
    return Secret(url)


def _documents(location: str) -> str:
    if not location or BUCKET.fullmatch(location):
        return location
    folder = Path(location)
    if not (folder.is_absolute() and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise BadSettings(
            f"TAEL_DOCUMENTS: {location} is not the absolute path of a folder that can be written, "
            "nor a bucket written s3://bucket or s3://bucket/prefix"
        )
    return location


def _certificates(path: str, name: str) -> str:
    pem = _file(path, name)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise BadSettings(f"{name}: {path} contains no certificates in PEM") from error
    return pem


def _file(path: str, name: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise BadSettings(f"{name}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadSettings(f"{name}: {path} is not a text file") from error
