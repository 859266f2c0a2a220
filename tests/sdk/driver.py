"""Runs in an SDK's own environment and calls the SDK as requested by lines of JSON. Imports nothing from tael.

The first line has the class to instantiate, its arguments, and attributes to set (the base URL). Each later line has a
method, by its path from that object, and its arguments. The response is a line with the result or the exception.
"""

import importlib
import json
import operator
import sys
from typing import Any


def client(spec: dict[str, Any]) -> Any:
    made = getattr(importlib.import_module(spec["module"]), spec["class"])(**spec["arguments"])
    for name, value in spec["attributes"].items():
        setattr(made, name, value)
    return made


def result(sdk: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {
            "call": request["call"],
            "answer": operator.attrgetter(request["call"])(sdk)(**request["fields"]),
        }
    except Exception as raised:
        return {"call": request["call"], "raised": type(raised).__name__, "message": str(raised)}


sdk = client(json.loads(sys.stdin.readline()))
for line in sys.stdin:
    print(json.dumps(result(sdk, json.loads(line))), flush=True)
