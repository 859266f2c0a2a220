"""Renders the shop's pages, and single regions of an order's page for the script that updates them.

All values pass through the templates, which escape them. Pages load nothing from other hosts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tael_sandbox import rates
from tael_sandbox.phone.drawings import qr
from tael_sandbox.phone.pages import HEADERS
from tael_sandbox.phone.texts import money
from tael_sandbox.shop import texts
from tael_sandbox.shop.checkout import OPENID_FIELDS, total_of
from tael_sandbox.shop.goods import MAX_QUANTITY, SHELF
from tael_sandbox.shop.order import Order, Refund, refundable_minor, refunded_minor
from tael_sandbox.shop.order_store import StoredExchange, Webhook
from tael_sandbox.shop.payers import Openids

__all__ = ["FOLDER", "HEADERS", "Form", "Pages", "View"]

FOLDER: Final = Path(__file__).parent
REGIONS: Final = ("standing", "payer", "refunds", "actions", "exchanges", "webhooks")


@dataclass(frozen=True, slots=True)
class Form:
    """The submitted fields of a page's form, and the error of each invalid field."""

    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the page of an order shows."""

    order: Order
    refunds: list[Refund]
    exchanges: list[StoredExchange]
    webhooks: list[Webhook]
    form: Form = field(default_factory=Form)

    @property
    def refunded_minor(self) -> int:
        return refunded_minor(self.refunds)

    @property
    def refundable_minor(self) -> int:
        return refundable_minor(self.order, self.refunds)

    @property
    def next_refund(self) -> str:
        """The next refund's number, so that the same form sent twice makes one refund."""
        return f"{self.order.reference}-r{len(self.refunds) + 1}"


class Pages:
    """The shelf has its prices in `currency`, an order in its own."""

    def __init__(self, sandbox_url: str, currency: str) -> None:
        self._sandbox_url = sandbox_url.rstrip("/")
        self._currency = currency
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"qr": qr, "clock_time": texts.clock_time}
        self._templates.filters |= {"moment": texts.moment, "respcd": texts.respcd}
        self._templates.globals |= {
            "texts": texts,
            "money": money,
            "phone_of": self.phone_of,
            "sandbox_url": self._sandbox_url,
        }

    def phone_of(self, order: Order) -> str:
        """The URL of the payer's phone with the order opened."""
        query = {"wallet": texts.PAYMENT_METHODS[order.pay_type].wallet}
        if order.presentment:
            return f"{self._sandbox_url}/?{urlencode(query | {'opened': order.presentment})}#scan"
        return f"{self._sandbox_url}/?{urlencode(query)}"

    def shop(self, form: Form, reference: str, openids: Openids, latest: list[Order]) -> str:
        return self._draw(
            "shop.html",
            form=form,
            reference=reference,
            openids=openids,
            currency=self._currency,
            decimals=rates.exponent(self._currency),
            total=total_of(form.typed, self._currency),
            latest=latest,
            shelf=SHELF,
            max_quantity=MAX_QUANTITY,
            openid_fields=OPENID_FIELDS,
        )

    def order(self, view: View, note: str = "") -> str:
        return self._draw("order.html", view=view, note=note, regions=self.regions(view))

    def regions(self, view: View) -> dict[str, str]:
        """The regions that can be replaced at any time, by the `id` of their element."""
        macros = self._templates.get_template("regions.html").make_module()
        return {name: getattr(macros, name)(view) for name in REGIONS}

    def webhooks(self, latest: list[Webhook]) -> str:
        return self._draw("webhooks.html", latest=latest)

    def problem(self, title: str, text: str) -> str:
        return self._draw("problem.html", title=title, text=text)

    def _draw(self, name: str, **values: object) -> str:
        return self._templates.get_template(name).render(values)
