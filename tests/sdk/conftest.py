"""The SDKs run against the fixtures of the sandbox's own tests: processes, used over HTTP."""

from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> dict[str, Any]:
    """The demo shop's account at WeChat Pay."""
    return sandbox.account("wechat")
