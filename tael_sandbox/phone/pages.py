"""Draws the phone: the whole page, or each of its regions alone for a script that puts them in place.

A region's name is the `id` of its element. All values go through the templates, which escape them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tael_sandbox.clock import Clock
from tael_sandbox.payers import CASH_CURRENCY, WALLETS, Payer
from tael_sandbox.phone import drawings, words

if TYPE_CHECKING:  # the shop draws with parts of this page, and has none of the wallets behind it
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
    """What the phone says to what was just done, next to where it was done."""

    text: str
    is_bad: bool = False
    return_to: str | None = None  #: the merchant's page, to which a payer may go back


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a form: a screen, notes on it, what was typed, and where a reader goes on."""

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
            "moment": words.moment,
            "grouped": words.grouped,
            "fate": words.scenario,
            "fault": words.fault,
            "news": words.news,
            "barcode": drawings.barcode,
            "qr": drawings.qr,
        }
        self._templates.globals |= {"words": words, "money": words.money, "CASH_CURRENCY": CASH_CURRENCY}

    def regions(self, screen: "Screen") -> dict[str, str]:
        """What follows the books, and may be drawn anew at any time."""
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
            wallets=[(name, words.WALLET_NAMES[name]) for name in WALLETS],
            payers=[payer for payer in payers if payer.wallet == answer.screen.payer.wallet],
        )
