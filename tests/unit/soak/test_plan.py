"""The plan of a soak: the same for the same seed, in order, and complete if it is long enough."""

import re
from collections.abc import Iterable
from itertools import pairwise, product
from pathlib import Path
from typing import Final

import pytest

from tests.soak.plan import (
    APIS,
    BEHAVIOURS,
    FAULT_KINDS,
    OFFLINE,
    ONLINE,
    SERVERS,
    SHOPS,
    STEPS,
    WALLETS,
    WORKERS,
    Cut,
    DatabaseDeath,
    Fault,
    Freeze,
    Hang,
    Jump,
    Kill,
    Pay,
    ReceiverFault,
    ServerFreeze,
    Step,
    Unmatched,
    plan,
)
from tests.soak.rig import HOLDING_SHOPS
from tests.soak.separation import SECOND, SETTLED_S

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"
SEEDS: Final = (1, 2, 3, 1001)
ACTS: Final = {"pay", "cancel", "wrong_password", "query", "repeat", "close", "refund", "reverse"}
#: The names that `run.py` and `receiver.py` accept.
CUTS: Final = {"cut", "held", "lost", "after_commit"}
#: The rows of a worker that is frozen for longer are claimed by another.
LEASE_S: Final = 15
RECEIVER_FAULTS: Final = {"refuse", "hang", "break"}


def pays(steps: Iterable[Step]) -> list[Pay]:
    return [step for step in steps if isinstance(step, Pay)]


def documented(heading: str) -> set[str]:
    """The first column of the table under this heading of the sandbox's page."""
    page = (DOCS / "sandbox.md").read_text("utf-8")
    table = page.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_is_a_plan(seed: int) -> None:
    assert plan(seed, 3) == plan(seed, 3)


def test_another_seed_is_another_plan() -> None:
    plans = [plan(seed, 1) for seed in range(20)]
    assert len(set(plans)) == 20


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("minutes", [0.5, 1, 10])
def test_steps_follow_one_another_inside_the_time(seed: int, minutes: float) -> None:
    moments = [step.at_s for step in plan(seed, minutes)]
    assert moments == sorted(moments)
    assert moments[0] >= 0
    assert moments[-1] < minutes * 60


def test_a_longer_plan_is_busy_to_its_end() -> None:
    moments = [step.at_s for step in plan(1, 10)]
    assert max(later - earlier for earlier, later in pairwise(moments)) < 10
    assert moments[-1] > 590


def test_the_faults_are_those_that_the_sandbox_can_do() -> None:
    assert set(FAULT_KINDS) == documented("Kind | Effect")
    assert len(FAULT_KINDS) == len(set(FAULT_KINDS))


def test_the_payers_behaviours_are_those_of_the_sandbox() -> None:
    assert set(BEHAVIOURS) == documented("Behaviour | At the wallet | 800108 | 800208, 800228")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fault_comes_within_any_minute(seed: int) -> None:
    faults = [step for step in plan(seed, 10) if isinstance(step, Fault)]
    for second in range(0, 541):
        kinds = {fault.kind for fault in faults if second <= fault.at_s < second + 60}
        assert kinds == set(FAULT_KINDS), f"from second {second} on"


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_have_every_payment_in_them(seed: int) -> None:
    found = pays(plan(seed, 10))
    assert {pay.pay_type for pay in found} == {*ONLINE, *OFFLINE}
    assert {pay.shop for pay in found} == set(SHOPS)
    assert {pay.behaviour for pay in found if pay.pay_type in OFFLINE} == set(BEHAVIOURS)
    assert {action.name for pay in found for action in pay.actions} == ACTS
    assert {pay.times > 1 for pay in found} == {True, False}
    assert {pay.valid_s is None for pay in found if pay.pay_type in ONLINE} == {True, False}


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_have_every_disturbance_in_them(seed: int) -> None:
    steps = plan(seed, 10)
    kills = [step for step in steps if isinstance(step, Kill)]
    assert {kill.step for kill in kills} == set(STEPS)
    assert {name for kill in kills for name in kill.whom} == {*APIS, *WORKERS}
    assert {step.wallet for step in steps if isinstance(step, Fault)} == set(WALLETS)
    cuts = {(step.server, step.how) for step in steps if isinstance(step, Cut)}
    assert cuts == set(product(SERVERS, CUTS))
    assert {step.how for step in steps if isinstance(step, ReceiverFault)} == RECEIVER_FAULTS
    freezes = [step for step in steps if isinstance(step, Freeze)]
    assert {name for freeze in freezes for name in freeze.whom} == {*APIS, *WORKERS}
    assert {step.server for step in steps if isinstance(step, ServerFreeze)} == set(SERVERS)
    assert max(freeze.for_s for freeze in freezes) > LEASE_S
    assert {step.wallet for step in steps if isinstance(step, Hang)} == {"alipay", "wechat"}
    assert any(isinstance(step, Jump) for step in steps)


@pytest.mark.parametrize("seed", range(20))
def test_each_server_is_killed_and_cut_off_within_the_first_minute(seed: int) -> None:
    steps = plan(seed, 1)
    assert {step.server for step in steps if isinstance(step, DatabaseDeath)} == set(SERVERS)
    assert {step.server for step in steps if isinstance(step, Cut)} == set(SERVERS)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_second_server_is_down_for_longer_than_the_first_needs_to_settle(seed: int) -> None:
    down_s = [
        death.down_s
        for death in plan(seed, 10)
        if isinstance(death, DatabaseDeath) and death.server == SECOND
    ]
    assert min(down_s) > SETTLED_S


@pytest.mark.parametrize("seed", SEEDS)
def test_unmatched_payments_come_under_both_policies_within_any_minute(seed: int) -> None:
    found = [step for step in plan(seed, 10) if isinstance(step, Unmatched)]
    assert {step.shop for step in found} == set(SHOPS)
    for second in range(0, 541):
        shops = {step.shop for step in found if second <= step.at_s < second + 60}
        assert shops & HOLDING_SHOPS, f"from second {second} on"
        assert shops - HOLDING_SHOPS, f"from second {second} on"


@pytest.mark.parametrize("seed", range(20))
def test_a_wallet_hangs_within_the_first_minute_and_has_the_time_to(seed: int) -> None:
    first = next(step for step in plan(seed, 1) if isinstance(step, Hang))
    assert first.at_s + first.for_s < 45


@pytest.mark.parametrize("seed", SEEDS)
def test_the_plan_has_only_supported_actions(seed: int) -> None:
    """Only online orders are closed, only barcodes reversed, and a shop of WeChat's has no Alipay."""
    for pay in pays(plan(seed, 10)):
        names = {action.name for action in pay.actions}
        assert not names & ({"reverse", "wrong_password"} if pay.pay_type in ONLINE else {"close"})
        if pay.shop == "wechat_only":
            assert pay.pay_type[3] == "2" or pay.pay_type in ("800008", "801008", "801010")


@pytest.mark.parametrize("seed", SEEDS)
def test_refunds_ask_for_parts_for_all_and_for_too_much(seed: int) -> None:
    asked = [
        (sum(action.amounts), pay.amount_minor)
        for pay in pays(plan(seed, 10))
        for action in pay.actions
        if action.name == "refund"
    ]
    assert {(total > amount) - (total < amount) for total, amount in asked} == {-1, 0, 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_after_a_commit_has_a_marker(seed: int) -> None:
    for step in plan(seed, 10):
        if isinstance(step, Cut):
            assert bool(step.after_commit) == (step.how == "after_commit")
