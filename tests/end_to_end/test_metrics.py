"""Every metric of the API that is documented is reported by a demo after a few calls.

Two API processes share the demo's port, and a scrape reaches one of them.
"""

import re
from functools import cache
from typing import Final

from tests.end_to_end.merchant import Merchant, send
from tests.end_to_end.rig import ROOT, Demo, eventually

ROW: Final = re.compile(r"^\| `(tael_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
SAMPLE: Final = re.compile(r"^(tael_\w+)(?:\{(.*)\})? \S+$", re.MULTILINE)
#: Counted by the worker.
OF_WORKERS: Final = ("tael_job_", "tael_webhook_attempt_", "tael_webhooks_exhausted_")
#: Without a sample while there are no unmatched payments, and no certificates.
PERHAPS_EMPTY: Final = ("tael_unmatched_", "tael_certificate_", "tael_accounts_certificate_")


@cache
def documented() -> dict[str, tuple[str, ...]]:
    """The metrics of the manual, each with its labels."""
    rows = ROW.findall((ROOT / "docs" / "metrics.md").read_text("utf-8"))
    return {name: tuple(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}


def scraped(demo: Demo) -> str:
    return send(demo.gateway, "GET", "/metrics").body.decode()


def sampled(text: str) -> dict[str, set[tuple[str, ...]]]:
    """The names of metrics with samples, and the labels of each without a histogram's `le`."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for series, labels in SAMPLE.findall(text):
        name = series if series in documented() else re.sub("_(bucket|sum|count)$", "", series)
        names = tuple(sorted(set(re.findall(r'(\w+)="', labels)) - {"le"}))
        found.setdefault(name, set()).add(names)
    return found


def test_a_demo_reports_every_metric_of_the_api_with_its_labels(demo: Demo, shop: Merchant) -> None:
    shop.reversed("800208")
    shop.refunded("800208")
    shop.refunded("800108")
    expected = {
        name: {tuple(sorted(labels))}
        for name, labels in documented().items()
        if not name.startswith(OF_WORKERS + PERHAPS_EMPTY)
    }
    seen: dict[str, set[tuple[str, ...]]] = {}

    def look() -> dict[str, set[tuple[str, ...]]]:
        for name, labels in sampled(scraped(demo)).items():
            seen.setdefault(name, set()).update(labels)
        return {name: labels for name, labels in seen.items() if name in expected}

    assert eventually(look, lambda found: found == expected) == expected
    assert seen.keys() <= documented().keys()


def test_no_label_names_a_merchant_an_account_or_an_order(demo: Demo, shop: Merchant) -> None:
    paid = shop.paid("800208")
    accounts = [row["account_id"] for row in demo.ask("account", "list")]
    text = "".join(scraped(demo) for _ in range(4))
    assert "tael_call_duration_seconds_count" in text
    assert not [
        secret for secret in (shop.mchid, shop.appcode, shop.key, paid["syssn"], *accounts) if secret in text
    ]
