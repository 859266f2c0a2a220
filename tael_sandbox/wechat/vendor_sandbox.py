"""WeChat Pay's own sandbox: the same calls under a prefix, and the key that signs them there.

`getsignkey` returns the key to a merchant that signs with the live key. Behind the prefix are separate numbers, orders
and bills (see `registry.py`). No certificate is required, and a path may omit `/secapi`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from tael_sandbox.wechat.calls import COMMON, AdmittedRequest, Call
from tael_sandbox.wechat.endpoints import CALLS
from tael_sandbox.wechat.messages import xml_reply
from tael_sandbox.wechat.registry import vendor_sandbox_key

PREFIXES: Final = ("/sandboxnew", "/xdc/apiv2sandbox")
KEY_PATHS: Final = ("/sandboxnew/pay/getsignkey", "/xdc/apiv2getsignkey/sign/getsignkey")


def getsignkey(request: AdmittedRequest) -> Response:
    """The reply is not signed, since the merchant does not have the sandbox's key yet."""
    reply = {"return_code": "SUCCESS", "return_msg": "OK", "mch_id": request.text("mch_id")}
    return xml_reply({**reply, "sandbox_signkey": vendor_sandbox_key(request.account.key)})


def _key_calls() -> Iterator[Call]:
    needed = ("mch_id", "nonce_str", "sign")
    common = tuple(replace(element, required=element.name in needed) for element in COMMON)
    for path in KEY_PATHS:
        yield Call(path, (), getsignkey, common=common, is_for_provider=True, operation=KEY_PATHS[0])


def _prefixed_calls() -> Iterator[Call]:
    for call in CALLS:
        for prefix in PREFIXES:
            for path in {call.path, call.path.removeprefix("/secapi")}:
                yield replace(
                    call,
                    path=prefix + path,
                    operation=call.operation,
                    needs_certificate=False,
                    in_vendor_sandbox=True,
                )


VENDOR_SANDBOX_CALLS: Final = (*_key_calls(), *_prefixed_calls())
