"""Outside `channels/`, no code depends on which wallet or protocol an account has: it asks for capabilities."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import tael

ROOT: Final = Path(tael.__file__).parent
NAMES: Final = {"alipay", "wechat", "alipay_mapi", "wechat_v2"}
CLASSES: Final = {"AlipayAccount", "WeChatAccount", "Wallet"}


def modules() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] != "channels"]


def is_wallet(node: ast.expr) -> bool:
    """A wallet's name, a member of `Wallet`, or a class of accounts."""
    match node:
        case ast.Constant(value=str(text)):
            return text in NAMES
        case ast.Attribute(value=ast.Name(id="Wallet")):
            return True
        case ast.Name(id=name):
            return name in CLASSES
        case ast.Tuple(elts=nodes) | ast.List(elts=nodes) | ast.Set(elts=nodes):
            return any(map(is_wallet, nodes))
        case _:
            return False


def comparisons(tree: ast.AST) -> Iterator[int]:
    """The lines that compare a wallet, a protocol or a class of accounts."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                if any(map(is_wallet, (node.left, *node.comparators))):
                    yield node.lineno
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kind]):
                kinds = [each for each in ast.walk(kind) if isinstance(each, ast.Name)]
                if any(each.id in CLASSES for each in kinds):
                    yield node.lineno
            case ast.MatchClass(cls=ast.Name(id=name)) if name in CLASSES:
                yield node.lineno
            case ast.MatchValue(value=value) if is_wallet(value):
                yield node.lineno


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_outside_the_channels_compares_a_wallet(module: Path) -> None:
    assert list(comparisons(ast.parse(module.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "account.wallet is Wallet.ALIPAY",
        "wallet == 'wechat'",
        "wallet in ('alipay', 'wechat')",
        "account.protocol != 'wechat_v2'",
        "isinstance(account, AlipayAccount)",
        "isinstance(account, AlipayAccount | WeChatAccount)",
        "match account:\n    case WeChatAccount(): pass",
        "match account.wallet:\n    case Wallet.ALIPAY: pass",
        "match wallet:\n    case 'alipay': pass",
    ],
)
def test_every_way_to_compare_is_found(code: str) -> None:
    assert list(comparisons(ast.parse(code)))
