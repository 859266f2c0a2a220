"""The overlap of a change of keys: what the wallet signs with the previous key is accepted until its end, then never.

Each protocol is held to it for responses, notices and browsers' returns, by signatures that the test makes itself.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tael.base.secret import Secret
from tael.base.transport import Answer, Result, Transport
from tael.channels.alipay_mapi.account import AlipayAccount, AlipaySignType
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.base import BadSignature, Channel
from tael.channels.outcomes import Paid
from tael.channels.wechat_v2.account import WeChatAccount, WeChatSignType
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.messages import from_xml
from tael.merchants.domain.account import Account, PreviousAccount
from tests.support import wechat
from tests.support.alipay import (
    NOW,
    PID,
    SIGN_TYPES,
    SYSSN,
    TRADE_NO,
    TestClock,
    alipay_account,
    alipay_order,
    notice_body,
    wallet_signature,
    xml_answer,
)

OLD, NEW, OTHER = "o" * 32, "n" * 32, "x" * 32
END: Final = NOW + timedelta(hours=72)
WECHAT_SIGN_TYPES: Final[tuple[WeChatSignType, ...]] = ("MD5", "HMAC-SHA256")
LAST_MOMENT: Final = END - timedelta(microseconds=1)

NOTICE: Final = {
    "notify_id": "n1",
    "notify_type": "trade_status_sync",
    "out_trade_no": SYSSN,
    "trade_no": TRADE_NO,
    "trade_status": "TRADE_FINISHED",
    "total_fee": "39.25",
    "currency": "HKD",
    "seller_id": PID,
}
RECORD: Final = {
    "result_code": "SUCCESS",
    "partner_trans_id": SYSSN,
    "alipay_trans_id": TRADE_NO,
    "alipay_trans_status": "TRADE_SUCCESS",
    "currency": "HKD",
    "trans_amount": "39.25",
    "alipay_pay_time": "20260102110430",
}
RETURN: Final = {"out_trade_no": SYSSN, "trade_no": TRADE_NO, "trade_status": "TRADE_FINISHED"}
REFUND: Final = {"out_trade_no": SYSSN, "out_refund_no": "1", "refund_status": "SUCCESS"}


class Scripted(Transport):
    """Answers each POST with `body`; confirms each notice of Alipay's."""

    __slots__ = ("body", "sent")

    def __init__(self, body: bytes = b"") -> None:
        super().__init__()
        self.body = body
        self.sent: list[bytes] = []

    async def call(self, method: str, url: str, *, body: bytes = b"", **_: Any) -> Result:
        self.sent.append(body)
        return Answer(200, {}, b"true" if method == "GET" else self.body)


class Noted:
    """The verifiers that a channel has reported."""

    def __init__(self) -> None:
        self.verifiers: list[Account | None] = []

    async def note(self, account: Account, verifier: Account | None) -> None:
        self.verifiers.append(verifier)


def wechat_account(sign_type: WeChatSignType = "MD5", previous: WeChatSignType = "MD5") -> WeChatAccount:
    old = replace(wechat.account(previous), key=Secret(OLD))
    new = replace(wechat.account(sign_type), key=Secret(NEW))
    return replace(new, previous=PreviousAccount(old, END))


def changed_alipay(new: AlipayAccount, old: AlipayAccount) -> AlipayAccount:
    return replace(new, previous=PreviousAccount(old, END))


def md5_account(*, online: bool = True) -> AlipayAccount:
    return changed_alipay(alipay_account(online=online, key=NEW), alipay_account(online=online, key=OLD))


def wechat_channel(at: object, transport: Transport, noted: Noted) -> WeChatV2:
    return WeChatV2(transport, TestClock(at), "http://wallet", note_answer=noted.note)  # type: ignore[arg-type]


def alipay_channel(at: object, transport: Transport, noted: Noted) -> AlipayMapi:
    return AlipayMapi(transport, TestClock(at), note_answer=noted.note)  # type: ignore[arg-type]


async def is_notice(channel: Channel, account: Account, body: bytes) -> bool:
    try:
        await channel.read_notice(account, {}, body)
    except BadSignature:
        return False
    return True


# ---- each kind of message, signed with a key and read at a time ----------------------------------------------------


async def wechat_response(key: str, at: object, noted: Noted) -> bool:
    fields = {**wechat.PAID, "trade_state": "SUCCESS"}
    channel = wechat_channel(at, Scripted(wechat.written(wechat.signed(fields, key))), noted)
    return isinstance(await channel.query(wechat.order("800201", wechat_account())), Paid)


async def wechat_notice(key: str, at: object, noted: Noted) -> bool:
    channel = wechat_channel(at, Scripted(), noted)
    return await is_notice(channel, wechat_account(), wechat.written(wechat.signed(wechat.PAID, key)))


async def wechat_refund_notice(key: str, at: object, noted: Noted) -> bool:
    padder = PKCS7(128).padder()
    padded = padder.update(wechat.written(REFUND, root="root")) + padder.finalize()
    aes_key = hashlib.md5(key.encode()).hexdigest().encode()
    encryptor = Cipher(algorithms.AES256(aes_key), modes.ECB()).encryptor()  # noqa: S305 - WeChat's choice
    content = base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
    channel = wechat_channel(at, Scripted(), noted)
    body = wechat.written({**wechat.IDENTITY, "req_info": content})
    return await is_notice(channel, wechat_account(), body)


