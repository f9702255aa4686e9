"""What every server's /metrics tells of its process and its event loop.

The names of the process are those of all Prometheus clients, so that dashboards find them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.serving.metrics import Histogram, Registry, Sample

__all__ = ["LAG_BOUNDS", "measure_lag", "register_process"]

LAG_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LAG_SECONDS = 0.1
"""Between two looks: each wakes the loop once and takes some ten microseconds."""


def register_process(registry: Registry) -> None:
    """Tell of this process in `registry`, as far as the system lets it be known."""

    def tell(name: str, text: str, read: Callable[[], float], kind: str = "gauge") -> None:
        def sample() -> Iterable[Sample]:
            with suppress(OSError, ValueError, IndexError):
                yield (), read()

        registry.collect(name, text, sample, kind="counter" if kind == "counter" else "gauge")

    tell(
        "process_cpu_seconds_total",
        "Processor time that the process has used, in seconds.",
        time.process_time,
        "counter",
    )
    if sys.platform != "linux":
        return
    page = os.sysconf("SC_PAGE_SIZE")
    start = _start_time()
    tell("process_resident_memory_bytes", "Memory of the process that is in RAM.", lambda: _statm(1) * page)
    tell("process_virtual_memory_bytes", "Addresses that the process has reserved.", lambda: _statm(0) * page)
    tell("process_open_fds", "File descriptors that are open.", lambda: len(os.listdir("/proc/self/fd")))
    tell("process_max_fds", "File descriptors that may be open.", _most_files)
    if start is not None:
        tell("process_start_time_seconds", "When the process started, in seconds since 1970.", lambda: start)


def _statm(field: int) -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[field])


def _most_files() -> float:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _start_time() -> float | None:
    with suppress(OSError, ValueError, IndexError):
        stat = Path("/proc/self/stat").read_text()
        ticks = int(stat[stat.rindex(")") :].split()[20])  # field 22; the name before it may hold blanks
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    return None


async def measure_lag(clock: Clock, lag: Histogram) -> NoReturn:
    """Observe in `lag` how late the event loop wakes a sleeper, in seconds, until cancelled.

    That is how long others held the loop, or how long it had no processor.
    """
    while True:
        due = clock.monotonic() + _LAG_SECONDS
        await clock.sleep(_LAG_SECONDS)
        lag.observe(max(0.0, clock.monotonic() - due))
