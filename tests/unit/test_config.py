"""Settings from the environment: valid ones are read, an invalid one ends the process with a sentence that names it."""

import base64
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner, Result

from tael import config
from tael.cli import http1
from tael.cli.app import app
from tael.cli.deployment import refuse_demo_settings
from tael.config import ALIPAY_INSTORE, ALIPAY_ONLINE, WECHAT, BadSettings, HttpLimits, read_settings
from tael.db.database import Limits
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits
from tael.stores import limits_of

KEY = base64.b64encode(bytes(range(32))).decode()
GOOD = {"TAEL_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/tael", "TAEL_ENCRYPTION_KEY": KEY}


def refusal_of(**changes: str) -> str:
    with pytest.raises(BadSettings) as refused:
        read_settings(GOOD | changes)
    return str(refused.value)


def test_two_settings_are_enough() -> None:
    settings = read_settings(GOOD)
    assert settings.database_url.reveal() == GOOD["TAEL_DATABASE_URL"]
    assert [key.content for key in settings.encryption_keys.keys] == [bytes(range(32))]
    assert (settings.alipay_url, settings.alipay_instore_url, settings.wechat_url) == (
        ALIPAY_ONLINE,
        ALIPAY_INSTORE,
        WECHAT,
    )
    assert settings.clock_file is None
    assert settings.wechat_ca_pem is None
    assert (settings.wallet_connections, settings.wallet_wait_s) == (200, 2.0)
    assert 0 <= settings.node <= 99
    assert limits_of(settings) == Limits()


