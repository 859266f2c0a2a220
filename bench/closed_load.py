"""Closed load by wrk: so many connections, each sending its next payment once the last one is answered."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.processes import ROOT
from bench.requests import APPCODE

INSTALL_S: Final = 300
SCRIPT: Final = ROOT / "bench" / "payments.lua"
REQUESTS: Final = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m)")
PERCENTILE: Final = re.compile(r"^\s+99%\s+([\d.]+)(us|ms|s)", re.MULTILINE)
FAILURES: Final = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")
SHED: Final = re.compile(r"^tael_calls_shed_total (\S+)$", re.MULTILINE)
METRICS_S: Final = 10.0
IN_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Load:
    """`requests` were answered in `seconds`."""

    requests: int
    seconds: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def check_tool() -> None:
    """Install wrk where that can be done. Ends the program if there is none."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", "wrk")):
            subprocess.run(("apt-get", *command), capture_output=True, timeout=INSTALL_S, check=False)
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")


def run(url: str, payments: Path, connections: int, seconds: int) -> Load:
    """Each line of `payments` is sent at most once. Raises RuntimeError if anything was shed or failed."""
    return run_files(url, [payments], connections, seconds)


def run_files(url: str, files: Sequence[Path], connections: int, seconds: int) -> Load:
    """The same with so many connections for each of several files, at once."""
    shed_before = _shed(url)
    done = subprocess.run(
        [
            *("wrk", f"-t{len(files)}", f"-c{len(files) * connections}", f"-d{seconds}s"),
            *("--timeout", "30s", "--latency", "-s", str(SCRIPT), url),
        ],
        env=os.environ | {"WRK_PAYMENTS": "\n".join(map(str, files)), "WRK_APPCODE": APPCODE},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    if failed := FAILURES.search(done.stdout):
        raise RuntimeError(f"wrk: {failed.group(0)}")
    if shed := _shed(url) - shed_before:
        raise RuntimeError(f"{shed:.0f} payments were shed: there were more connections than places")
    requests, percentile = REQUESTS.search(done.stdout), PERCENTILE.search(done.stdout)
    if requests is None or percentile is None:
        raise RuntimeError(f"wrk printed no figures:\n{done.stdout}{done.stderr}")
    took = float(requests.group(2)) * IN_SECONDS[requests.group(3)]
    p99_ms = float(percentile.group(1)) * IN_SECONDS[percentile.group(2)] * 1000
    return Load(int(requests.group(1)), took, p99_ms)


def _shed(url: str) -> float:
    """Calls that the gateway has shed: its answer is HTTP 200, and wrk counts it as a payment."""
    found = SHED.search(metrics(url))
    return float(found.group(1)) if found else 0.0


def metrics(url: str) -> str:
    """Of the API process at `url`."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=METRICS_S)) as connection:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
