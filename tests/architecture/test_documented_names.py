"""Every name in a document exists in the code, and every name that users see is documented.

Names are log events, metrics, settings, options, codes, routes, and the values of commands and control calls.
"""

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import pytest
import tael_client
from starlette.routing import Route

import tael_demo.testing
from tael import config
from tael.base.metrics import FIGURES, INSTRUMENTS, Definition, Kind
from tael.base.pay_types import PAY_TYPES
from tael.db.roles import ROLES
from tael.incidents.domain.incident import IncidentKind
from tael.main import application
from tael.oauth.parameters import PROTOCOL
from tael.qfpay.codes import TABLE
from tael.qfpay.links import LINK_NAMES
from tael.qfpay.requests import CALL_NAMES
from tael.webhooks.domain.webhook import WebhookState
from tael_demo.events import EVENTS as TRIGGERS
from tael_demo.testing import views
from tael_sandbox.alipay.cashier import PRODUCT_OF_SERVICE
from tael_sandbox.alipay.gateway import SERVICES as ALIPAY_SERVICES
from tael_sandbox.alipay.gateway import VERIFY_NOTICE
from tael_sandbox.control import Control
from tael_sandbox.fault_injection.faults import FIELDS as FAULT_FIELDS
from tael_sandbox.fault_injection.faults import KINDS as FAULT_KINDS
from tael_sandbox.profiles import PROFILES
from tael_sandbox.wechat.endpoints import CALLS as WECHAT_CALLS
from tests.architecture.test_docs import (
    DOCUMENTS,
    FENCE,
    IN_CODE,
    OPTION,
    ROOT,
    SETTING,
    code_of,
    old_names,
    whole_command,
)
from tests.support.routes import ROUTES_ONLY

OPERATOR: Final = ROOT / "docs" / "operator-manual.md"
METRICS: Final = ROOT / "docs" / "metrics.md"
METRIC_ROW: Final = re.compile(r"^\| `(tael_\w+)` \| \w+ \| (.*?) \|", re.MULTILINE)
MERCHANT: Final = ROOT / "docs" / "merchant-manual.md"
PAY_TYPE_PAGE: Final = ROOT / "docs" / "pay-types.md"
PAY_TYPE: Final = re.compile(r"\b80[0-9]{4}\b")
SANDBOX: Final = ROOT / "docs" / "sandbox.md"
TESTING: Final = ROOT / "docs" / "testing.md"
ARCHITECTURE: Final = ROOT / "ARCHITECTURE.md"
CODES: Final = ROOT / "docs" / "codes.md"
#: Current manuals. Other documents are about the past, about reasons, or about other programs.
MANUALS: Final = [
    path
    for path in DOCUMENTS
    if path.parent.name != "decisions" and path.name not in ("CHANGELOG.md", "ARCHITECTURE.md", "sdks.md")
]

