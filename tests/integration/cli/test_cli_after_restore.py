"""`tael after-restore`: an operator looks at a restored database, and applies what is safe."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tael.operations.store import Store
from tests.integration.recovery.test_after_restore import next_sequences
from tests.support.citus import needs_plain_postgres
from tests.support.old_rows import contents
from tests.support.operator import Operator, fill, operator_of
from tests.support.store import opened, with_a_merchant
from tests.support.values import a_payment

pytestmark = needs_plain_postgres


async def happened(store: Store) -> None:
    await with_a_merchant(store)
    await opened(store, a_payment())


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, happened)
    return operator_of(database_url, tmp_path)


def test_an_operator_looks_and_then_applies_once(operator: Operator) -> None:
    before = operator.in_store(contents)
    report = operator.run_json("after-restore")
    assert (report["is_applied"], report["payments"], report["unscheduled_accounts"]) == (False, 1, 3)
    shown = operator.run("after-restore")
    assert "run this command with --apply" in shown
    assert all(name in shown for name in report)
    assert operator.in_store(contents) == before

    assert operator.run_json("after-restore", "--apply") == report | {"is_applied": True}
    sequences = operator.in_store(next_sequences)
    assert len(sequences) == 100
    operator.run("after-restore", "--apply")
    assert operator.in_store(next_sequences) == sequences
    (entry,) = operator.run_json("audit", "list", "--kind", "serial")
    assert (entry["action"], entry["subject_id"]) == ("tael after-restore", report["timeline"])


def test_ciphertexts_under_keys_that_are_missing_are_counted(operator: Operator) -> None:
    assert operator.run_json("after-restore")["unknown_key_ciphertexts"] == 0
    other = {"TAEL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode()}
    without_key = replace(operator, environment=operator.environment | other)
    # The key of the app, and the credentials of three accounts.
    assert without_key.run_json("after-restore")["unknown_key_ciphertexts"] == 4
