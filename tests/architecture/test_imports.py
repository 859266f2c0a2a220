"""Who may import what: the order of areas and floors, a pure domain, one module each for time, randomness and HTTP.

Tests that are to be fast import no server.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tael.qfpay.codes import TABLE

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = ROOT / "tael"

#: The single module of each, and exceptions with their reason.
TIME = {
    "base/clock.py",
    "jobs/webhooks.py",  # when it claims next, by the same time as leases
    "jobs/runner.py",  # leases are in real time, whatever a demo's clock does
    "base/read_cache.py",  # how old a cached row is
    "base/key_file.py",  # when it was looked at, and how long it is unchanged
    "payments/page_links.py",  # how old the link keys are
    "channels/wechat_v2/certificates.py",  # how old a TLS context is
    "base/security_log.py",  # in which window a line falls
    "webhooks/delivery.py",  # how long a merchant's receiver took
    "payments/opening.py",  # how long a repeat waits, by the event loop's time
    "db/database.py",  # how much of its time a call has spent on the database
    "db/outages.py",  # how long ago the same was logged
    "db/readiness.py",  # how old a probe is
    "base/metrics.py",  # how long something took
    "base/idle.py",  # how busy the event loop is
    "api/health.py",  # leases are in real time; and how old figures are
    "base/transport.py",  # how much of a deadline the wait for a connection has used
}
RANDOMNESS = {
    "base/ids.py",
    "base/cipher.py",  # the nonce of an encrypted secret
    "cashier/rendering.py",  # the nonce of a page's content security policy
}
HTTP = {
    "base/transport.py",
    "base/http_request.py",  # what the transport sends and receives
    "merchants/store/document_places.py",  # S3, whose client brings its own HTTP
}
#: What runs processes instead of moving money: the command line.
EXEMPT = ("cli/",)

TIME_CALLS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.thread_time",
    "loop.time",
}
RANDOM_MODULES = {"random", "secrets", "uuid"}
RANDOM_CALLS = {"os.urandom"}
HTTP_MODULES = {"aiohttp", "httpx", "requests", "urllib.request", "urllib3", "http.client", "obstore"}
#: What gives a test a server: fixtures by name, and what is imported.
SERVERS = {
    "postgres_server",
    "database_url",
    "store",
    "other_store",
    "scene",
    "operator",
    "demo",
    "sandbox",
    "tael_instance",
    "tael_gateway",
    "tael_wallets",
    "tael_clock",
}
SERVER_MODULES = {
    "tests.support.postgres.migrated_server",
    "tests.support.postgres.temporary_database",
    "tests.support.sandbox.running_sandbox",
    "tests.end_to_end",
    "tests.integration",
    "tests.sandbox",
    "tael_demo.embedded",
    "tael_demo.stack",
}
#: Modules that would let the domain wait or do I/O.
IMPURE_NODES = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
IMPURE_MODULES = {"asyncio", "os", "io", "pathlib", "socket", "subprocess", "time", "threading", "tempfile"}


#: What the pure parts may import of us, beside the `domain` of areas at or below their own.
VALUES = {
    "tael.base.currencies",
    "tael.base.errors",
    "tael.base.moments",
    "tael.base.money",
    "tael.base.pay_types",
    "tael.base.reasons",
    "tael.base.secret",
    "tael.base.serial",
    "tael.base.text",
    "tael.channels.line_sums",
    "tael.channels.outcomes",
    "tael.channels.statements",
    "tael.channels.alipay_mapi.settle_bundle",
    "tael.channels.alipay_mapi.statement_columns",
    "tael.channels.wechat_v2.bill_columns",
    "tael.channels.wechat_v2.messages",
    "tael.channels.wechat_v2.settlement_records",
}
DOMAIN = [
    *sorted(GATEWAY.glob("*/domain/*.py")),
    *sorted(GATEWAY.glob("channels/*/statements.py")),
    GATEWAY / "channels/alipay_mapi/settle_bundle.py",
    GATEWAY / "channels/wechat_v2/settlement_records.py",
    GATEWAY / "channels/line_sums.py",
    GATEWAY / "channels/outcomes.py",
    GATEWAY / "channels/statements.py",
]


def relative_to_gateway(path: Path) -> str:
    return path.relative_to(GATEWAY).as_posix()


def test_the_import_contracts_hold() -> None:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOMAIN, ids=relative_to_gateway)
def test_the_domain_never_waits_and_does_no_io(path: Path) -> None:
    tree = tree_of(path)
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, IMPURE_NODES)]
    assert not set(called(tree)) & TIME_CALLS
    assert not {name for name in imported(tree) if is_in(name, IMPURE_MODULES | RANDOM_MODULES)}


@pytest.mark.parametrize("path", DOMAIN, ids=relative_to_gateway)
def test_the_domain_imports_values_only(path: Path) -> None:
    ours = {name for name in imported(ast.parse(path.read_text("utf-8"))) if name.startswith("tael.")}
    assert not {name for name in ours if not (is_in(name, VALUES) or ".domain." in name)}


def below_the_dialect() -> list[str]:
    """The areas below `qfpay` in the import contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == ["tael"])
    return [area for layer in layers[layers.index("qfpay") + 1 :] for area in layer.split(" | ")]


