"""Renders the phone: the whole page, or single regions that the script replaces.

A region's name is the `id` of its element. All values pass through the templates, which escape them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tael_sandbox.clock import Clock
from tael_sandbox.payers import CASH_CURRENCY, WALLETS, Payer
from tael_sandbox.phone import drawings, texts

if TYPE_CHECKING:  # the shop uses parts of this page without the wallets
    from tael_sandbox.phone.screen import Screen

FOLDER: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
REGIONS: Final = ("balance", "waiting", "code", "order", "history", "clock", "faults")
NOTES: Final = ("page-note", "waiting-note", "code-note", "link-note", "order-note", "tester-note")


@dataclass(frozen=True, slots=True)
class Note:
    """The phone's message about an action, shown next to its form."""

    text: str
    is_bad: bool = False
    return_to: str | None = None  #: the merchant's page, to which the payer can return


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a form: the screen, notes on it, the submitted fields, and the element to focus."""

    screen: "Screen"
    notes: Mapping[str, Note] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)
    focus: str | None = None
    view: str = "show"
    status: int = 200


class Pages:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "moment": texts.moment,
            "grouped": texts.grouped,
            "scenario": texts.scenario,
            "fault": texts.fault,
            "announcement": texts.announcement,
            "barcode": drawings.barcode,
            "qr": drawings.qr,
        }
        self._templates.globals |= {"texts": texts, "money": texts.money, "CASH_CURRENCY": CASH_CURRENCY}

    def regions(self, screen: "Screen") -> dict[str, str]:
        """The regions that follow the books and can be replaced at any time."""
        macros = self._templates.get_template("regions.html").make_module({"now": self._clock.now()})
        return {name: getattr(macros, name)(screen) for name in REGIONS}

    def notes(self, notes: Mapping[str, Note]) -> dict[str, str]:
        draw = self._templates.get_template("regions.html").make_module({"now": self._clock.now()})
        return {name: draw.note(notes[name]) if name in notes else Markup() for name in NOTES}  # type: ignore[attr-defined]

    def page(self, answer: Answer, payers: list[Payer]) -> str:
        return self._templates.get_template("phone.html").render(
            screen=answer.screen,
            regions=self.regions(answer.screen) | self.notes(answer.notes),
            notes=answer.notes,
            typed=answer.typed,
            view=answer.view,
            wallets=[(name, texts.WALLET_NAMES[name]) for name in WALLETS],
            payers=[payer for payer in payers if payer.wallet == answer.screen.payer.wallet],
        )
