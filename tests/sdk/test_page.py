"""docs/sdks.md matches the suites: versions, calls, and the test of each call."""

import ast
import json
import re
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
PAGE: Final = (HERE.parents[1] / "docs" / "sdks.md").read_text("utf-8")
SDKS: Final = ("wechatpy", "wechatpay-axios-plugin", "alipay")
ROW: Final = re.compile(r"^\| `([\w./]+)` \|.*\| `(test_\w+)` \|$", re.MULTILINE)


def section(name: str) -> str:
    (found,) = [part for part in PAGE.split("\n## ") if part.split(maxsplit=1)[0] == name]
    return found


@pytest.mark.parametrize("name", SDKS)
def test_the_page_names_the_version_that_is_pinned(name: str) -> None:
    assert section(name).splitlines()[0] == f"{name} {pinned_version(name)}"


@pytest.mark.parametrize("name", SDKS)
def test_every_call_has_a_row_and_every_row_a_test_that_makes_it(name: str) -> None:
    module = ast.parse((HERE / f"test_{name.replace('-', '_')}.py").read_text("utf-8"))
    rows = ROW.findall(section(name))
    assert len(rows) == section(name).count("\n| `")
    assert calls_in(module) <= {call for call, _ in rows}
    tests = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    assert not [(call, test) for call, test in rows if call not in texts_in(tests[test])]


def pinned_version(name: str) -> str:
    """The version in the lock file."""
    folder = HERE / name
    if (folder / "package-lock.json").exists():
        lock = json.loads((folder / "package-lock.json").read_text())
        return str(lock["packages"][f"node_modules/{name}"]["version"])
    found = re.search(rf"^{name}==(\S+)", (folder / "requirements.txt").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def calls_in(module: ast.Module) -> set[str]:
    """The SDK's calls that the module makes by name; names from parameters are not included."""
    request = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    named = [
        node.args[0] for node in request if isinstance(node.func, ast.Attribute) and node.func.attr == "call"
    ]
    return set().union(*(texts_in(node) for node in named))


def texts_in(node: ast.AST) -> set[str]:
    """The node's strings, including those of its decorators."""
    found = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {text for text in found if isinstance(text, str)}
