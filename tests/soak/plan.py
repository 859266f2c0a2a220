"""The plan of a soak: a pure function of the seed. The result is not, since processes race.

The plan names no reference, key or port: `story.py` and `run.py` make those when they carry it out.
"""

import random
from dataclasses import dataclass
from itertools import cycle
from typing import Final

ALIPAY: Final = (
    "800151",
    "800152",
    "800101",
    "801101",
    "801107",
    "801110",
    "801501",
    "801510",
    "801512",
    "801514",
)
WECHAT: Final = ("800201", "800207", "800210", "800212", "800213", "801010")
ONLINE: Final = (*ALIPAY, *WECHAT)
OFFLINE: Final = ("800108", "800208", "800228", "801008", "800008")
#: An account with RSA2 signs no orders for apps.
NOT_SERVED: Final = {
    "wechat_only": frozenset({*ALIPAY, "800108"}),
    "chain_west": frozenset({"801110", "801510"}),
}
#: 801101 is for more than 1 HKD.
AMOUNTS_MINOR: Final = (500, 1000, 4321, 10_000)
#: Merchants of the demo by their shop at the wallets; one of them has WeChat only.
SHOPS: Final = ("demo", "demo", "wechat_only", "chain_east", "chain_west")
BEHAVIOURS: Final = (
    *("pays",) * 8,
    *("password",) * 3,
    *("password_then_pays",) * 2,
    *("unknown_then_paid",) * 2,
    *("unknown_then_nothing",) * 2,
    "refuses",
    "insufficient",
    "expired",
    "used",
)
#: A kill waits for a row between the two commits of one of these steps.
STEPS: Final = ("opening", "refunding", "reversing", "closing", "polling", "delivering")
APIS: Final = ("api-0", "api-1")
WORKERS: Final = ("worker-0", "worker-1")

FAULT_KINDS: Final = (
    "refuse_connection",
    "timeout_before",
    "timeout_after",
    "http_500",
    "slow",
    "system_error",
    "bad_signature",
    "wrong_amount",
    "drop_notice",
    "delay_notice",
    "duplicate_notice",
    "reorder_notices",
)
WALLETS: Final = ("alipay", "wechat", "wechat_hk")

GAP_OF_PAYMENTS_S: Final = 0.32
GAP_OF_UNMATCHED_S: Final = 3.0
GAP_OF_KILLS_S: Final = 3.0
GAP_OF_FAULTS_S: Final = 1.8
#: A slow wallet: its responses are outdated when they arrive.
GAP_OF_SLOWNESS_S: Final = 6.0
GAP_OF_CLOCKS_S: Final = 5.0
GAP_OF_CUTS_S: Final = 6.0
GAP_OF_RECEIVER_FAULTS_S: Final = 9.0
#: Of each server.
GAP_OF_DATABASE_DEATHS_S: Final = 45.0
GAP_OF_FREEZES_S: Final = 8.0
GAP_OF_HANGS_S: Final = 60.0
HANG_S: Final = 6.0
#: A lease ends after 15 s and an idle transaction after 10 s: the longest freezes outlast both.
FREEZES_S: Final = (0.5, 1.0, 2.0, 2.0, 4.0, 4.0, 12.0, 17.0)
#: How often a server is frozen, and not a process.
SERVER_SHARE: Final = 0.3
#: By cell. The first has the directory, too.
SERVERS: Final = ("cell_00's server", "cell_01's server")
#: For how long a killed server is down before it is started. Merchants of the first cell pay while the second's is.
DOWN_S: Final = {SERVERS[0]: (0.0, 0.0), SERVERS[1]: (4.0, 6.0)}
#: The first second is for the processes to start working.
BEGIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Action:
    """What a merchant or payer does with a payment, `after_s` seconds after its request."""

    after_s: float
    name: str  #: pay cancel wrong_password query repeat close refund reverse
    amounts: tuple[int, ...] = ()  #: of concurrent refunds
    times: int = 1  #: concurrent copies of the same request


@dataclass(frozen=True, slots=True)
class Pay:
    """One payment and all its actions."""

    at_s: float
    shop: str
    pay_type: str
    behaviour: str
    amount_minor: int
    valid_s: int | None
    times: int  #: concurrent copies of the request
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """The clock of wallets and gateway moves forward."""

    at_s: float
    advance_s: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL at the first moment from `at_s` on when `step` is in progress in one of `whom`."""

    at_s: float
    whom: tuple[str, ...]
    step: str


@dataclass(frozen=True, slots=True)
class DatabaseDeath:
    """SIGKILL for a server, which is started again after a while."""

    at_s: float
    server: str
    down_s: float


@dataclass(frozen=True, slots=True)
class Freeze:
    """SIGSTOP for a while, at the first moment when `step` is in progress in one of `whom`."""

    at_s: float
    for_s: float
    whom: tuple[str, ...]
    step: str


@dataclass(frozen=True, slots=True)
class ServerFreeze:
    """SIGSTOP for a server, for a while."""

    at_s: float
    for_s: float
    server: str


@dataclass(frozen=True, slots=True)
class Hang:
    """One wallet answers nothing, while merchants go on to use both."""

    at_s: float
    for_s: float
    wallet: str  #: alipay or wechat; both of WeChat's together


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one wallet for a while."""

    at_s: float
    for_s: float
    wallet: str
    kind: str
    times: int
    probability: float
    seed: int
    wait_s: float  #: how long it holds a connection, or delays a response or a notice


