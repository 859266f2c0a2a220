"""A real browser for the tests of pages: Chromium, headless, that reaches this machine and nothing else.

`browser` belongs to a module and not to the session: while Playwright's synchronous side is open, its event loop
counts as running in this thread, and the asynchronous tests of other folders could not start theirs.
"""

import json
from collections.abc import Callable, Generator, Iterator
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.browser.chromium import known_chromium

NO_BROWSER: Final = "no Chromium: install the package chromium for the tests in a browser"
SWITCHES: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OUR_HOST: Final = "127.0.0.1"
WAIT_LIMIT_MS: Final = 15_000
#: What axe calls these breaks a page for somebody.
GRAVE: Final = ("serious", "critical")
AXE: Final = files("axe_playwright_python").joinpath("axe.min.js")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    if known_chromium() is None:
        pytest.skip(NO_BROWSER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All tests that have no browser are skipped at one place, so that the reason is printed once."""
    report = yield
    if report.skipped and known_chromium() is None:
        report.longrepr = (__file__, 1, f"Skipped: {NO_BROWSER}")
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=known_chromium(), args=list(SWITCHES))
        yield running
        running.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each in a context of its own; what is passed goes to the context, such as `viewport`.

    The test fails if a page asked for anything that is not on this machine, or if a script of it failed.
    """
    unmatched: list[str] = []
    failed: list[str] = []
    contexts = []

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).hostname == OUR_HOST:
            route.continue_()
        else:
            unmatched.append(route.request.url)
            route.abort()

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(WAIT_LIMIT_MS)
        context.route("**/*", guard)
        page = context.new_page()
        page.on("pageerror", lambda error: failed.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not unmatched, f"asked for what is elsewhere: {unmatched}"
    assert not failed, f"scripts failed: {failed}"


@pytest.fixture
def page(new_page: Callable[..., Page], request: pytest.FixtureRequest) -> Page:
    """A page as wide as a desktop's, or with the options that `@pytest.mark.parametrize(..., indirect=True)` gives."""
    options: dict[str, Any] = getattr(request, "param", {})
    return new_page(**({"viewport": {"width": 1280, "height": 900}} | options))


def check_accessibility(page: Page) -> None:
    """Fails with what axe calls serious or critical on the page as it is now, and its style with it."""
    page.wait_for_load_state()
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    told = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]
    assert not told, json.dumps(told, indent=1)
