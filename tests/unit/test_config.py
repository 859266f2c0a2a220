"""Settings out of an environment: what is good is read, what is bad ends with a sentence that names it."""

import base64
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tael.cli.app import app
from tael.config import ALIPAY_INSTORE, ALIPAY_ONLINE, WECHAT, BadSettings, read_settings

KEY = base64.b64encode(bytes(range(32))).decode()
GOOD = {"TAEL_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/tael", "TAEL_SEAL_KEY": KEY}


def refusal_of(**changes: str) -> str:
    with pytest.raises(BadSettings) as refused:
        read_settings(GOOD | changes)
    return str(refused.value)


def test_two_settings_are_enough() -> None:
    settings = read_settings(GOOD)
    assert settings.database_url.reveal() == GOOD["TAEL_DATABASE_URL"]
    assert settings.seal_key_bytes() == bytes(range(32))
    assert (settings.alipay_url, settings.alipay_instore_url, settings.wechat_url) == (
        ALIPAY_ONLINE,
        ALIPAY_INSTORE,
        WECHAT,
    )
    assert settings.clock_file is None
    assert settings.wechat_ca_pem is None
    assert settings.returns_stray_money
    assert (settings.wallet_connections, settings.wallet_wait_s) == (200, 2.0)
    assert 0 <= settings.node <= 99


def test_every_setting_is_read(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("PEM")
    settings = read_settings(
        GOOD
        | {
            "TAEL_PUBLIC_URL": "https://pay.example/",
            "TAEL_NODE": "7",
            "TAEL_ALIPAY_URL": "http://a",
            "TAEL_ALIPAY_INSTORE_URL": "http://b",
            "TAEL_WECHAT_URL": "http://c/",
            "TAEL_WECHAT_CA_FILE": str(authority),
            "TAEL_SERVER_IP": "10.0.0.1",
            "TAEL_CLOCK_FILE": "/var/clock",
            "TAEL_RETURN_STRAY_MONEY": "off",
            "TAEL_WALLET_CONNECTIONS": "40",
            "TAEL_WALLET_WAIT_MS": "500",
        }
    )
    assert (settings.public_url, settings.wechat_url) == ("https://pay.example", "http://c")
    assert (settings.node, settings.server_ip) == (7, "10.0.0.1")
    assert (settings.alipay_url, settings.alipay_instore_url) == ("http://a", "http://b")
    assert (settings.wechat_ca_pem, settings.clock_file) == ("PEM", Path("/var/clock"))
    assert not settings.returns_stray_money
    assert (settings.wallet_connections, settings.wallet_wait_s) == (40, 0.5)


@pytest.mark.parametrize("name", GOOD)
def test_a_secret_may_be_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(GOOD[name] + "\n")
    others = {other: value for other, value in GOOD.items() if other != name}
    assert read_settings(others | {f"{name}_FILE": str(path)}) == read_settings(GOOD)


def test_nothing_that_is_printed_shows_a_secret() -> None:
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
    assert "TAEL_NODE is a number from 0 to 99" in refusal_of(TAEL_NODE=node)


@pytest.mark.parametrize("number", ["1", "10001", "-2", "2.5", "many", "٣٣", " 9", "9" * 5000])
def test_connections_to_a_wallet_are_a_number_within_limits(number: str) -> None:
    assert refusal_of(TAEL_WALLET_CONNECTIONS=number) == (
        "TAEL_WALLET_CONNECTIONS is a whole number from 2 to 10000"
    )


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
def test_a_sealing_key_is_32_bytes_in_base64(key: str) -> None:
    refusal = refusal_of(TAEL_SEAL_KEY=key)
    assert "TAEL_SEAL_KEY is not 32 bytes in base64" in refusal
    assert key not in refusal


@pytest.mark.parametrize("name", ["TAEL_WECHAT_CA_FILE", "TAEL_SEAL_KEY_FILE", "TAEL_DATABASE_URL_FILE"])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "nothing-here"
    environment = GOOD | {name: str(path)}
    environment.pop(name.removesuffix("_FILE"), None)
    with pytest.raises(BadSettings, match=f"{name} names {path}, which cannot be read: No such file"):
        read_settings(environment)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert "cannot be read" in refusal_of(TAEL_WECHAT_CA_FILE=str(tmp_path))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.der"
    path.write_bytes(b"\x30\x82\xff\xfe\x00")
    assert "TAEL_WECHAT_CA_FILE" in refusal_of(TAEL_WECHAT_CA_FILE=str(path))


@pytest.mark.parametrize("command", ["serve", "work"])
@pytest.mark.parametrize(
    ("name", "value"), [("TAEL_DATABASE_URL", ""), ("TAEL_SEAL_KEY", "short"), ("TAEL_NODE", "100")]
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
