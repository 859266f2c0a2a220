"""Finds a Chromium for the tests of pages, or installs one: `python -m tests.browser.chromium`.

Installs Debian's package if the caller is root and apt-get exists, otherwise Playwright's build if it can be
downloaded. If neither works, prints one line, and the browser tests are skipped; with `--must` this is an error.
"""

import functools
import os
import shutil
import subprocess
import sys
from typing import Final

from playwright.sync_api import sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
LIMIT_S: Final = 600
NONE: Final = "no Chromium was found and none could be installed: the browser tests are skipped"


def find_chromium() -> str | None:
    """The system's Chromium, or Playwright's."""
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if os.path.exists(own) else None


known_chromium = functools.cache(find_chromium)


def install() -> None:
    """Tries every way that this machine may allow. Failures are ignored."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _try("apt-get", "update", "-qq")
        _try("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium")
    if find_chromium() is None:
        _try(sys.executable, "-m", "playwright", "install", "chromium")


def _try(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return


def main() -> int:
    if find_chromium() is None:
        install()
    if find_chromium() is not None:
        return 0
    print(NONE, flush=True)
    return 1 if "--must" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
