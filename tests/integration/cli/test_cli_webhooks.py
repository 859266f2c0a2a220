"""`tael webhook`: an operator lists webhooks and resends them."""

from datetime import timedelta
from pathlib import Path

import pytest

from tael.operations.store import Store
from tael.webhooks.domain.webhook import WebhookKind, WebhookState
from tael.webhooks.store.queue import Attempt, Delivery
from tael.webhooks.store.webhooks import NewWebhook, write_webhooks
from tests.support.operator import Operator, fill, operator_of
from tests.support.store import paid, with_a_merchant
from tests.support.values import APPCODE, MCHID, NOW, ORIGIN, a_payment, an_app

PAID, EXHAUSTED, OTHER = (f"20260102010099000000000{n}" for n in (1, 2, 3))
REFUND = "202601020100990000000009"


async def seed_webhooks(store: Store) -> None:
    """One webhook that is delivered, one exhausted, one of another app exhausted, one due."""
    await with_a_merchant(store)
    await store.merchants.add_app(an_app("app2"), ORIGIN)
    for n, (syssn, appcode) in enumerate(((PAID, APPCODE), (EXHAUSTED, APPCODE), (OTHER, "app2"))):
        at = NOW + timedelta(seconds=n)
        await paid(store, a_payment(syssn=syssn, appcode=appcode, reference=syssn, created_at=at))
    async with store.database.transaction() as connection:
        refund = NewWebhook(MCHID, REFUND, WebhookKind.REFUND, APPCODE, PAID, NOW + timedelta(seconds=9))
        await write_webhooks(connection, [refund])
    rows = {row.cause: row for row in await store.webhooks.due.claim(NOW + timedelta(days=1), NOW, NOW, 9)}
    acknowledged = Attempt(NOW, 12, 200, "acknowledged", b"success")
    refused = Attempt(NOW, 34, 500, "HTTP 500", b"\xffoops")
    await store.webhooks.report(
        [
            Delivery(rows[PAID], WebhookState.DELIVERED, acknowledged, delivered_at=NOW),
            Delivery(rows[EXHAUSTED], WebhookState.EXHAUSTED, refused),
            Delivery(rows[OTHER], WebhookState.EXHAUSTED, refused),
        ]
    )


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, seed_webhooks)
    return operator_of(database_url, tmp_path)


def causes(operator: Operator, *arguments: str) -> list[str]:
    return [row["cause"] for row in operator.run_json("webhook", *arguments)]


def states(operator: Operator) -> dict[str, str]:
    return {row["cause"]: row["state"] for row in operator.run_json("webhook", "list")}


def test_webhooks_are_listed_newest_first(operator: Operator) -> None:
    assert causes(operator, "list") == [REFUND, OTHER, EXHAUSTED, PAID]
    assert causes(operator, "list", "--limit", "2") == [REFUND, OTHER]
    assert causes(operator, "list", "--appcode", "app2") == [OTHER]
    assert causes(operator, "list", "--state", "EXHAUSTED") == [OTHER, EXHAUSTED]
    assert causes(operator, "list", "--state", "EXHAUSTED", "--appcode", APPCODE) == [EXHAUSTED]
    assert causes(operator, "list", "--mchid", MCHID) == [REFUND, OTHER, EXHAUSTED, PAID]
    assert causes(operator, "list", "--mchid", "unknown") == []
    shown = operator.run("webhook", "list")
    assert all(value in shown for value in (PAID, "DELIVERED", "HTTP 500"))


def test_attempts_are_shown_with_their_responses(operator: Operator) -> None:
    (attempt,) = operator.run_json("webhook", "attempts", EXHAUSTED)
    assert (attempt["attempt"], attempt["status"], attempt["took_ms"]) == (1, 500, 34)
    assert attempt["answer"] == "\\xffoops"
    assert "HTTP 500" in operator.run("webhook", "attempts", EXHAUSTED)
    assert operator.run_json("webhook", "attempts", "unknown") == []


def test_one_webhook_is_resent_in_any_state(operator: Operator) -> None:
    assert causes(operator, "resend", EXHAUSTED) == [EXHAUSTED]
    assert causes(operator, "resend", PAID, "--kind", "payment") == [PAID]
    assert states(operator) == {REFUND: "DUE", OTHER: "EXHAUSTED", EXHAUSTED: "DUE", PAID: "DUE"}
    (row,) = operator.run_json("webhook", "resend", EXHAUSTED)
    assert row["attempts"] == 1  # attempts are kept, the schedule restarts


def test_all_exhausted_webhooks_are_resent(operator: Operator) -> None:
    assert causes(operator, "resend", "--all-exhausted", "--appcode", "app2") == [OTHER]
    assert states(operator)[EXHAUSTED] == "EXHAUSTED"
    assert causes(operator, "resend", "--all-exhausted") == [EXHAUSTED]
    assert causes(operator, "resend", "--all-exhausted") == []
    assert states(operator)[PAID] == "DELIVERED"


def test_a_resend_has_unambiguous_arguments(operator: Operator) -> None:
    assert "either" in operator.is_refused("webhook", "resend", code=2)
    assert "either" in operator.is_refused("webhook", "resend", EXHAUSTED, "--all-exhausted", code=2)
    assert "--kind" in operator.is_refused("webhook", "resend", "--all-exhausted", "--kind", "refund", code=2)
    assert "--appcode" in operator.is_refused("webhook", "resend", EXHAUSTED, "--appcode", "app2", code=2)
    assert "unknown" in operator.is_refused("webhook", "resend", "unknown", code=1)
    assert PAID in operator.is_refused("webhook", "resend", PAID, "--kind", "refund", code=1)