async def alipay_response(key: str, at: object, noted: Noted) -> bool:
    body = xml_answer(RECORD, sign=wallet_signature(RECORD, "MD5", key=key))
    order = alipay_order("800108", md5_account(online=False))
    return isinstance(await alipay_channel(at, Scripted(body), noted).query(order), Paid)


async def alipay_notice(key: str, at: object, noted: Noted) -> bool:
    body = notice_body(NOTICE, sign=wallet_signature(NOTICE, "MD5", key=key))
    return await is_notice(alipay_channel(at, Scripted(), noted), md5_account(), body)


async def alipay_return(key: str, at: object, noted: Noted) -> bool:
    query = {**RETURN, "sign": wallet_signature(RETURN, "MD5", key=key), "sign_type": "MD5"}
    return alipay_channel(at, Scripted(), noted).read_return(md5_account(), query) == SYSSN


Message = Callable[[str, object, Noted], Awaitable[bool]]
MESSAGES: Final[tuple[Message, ...]] = (
    *(wechat_response, wechat_notice, wechat_refund_notice),
    *(alipay_response, alipay_notice, alipay_return),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
async def test_the_previous_key_is_accepted_until_the_overlap_ends(message: Message) -> None:
    noted = Noted()
    during = [await message(key, LAST_MOMENT, noted) for key in (NEW, OLD, OTHER)]
    after = [await message(key, END, noted) for key in (NEW, OLD, OTHER)]
    assert (during, after) == ([True, True, False], [True, False, False])


@pytest.mark.parametrize("message", [wechat_response, alipay_response], ids=["wechat", "alipay"])
async def test_each_response_is_reported_with_the_account_that_verified_it(message: Message) -> None:
    """None counts towards the incident, as without an overlap."""
    noted = Noted()
    for at in (LAST_MOMENT, END):
        for key in (NEW, OLD, OTHER):
            await message(key, at, noted)
    keys = [getattr(each, "key").reveal() if each else None for each in noted.verifiers]  # noqa: B009 - of subclasses
    assert keys == [NEW, OLD, None, NEW, None, None]


async def test_requests_are_signed_with_the_new_key_at_once() -> None:
    transport = Scripted()
    await wechat_channel(NOW, transport, Noted()).query(wechat.order("800201", wechat_account()))
    (sent,) = map(from_xml, transport.sent)
    assert wechat.signed(sent, NEW) == sent


# ---- sign types ----------------------------------------------------------------------------------------------------


async def test_wechat_signs_notices_with_both_algorithms_in_an_overlap_and_responses_with_the_requests() -> (
    None
):
    account = wechat_account("HMAC-SHA256", previous="MD5")
    accepted = {
        (at, key, sign_type)
        for at in (LAST_MOMENT, END)
        for key in (NEW, OLD, OTHER)
        for sign_type in WECHAT_SIGN_TYPES
        if await is_notice(
            wechat_channel(at, Scripted(), Noted()),
            account,
            wechat.written(wechat.signed(wechat.PAID, key, sign_type)),
        )
    }
    during = {(LAST_MOMENT, key, sign_type) for key in (NEW, OLD) for sign_type in WECHAT_SIGN_TYPES}
    assert accepted == {*during, (END, NEW, "HMAC-SHA256")}
    for sign_type in WECHAT_SIGN_TYPES:
        answer = wechat.signed({**wechat.PAID, "trade_state": "SUCCESS"}, OLD, sign_type)
        channel = wechat_channel(LAST_MOMENT, Scripted(wechat.written(answer)), Noted())
        assert isinstance(await channel.query(wechat.order("800201", account)), Paid) == (
            sign_type == account.sign_type
        )


@pytest.mark.parametrize("new", SIGN_TYPES)
@pytest.mark.parametrize("old", SIGN_TYPES)
async def test_alipays_notices_have_the_sign_type_of_either_key_set_and_no_other(
    old: AlipaySignType, new: AlipaySignType
) -> None:
    account = changed_alipay(alipay_account(new), alipay_account(old))
    for at, expected in ((LAST_MOMENT, {old, new}), (END, {new})):
        channel = alipay_channel(at, Scripted(), Noted())
        accepted = {
            sign_type
            for sign_type in SIGN_TYPES
            if await is_notice(channel, account, notice_body(NOTICE, sign_type))
        }
        assert accepted == expected


async def test_two_rsa_key_sets_accept_no_md5_notice_with_any_key() -> None:
    account = changed_alipay(alipay_account("RSA2"), alipay_account("RSA"))
    for key in ("", account.alipay_public_key, alipay_account().key.reveal()):
        body = notice_body(NOTICE, sign=wallet_signature(NOTICE, "MD5", key=key))
        assert not await is_notice(alipay_channel(NOW, Scripted(), Noted()), account, body)


# ---- other accounts ------------------------------------------------------------------------------------------------


async def test_a_notice_of_another_account_stays_refused_with_either_key() -> None:
    for key in (NEW, OLD):
        other = wechat.written(wechat.signed({**wechat.PAID, "sub_mch_id": "1900000999"}, key))
        assert not await is_notice(wechat_channel(NOW, Scripted(), Noted()), wechat_account(), other)
        fields = {**NOTICE, "seller_id": "2088000000000009"}
        body = notice_body(fields, sign=wallet_signature(fields, "MD5", key=key))
        assert not await is_notice(alipay_channel(NOW, Scripted(), Noted()), md5_account(), body)
