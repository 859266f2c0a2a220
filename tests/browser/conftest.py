"""A real browser for the tests of pages: headless Chromium without access to other machines.

`browser` has module scope: while Playwright's synchronous API is open, its event loop counts as running in this
thread, and the asynchronous tests of other folders could not start theirs.
"""

import json
from collections.abc import Callable, Generator, Iterator
from importlib.resources import files
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, sync_playwright

from tests.browser.chromium import known_chromium

NO_BROWSER: Final = "no Chromium: install the package chromium for the browser tests"
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
NARROW: Final[ViewportSize] = {"width": 375, "height": 812}
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
WIDE: Final[ViewportSize] = {"width": 1280, "height": 900}
WAIT_LIMIT_MS: Final = 15_000
#: axe's impacts that fail a test.
FAILING_IMPACTS: Final = ("serious", "critical")
AXE: Final = files("axe_playwright_python").joinpath("axe.min.js")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    if known_chromium() is None:
        pytest.skip(NO_BROWSER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports all skipped browser tests at one location, so that the reason is printed once."""
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
    """Opens pages, each in its own context with the given options, such as `viewport`.

    The test fails if a page requests anything from another machine, or if one of its scripts fails.
    """
    external: list[str] = []
    failed: list[str] = []
    contexts = []

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).hostname == OUR_HOST:
            route.continue_()
        else:
            external.append(route.request.url)
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
    assert not external, f"requests to other machines: {external}"
    assert not failed, f"scripts failed: {failed}"


@pytest.fixture
def page(new_page: Callable[..., Page], request: pytest.FixtureRequest) -> Page:
    """A page with a desktop's width, or with the options from `@pytest.mark.parametrize(..., indirect=True)`."""
    options: dict[str, Any] = getattr(request, "param", {})
    return new_page(**({"viewport": {"width": 1280, "height": 900}} | options))


def looks(page: Page) -> Iterator[str]:
    """Shows the page in its current state narrow and light, then wide and dark.

    What axe measures depends on the size or on the colors, hardly on both.

    Without motion, so that a color is not measured on its way to another.
    """
    for size, scheme in zip((NARROW, WIDE), SCHEMES, strict=True):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        yield f"{size['width']} pixels, {scheme}"


def targets_of(page: Page) -> list[tuple[str, float, float]]:
    """Text, width and height of everything that can be pressed, at one moment: a page may redraw itself."""
    found: list[tuple[str, float, float]] = page.evaluate(
        """[...document.querySelectorAll("a, button, select, input")]
            .map(target => [target, target.getBoundingClientRect()])
            .filter(([target, box]) => box.width && box.height && getComputedStyle(target).visibility == "visible")
            .map(([target, box]) => [target.innerText || target.name, box.width, box.height])"""
    )
    return found


def check_accessibility(page: Page) -> None:
    """Fails if axe finds serious or critical violations on the page in its current state."""
    page.wait_for_load_state()
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    messages = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in FAILING_IMPACTS
        for node in rule["nodes"]
    ]
    assert not messages, json.dumps(messages, indent=1)
