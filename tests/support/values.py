"""Payments, refunds, accounts and apps for tests, each complete; a test names only what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, Literal

from tael.audit_log.domain.entry import Origin
from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES, PayType
from tael.base.secret import Secret
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.wechat_v2.account import WeChatAccount
from tael.db.due_queue import AccountLimits
from tael.merchants.domain.merchant import App, Merchant, Style
from tael.payments.domain.checkout import CheckoutLink
from tael.payments.domain.payment import FIRST_CHECK, Payment, State
from tael.payments.domain.refund import Refund
from tael.payments.domain.reversal import Reversal
from tests.support import cells

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MCHID: Final = "mch1"
APPCODE: Final = "app1"
AMOUNT: Final = Money(100, "HKD")
ONLINE: Final = PAY_TYPES["800201"]
#: Of every kind that the core and the models of the wallets tell apart, at least one.
KINDS: Final = {
    code: PAY_TYPES[code] for code in ("800151", "800152", "800108", "800201", "800207", "800208", "800228")
}
#: Claims rows of any account.
OF_ANY: Final = AccountLimits(("alipay_mapi", "wechat_v2"))
#: The protocol of each wallet's accounts.
PROTOCOLS: Final = {"alipay": "alipay_mapi", "wechat": "wechat_v2"}
BARCODE: Final = PAY_TYPES["800208"]
ALIPAY_ONLINE: Final = PAY_TYPES["800151"]

_numbers = count(1)


#: Of what tests change.
ORIGIN: Final = Origin("tester", "127.0.0.1", "a test", NOW)


def origin_at(at: datetime) -> Origin:
    return replace(ORIGIN, at=at)


def new_syssn() -> str:
    """A syssn that is unique in this test process."""
    return f"2026010201{cells.current():02d}9900{next(_numbers):08d}"


def a_payment(pay_type: PayType = ONLINE, **changes: Any) -> Payment:
    """A payment that was just opened."""
    syssn = new_syssn()
    expires_at = NOW + timedelta(seconds=pay_type.expires_after_s)
    payment = Payment(
        mchid=MCHID,
        syssn=syssn,
        appcode=APPCODE,
        pay_type=pay_type,
        reference=f"ref-{syssn}",
        amount=AMOUNT,
        account_id="wechat1",
        protocol=PROTOCOLS[pay_type.wallet or "wechat"],
        content="digest",
        subject="a thing",
        openid="",
        client_time="2026-01-02 11:04:05",
        device="",
        notify_merchant=True,
        created_at=NOW,
        changed_at=NOW,
        expires_at=expires_at,
        deadline=expires_at,
        check_at=NOW + FIRST_CHECK,
    )
    return payment.replace(**({"changed_at": changes.get("created_at", NOW)} | changes))


def a_link(**changes: Any) -> CheckoutLink:
    """A checkout link that was just opened, for an hour."""
    link = CheckoutLink(
        mchid=MCHID,
        reference="L",
        link_id="l" * 24,
        appcode=APPCODE,
        amount=AMOUNT,
        subject="白茶",
        openid="",
        client_time="2026-01-02 11:04:05",
        device="",
        return_url="https://shop.example/r",
        failed_url="https://shop.example/f",
        cancel_url="",
        order_s=None,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    return replace(link, **changes)


def a_paid_payment(pay_type: PayType = ONLINE, **changes: Any) -> Payment:
    """A payment that was paid a moment ago."""
    paid = {
        "state": State.PAID,
        "wallet_ref": "wallet-1",
        "payer_ref": "payer-1",
        "paid_at": NOW,
        "check_at": None,
        "has_initial_response": True,
    }
    return a_payment(pay_type, **(paid | changes))


def a_refund(payment: Payment, **changes: Any) -> Refund:
    """A refund of 40 that was just reserved."""
    syssn = new_syssn()
    refund = Refund(
        mchid=payment.mchid,
        syssn=syssn,
        payment_syssn=payment.syssn,
        account_id=payment.account_id,
        protocol=payment.protocol,
        reference=f"refund-{syssn}",
        amount=Money(40, payment.amount.currency),
        client_time="2026-01-02 12:04:05",
        device="",
        created_at=NOW,
        changed_at=NOW,
        check_at=NOW,
    )
    return replace(refund, **changes)


def a_reversal(payment: Payment, **changes: Any) -> Reversal:
    """A reversal that was just created; it reserves the remainder of `payment`, if that was paid."""
    reversal = Reversal(
        mchid=payment.mchid,
        syssn=new_syssn(),
        payment_syssn=payment.syssn,
        account_id=payment.account_id,
        protocol=payment.protocol,
        amount_minor=payment.refundable_minor if payment.state is State.PAID else 0,
        client_time="2026-01-02 12:04:05",
        fails_with=None,
        created_at=NOW,
        changed_at=NOW,
        check_at=NOW,
    )
    return replace(reversal, **changes)


def marked_for(payment: Payment, reversal: Reversal) -> Payment:
    """`payment` after `reversal` was created."""
    return payment.replace(
        reversal_syssn=reversal.syssn,
        reserved_minor=payment.reserved_minor + reversal.amount_minor,
    )


def an_app(appcode: str = APPCODE, **changes: Any) -> App:
    return replace(App(appcode, Secret(f"key-of-{appcode}"), None, None, Style.OLD), **changes)


def a_merchant(mchid: str = MCHID, appcode: str = APPCODE, **changes: Any) -> Merchant:
    return replace(Merchant(mchid, appcode, f"Shop {mchid}", "HKD", cell=cells.current()), **changes)


def an_alipay_account(
    account_id: str = "alipay1",
    mchid: str = MCHID,
    scene: Literal["online", "offline"] = "online",
    pid: str = "2088000000000001",
) -> AlipayAccount:
    return AlipayAccount(
        account_id=account_id,
        mchid=mchid,
        scene=scene,
        currency="HKD",
        pid=pid,
        sign_type="MD5",
        key=Secret("alipay-md5-key"),
        private_key=Secret(""),
        alipay_public_key="",
    )


def a_wechat_account(
    account_id: str = "wechat1", mchid: str = MCHID, sub_mch_id: str = "1900000110"
) -> WeChatAccount:
    return WeChatAccount(
        account_id=account_id,
        mchid=mchid,
        currency="HKD",
        mch_id="1900000109",
        appid="wx1111111111111111",
        key=Secret("wechat-v2-key"),
        certificate="certificate",
        certificate_key=Secret("wechat-certificate-key"),
        sign_type="MD5",
        sub_mch_id=sub_mch_id,
        sub_appid="wx2222222222222222",
        supports_wechat_hk=True,
    )
