"""The wallets as payments see them: the account and the channel of a payment, and its order there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tael.base.errors import NoChannel, OtherWalletsCode
from tael.base.pay_types import PayType
from tael.channels.base import Capabilities, Channel, ChannelOrder, ChannelRefund
from tael.merchants.credential_cache import AppContext, CredentialCache
from tael.merchants.domain.account import Account
from tael.merchants.domain.merchant import Merchant
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund


@dataclass(frozen=True, slots=True)
class Wallets:
    """Created once per process."""

    channels: Mapping[str, Channel]  #: by protocol
    credentials: CredentialCache
    public_url: str  #: of the gateway: where wallets send notices and payers back

    def channel(self, protocol: str) -> Channel:
        return self.channels[protocol]

    def capabilities(self, account: Account) -> Capabilities:
        return self.channels[account.protocol].capabilities(account)

    def account_for(
        self, context: AppContext, merchant: Merchant, pay_type: PayType, auth_code: str = ""
    ) -> Account:
        """The merchant's account that serves `pay_type`; for any wallet's barcode, that of the wallet with such codes.

        Raises NotSetUp if there is no account, NoChannel if none serves the pay type, OtherWalletsCode.
        """
        serving = [
            account
            for account in context.accounts_of(merchant)
            if pay_type.code in self.capabilities(account).pay_types
        ]
        if not serving:
            raise NoChannel
        if pay_type.wallet is not None:
            return serving[0]
        for account in serving:
            if self.channel(account.protocol).shows_code(auth_code):
                return account
        raise OtherWalletsCode

    async def account(self, payment: Payment) -> Account:
        """The account of `payment`. Raises LookupError if it is missing, which the database forbids."""
        account = await self.credentials.account(payment.account_id)
        if account is None:
            raise LookupError(f"the account {payment.account_id} of payment {payment.syssn} is missing")
        return account

    async def order(self, payment: Payment, auth_code: str = "") -> ChannelOrder:
        """The order of `payment`."""
        return order_for(payment, await self.account(payment), self.public_url, auth_code)

    async def refund_order(self, payment: Payment, refund: Refund) -> ChannelRefund:
        """The refund to pass to the channel, the same in every repeat."""
        order = await self.order(payment)
        return ChannelRefund(order, refund.syssn, refund.amount, refund.created_at, order.notice_url)


NOTICES: Final = "/notices"
RETURN: Final = "/return/alipay"


def order_for(payment: Payment, account: Account, public_url: str, auth_code: str = "") -> ChannelOrder:
    """The order of a payment: all that a channel needs, and nothing that changes between repeats."""
    return ChannelOrder(
        account=account,
        pay_type=payment.pay_type,
        syssn=payment.syssn,
        amount=payment.amount,
        subject=payment.subject,
        created_at=payment.created_at,
        expires_at=payment.expires_at,
        notice_url=notice_url(account, public_url),
        return_url=f"{public_url}{RETURN}/{account.account_id}",
        auth_code=auth_code,
        forbid_credit=payment.forbid_credit,
        openid=payment.openid,
        region=payment.region,
        payer_ip=payment.payer_ip,
        scene_info=payment.scene_info,
        goods_info=payment.goods_info,
        wallet_ref=payment.wallet_ref,
    )


def notice_url(account: Account, public_url: str) -> str:
    """Where the wallet sends notices about this account's orders."""
    return f"{public_url}{NOTICES}/{account.wallet}/{account.account_id}"