LEVEL_OF: Final = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
}
DOTTED: Final = re.compile(r"[a-z_]+\.[a-z_]+")
EVENT_ROW: Final = re.compile(r"^\| ((?:`[a-z_.]+`(?:, )?)+) \((\w+)\) \|", re.MULTILINE)
#: A number of four digits that may be a code: not part of a date, an amount, a port or a version.
CODE: Final = re.compile(r"(?<![\w./:-])(?:0000|[12][0-9]{3})(?![\w/:-]|\.[0-9])")
#: Numbers in the manuals that are no codes: bits, years, times, connections, the prefix of a PID.
OTHER_NUMBERS: Final = {"1000", "1024", "1200", "1800", "1970", "2000", "2048", "2088"}
#: Names of other programs and of a reader's own.
NOT_OURS: Final = {
    "citus.override_table_visibility",
    "pgbackrest.conf",
    "postgresql.conf",
    "gateway.do",
    "first.py",
    "tael_gateway.url",
    "apiclient_cert.pem",
    "apiclient_key.pem",
    "pay.example",
    "pg_hba.conf",
}
#: Of spans.
ATTRIBUTES: Final = {"http.route", "tael.operation", "tael.protocol", "tael.respcd"}
#: Options of caddy, curl, pgBackRest, pip, mypy, setpriv, systemctl, unshare, mount and
#: `python -m tael_demo.testing`. `--no-` is a prefix of others.
OTHER_OPTIONS: Final = {
    "--no-",
    "--bind",
    "--cacert",
    "--config",
    "--delta",
    "--pg1-path",
    "--stanza",
    "--target",
    "--target-action",
    "--type",
    "--connect-to",
    "--data-urlencode",
    "--head",
    "--help",
    "--map-root-user",
    "--mount",
    "--net",
    "--no-deps",
    "--now",
    "--require",
    "--require-hashes",
    "--resolve",
    "--strict",
    "--pdeathsig",
    "--time",
    "--version",
}


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(params=MANUALS, ids=lambda path: str(path.relative_to(ROOT)))
def manual(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


# ---- log events and metrics ----------------------------------------------------------------------------------------


def test_the_operator_manual_has_every_event_with_its_level_and_no_other() -> None:
    documented = {
        name: level
        for names, level in EVENT_ROW.findall(OPERATOR.read_text("utf-8"))
        for name in re.findall("`([^`]+)`", names)
    }
    assert documented == logged_events()


def test_the_operator_manual_has_the_listeners_warnings() -> None:
    source = (ROOT / "tael" / "cli" / "http1.py").read_text("utf-8")
    warnings = re.findall(r'logger\.\w+\("([a-z ]+):', source)
    assert warnings
    assert set(warnings) <= set(in_code(OPERATOR))


def test_every_event_that_is_named_exists(manual: Path) -> None:
    named = {word for word in in_code(manual) if DOTTED.fullmatch(word)}
    unknown = named - logged_events().keys() - TRIGGERS.keys() - NOT_OURS - ATTRIBUTES
    assert not {word for word in unknown if not is_file_or_module(word)}


def test_the_page_of_metrics_has_every_metric_with_its_labels_and_no_other() -> None:
    rows = METRIC_ROW.findall(METRICS.read_text("utf-8"))
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert documented == {each.name: set(each.labels) for each in definitions()}


def test_every_metric_that_is_named_exists(document: Path) -> None:
    fixtures = {name for name in vars(tael_demo.testing) if name.startswith("tael_")}
    distributions = {"tael_client", "tael_conformance", "tael_demo", "tael_sandbox"}
    known = {name for each in definitions() for name in series_of(each)} | fixtures | distributions | {*ROLES}
    assert set(re.findall(r"\btael_[a-z_]+", document.read_text("utf-8"))) <= known


# ---- settings, commands, options -----------------------------------------------------------------------------------


def test_every_setting_of_the_gateway_is_in_the_operator_manual() -> None:
    ours = {name for folder in ("tael", "tael_demo", "tael_sandbox") for name in settings_in(ROOT / folder)}
    assert ours <= set(SETTING.findall(OPERATOR.read_text("utf-8")))


def test_the_defaults_of_settings_are_those_of_the_code() -> None:
    text = OPERATOR.read_text("utf-8")
    shown = dict(re.findall(r"^\| `(TAEL_[A-Z_]+)` \| `([^`]+)` \|", text, re.MULTILINE))
    settings = config.read_settings(
        {"TAEL_DATABASE_URL": "postgresql://h/n", "TAEL_ENCRYPTION_KEY": "A" * 43 + "="}
    )
    http, reach = settings.http, settings.webhook_egress
    assert shown == {
        "TAEL_DATABASE_CONNECTIONS": str(settings.database_connections),
        "TAEL_DATABASE_TIMEOUT": f"{settings.database_timeout_s:g}",
        "TAEL_PUBLIC_URL": settings.public_url,
        "TAEL_NODE": str(settings.node),
        "TAEL_ALIPAY_URL": settings.alipay_url,
        "TAEL_ALIPAY_INSTORE_URL": settings.alipay_instore_url,
        "TAEL_WECHAT_URL": settings.wechat_url,
        "TAEL_WECHAT_AUTHORIZE_URL": settings.wechat_authorize_url,
        "TAEL_WECHAT_API_URL": settings.wechat_api_url,
        "TAEL_SERVER_IP": settings.server_ip,
        "TAEL_WALLET_CONNECTIONS": str(settings.wallet_connections),
        "TAEL_WALLET_WAIT_MS": f"{settings.wallet_wait_s * 1000:g}",
        "TAEL_SETTINGS_CACHE_MS": f"{settings.settings_cache_s * 1000:g}",
        "TAEL_MERCHANT_MAX_PER_SECOND": str(settings.rate_limits.per_second),
        "TAEL_MERCHANT_MAX_PER_MINUTE": str(settings.rate_limits.per_minute),
        "TAEL_ADDRESS_MAX_PER_SECOND": str(http.max_per_second_of_address),
        "TAEL_TRACES": switch(settings.exports_traces),
        "TAEL_WEBHOOK_LOOPBACK": switch(reach.loopback),
        "TAEL_WEBHOOK_ANY_PORT": switch(reach.any_port),
        "TAEL_MAX_HEAD_S": f"{http.max_head_s:g}",
        "TAEL_MAX_BODY_S": f"{http.max_body_s:g}",
        "TAEL_MAX_IDLE_S": f"{http.max_idle_s:g}",
        "TAEL_MAX_CONNECTIONS": str(http.max_connections),
        "TAEL_MAX_CONCURRENT_CALLS": str(http.max_concurrent_calls),
        "TAEL_MAX_HEAD_BYTES": str(http.max_head_bytes),
        "TAEL_MAX_FORM_BYTES": str(http.max_form_bytes),
    }


def test_the_settings_of_the_demo_shop_are_in_the_sandbox_page() -> None:
    source = (ROOT / "tael_sandbox" / "shop" / "main.py").read_text("utf-8")
    shown = {word for word in in_code(SANDBOX) if word.startswith("SHOP_")}
    assert shown == set(re.findall(r'"(SHOP_[A-Z_]+)"', source))


def test_the_settings_of_the_examples_are_in_their_page() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "examples" / "python").glob("*.py"))
    assert set(re.findall(r'environ.get\("([A-Z]+)"', sources)) <= set(
        in_code(ROOT / "examples" / "README.md")
    )


