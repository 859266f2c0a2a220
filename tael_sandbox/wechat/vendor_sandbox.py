"""WeChat Pay's own sandbox: the calls once more under a prefix, and the key that signs them there.

`getsignkey` hands the key out to who signs with the real one. Behind the prefix are numbers, orders and bills of their
own (see `registry.py`); the certificate is not asked for, and a path may leave out `/secapi`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from tael_sandbox.wechat.calls import COMMON, Ask, Call
from tael_sandbox.wechat.endpoints import CALLS
from tael_sandbox.wechat.messages import xml_reply
from tael_sandbox.wechat.registry import vendor_sandbox_key

PREFIXES: Final = ("/sandboxnew", "/xdc/apiv2sandbox")
KEY_PATHS: Final = ("/sandboxnew/pay/getsignkey", "/xdc/apiv2getsignkey/sign/getsignkey")


def getsignkey(ask: Ask) -> Response:
    """Not signed: who asks has the key to nothing yet."""
    said = {"return_code": "SUCCESS", "return_msg": "OK", "mch_id": ask.text("mch_id")}
    return xml_reply({**said, "sandbox_signkey": vendor_sandbox_key(ask.provider.key)})


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
