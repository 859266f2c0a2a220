"""Sandboxes for the SDKs are those of the sandbox's own tests: processes, driven over HTTP."""

from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> dict[str, Any]:
    """The demo shop's at WeChat Pay."""
    return sandbox.account("wechat")
