"""The code that each refusal of a wallet becomes. Pure."""

from collections.abc import Mapping
from typing import Final

from tael.base import respcd
from tael.channels.outcomes import Refusal

CODES: Final[Mapping[Refusal, str]] = {
    Refusal.PAYER_BALANCE: respcd.BALANCE,
    Refusal.PAYER_CODE: respcd.PAYER_CODE,
    Refusal.PAYER_CODE_EXPIRED: respcd.CODE_EXPIRED,
    Refusal.OTHER_WALLETS_CODE: respcd.CODE_ILLEGAL,
    Refusal.PAYER_CANCELLED: respcd.PAYER_CANCELLED,
    Refusal.PAYER_ACCOUNT: respcd.PAYER_ACCOUNT,
    Refusal.PAYER_BANK: respcd.BANK,
    Refusal.SWIPE_FAILED: respcd.SWIPE_FAILED,
    Refusal.CARD_KIND: respcd.CARD_KIND,
    Refusal.AMOUNT_LIMIT: respcd.AMOUNT,
    Refusal.RISK: respcd.RISK,
    Refusal.BAD_REQUEST: respcd.BAD_CHANNEL_REQUEST,
    Refusal.OUR_IDENTITY: respcd.CREDENTIALS,
    Refusal.OUR_CERTIFICATE: respcd.CERTIFICATE,
    Refusal.MERCHANT_SETUP: respcd.SETUP,
    Refusal.WALLET_CLOSED: respcd.UNREACHABLE,
    Refusal.NUMBER_REUSED: respcd.CHANNEL_ERROR,
    Refusal.ORDER_CLOSED: respcd.CLOSED,
    Refusal.NO_SUCH_TRADE: respcd.NOT_FOUND,
    Refusal.WRONG_STATE: respcd.NOT_ALLOWED,
    Refusal.MISMATCH: respcd.MISMATCH,
    Refusal.WINDOW_OVER: respcd.WINDOW_OVER,
    Refusal.ABOVE_REMAINDER: respcd.OVER_REFUND,
    Refusal.ALREADY_REFUNDED: respcd.ALREADY_REFUNDED,
    Refusal.MERCHANT_BALANCE: respcd.MERCHANT_BALANCE,
    Refusal.REVERSAL_REFUSED: respcd.REVERSAL_REFUSED,
    Refusal.CLOSE_REFUSED: respcd.CLOSE_REFUSED,
    Refusal.OTHER: respcd.CHANNEL_ERROR,
}


def code_of_refusal(refusal: Refusal) -> str:
    """The code a wallet's explicit refusal becomes; every refusal has one."""
    return CODES[refusal]
