"""A merchant's webhook receiver: keeps every call unchanged, and answers as a test sets."""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from werkzeug import Request, Response

from tests.end_to_end.merchant import signed_text
from tests.end_to_end.rig import Members, eventually
from tests.support.local_server import local_server, target_of

ACKNOWLEDGED: Final = (200, b"success")


@dataclass(frozen=True, slots=True)
class Call:
    """One webhook. Header names are lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    members: Members


class Receiver:
    """All calls by the merchant's reference. The set responses are used in turn; after them, calls are acknowledged."""

    def __init__(self) -> None:
        self.url = ""
        self._calls: dict[str, list[Call]] = defaultdict(list)
        self._answers: dict[str, deque[tuple[int, bytes]]] = {}
        self._lock = threading.Lock()

    def will_answer(self, reference: str, *answers: tuple[int, bytes]) -> None:
        with self._lock:
            self._answers[reference] = deque(answers)

    def take(self, call: Call) -> tuple[int, bytes]:
        reference = str(call.members["out_trade_no"])
        with self._lock:
            self._calls[reference].append(call)
            answers = self._answers.get(reference)
            return answers.popleft() if answers else ACKNOWLEDGED

    def calls(self, reference: str) -> list[Call]:
        with self._lock:
            return list(self._calls[reference])

    def wait(self, reference: str, how_many: int = 1) -> list[Call]:
        """Wait for this many calls about this reference. Fails if they never come."""
        calls = eventually(lambda: self.calls(reference), lambda seen: len(seen) >= how_many)
        assert len(calls) >= how_many, f"{len(calls)} of {how_many} webhooks came"
        return calls


def old_text(members: Members) -> bytes:
    """The signed text that an old-style receiver rebuilds from the parsed body."""
    return signed_text({name: str(value) for name, value in members.items()}).encode()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of the loopback."""
    receiver = Receiver()

    def take(request: Request) -> Response:
        body = request.get_data()
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, words = receiver.take(Call(target_of(request), headers, body, _members(body)))
        return Response(words, status)

    with local_server(take) as receiver.url:
        yield receiver


def _members(body: bytes) -> Members:
    members = json.loads(body)
    assert isinstance(members, dict)
    return members
