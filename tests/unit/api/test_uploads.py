"""Multipart bodies with files: read in pieces of any size, within the memory of a process."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists
from starlette.requests import Request
from starlette.types import Message

from tael.api.request_body import BodyTooLarge
from tael.api.uploads import MAX_UPLOAD_BYTES, Upload, UploadMemory, read_upload
from tael.base.errors import OutOfService
from tael.merchants.domain.document import MAX_DOCUMENT_BYTES
from tael.qfpay.errors import UnreadableMessage
from tests.support.documents import BOUNDARY, PDF, multipart, png

PARAMS = {"mchid": "m", "name": "茶"}
BODY = multipart(PARAMS, [("shopphoto", "a.png", png()), ("other_1", "", b""), ("other_2", "", PDF)])


async def read(
    pieces: Sequence[bytes], memory: UploadMemory | None = None, boundary: str = BOUNDARY
) -> Upload:
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    request = Request({"type": "http", "query_string": b"a=1", "headers": []}, receive)
    with (memory or UploadMemory()).reservation() as reservation:
        return await read_upload(request, boundary.encode(), reservation, 1000)


def is_whole(upload: Upload) -> bool:
    files = [(each.name, each.content, each.is_too_large) for each in upload.files]
    return upload.parameters.values == {**PARAMS, "a": "1"} and files == [
        (b"shopphoto", png(), False),
        (b"other_2", PDF, False),
    ]


@given(lists(integers(0, len(BODY)), max_size=8))
async def test_a_body_may_be_cut_anywhere(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[start:end] for start, end in itertools.pairwise(places)]
    assert is_whole(await read(pieces))


@pytest.mark.parametrize("length", [MAX_DOCUMENT_BYTES, MAX_DOCUMENT_BYTES + 1])
async def test_a_file_above_the_limit_is_marked_and_not_kept(length: int) -> None:
    upload = await read([multipart({}, [("other_1", "x", bytes(length))])])
    (file,) = upload.files
    assert (file.is_too_large, len(file.content)) == (
        (False, length) if length == MAX_DOCUMENT_BYTES else (True, 0)
    )


async def test_a_body_above_the_limit_is_refused_and_gives_its_memory_back() -> None:
    memory, piece = UploadMemory(MAX_UPLOAD_BYTES), bytes(1 << 20)
    head = BODY[: BODY.index(b"\x89PNG")]
    for _ in range(2):
        with pytest.raises(BodyTooLarge):
            await read([head, *[piece] * (MAX_UPLOAD_BYTES >> 20)], memory)
    assert is_whole(await read([BODY], memory))


async def test_uploads_share_the_memory_of_a_process() -> None:
    memory = UploadMemory(len(BODY) + 10)
    with memory.reservation() as held:
        assert held.take(11)
        with pytest.raises(OutOfService, match="too many uploads"):
            await read([BODY], memory)
    assert is_whole(await read([BODY], memory))


@pytest.mark.parametrize(
    "body",
    [
        BODY[:-4],
        BODY[4:],
        multipart({"name": "x" * 1001}),
        multipart(dict.fromkeys(map(str, range(201)), "")),
        b"x",
    ],
    ids=["no end", "no beginning", "long text", "many parts", "no multipart"],
)
async def test_a_broken_body_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        await read([body])


async def test_a_body_without_a_boundary_is_unreadable() -> None:
    for boundary in ("", "x" * 1000):
        with pytest.raises(UnreadableMessage):
            await read([BODY], boundary=boundary)