def test_every_option_that_is_named_exists(document: Path) -> None:
    named = {option for line in code_of(document) for option in OPTION.findall(line)}
    known = {name for _, command in commands() for name in options_of(command)}
    assert named - old_names(document) <= known | OTHER_OPTIONS


def test_every_command_and_option_is_in_the_page_of_commands() -> None:
    """That page is generated; this test checks that its source is complete."""
    _, *sections = re.split(r"^## ", (ROOT / "docs" / "commands.md").read_text("utf-8"), flags=re.MULTILINE)
    shown = {section.partition("\n")[0]: set(OPTION.findall(section)) for section in sections}
    assert shown.keys() == {path for path, _ in commands()}
    for path, command in commands():
        assert set(options_of(command)) <= shown[path], path


def test_every_command_is_explained_in_a_manual() -> None:
    manuals = "".join(path.read_text("utf-8") for path in MANUALS if path.name != "commands.md")
    # `a|b|c`, the changelog's form for several commands, does not count.
    assert not [path for path, _ in commands() if path not in manuals]


# ---- codes, states and other values --------------------------------------------------------------------------------


def test_every_code_that_a_manual_names_is_sent(manual: Path) -> None:
    prose = FENCE.sub("", manual.read_text("utf-8"))
    if manual == CODES:
        prose = prose.partition("## Codes the gateway never sends")[0]
    named = set(CODE.findall(IN_CODE.sub("", prose)))
    named |= {word for word in IN_CODE.findall(prose) if CODE.fullmatch(word)}
    assert named - OTHER_NUMBERS <= {code for code, row in TABLE.items() if row.emitted}


def test_every_code_is_in_the_page_of_codes() -> None:
    assert set(re.findall(r"^\| ([0-9]{4}) \|", CODES.read_text("utf-8"), re.MULTILINE)) == TABLE.keys()


def test_every_code_that_is_sent_can_be_reached_in_the_sandbox_s_page() -> None:
    text = SANDBOX.read_text("utf-8")
    assert not [code for code, row in TABLE.items() if row.emitted and code not in text]


def test_client_and_gateway_agree_on_every_code() -> None:
    assert {code: meaning.value for code, meaning in tael_client.MEANINGS.items()} == {
        code: row.client.value for code, row in TABLE.items()
    }


