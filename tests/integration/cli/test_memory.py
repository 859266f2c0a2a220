"""API processes move their memory to huge pages. Where a kernel cannot do that, nothing happens."""

import mmap
import re
import subprocess
import sys
from ctypes import CDLL, addressof, c_char, c_size_t, c_void_p
from pathlib import Path
from typing import Final

import pytest

from tael.cli.memory import HUGE_PAGE_BYTES, MADV_COLLAPSE, _private_memory
from tests.integration.cli.test_listeners import gateway

#: With 30 MB of small objects.
PROGRAM: Final = """
from tael.cli.memory import use_huge_pages
kept = [str(number) for number in range(500_000)]
use_huge_pages()
assert kept[123_456] == "123456"
print(open("/proc/self/smaps_rollup").read())
"""
MAPS: Final = """\
55d1c8a00000-55d1c8a9d000 rw-p 00000000 00:00 0                          [heap]
55d1c8b00000-55d1c8b01000 r--p 00000000 08:01 1234                       /usr/bin/python3.11
55d1c8b01000-55d1c8b02000 rw-p 00001000 08:01 1234                       /usr/bin/python3.11
7f0000000000-7f0000400000 rw-p 00000000 00:00 0
7f0000400000-7f0000401000 rw-s 00000000 00:01 99                         /dev/shm/some file
7f0000500000-7f0000501000 ---p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
"""


def can_collapse() -> bool:
    """Whether this kernel moves memory to huge pages on demand."""
    with mmap.mmap(-1, 2 * HUGE_PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(bytes(2 * HUGE_PAGE_BYTES))
        first = c_char.from_buffer(memory)
        start = -(-addressof(first) // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        result: int = CDLL(None).madvise(c_void_p(start), c_size_t(HUGE_PAGE_BYTES), MADV_COLLAPSE)
        del first
        return result == 0


@pytest.fixture
def collapsing() -> None:
    if not can_collapse():
        pytest.skip("this kernel cannot move memory to huge pages on demand (Linux 6.1)")


def huge_bytes(smaps: str) -> int:
    found = re.search(r"^AnonHugePages: +(\d+) kB$", smaps, re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024


def test_memory_that_was_moved_holds_what_it_held() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)


@pytest.mark.usefixtures("collapsing")
def test_a_process_moves_its_memory_to_huge_pages() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert huge_bytes(done.stdout) > 5 * HUGE_PAGE_BYTES


@pytest.mark.usefixtures("collapsing")
@pytest.mark.parametrize(
    ("options", "has_moved"), [((), True), (("--demo",), False)], ids=["deployment", "demo"]
)
def test_an_api_process_moves_its_memory_except_in_a_demo(
    options: tuple[str, ...], has_moved: bool, tmp_path: Path
) -> None:
    with gateway(tmp_path, *options) as process:
        status, _, _ = process.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        smaps = Path(f"/proc/{process.running.pid}/smaps_rollup").read_text()
    assert status == 200
    assert (huge_bytes(smaps) > 0) is has_moved


def test_only_the_heap_and_memory_without_a_file_are_moved() -> None:
    assert list(_private_memory(MAPS)) == [
        (0x55D1C8A00000, 0x55D1C8A9D000),
        (0x7F0000000000, 0x7F0000400000),
    ]