@pytest.mark.parametrize("area", below_the_dialect())
def test_no_area_below_the_dialect_names_a_respcd(area: str) -> None:
    files = [path for suffix in ("py", "sql") for path in (GATEWAY / area).rglob(f"*.{suffix}")]
    assert files
    for path in files:
        assert "respcd" not in path.read_text("utf-8").lower(), path
        if path.suffix == ".py":
            texts = {node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)}
            assert not texts & TABLE.keys(), path


@pytest.mark.parametrize("path", sorted(GATEWAY.glob("*/store/*.py")), ids=relative_to_gateway)
def test_sql_is_below_the_use_cases(path: Path) -> None:
    ours = {name for name in imported(ast.parse(path.read_text("utf-8"))) if name.startswith("tael.")}
    below = VALUES | {"tael.base", "tael.db"}
    assert not {name for name in ours if not (is_in(name, below) or ".domain." in name or ".store." in name)}


def test_only_the_clock_and_named_exceptions_read_the_time() -> None:
    assert files_that(lambda tree: bool(set(named(tree)) & TIME_CALLS)) == TIME


def test_only_ids_and_named_exceptions_are_random() -> None:
    def is_random(tree: ast.Module) -> bool:
        by_module = any(is_in(name, RANDOM_MODULES) for name in imported(tree))
        return by_module or bool(set(called(tree)) & RANDOM_CALLS)

    assert files_that(is_random) == RANDOMNESS


def test_only_the_transport_calls_out() -> None:
    assert files_that(lambda tree: any(is_in(name, HTTP_MODULES) for name in imported(tree))) == HTTP


def test_no_statement_asks_the_server_for_the_time() -> None:
    """But the one with which `tael doctor` compares the server's clock with ours."""
    words = ("now()", "current_timestamp", "clock_timestamp", "localtimestamp")
    files = [*GATEWAY.glob("*/store/*.py"), *GATEWAY.glob("db/**/*.py"), *GATEWAY.rglob("*.sql")]
    assert len(files) > 30
    found = {
        (path.relative_to(GATEWAY).as_posix(), word)
        for path in files
        for word in words
        if word in path.read_text("utf-8").lower()
    }
    assert found == {("db/server.py", "clock_timestamp")}


def fast_folders() -> list[Path]:
    """The tiers of `make test-fast`."""
    (line,) = re.findall(r"^FAST := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    return [ROOT / folder for folder in line.split()]


def test_the_fast_tiers_start_no_server() -> None:
    paths = [path for folder in fast_folders() for path in folder.rglob("*.py")]
    assert len(paths) > 80
    for path in paths:
        tree = ast.parse(path.read_text("utf-8"))
        assert not asked_for(tree) & SERVERS, path
        assert not [name for name in imported(tree) if is_in(name, SERVER_MODULES)], path


# ---- reading the sources -----------------------------------------------------------------------------------


def files_that(holds: Callable[[ast.Module], bool]) -> set[str]:
    """The gateway's files for which `holds`, except those that run processes."""
    return {
        relative_to_gateway(path)
        for path in GATEWAY.rglob("*.py")
        if not is_exempt(relative_to_gateway(path)) and holds(tree_of(path))
    }


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def is_exempt(name: str) -> bool:
    return name.startswith(EXEMPT)


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names that are imported, `from a import b` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def asked_for(tree: ast.Module) -> set[str]:
    """The arguments of tests and fixtures."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {
        argument.arg
        for function in functions
        if function.name.startswith("test_") or function.decorator_list
        for argument in function.args.args
    }


def is_in(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def called(tree: ast.Module) -> Iterator[str]:
    """The last two parts of each call's name: datetime.now for `datetime.datetime.now()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from last_two_parts(node.func)


def named(tree: ast.Module) -> Iterator[str]:
    """The same for every name, so that a function that is passed on and called elsewhere is found too."""
    for node in ast.walk(tree):
        yield from last_two_parts(node)


def last_two_parts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
        owner = node.value
        yield f"{owner.id if isinstance(owner, ast.Name) else owner.attr}.{node.attr}"