@dataclass(frozen=True, slots=True)
class Cut:
    """The wire to a server: cut and refused, held and released, held and then cut, or cut after a commit.

    `after_commit` is a marker: the wire is cut right after the commit of a transaction that contains it.
    """

    at_s: float
    for_s: float
    server: str
    how: str  #: cut held lost after_commit
    after_commit: bytes = b""


@dataclass(frozen=True, slots=True)
class ReceiverFault:
    """The merchants' receiver refuses, hangs or breaks off."""

    at_s: float
    for_s: float
    how: str


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An order that another program opens at WeChat with the shop's account, and that is paid."""

    at_s: float
    shop: str
    amount_minor: int


Step = (
    Pay | Unmatched | Jump | Kill | Freeze | DatabaseDeath | ServerFreeze | Cut | Hang | Fault | ReceiverFault
)


def plan(seed: int, minutes: float) -> tuple[Step, ...]:
    """All steps of a soak of this length, in order of time."""
    dice = random.Random(seed)
    seconds = minutes * 60
    steps: list[Step] = [_pay(at_s, dice) for at_s in _moments(GAP_OF_PAYMENTS_S, seconds, dice)]
    steps += [_jump(at_s, dice) for at_s in _moments(GAP_OF_CLOCKS_S, seconds, dice)]
    steps += [_kill(at_s, dice) for at_s in _moments(GAP_OF_KILLS_S, seconds, dice)]
    steps += _faults(seconds, dice)
    steps += [
        Fault(
            at_s, 3.0, dice.choice(WALLETS), "slow", 20, 1.0, dice.randrange(1 << 30), dice.uniform(0.5, 2.0)
        )
        for at_s in _moments(GAP_OF_SLOWNESS_S, seconds, dice)
    ]
    steps += _cuts(seconds, dice)
    steps += [
        ReceiverFault(at_s, dice.uniform(0.5, 3.0), dice.choice(("refuse", "hang", "break")))
        for at_s in _moments(GAP_OF_RECEIVER_FAULTS_S, seconds, dice)
    ]
    steps += [
        DatabaseDeath(at_s, server, dice.uniform(*DOWN_S[server]))
        for server in SERVERS
        for at_s in _moments(GAP_OF_DATABASE_DEATHS_S, seconds, dice)
    ]
    steps += [_freeze(at_s, dice) for at_s in _moments(GAP_OF_FREEZES_S, seconds, dice)]
    steps += _hangs(seconds, dice)
    steps += [
        Unmatched(at_s, dice.choice(SHOPS), dice.choice((100, 700, 4321)))
        for at_s in _moments(GAP_OF_UNMATCHED_S, seconds, dice)
    ]
    return tuple(sorted(steps, key=lambda step: step.at_s))


def _moments(gap_s: float, seconds: float, dice: random.Random) -> list[float]:
    """Moments one gap apart on average and at least half a gap, so that the system can recover."""
    moments: list[float] = []
    at_s = BEGIN_S + dice.random() * gap_s
    while at_s < seconds:
        moments.append(round(at_s, 3))
        at_s += gap_s * dice.uniform(0.5, 1.5)
    return moments


def _pay(at_s: float, dice: random.Random) -> Pay:
    shop = dice.choice(SHOPS)
    types = [code for code in (*ONLINE, *OFFLINE) if code not in NOT_SERVED.get(shop, ())]
    pay_type = dice.choice(types)
    amount_minor = dice.choice(AMOUNTS_MINOR if pay_type == "801101" else (100, *AMOUNTS_MINOR))
    is_online = pay_type in ONLINE
    return Pay(
        at_s=at_s,
        shop=shop,
        pay_type=pay_type,
        behaviour=dice.choice(BEHAVIOURS),
        amount_minor=amount_minor,
        valid_s=dice.choice((None, None, 300, 600)) if is_online else None,
        times=dice.choice((1, 1, 1, 1, 2, 3)),
        actions=tuple(
            sorted(
                _online_actions(amount_minor, dice) if is_online else _barcode_actions(amount_minor, dice),
                key=_when,
            )
        ),
    )


def _when(action: Action) -> float:
    return action.after_s


def _online_actions(amount_minor: int, dice: random.Random) -> list[Action]:
    actions = [Action(_soon(dice), "query") for _ in range(dice.randrange(4))]
    if dice.random() < 0.8:
        paid_after_s = _soon(dice)
        actions.append(Action(paid_after_s, "pay"))
        # The merchant queries at that moment: a job's response may be in flight while the notice arrives.
        actions.append(Action(max(0.0, round(paid_after_s - 0.3, 3)), "query"))
    if dice.random() < 0.1:
        actions.append(Action(_soon(dice), "cancel"))
    if dice.random() < 0.3:
        actions.append(Action(_soon(dice), "repeat", times=dice.choice((1, 3))))
    if dice.random() < 0.25:
        actions.append(Action(_soon(dice), "close", times=dice.choice((1, 2))))
    return actions + _refunds(amount_minor, dice)


