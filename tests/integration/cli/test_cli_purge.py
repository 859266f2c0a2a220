"""`tael purge`: an operator removes personal data, by the real clock."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tael.operations.store import Store
from tests.support.old_rows import contents, finish
from tests.support.operator import Operator, fill, operator_of
from tests.support.store import with_a_merchant

BLANKED = (
    "payment",
    "refund",
    "checkout_link",
    "webhook",
    "webhook_attempt",
    "unmatched_payment",
    "statement",
)
COUNTED = dict.fromkeys(BLANKED, 1) | {"merchant_application": 0, "merchant_document": 0}


async def happened(store: Store) -> None:
    """Rows of long ago, whatever the time is now."""
    await with_a_merchant(store)
    payment = await finish(store)
    ago = datetime.now(UTC) - timedelta(days=92)
    for statement in (
        "UPDATE payment SET created_at = $1, changed_at = $1",
        "UPDATE refund SET created_at = $1, changed_at = $1",
        "UPDATE checkout_link SET created_at = $1, expires_at = $1",
        "UPDATE webhook SET created_at = $1, delivered_at = $1",
        "UPDATE webhook_attempt SET started_at = $1",
        "UPDATE unmatched_payment SET at = $1",
        "UPDATE statement SET stored_at = $1",
    ):
        await store.database.execute(statement, ago)
    assert payment.openid


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, happened)
    return operator_of(database_url, tmp_path)


def test_an_operator_counts_purges_and_repeats(operator: Operator) -> None:
    before = operator.in_store(contents)
    assert operator.run_json("purge", "--older-than", "91d", "--dry-run") == COUNTED
    assert operator.run_json("purge", "--older-than", "93d") == dict.fromkeys(COUNTED, 0)
    assert operator.in_store(contents) == before

    assert operator.run_json("purge", "--older-than", "91d") == COUNTED
    assert operator.run_json("purge", "--older-than", "91d") == dict.fromkeys(COUNTED, 0)
    assert "webhook_attempt" in operator.run("purge", "--older-than", "91d")
    kinds = {
        entry["subject_kind"]
        for entry in operator.run_json("audit", "list")
        if entry["action"] == "tael purge"
    }
    assert kinds == set(BLANKED)


def test_the_purged_webhook_and_file_are_refused_by_name(operator: Operator, tmp_path: Path) -> None:
    operator.run("purge", "--older-than", "91d")
    (webhook,) = json.loads(operator.run("webhook", "list", "--json"))
    assert webhook["is_purged"] is True
    assert operator.is_refused("webhook", "resend", webhook["cause"], code=1) == (
        f"tael: the webhook for {webhook['cause']} was purged and cannot be sent again\n"
    )
    (statement,) = operator.run_json("statement", "list")
    export = ("statement", "show", statement["statement_id"], "--original", str(tmp_path / "file"))
    assert operator.is_refused(*export, code=1) == "tael: the file was purged; only its lines are left\n"
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("age", ["89d", "0d"])
def test_a_short_age_is_refused(operator: Operator, age: str) -> None:
    shown = operator.is_refused("purge", "--older-than", age, code=2)
    assert shown == "tael: --older-than: must be at least 90d\n"


@pytest.mark.parametrize("age", ["400", "d", "-400d", "1y", "999999d", "9 0d"])
def test_an_age_that_is_no_number_of_days_is_refused(operator: Operator, age: str) -> None:
    shown = operator.is_refused("purge", f"--older-than={age}", code=2)
    assert shown == "tael: --older-than: must be a number of days such as 400d\n"
