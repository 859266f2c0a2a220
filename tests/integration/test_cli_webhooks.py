"""`tael webhook`: an operator sees what merchants were told and tells them again."""

import asyncio
import base64
from datetime import timedelta
from pathlib import Path

import pytest

from tael.operations.store import Store
from tael.webhooks.domain.webhook import WebhookKind, WebhookState
from tael.webhooks.store.queue import Attempt, Delivery
from tael.webhooks.store.webhooks import NewWebhook, write_webhooks
from tests.integration.test_cli import Operator
from tests.support.store import ENCRYPTION_KEY, entered_store, paid, with_a_merchant
from tests.support.values import APPCODE, MCHID, NOW, a_payment, an_app

PAID, EXHAUSTED, OTHER = (f"20260102010099000000000{n}" for n in (1, 2, 3))
REFUND = "202601020100990000000009"


async def told(store: Store) -> None:
    """A webhook that was delivered, one that is dead, one of another app's that is dead, one that is due."""
    await with_a_merchant(store)
    await store.merchants.add_app(an_app("app2"), NOW)
    for n, (syssn, appcode) in enumerate(((PAID, APPCODE), (EXHAUSTED, APPCODE), (OTHER, "app2"))):
        at = NOW + timedelta(seconds=n)
        await paid(store, a_payment(syssn=syssn, appcode=appcode, reference=syssn, created_at=at))
    async with store.database.transaction() as connection:
        refund = NewWebhook(MCHID, REFUND, WebhookKind.REFUND, APPCODE, PAID, NOW + timedelta(seconds=9))
        await write_webhooks(connection, [refund])
    rows = {row.cause: row for row in await store.webhooks.claim_due(NOW + timedelta(days=1), NOW, NOW, 9)}
    heard = Attempt(NOW, 12, 200, "acknowledged", b"success")
    refused = Attempt(NOW, 34, 500, "HTTP 500", b"\xffoops")
    await store.webhooks.report(
        [
            Delivery(rows[PAID], WebhookState.DELIVERED, heard, delivered_at=NOW),
            Delivery(rows[EXHAUSTED], WebhookState.EXHAUSTED, refused),
            Delivery(rows[OTHER], WebhookState.EXHAUSTED, refused),
        ]
    )


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    async def work() -> None:
        async with entered_store(database_url) as store:
            await told(store)

    asyncio.run(work())
    encryption_key = base64.b64encode(ENCRYPTION_KEY).decode()
    return Operator({"TAEL_DATABASE_URL": database_url, "TAEL_ENCRYPTION_KEY": encryption_key}, tmp_path)


def causes(operator: Operator, *arguments: str) -> list[str]:
    return [row["cause"] for row in operator.asks("webhook", *arguments)]


def states(operator: Operator) -> dict[str, str]:
    return {row["cause"]: row["state"] for row in operator.asks("webhook", "list")}


def test_webhooks_are_listed_newest_first(operator: Operator) -> None:
    assert causes(operator, "list") == [REFUND, OTHER, EXHAUSTED, PAID]
    assert causes(operator, "list", "--limit", "2") == [REFUND, OTHER]
    assert causes(operator, "list", "--appcode", "app2") == [OTHER]
    assert causes(operator, "list", "--state", "EXHAUSTED") == [OTHER, EXHAUSTED]
    assert causes(operator, "list", "--state", "EXHAUSTED", "--appcode", APPCODE) == [EXHAUSTED]
    assert causes(operator, "list", "--mchid", MCHID) == [REFUND, OTHER, EXHAUSTED, PAID]
    assert causes(operator, "list", "--mchid", "nobody") == []
    shown = operator.says("webhook", "list")
    assert all(word in shown for word in (PAID, "DELIVERED", "HTTP 500"))


def test_attempts_are_shown_with_what_was_answered(operator: Operator) -> None:
    (attempt,) = operator.asks("webhook", "attempts", EXHAUSTED)
    assert (attempt["attempt"], attempt["status"], attempt["took_ms"]) == (1, 500, 34)
    assert attempt["answer"] == "\\xffoops"
    assert "HTTP 500" in operator.says("webhook", "attempts", EXHAUSTED)
    assert operator.asks("webhook", "attempts", "nobody") == []


def test_one_is_told_again_in_whatever_state(operator: Operator) -> None:
    assert causes(operator, "resend", EXHAUSTED) == [EXHAUSTED]
    assert causes(operator, "resend", PAID, "--kind", "payment") == [PAID]
    assert states(operator) == {REFUND: "DUE", OTHER: "EXHAUSTED", EXHAUSTED: "DUE", PAID: "DUE"}
    (row,) = operator.asks("webhook", "resend", EXHAUSTED)
    assert row["attempts"] == 1  # they are history, the schedule begins anew


def test_all_that_is_dead_is_told_again(operator: Operator) -> None:
    assert causes(operator, "resend", "--all-exhausted", "--appcode", "app2") == [OTHER]
    assert states(operator)[EXHAUSTED] == "EXHAUSTED"
    assert causes(operator, "resend", "--all-exhausted") == [EXHAUSTED]
    assert causes(operator, "resend", "--all-exhausted") == []
    assert states(operator)[PAID] == "DELIVERED"


def test_a_resend_says_what_it_means(operator: Operator) -> None:
    assert "either" in operator.is_refused("webhook", "resend", code=2)
    assert "either" in operator.is_refused("webhook", "resend", EXHAUSTED, "--all-exhausted", code=2)
    assert "--kind" in operator.is_refused("webhook", "resend", "--all-exhausted", "--kind", "refund", code=2)
    assert "--appcode" in operator.is_refused("webhook", "resend", EXHAUSTED, "--appcode", "app2", code=2)
    assert "nobody" in operator.is_refused("webhook", "resend", "nobody", code=1)
    assert PAID in operator.is_refused("webhook", "resend", PAID, "--kind", "refund", code=1)
