"""The SDKs run against the fixtures of the sandbox's own tests: processes, used over HTTP."""

from typing import Any, Final

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop

A_DAY_S: Final = 24 * 60 * 60


@pytest.fixture(scope="module", params=["demo", "direct"], ids=["provider", "direct"])
def account(sandbox: Sandbox, request: pytest.FixtureRequest) -> dict[str, Any]:
    """At WeChat Pay: the demo shop, a sub-merchant of a service provider, and a merchant with its own contract."""
    return sandbox.account("wechat", request.param)


@pytest.fixture(scope="module")
def merchant(account: dict[str, Any]) -> Shop:
    return Shop(account)


@pytest.fixture
def new_day(sandbox: Sandbox) -> None:
    """Moves the clock to a day whose bill is not made yet: a payment is only in the bill that is made after it."""
    sandbox.advance(A_DAY_S)
