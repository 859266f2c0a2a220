"""Runs in an SDK's own environment and calls it as it is told, by lines of JSON; imports nothing of tael.

The first line says which class to make, of what, and which attributes to set (the base URL). Each later one
names a method, by its path from that object, and its arguments; the answer is a line with what it returned or raised.
"""

import importlib
import json
import operator
import sys
from typing import Any


def client(wanted: dict[str, Any]) -> Any:
    made = getattr(importlib.import_module(wanted["module"]), wanted["class"])(**wanted["arguments"])
    for name, value in wanted["attributes"].items():
        setattr(made, name, value)
    return made


def told(sdk: Any, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"call": asked["call"], "answer": operator.attrgetter(asked["call"])(sdk)(**asked["fields"])}
    except Exception as raised:
        return {"call": asked["call"], "raised": type(raised).__name__, "says": str(raised)}


sdk = client(json.loads(sys.stdin.readline()))
for line in sys.stdin:
    print(json.dumps(told(sdk, json.loads(line))), flush=True)
