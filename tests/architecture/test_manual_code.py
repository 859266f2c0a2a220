"""Code that readers copy: the manual's `is_ours` and the receivers of the examples and of the demo.

They verify webhooks. All must accept QFPay's documented ones, and refuse every other text signed with the same key.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from tael.base.secret import Secret
from tael.merchants.domain.merchant import App, Style
from tael_demo import receiver
from tests.support.forged_webhooks import KEY, OLD, Posted, forgeries, malformed, old_webhook, over_bytes

ROOT: Final = Path(__file__).resolve().parents[2]
VECTORS: Final[dict[str, Any]] = json.loads((ROOT / "tests" / "vectors" / "qfpay.json").read_text("utf-8"))
BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Whether it accepts a webhook in the named style.
Verify = Callable[[Posted, str], bool]


@cache
def manual_code() -> dict[str, Any]:
    """The names that the manual's Python code defines."""
    (code,) = [
        code
        for code in BLOCK.findall((ROOT / "docs" / "merchant-manual.md").read_text("utf-8"))
        if "def is_ours" in code
    ]
    names: dict[str, Any] = {}
    exec(compile(code, "merchant-manual.md", "exec"), names)  # noqa: S102 - our own document
    return names


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "python" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_manual(posted: Posted, style: str) -> bool:
    return bool(manual_code()["is_ours"](posted.body, posted.sign, KEY, style))


def by_first_payment(module: ModuleType, posted: Posted, style: str) -> bool:
    assert style == "old"
    return module.verified_webhook(posted.body, posted.sign, KEY) is not None


def by_receiver(module: ModuleType, posted: Posted, style: str) -> bool:
    module.STYLE, module.KEY = style, KEY  # type: ignore[attr-defined]
    return does_not_raise(module.verified, posted.body, posted.sign)


def by_demo(posted: Posted, style: str) -> bool:
    app = App("123456", Secret(KEY), None, None, webhook_style=Style(style))
    return does_not_raise(receiver.verified, posted.body, posted.sign, app)


def does_not_raise(verify: Callable[..., object], *posted: object) -> bool:
    try:
        verify(*posted)
    except (ValueError, RecursionError):
        return False
    return True


BOTH_STYLES: Final[dict[str, Verify]] = {
    "manual": by_manual,
    "receive_webhook": partial(by_receiver, example("receive_webhook")),
    "demo": by_demo,
}
OLD_STYLE: Final[dict[str, Verify]] = BOTH_STYLES | {
    "first_payment": partial(by_first_payment, example("first_payment"))
}


def documented(kind: str, name: str) -> Posted:
    (vector,) = [vector for vector in VECTORS[kind] if vector["name"] == name]
    body = vector["body"] if "body" in vector else json.dumps(vector["members"])
    return Posted(body.encode(), vector["sign"])


@pytest.fixture(params=BOTH_STYLES)
def verify(request: pytest.FixtureRequest) -> Verify:
    return BOTH_STYLES[request.param]


@pytest.fixture(params=OLD_STYLE)
def verify_old(request: pytest.FixtureRequest) -> Verify:
    return OLD_STYLE[request.param]


# ---- accepted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["N1", "N2"])
def test_a_documented_webhook_of_the_old_style_is_accepted(verify_old: Verify, name: str) -> None:
    assert verify_old(documented("old_webhooks", name), "old")


def test_whole_numbers_of_the_old_style_count_as_written(verify_old: Verify) -> None:
    written = documented("new_webhooks", "N3").body

    assert verify_old(Posted(written, documented("old_webhooks", "N1").sign), "old")


def test_a_documented_webhook_of_the_new_style_is_accepted(verify: Verify) -> None:
    assert verify(documented("new_webhooks", "N4"), "new")


@pytest.mark.parametrize("udid", ["terminal-1", "", "櫃檯 1", "a=b&c", 'a"b\\c\nd'])
def test_a_device_may_have_any_name(verify_old: Verify, udid: str) -> None:
    assert verify_old(old_webhook({**OLD, "udid": udid}), "old")


def test_members_that_later_servers_add_to_the_new_style_are_accepted(verify: Verify) -> None:
    body = json.dumps({**OLD, "notify_type": "payment", "later": {"a": [1, None]}}).encode()

    assert verify(over_bytes(body), "new")


def test_a_demo_s_app_may_have_sha256_for_its_new_webhooks() -> None:
    posted = over_bytes(documented("new_webhooks", "N4").body, "SHA256")
    app = App("123456", Secret(KEY), None, None, webhook_style=Style.NEW, sha256_responses=True)

    assert does_not_raise(receiver.verified, posted.body, posted.sign, app)
    assert not by_demo(posted, "new")


# ---- refused ---------------------------------------------------------------------------------------------------------


def accepted(posted: Mapping[str, Posted], verify: Verify, style: str) -> list[str]:
    return [what for what, one in posted.items() if verify(one, style)]


def test_no_signed_text_of_another_kind_is_a_webhook_of_the_old_style(verify_old: Verify) -> None:
    assert accepted(forgeries(), verify_old, "old") == []


def test_no_signed_text_of_another_kind_is_a_webhook_of_the_new_style(verify: Verify) -> None:
    assert accepted(forgeries(), verify, "new") == []


def test_no_malformed_webhook_of_the_old_style_is_accepted(verify_old: Verify) -> None:
    assert accepted(malformed(), verify_old, "old") == []


def test_no_malformed_webhook_of_the_old_style_is_one_of_the_new_style(verify: Verify) -> None:
    assert accepted(malformed(), verify, "new") == []


@pytest.mark.parametrize("name", ["N1", "N2"])
def test_a_webhook_of_the_old_style_is_refused_in_the_new_style(verify: Verify, name: str) -> None:
    assert not verify(documented("old_webhooks", name), "new")
    assert not verify(over_bytes(documented("old_webhooks", name).body), "new")


def test_a_webhook_of_the_new_style_is_refused_in_the_old_style(verify_old: Verify) -> None:
    posted = documented("new_webhooks", "N4")
    members = json.loads(posted.body)

    assert not verify_old(posted, "old")
    assert not verify_old(old_webhook(members), "old")


def test_a_body_without_notify_type_is_not_of_the_new_style(verify: Verify) -> None:
    assert not verify(documented("new_webhooks", "N3"), "new")


@pytest.mark.parametrize("style", ["", "Old", "both"])
def test_the_manual_s_code_knows_two_styles(style: str) -> None:
    assert not by_manual(documented("old_webhooks", "N1"), style)
    assert not by_manual(documented("new_webhooks", "N4"), style)


def test_the_forged_webhook_of_the_examples_has_the_signature_of_its_members() -> None:
    module = example("first_payment")
    text = module.signed_text(json.loads(module.FORGED))

    assert module.signature(text.encode(), module.WEBHOOK_KEY) == module.FORGED_SIGN
