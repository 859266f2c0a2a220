"""docs/sdks.md matches the suites: versions, calls, and the test of each call."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
PAGE: Final = (HERE.parents[1] / "docs" / "sdks.md").read_text("utf-8")
#: With a pinned version. The folders and modules here have `-` and `_` for the other characters.
SDKS: Final = (
    "wechatpy",
    "wechatpay-axios-plugin",
    "gopay",
    "silenceper/wechat",
    "weixin-java-pay",
    "wxpay-sdk",
    "tenpay",
    "alipay",
)
#: From a folder that the user names.
UNPINNED: Final = ("yurunsoft/pay-sdk", "wx_pay", "chloerei/alipay")
ROW: Final = re.compile(r"^\| `([\w./?]+)` \|.*\| `(test_\w+)` \|$", re.MULTILINE)


def section(name: str) -> str:
    (found,) = [part for part in PAGE.split("\n## ") if part.split(maxsplit=1)[0] == name]
    return found


@pytest.mark.parametrize("name", SDKS)
def test_the_page_names_the_version_that_is_pinned(name: str) -> None:
    assert section(name).splitlines()[0] == f"{name} {pinned_version(name)}"


@pytest.mark.parametrize("name", SDKS + UNPINNED)
def test_the_list_of_every_sdk_has_the_version_of_its_suite(name: str) -> None:
    version = section(name).splitlines()[0].split()[1]
    (listed,) = [part for part in PAGE.split("\n## ") if part.startswith("Every SDK")]
    rows = [row for row in listed.splitlines() if row.startswith(f"| {name} ")]
    assert rows
    assert all(row.startswith(f"| {name} {version} (") and row.endswith(" suite |") for row in rows)


@pytest.mark.parametrize("name", SDKS + UNPINNED)
def test_every_call_has_a_row_and_every_row_a_test_that_makes_it(name: str) -> None:
    module = ast.parse((HERE / f"test_{re.sub('[-/]', '_', name)}.py").read_text("utf-8"))
    rows = ROW.findall(section(name))
    assert len(rows) == section(name).count("\n| `")
    assert calls_in(module) <= {call for call, _ in rows}
    tests = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    assert not [(call, test) for call, test in rows if call not in texts_in(tests[test])]


#: Where each kind of lock file has the version of the SDK itself.
PINS: Final = {
    "requirements.txt": r"^{name}==(\S+)",
    "package-lock.json": r'"node_modules/{name}": {{\s*"version": "(.+?)"',
    "go.mod": r"^(?:require|\t)\s*github\.com/\S*{name}(?:/v\d+)? v(\S+)$",
    "pom.xml": r"<artifactId>{name}</artifactId>\s*<version>(.+?)</version>",
}


def pinned_version(name: str) -> str:
    """The version in the lock file."""
    folder = HERE / name.replace("/", "-")
    (lock,) = [file for file in PINS if (folder / file).exists()]
    pin = PINS[lock].format(name=re.escape(name))
    found = re.search(pin, (folder / lock).read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def calls_in(module: ast.Module) -> set[str]:
    """The SDK's calls that the module makes by name; names from parameters are not included."""
    request = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    named = [
        node.args[0]
        for node in request
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("call", "read") and node.args
    ]
    return set().union(*(texts_in(node) for node in named))


def texts_in(node: ast.AST) -> set[str]:
    """The node's strings, including those of its decorators."""
    found = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {text for text in found if isinstance(text, str)}
