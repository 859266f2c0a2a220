"""Draws the shop's pages, and the regions of an order's page alone for the script that keeps them fresh.

All values go through the templates, which escape them. What is on a page comes from the shop itself and nobody else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tael_sandbox.phone.drawings import qr
from tael_sandbox.phone.pages import HEADERS
from tael_sandbox.phone.words import money
from tael_sandbox.shop import words
from tael_sandbox.shop.checkout import total_minor
from tael_sandbox.shop.goods import CURRENCY, MAX_OF_ONE, SHELF
from tael_sandbox.shop.order import Order, Refund, left_minor, refunded_minor
from tael_sandbox.shop.order_store import Seen, Webhook

__all__ = ["FOLDER", "HEADERS", "Form", "Pages", "View"]

FOLDER: Final = Path(__file__).parent
REGIONS: Final = ("standing", "payer", "refunds", "actions", "wire", "told")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a page: what was typed, and what is wrong with which field."""

    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """All that the page of an order shows."""

    order: Order
    refunds: list[Refund]
    exchanges: list[Seen]
    webhooks: list[Webhook]
    form: Form = field(default_factory=Form)

    @property
    def refunded_minor(self) -> int:
        return refunded_minor(self.refunds)

    @property
    def left_minor(self) -> int:
        return left_minor(self.order, self.refunds)

    @property
    def next_refund(self) -> str:
        """The next refund's number: the same form sent twice asks for one refund."""
        return f"{self.order.reference}-r{len(self.refunds) + 1}"


class Pages:
    def __init__(self, sandbox_url: str) -> None:
        self._sandbox_url = sandbox_url.rstrip("/")
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"qr": qr, "clock_time": words.clock_time}
        self._templates.filters |= {"moment": words.moment, "respcd": words.respcd}
        self._templates.globals |= {
            "words": words,
            "money": money,
            "phone_of": self.phone_of,
            "sandbox_url": self._sandbox_url,
            "currency": CURRENCY,
        }

    def phone_of(self, order: Order) -> str:
        """The payer's phone, with what is to be paid open on it."""
        asked = {"wallet": words.WALLETS[order.pay_type]}
        if order.pay_way:
            return f"{self._sandbox_url}/?{urlencode(asked | {'opened': order.pay_way})}#scan"
        return f"{self._sandbox_url}/?{urlencode(asked)}"

    def shop(
        self, form: Form, reference: str, openids: Sequence[tuple[str, str]], latest: list[Order]
    ) -> str:
        return self._draw(
            "shop.html",
            form=form,
            reference=reference,
            openids=openids,
            total_minor=total_minor(form.typed),
            latest=latest,
            shelf=SHELF,
            most_of_one=MAX_OF_ONE,
        )

    def order(self, view: View, note: str = "") -> str:
        return self._draw("order.html", view=view, note=note, regions=self.regions(view))

    def regions(self, view: View) -> dict[str, str]:
        """What may be drawn anew at any time, by the `id` of its element."""
        macros = self._templates.get_template("regions.html").make_module()
        return {name: getattr(macros, name)(view) for name in REGIONS}

    def webhooks(self, latest: list[Webhook]) -> str:
        return self._draw("webhooks.html", latest=latest)

    def problem(self, title: str, text: str) -> str:
        return self._draw("problem.html", title=title, text=text)

    def _draw(self, name: str, **values: object) -> str:
        return self._templates.get_template(name).render(values)