def test_every_setting_is_read(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    pem = trustme.CA().cert_pem.bytes().decode()
    authority.write_text(pem)
    settings = read_settings(
        GOOD
        | {
            "TAEL_PUBLIC_URL": "https://pay.example/",
            "TAEL_NODE": "7",
            "TAEL_ALIPAY_URL": "http://a",
            "TAEL_ALIPAY_INSTORE_URL": "http://b",
            "TAEL_WECHAT_URL": "http://c/",
            "TAEL_WECHAT_AUTHORIZE_URL": "http://d/",
            "TAEL_WECHAT_API_URL": "http://e/",
            "TAEL_WECHAT_CA_FILE": str(authority),
            "TAEL_SERVER_IP": "10.0.0.1",
            "TAEL_CLOCK_FILE": "/var/clock",
            "TAEL_DATABASE_CONNECTIONS": "20",
            "TAEL_DATABASE_TIMEOUT": "5",
            "TAEL_WALLET_CONNECTIONS": "40",
            "TAEL_WALLET_WAIT_MS": "500",
            "TAEL_SETTINGS_CACHE_MS": "250",
        }
    )
    assert (settings.public_url, settings.wechat_url) == ("https://pay.example", "http://c")
    assert (settings.node, settings.server_ip) == (7, "10.0.0.1")
    assert (settings.alipay_url, settings.alipay_instore_url) == ("http://a", "http://b")
    assert (settings.wechat_authorize_url, settings.wechat_api_url) == ("http://d", "http://e")
    assert (settings.wechat_ca_pem, settings.clock_file) == (pem, Path("/var/clock"))
    assert limits_of(settings) == Limits(connections=20, call_s=5.0)
    assert (settings.wallet_connections, settings.wallet_wait_s) == (40, 0.5)
    assert settings.settings_cache_s == 0.25


def test_limits_have_defaults_and_are_read() -> None:
    assert read_settings(GOOD).http == HttpLimits(10, 20, 75, 1_000, 65_536, 98_304, 64)
    names = ("HEAD_S", "BODY_S", "IDLE_S", "CONNECTIONS", "HEAD_BYTES", "FORM_BYTES", "CONCURRENT_CALLS")
    values = ("0.2", "1", "3600", "1", "4096", "1048576", "10000")
    given = {f"TAEL_MAX_{name}": value for name, value in zip(names, values, strict=True)}
    assert read_settings(GOOD | given).http == HttpLimits(0.2, 1, 3_600, 1, 4_096, 1_048_576, 10_000)


@pytest.mark.parametrize(
    "name", ["HEAD_S", "BODY_S", "IDLE_S", "CONNECTIONS", "HEAD_BYTES", "FORM_BYTES", "CONCURRENT_CALLS"]
)
@pytest.mark.parametrize("value", ["0", "-1", "x", " 1", "1e3", "nan", "٣", "1" + "0" * 30])
def test_an_invalid_limit_is_named(name: str, value: str) -> None:
    assert f"TAEL_MAX_{name} must be a " in refusal_of(**{f"TAEL_MAX_{name}": value})


def test_the_listener_has_the_same_defaults() -> None:
    settings, listener = asdict(HttpLimits()), asdict(http1.Limits())
    assert {name: settings[name] for name in listener} == listener


@pytest.mark.parametrize("name", GOOD)
def test_a_secret_may_be_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(GOOD[name] + "\n")
    others = {other: value for other, value in GOOD.items() if other != name}
    settings = read_settings(others | {f"{name}_FILE": str(path)})
    assert settings.encryption_key_file == (path if name == "TAEL_ENCRYPTION_KEY" else None)
    assert replace(settings, encryption_key_file=None) == read_settings(GOOD)


def test_several_encryption_keys_are_separated_by_commas_or_lines(tmp_path: Path) -> None:
    other = base64.b64encode(bytes(32)).decode()
    path = tmp_path / "keys"
    path.write_text(f"{other}\n{KEY}\n")
    in_file = read_settings(
        {"TAEL_DATABASE_URL": GOOD["TAEL_DATABASE_URL"], "TAEL_ENCRYPTION_KEY_FILE": str(path)}
    )
    in_variable = read_settings(GOOD | {"TAEL_ENCRYPTION_KEY": f"{other},{KEY}"})
    for settings in (in_file, in_variable):
        assert [key.content for key in settings.encryption_keys.keys] == [bytes(32), bytes(range(32))]
    for wrong, reason in ((f"{KEY},{KEY}", "the same key twice"), (f"{KEY},short", "is not 32 bytes")):
        assert reason in refusal_of(TAEL_ENCRYPTION_KEY=wrong)


def test_no_output_shows_a_secret() -> None:
    shown = repr(read_settings(GOOD))
    assert KEY not in shown
    assert "u:p@" not in shown


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("empty", [None, ""])
def test_a_missing_setting_is_named(name: str, empty: str | None) -> None:
    environment = dict(GOOD)
    environment.pop(name)
    if empty is not None:
        environment[name] = empty
    with pytest.raises(BadSettings, match=f"{name} is not set; it should be"):
        read_settings(environment)


@pytest.mark.parametrize("node", ["", "-1", "100", "1.5", "one", "٣", " 1"])
def test_a_node_is_a_number_from_0_to_99(node: str) -> None:
    assert "TAEL_NODE must be a number from 0 to 99" in refusal_of(TAEL_NODE=node)


@pytest.mark.parametrize(("text", "cells"), [("", None), ("0", {0}), ("0,12,3", {0, 3, 12})])
def test_a_worker_has_all_cells_or_those_that_are_named(text: str, cells: set[int] | None) -> None:
    assert read_settings(GOOD | {"TAEL_CELLS": text}).cells == cells


@pytest.mark.parametrize("text", ["x", "1,", "100", "-1", "1 2", "٣"])
def test_cells_are_numbers_with_commas(text: str) -> None:
    assert "TAEL_CELLS must be numbers of cells" in refusal_of(TAEL_CELLS=text)


@pytest.mark.parametrize("count", ["6", "101", "-7", "many", "7.5"])
def test_connections_are_enough_for_every_kind_of_work(count: str) -> None:
    assert "TAEL_DATABASE_CONNECTIONS must be a number from 7 to 100" in refusal_of(
        TAEL_DATABASE_CONNECTIONS=count
    )


@pytest.mark.parametrize("seconds", ["0", "61", "-1", "1.5", "soon"])
def test_a_timeout_is_whole_seconds(seconds: str) -> None:
    assert "TAEL_DATABASE_TIMEOUT must be a number of seconds from 1 to 60" in refusal_of(
        TAEL_DATABASE_TIMEOUT=seconds
    )


@pytest.mark.parametrize("number", ["1", "10001", "-2", "2.5", "many", "٣٣", " 9", "9" * 5000])
def test_connections_to_a_wallet_are_a_number_within_limits(number: str) -> None:
    assert refusal_of(TAEL_WALLET_CONNECTIONS=number) == (
        "TAEL_WALLET_CONNECTIONS must be a whole number from 2 to 10000"
    )


def test_limits_of_requests_have_the_documented_defaults_and_can_be_none() -> None:
    settings = read_settings(GOOD)
    assert (settings.rate_limits, settings.http.max_per_second_of_address) == (RateLimits(100, 400), 500)
    names = ("MERCHANT_MAX_PER_SECOND", "MERCHANT_MAX_PER_MINUTE", "ADDRESS_MAX_PER_SECOND")
    settings = read_settings(GOOD | {f"TAEL_{name}": "0" for name in names})
    assert (settings.rate_limits, settings.http.max_per_second_of_address) == (NO_LIMITS, 0)


@pytest.mark.parametrize(
    "name", ["MERCHANT_MAX_PER_SECOND", "MERCHANT_MAX_PER_MINUTE", "ADDRESS_MAX_PER_SECOND"]
)
@pytest.mark.parametrize("rate", ["-1", "1000001", "0.5", "many"])
def test_a_limit_of_requests_is_a_whole_number(name: str, rate: str) -> None:
    assert refusal_of(**{f"TAEL_{name}": rate}) == f"TAEL_{name} must be a whole number from 0 to 1000000"


@pytest.mark.parametrize("lifetime", ["-1", "60001", "0.5", "long", " 1", "٣"])
def test_settings_are_used_for_a_minute_at_most_before_they_are_read_again(lifetime: str) -> None:
    assert "TAEL_SETTINGS_CACHE_MS must be a whole number from 0 to 60000" in refusal_of(
        TAEL_SETTINGS_CACHE_MS=lifetime
    )
    assert read_settings(GOOD | {"TAEL_SETTINGS_CACHE_MS": "0"}).settings_cache_s == 0


@pytest.mark.parametrize(
    "key",
    [
        "short",
        KEY[:-4],
        "!" * 44,
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        "鍵" * 11,
    ],
)
def test_an_encryption_key_is_32_bytes_in_base64(key: str) -> None:
    refusal = refusal_of(TAEL_ENCRYPTION_KEY=key)
    assert "TAEL_ENCRYPTION_KEY is not 32 bytes in base64" in refusal
    assert key not in refusal


@pytest.mark.parametrize(
    "name", ["TAEL_WECHAT_CA_FILE", "TAEL_ENCRYPTION_KEY_FILE", "TAEL_DATABASE_URL_FILE"]
)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "nothing-here"
    environment = GOOD | {name: str(path)}
    environment.pop(name.removesuffix("_FILE"), None)
    with pytest.raises(BadSettings, match=f"{name}: {path} cannot be read: No such file"):
        read_settings(environment)


def test_documents_need_a_folder_by_its_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert read_settings(GOOD).documents == ""
    for right in (str(tmp_path), "s3://documents", "s3://documents.example/kyc/2026"):
        assert read_settings(GOOD | {"TAEL_DOCUMENTS": right}).documents == right
    wrong_buckets = (
        "s3://",
        "s3://UPPER",
        "s3://a",
        "s3://key:secret@bucket",
        "s3://bucket/",
        "s3://bucket/a b",
    )
    for wrong in ("documents", str(tmp_path / "missing"), str(tmp_path / "file"), *wrong_buckets):
        assert refusal_of(TAEL_DOCUMENTS=wrong).startswith(f"TAEL_DOCUMENTS: {wrong} is not")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert "cannot be read" in refusal_of(TAEL_WECHAT_CA_FILE=str(tmp_path))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.der"
    path.write_bytes(b"\x30\x82\xff\xfe\x00")
    assert "TAEL_WECHAT_CA_FILE" in refusal_of(TAEL_WECHAT_CA_FILE=str(path))


@pytest.mark.parametrize("command", ["serve", "work"])
@pytest.mark.parametrize(
    ("name", "value"), [("TAEL_DATABASE_URL", ""), ("TAEL_ENCRYPTION_KEY", "short"), ("TAEL_NODE", "100")]
)
def test_a_process_with_a_bad_setting_ends_and_names_it(command: str, name: str, value: str) -> None:
    cleared = {known: None for known in os.environ if known.startswith("TAEL_")}
    ended = CliRunner().invoke(app, [command], env=cleared | GOOD | {name: value})
    assert ended.exit_code not in (0, None)
    assert name in ended.stderr
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_clock_that_moves_is_for_demos_only(command: str, tmp_path: Path) -> None:
    cleared = {known: None for known in os.environ if known.startswith("TAEL_")}
    clock = {"TAEL_CLOCK_FILE": str(tmp_path / "clock")}
    ended = CliRunner().invoke(app, [command], env=cleared | GOOD | clock)
    assert ended.exit_code not in (0, None)
    assert "TAEL_CLOCK_FILE" in ended.stderr


def deployment(command: str, *options: str, **changes: str) -> Result:
    """Run a process of a deployment that is expected to exit at once."""
    cleared = {known: None for known in os.environ if known.startswith("TAEL_")}
    return CliRunner().invoke(app, [command, *options], env=cleared | GOOD | changes)


def assert_refused(ended: Result, *words: str) -> None:
    """It exited with one sentence that contains these words."""
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("tael: ")
    assert ended.stderr.count("\n") == 1
    assert [word for word in words if word not in ended.stderr] == []


ADDRESSES = (
    *("TAEL_PUBLIC_URL", "TAEL_ALIPAY_URL", "TAEL_ALIPAY_INSTORE_URL"),
    *("TAEL_WECHAT_URL", "TAEL_WECHAT_AUTHORIZE_URL", "TAEL_WECHAT_API_URL"),
)
SAFE = {"TAEL_PUBLIC_URL": "https://pay.example"}


@pytest.mark.parametrize("command", ["serve", "work"])
@pytest.mark.parametrize("name", ADDRESSES)
def test_a_deployment_refuses_addresses_without_tls(command: str, name: str) -> None:
    for url in ("http://wallet.example/gateway.do", "http://127.0.0.1:8001"):
        assert_refused(deployment(command, **SAFE | {name: url}), name, "https://", "--allow-http")
    remote = deployment(command, "--allow-http", **SAFE | {name: "http://wallet.example"})
    assert_refused(remote, name, "URLs of this machine")
    for url in ("wallet.example", "ftp://wallet.example", "https://", "https://h:99999"):
        assert_refused(deployment(command, "--allow-http", **SAFE | {name: url}), name, "https://pay.example")


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_deployment_without_a_public_address_is_refused(command: str) -> None:
    assert_refused(deployment(command), "TAEL_PUBLIC_URL is without TLS")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "127.9.9.9"])
