"""The machine and the versions that figures were measured on, with the rate of flushes to its disk."""

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psycopg

FLUSH_S: Final = 1.0
FLUSH_BYTES: Final = 8192
LOOP_S: Final = 0.5
LOOP_TURNS: Final = 1000
LIBRARIES: Final = ("aiohttp", "asyncpg", "httptools", "msgspec", "starlette", "tael", "uvicorn", "uvloop")
#: Of PostgreSQL; what decides about durability and batches.
SETTINGS: Final = (
    *("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"),
    *("shared_buffers", "max_wal_size", "max_connections", "autovacuum"),
)


@dataclass(frozen=True, slots=True)
class Rig:
    cores: int
    cpu: str
    memory_gib: float
    system: str
    python: str
    libraries: Mapping[str, str]
    postgres: Mapping[str, str]
    flushes_per_s: float
    load_before: float  #: the load average of the last minute, as the run began


def rig_of(database_url: str, folder: Path) -> Rig:
    with psycopg.connect(database_url) as connection:
        postgres = {name: _setting(connection, name) for name in SETTINGS}
    return Rig(
        cores=os.cpu_count() or 0,
        cpu=_proc("/proc/cpuinfo", "model name"),
        memory_gib=round(int(_proc("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        system=platform.platform(),
        python=platform.python_version(),
        libraries={name: version(name) for name in LIBRARIES},
        postgres=postgres,
        flushes_per_s=round(flush_rate(folder)),
        load_before=os.getloadavg()[0],
    )


def flush_rate(folder: Path) -> float:
    """How often a second a block can be written to a file in `folder` and flushed."""
    path = folder / "flush-rate"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            block, count = bytes(FLUSH_BYTES), 0
            began = time.perf_counter()
            while time.perf_counter() - began < FLUSH_S:
                os.pwrite(descriptor, block, 0)
                os.fdatasync(descriptor)
                count += 1
            return count / (time.perf_counter() - began)
        finally:
            os.close(descriptor)
    finally:
        path.unlink(missing_ok=True)


def cpu_jitter() -> float:
    """How long a loop takes at its 90th percentile, as a multiple of its fastest: near 1 on a machine of its own.

    Nothing else of the benchmark may run. On a shared machine others slow a processor down without using its time as
    far as this system can see, so no load average shows it.
    """
    times, until = [], time.perf_counter() + LOOP_S
    while time.perf_counter() < until:
        began = time.perf_counter()
        for _ in range(LOOP_TURNS):
            pass
        times.append(time.perf_counter() - began)
    times.sort()
    return times[int(len(times) * 0.9)] / times[0]


def shown(rig: Rig) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in rig.libraries.items())
    settings = ", ".join(f"{name} {value}" for name, value in rig.postgres.items())
    return (
        f"{rig.cores} cores, {rig.cpu}, {rig.memory_gib} GiB, {rig.system}\n"
        f"Python {rig.python}, {libraries}\n"
        f"PostgreSQL: {settings}\n"
        f"{rig.flushes_per_s:.0f} flushes a second of {FLUSH_BYTES} bytes; load average before: {rig.load_before:.2f}"
    )


def _setting(connection: "psycopg.Connection[tuple[str]]", name: str) -> str:
    row = connection.execute(f"SHOW {name}").fetchone()
    assert row is not None
    return row[0]


def _proc(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