def test_every_code_of_qfpay_is_served_or_listed_as_not_served() -> None:
    """Of hosted QFPay's list for Hong Kong. None of the others has a call at Alipay or WeChat Pay."""
    others = PAY_TYPE.findall(PAY_TYPE_PAGE.read_text("utf-8").partition("## Not served")[2])
    assert len(others) == len(set(others)) == 25
    assert not set(others) & PAY_TYPES.keys()
    assert {"800107", "801801", "800701", "805801", "802001", "803701", "802801", "806527"} <= set(others)


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ([kind.value for kind in IncidentKind], OPERATOR),
        ([state.value for state in WebhookState], OPERATOR),
        (PAY_TYPES, PAY_TYPE_PAGE),
        (TRIGGERS, TESTING),
        ((*FAULT_KINDS, *FAULT_FIELDS), SANDBOX),
        (PROFILES, SANDBOX),
    ],
    ids=["incidents", "webhooks", "pay types", "triggers", "faults", "profiles"],
)
def test_all_values_of_a_kind_are_on_their_page(words: list[str], page: Path) -> None:
    named = set(in_code(page)) | set(PAY_TYPE.findall(page.read_text("utf-8")))
    assert not [word for word in words if word not in named]


def test_the_merchant_manual_has_every_parameter_and_no_other() -> None:
    calls = {name for names in CALL_NAMES.values() for name in names.read}
    # Not signed under its own name, or accepted and unused.
    known = calls | LINK_NAMES.read | {"sign", "lang", "txzone"} | PROTOCOL
    text = MERCHANT.read_text("utf-8")
    tables = re.findall(r"^\| Parameter \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row.split("|")[1] for table in tables for row in table.splitlines()]
    assert set(IN_CODE.findall(" ".join(rows))) <= known
    assert known <= set(in_code(MERCHANT))


def test_every_trigger_and_pay_type_that_is_named_exists(manual: Path) -> None:
    text = manual.read_text("utf-8")
    served = text.partition("## Not served")[0] if manual == PAY_TYPE_PAGE else text
    assert set(PAY_TYPE.findall(served)) <= PAY_TYPES.keys()
    for line in code_of(manual):
        for event in re.findall(r"tael trigger ([a-z_.]+)", line):
            assert event in TRIGGERS


def test_the_sandbox_page_lists_the_wallets_calls_and_no_others() -> None:
    (paragraph,) = re.findall(
        r"^- \*\*Calls\.\*\*(.*?)^- ", SANDBOX.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    served = {
        *ALIPAY_SERVICES,
        *PRODUCT_OF_SERVICE,
        VERIFY_NOTICE,
        *(call.path.rpartition("/")[2] for call in WECHAT_CALLS),
    }
    assert set(IN_CODE.findall(paragraph)) == served


def test_the_testing_page_lists_the_settings_of_an_app() -> None:
    (row,) = re.findall(r"^\| `set_app\(.*$", TESTING.read_text("utf-8"), re.MULTILINE)
    assert set(IN_CODE.findall(row)[1:]) == set(views.SETTINGS)


def test_the_client_s_page_has_every_error() -> None:
    raised = [
        name
        for name, each in vars(tael_client).items()
        if inspect.isclass(each) and issubclass(each, tael_client.TaelClientError)
    ]
    words = set(re.findall(r"\w+", " ".join(in_code(ROOT / "client" / "README.md"))))
    assert not [name for name in raised if name not in words]


def test_the_tree_in_architecture_has_every_module_of_the_gateway_and_no_other() -> None:
    """Except the command line, which has one line."""
    (tree,) = re.findall(r"^tael/\n(.*?)^  cli/", ARCHITECTURE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    modules = {
        path.stem
        for path in (ROOT / "tael").rglob("*.py")
        if path.relative_to(ROOT / "tael").parts[0] != "cli" and path.stem != "__init__"
    }
    assert modules <= set(re.findall(r"\w+", tree))
    assert set(re.findall(r"(\w+)\.py", tree)) <= modules


def test_every_function_that_architecture_names_exists() -> None:
    for file, function in re.findall(r"`([a-z_/]+\.py):(\w+)`", ARCHITECTURE.read_text("utf-8")):
        source = (ROOT / "tael" / file).read_text("utf-8")
        assert re.search(rf"^ *(?:async )?def {function}\(", source, re.MULTILINE), file


# ---- routes ----------------------------------------------------------------------------------------------------------


def test_every_route_of_the_gateway_is_in_the_operator_manual() -> None:
    text = OPERATOR.read_text("utf-8")
    for path in routes_of(application(ROUTES_ONLY).routes):
        fixed = path.partition("{")[0].rstrip("/")
        family = "/trade/v1" if fixed.startswith("/trade/v1") else fixed
        family = "/checkstand" if family.startswith("/checkstand") else family
        assert f"`{family}/…`" in text or f"`{family}`" in text, path


def test_every_call_of_the_merchants_is_in_their_manual() -> None:
    text = MERCHANT.read_text("utf-8")
    for path in routes_of(application(ROUTES_ONLY).routes):
        if path.startswith("/trade/v1/"):
            assert f"`POST {path}`" in text or f"GET {path}`" in text, path


def test_every_control_call_is_in_the_sandbox_page_and_in_the_readme() -> None:
    control = Control.__new__(Control)
    named = set(re.findall(r"`(/?[A-Z ,and`]*/control/[a-z-]+)", (ROOT / "README.md").read_text("utf-8")))
    readme = {word.rpartition("/control/")[2] for word in named}
    headings = re.findall(r"^### ([A-Z, and]+) /control/([a-z-]+)$", SANDBOX.read_text("utf-8"), re.MULTILINE)
    documented = {name: set(re.findall("[A-Z]{3,}", methods)) for methods, name in headings}
    served = {
        route.path.rpartition("/")[2]: set(route.methods or ()) - {"HEAD"}
        for route in control.routes()
        if isinstance(route, Route)
    }
    assert documented == served
    assert readme == served.keys()


# ---- names in the code ---------------------------------------------------------------------------------------------


@cache
def logged_events() -> dict[str, str]:
    """The events of the gateway's structured log, each with its level."""
    events: dict[str, str] = {}
    for path in (ROOT / "tael").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_log(node.func):
                event = node.args[0]
                assert isinstance(event, ast.Constant), path
                assert isinstance(event.value, str), path
                level = LEVEL_OF[node.func.attr]
                assert events.setdefault(event.value, level) == level, event.value
    return events


def is_log(function: ast.Attribute) -> bool:
    return isinstance(function.value, ast.Name) and function.value.id == "log" and function.attr in LEVEL_OF


def definitions() -> list[Definition]:
    return [*(each.definition for each in INSTRUMENTS), *FIGURES]


def series_of(definition: Definition) -> set[str]:
    """The names of a metric's series."""
    if definition.kind is not Kind.HISTOGRAM:
        return {definition.name}
    return {definition.name, *(f"{definition.name}_{suffix}" for suffix in ("bucket", "sum", "count"))}


def settings_in(folder: Path) -> set[str]:
    """The settings that any file reads or sets."""
    sources = "".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
    return set(re.findall(r'"(TAEL_[A-Z_]*[A-Z])"', sources))


def switch(value: bool) -> str:
    return "on" if value else "off"


@cache
def commands() -> tuple[tuple[str, Any], ...]:
    """Every command without subcommands, by its full name."""

    def below(command: Any, words: list[str]) -> Iterator[tuple[str, Any]]:
        families = getattr(command, "commands", None)
        if families is None:
            yield " ".join(words), command
            return
        for name, each in families.items():
            yield from below(each, [*words, name])

    return tuple(below(whole_command(), ["tael"]))


def options_of(command: Any) -> list[str]:
    return [
        name
        for param in command.params
        if param.param_type_name == "option" and not param.hidden
        for name in (*param.opts, *param.secondary_opts)
    ]


def in_code(path: Path) -> list[str]:
    """The text between backticks, outside blocks."""
    return IN_CODE.findall(FENCE.sub("", path.read_text("utf-8")))


@cache
def is_file_or_module(word: str) -> bool:
    """A file of this repository, a module that a user may import, or a pytest plugin."""
    if any(ROOT.glob(word)) or any(
        found
        for folder in (
            "tael",
            "tael_demo",
            "tael_sandbox",
            "tests",
            "client",
            "conformance",
            "examples",
            "deploy",
        )
        for found in (ROOT / folder).rglob(word)
    ):
        return True
    if entry_points(group="pytest11", name=word):
        return True
    try:
        return importlib.util.find_spec(word) is not None
    except ModuleNotFoundError:
        return False


def routes_of(routes: Any) -> set[str]:
    return {route.path for route in routes if isinstance(route, Route)}
