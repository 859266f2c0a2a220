"""The shop's articles, and the basket. Prices are set in HKD and converted to the shop's currency."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tael_client import Money

from tael_sandbox import rates

LIST_CURRENCY: Final = "HKD"
MAX_QUANTITY: Final = 99


@dataclass(frozen=True, slots=True)
class Article:
    """An article on the shelf; `picture` is the name of a drawing in the templates."""

    name: str
    title: str
    about: str
    list_price_minor: int
    picture: str

    def price(self, currency: str) -> Money:
        return Money(rates.convert(self.list_price_minor, LIST_CURRENCY, currency), currency)


SHELF: Final = (
    Article("milk_tea", "Hong Kong milk tea", "Strong, smooth, hot", 2200, "cup"),
    Article("oolong", "Tieguanyin oolong", "A pot for two", 4800, "pot"),
    Article("egg_tart", "Egg tart", "Warm, short crust", 1100, "tart"),
    Article("bun", "Pineapple bun", "With cold butter", 1650, "bun"),
    Article("tin", "Jasmine tea", "A tin of 100 g", 12800, "tin"),
)


class BadQuantity(Exception):
    """The submitted quantity is invalid; `name` is the article's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class Basket:
    """The quantity of each article by its name; 0 if absent."""

    counts: Mapping[str, int]

    @property
    def lines(self) -> list[tuple[Article, int]]:
        return [(article, self.counts[article.name]) for article in SHELF if self.counts.get(article.name)]

    def total(self, currency: str) -> Money:
        prices = (article.price(currency).amount_minor * count for article, count in self.lines)
        return Money(sum(prices), currency)

    @property
    def summary(self) -> str:
        """One line for the payer's wallet."""
        return ", ".join(f"{count} × {article.title}" for article, count in self.lines)


def read_basket(typed: Mapping[str, str]) -> Basket:
    """Raises BadQuantity."""
    return Basket({article.name: _count(article.name, typed.get(article.name, "")) for article in SHELF})


def _count(name: str, typed: str) -> int:
    text = typed.strip() or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or int(text) > MAX_QUANTITY:
        raise BadQuantity(name)
    return int(text)