def _barcode_actions(amount_minor: int, dice: random.Random) -> list[Action]:
    actions = [Action(_soon(dice), "query") for _ in range(dice.randrange(3))]
    actions += [
        Action(_soon(dice), name)
        for name, likely in (("pay", 0.6), ("wrong_password", 0.15), ("cancel", 0.15))
        if dice.random() < likely
    ]
    if dice.random() < 0.2:
        actions.append(Action(_soon(dice), "repeat", times=dice.choice((1, 3))))
    if dice.random() < 0.35:
        actions.append(Action(_soon(dice), "reverse", times=dice.choice((1, 2))))
    return actions + (_refunds(amount_minor, dice) if dice.random() < 0.7 else [])


def _refunds(amount_minor: int, dice: random.Random) -> list[Action]:
    """Concurrent parts, the whole amount, too much in sum, and repeats of a request."""
    half, third = amount_minor // 2, amount_minor // 3
    shapes = (
        (amount_minor,),
        (half, amount_minor - half),
        (half + 1,) * 4,
        (third,) * 6,
        (amount_minor,) * 3,
        (amount_minor + 1,),
        (1,) * 5,
    )
    actions: list[Action] = []
    while dice.random() < 0.55 and len(actions) < 3:
        actions.append(Action(1.0 + _soon(dice), "refund", dice.choice(shapes), dice.choice((1, 1, 2))))
    return actions


def _soon(dice: random.Random) -> float:
    return round(dice.expovariate(1 / 0.8), 3)


def _jump(at_s: float, dice: random.Random) -> Jump:
    return Jump(at_s, dice.choice((2, 3, 5, 5, 10, 16, 16, 130, 320, 700, 1900)))


def _cuts(seconds: float, dice: random.Random) -> list[Cut]:
    """Of each server in turn."""
    servers = cycle(dice.sample(SERVERS, len(SERVERS)))
    return [_cut(at_s, next(servers), dice) for at_s in _moments(GAP_OF_CUTS_S, seconds, dice)]


def _cut(at_s: float, server: str, dice: random.Random) -> Cut:
    how = dice.choice(("cut", "held", "lost", *("after_commit",) * 4))
    for_s = dice.uniform(0.2, 2.0)
    # States as they are written: a payment, a refund, and the reservation of a refund.
    marker = dice.choice((b"PAID", b"PAID", b"DONE", b"PROCESSING")) if how == "after_commit" else b""
    return Cut(at_s, for_s / 2 if marker else for_s, server, how, marker)


def _kill(at_s: float, dice: random.Random) -> Kill:
    step = dice.choice((*STEPS, "opening", "refunding", "polling"))
    if step in ("polling", "delivering"):
        return Kill(at_s, WORKERS, step)
    one_of_two = [(name,) for name in APIS] * 3  # merchants usually reach the other one
    whom = dice.choice((*one_of_two, APIS, (*APIS, *WORKERS)))
    return Kill(at_s, whom, step)


def _freeze(at_s: float, dice: random.Random) -> Freeze | ServerFreeze:
    if dice.random() < SERVER_SHARE:
        return ServerFreeze(at_s, dice.uniform(0.3, 3.0), dice.choice(SERVERS))
    kill = _kill(at_s, dice)
    return Freeze(at_s, dice.choice(FREEZES_S), kill.whom, kill.step)


def _hangs(seconds: float, dice: random.Random) -> list[Hang]:
    """One in the first half minute, then about one per minute, alternating."""
    wallets = dice.sample(("alipay", "wechat"), 2)
    hangs: list[Hang] = []
    at_s = BEGIN_S + dice.uniform(0.1, 0.45) * GAP_OF_HANGS_S
    while at_s < seconds:
        hangs.append(Hang(round(at_s, 3), HANG_S, wallets[len(hangs) % 2]))
        at_s += GAP_OF_HANGS_S * dice.uniform(0.8, 1.2)
    return hangs


def _faults(seconds: float, dice: random.Random) -> list[Fault]:
    """All kinds occur before one repeats."""
    faults: list[Fault] = []
    left: list[str] = []
    for at_s in _moments(GAP_OF_FAULTS_S, seconds, dice):
        if not left:
            left = dice.sample(FAULT_KINDS, len(FAULT_KINDS))
        faults.append(
            Fault(
                at_s,
                dice.uniform(1.0, 5.0),
                dice.choice(WALLETS),
                left.pop(),
                dice.choice((1, 2, 5, 10)),
                dice.choice((0.3, 0.6, 1.0)),
                dice.randrange(1 << 30),
                dice.choice((0.5, 1.0, 2.0, 5.0)),
            )
        )
    return faults
