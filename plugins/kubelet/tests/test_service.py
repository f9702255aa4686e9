"""The kubelet as a service: systemd, and a file that is locked."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from pathlib import Path

import pytest

from hyperkube_kubelet.kerneldefaults import wrong_settings
from hyperkube_kubelet.lockfile import LockWanted, file_locked
from hyperkube_kubelet.preparing import raise_file_limit
from hyperkube_kubelet.systemd import feed_watchdog, notify, watchdog_seconds
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


def hearing(address: str) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(address)
    end.setblocking(False)
    return end


def test_systemd_is_told_on_its_socket(tmp_path: Path) -> None:
    with hearing(str(tmp_path / "notify")) as end:
        assert notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert end.recv(100) == b"READY=1"
    name = f"hk-test-{os.getpid()}"
    with hearing(f"\0{name}") as end:
        assert notify("READY=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert end.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_systemd_nobody_is_told(environment: dict[str, str]) -> None:
    assert not notify("READY=1", environment)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_the_watchdog_is_fed_where_it_watches(environment: dict[str, str], seconds: float) -> None:
    assert watchdog_seconds(environment) == seconds


async def test_the_watchdog_goes_hungry_when_the_kubelet_is_ill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    clock, well = VirtualClock(), True

    async def check() -> None:
        if not well:
            raise RuntimeError("sync Loop took longer than expected")

    with hearing(str(tmp_path / "notify")) as end:
        async with companions(feed_watchdog(clock, 30.0, check)):
            await clock.advance(16.0)
            assert [end.recv(100), end.recv(100)] == [b"WATCHDOG=1"] * 2
            well = False
            await clock.advance(60.0)
            with pytest.raises(BlockingIOError):
                end.recv(100)


async def test_one_has_the_lock_at_a_time(tmp_path: Path) -> None:
    clock, order = VirtualClock(), []

    async def second() -> None:
        async with file_locked(tmp_path / "lock", clock, yields=False):
            order.append("second")

    async with companions() as beside:
        async with file_locked(tmp_path / "lock", clock, yields=False):
            task = beside.start(second())
            await clock.advance(5.0)
            order.append("first")
        await clock.advance(5.0)
        await task
    assert order == ["first", "second"]


async def test_who_is_told_to_leaves_when_another_comes(tmp_path: Path) -> None:
    async def hold() -> None:
        async with file_locked(tmp_path / "lock", SystemClock(), yields=True):
            (tmp_path / "lock").open("rb").close()
            await asyncio.get_running_loop().create_future()

    with pytest.raises(LockWanted, match="another process wants the lock"):
        await hold()


def test_kernel_settings_that_are_otherwise_are_told(tmp_path: Path) -> None:
    (tmp_path / "vm").mkdir()
    (tmp_path / "kernel" / "keys").mkdir(parents=True)
    found = {
        "vm/overcommit_memory": 1,
        "vm/panic_on_oom": 0,
        "kernel/panic": 10,
        "kernel/panic_on_oops": 0,
        "kernel/keys/root_maxkeys": 1_000_000,
    }
    for name, value in found.items():
        (tmp_path / name).write_text(f"{value}\n")
    assert list(wrong_settings(tmp_path)) == [
        "invalid kernel flag: kernel/panic_on_oops, expected value: 1, actual value: 0",
        "kernel flag kernel/keys/root_maxbytes can't be read: No such file or directory",
    ]


def test_open_files_are_as_many_as_may_be() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        raise_file_limit(before[0] - 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[0] - 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