def test_addresses_of_this_machine_may_be_without_tls_if_asked_for(host: str) -> None:
    settings = read_settings(GOOD | dict.fromkeys(ADDRESSES, f"http://{host}"))
    refuse_demo_settings(settings, allow_http=True)
    with pytest.raises(BadSettings):
        refuse_demo_settings(settings, allow_http=False)


def test_the_wallets_real_addresses_are_accepted() -> None:
    refuse_demo_settings(read_settings(GOOD | SAFE), allow_http=False)


@pytest.mark.parametrize(
    "text", ["", "PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "證"]
)
def test_a_file_of_authorities_holds_certificates(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(text)
    assert f"TAEL_WECHAT_CA_FILE: {path} contains no certificates" in refusal_of(
        TAEL_WECHAT_CA_FILE=str(path)
    )


BAD_DATABASE_URLS = [
    "postgresql://tael:hid/den@db.example/tael",
    "postgresql://tael:hid#den@db.example/tael",
    "postgresql://tael:hid?den@db.example/tael",
    "postgresql://tael:hid@den@db.example/tael",
    "postgresql://tael:12/hidden@db.example/tael",
    "postgresql://tael:12#hidden@db.example/tael",
    "postgresql://tael:12?hidden@db.example/tael",
    "postgresql://tael:hidden@db.example:99999/tael",
    "postgresql://tael:hidden@db.example:0/tael",
    "postgresql://tael:hidden@db.example:port/tael",
    "postgresql://tael:hidden@[::1/tael",
    "mysql://tael:hidden@db.example/tael",
    "hidden",
]


@pytest.mark.parametrize("url", BAD_DATABASE_URLS)
@pytest.mark.parametrize("command", ["serve", "work", "migrate"])
def test_a_database_url_that_drivers_would_misread_is_refused_and_not_printed(command: str, url: str) -> None:
    ended = deployment(command, **SAFE | {"TAEL_DATABASE_URL": url})
    assert_refused(ended, "TAEL_DATABASE_URL", "postgresql://user:password@host:port/name", "%2F", "%23")
    for part in ("hid", "den", "12", "99999", "tael:"):
        assert part not in ended.stderr.removeprefix("tael: ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://tael:p%2Fa%23ss@db.example/tael",
        "postgres://tael@[::1]:5432/tael?sslmode=require",
        "postgresql://a.example:5432,b.example:5433/tael?target_session_attrs=primary",
        "postgresql:///tael?host=/run/postgresql&user=a@b",
    ],
)
def test_an_unambiguous_database_url_is_accepted(url: str) -> None:
    assert read_settings(GOOD | {"TAEL_DATABASE_URL": url}).database_url.reveal() == url


def test_a_proxy_for_wallets_is_an_http_address() -> None:
    assert read_settings(GOOD).wallet_proxy is None
    for url in ("http://proxy.example:3128", "http://user:hidden@proxy.example:3128/"):
        settings = read_settings(GOOD | {"TAEL_WALLET_PROXY": url})
        assert settings.wallet_proxy is not None
        assert settings.wallet_proxy.reveal() == url
        assert "hidden" not in repr(settings)
    for url in (
        "proxy.example:3128",
        "https://p",
        "http://",
        "http://u:hid/den@p",
        "http://p/path",
        "http://p:0",
    ):
        refusal = refusal_of(TAEL_WALLET_PROXY=url)
        assert "TAEL_WALLET_PROXY must be" in refusal
        assert "hid" not in refusal


def test_traces_are_off_unless_they_are_switched_on() -> None:
    assert not read_settings(GOOD).exports_traces
    assert read_settings(GOOD | {"TAEL_TRACES": "on"}).exports_traces
    assert refusal_of(TAEL_TRACES="yes").startswith("TAEL_TRACES")


def test_traces_without_opentelemetry_are_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "find_spec", lambda _: None)
    assert refusal_of(TAEL_TRACES="on") == (
        "TAEL_TRACES: OpenTelemetry is not installed; pip install 'tael[traces]'"
    )
    assert not read_settings(GOOD).exports_traces
