"""What of a container's log is read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.api.logchoice import NoLog, chosen_container
from hyperkube_kubelet.api.logs import LogOptions, LogQueryError, read_log
from hyperkube_machinery import timestamps
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

NOW = timestamps.parse("2026-01-02T03:04:10Z")
LOG = b"".join(
    b"2026-01-02T03:04:0%d.000000000Z %s\n" % (second, line)
    for second, line in enumerate([b"stdout F one", b"stderr F two", b"stdout P thr", b"stdout F ee", b"stdout F four"])
)


async def stopped() -> bool:
    return False


async def read(path: Path, **query: str) -> str:
    options = LogOptions.of({name: [value] for name, value in query.items()}, NOW)
    return b"".join([piece async for piece in read_log(path, options, VirtualClock(), stopped)]).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(LOG)
    return path


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "one\ntwo\nthree\nfour\n"),
        ({"tailLines": "1"}, "four\n"),
        ({"tailLines": "2"}, "ee\nfour\n"),  # lines of the file, as upstream counts
        ({"tailLines": "0"}, ""),
        ({"tailLines": "100"}, "one\ntwo\nthree\nfour\n"),
        ({"tail": "all"}, "one\ntwo\nthree\nfour\n"),
        ({"limitBytes": "6"}, "one\ntw"),
        ({"sinceSeconds": "8"}, "three\nfour\n"),
        ({"sinceTime": "2026-01-02T03:04:04Z"}, "four\n"),
        ({"stream": "Stderr"}, "two\n"),
        ({"stream": "Stdout"}, "one\nthree\nfour\n"),
        (
            {"timestamps": "true", "tailLines": "3"},
            "2026-01-02T03:04:02.000000000Z three\n2026-01-02T03:04:04.000000000Z four\n",
        ),
    ],
)
async def test_what_is_asked_for_is_read(log: Path, query: dict[str, str], expected: str) -> None:
    assert await read(log, **query) == expected


@pytest.mark.parametrize("count", [1, 999, 1000, 5000])
async def test_the_tail_of_a_long_log_is_found(tmp_path: Path, count: int) -> None:
    path = tmp_path / "log"
    lines = [f"{'x' * (number % 97)}{number}\n" for number in range(5000)]
    _append(path, "".join(f"2026-01-02T03:04:05.000000000Z stdout F {line}" for line in lines).encode())
    assert await read(path, tailLines=str(count)) == "".join(lines[-count:])


async def test_a_line_that_is_being_written_is_left_out(log: Path) -> None:
    _append(log, b"2026-01-02T03:04:09.000000000Z stdout F hal")
    assert await read(log, tailLines="1") == "four\n"


async def test_there_may_be_no_log(tmp_path: Path) -> None:
    assert await read(tmp_path / "none") == ""


@pytest.mark.parametrize(
    "query", [{"tailLines": "-1"}, {"tailLines": "x"}, {"limitBytes": "0"}, {"sinceTime": "noon"}, {"stream": "both"}]
)
async def test_nonsense_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(LogQueryError):
        LogOptions.of({name: [value] for name, value in query.items()}, NOW)


def _append(log: Path, data: bytes) -> None:
    with log.open("ab") as out:
        out.write(data)


def _replace(log: Path, data: bytes) -> None:
    log.rename(log.with_suffix(".old"))
    log.write_bytes(data)


async def test_a_log_is_followed_through_its_replacement_to_the_containers_end(log: Path) -> None:
    running = True

    async def runs() -> bool:
        return running

    def line(text: str) -> bytes:
        return f"2026-01-02T03:04:09.000000000Z stdout F {text}\n".encode()

    options = LogOptions(follow=True, tail=1)
    following = read_log(log, options, SystemClock(), runs)
    assert await anext(following) == b"four\n"
    _append(log, line("five"))
    assert await anext(following) == b"five\n"
    _append(log, line("six"))
    _replace(log, line("seven"))
    assert await anext(following) == b"six\n"
    assert await anext(following) == b"seven\n"
    _append(log, line("eight"))
    running = False
    async with asyncio.timeout(10):
        assert [piece async for piece in following] == [b"eight\n"]


RUNNING = {
    "containerID": "hk://now",
    "state": {"running": {}},
    "lastState": {"terminated": {"containerID": "hk://old"}},
}
WAITING: dict[str, Any] = {"state": {"waiting": {"reason": "ContainerCreating"}}}


@pytest.mark.parametrize(
    ("status", "previous", "expected"),
    [
        (RUNNING, False, "now"),
        (RUNNING, True, "old"),
        ({"state": {"terminated": {"containerID": "hk://ended"}}}, False, "ended"),
        ({**WAITING, "lastState": {"terminated": {"containerID": "hk://crashed"}}}, False, "crashed"),
        (WAITING, True, 'previous terminated container "c" in pod "p" not found'),
        (WAITING, False, 'container "c" in pod "p" is waiting to start: ContainerCreating'),
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
            False,
            'container "c" in pod "p" is waiting to start: trying and failing to pull image',
        ),
        ({"state": {"terminated": {}}}, False, 'container "c" in pod "p" is terminated'),
        ({"state": {}}, False, 'container "c" in pod "p" is waiting to start - no logs yet'),
        (None, False, 'container "c" in pod "p" is not available'),
    ],
)
def test_which_container_is_meant(status: dict[str, Any] | None, previous: bool, expected: str) -> None:
    statuses = [] if status is None else [{"name": "c", **status}]
    try:
        found = chosen_container("p", {"initContainerStatuses": statuses}, "c", previous=previous)
    except NoLog as exc:
        found = str(exc)
    assert found == expected


@pytest.mark.parametrize("stream", ["Stdout", "Stderr"])
async def test_others_have_their_turn_while_a_long_log_is_read(tmp_path: Path, stream: str) -> None:
    (tmp_path / "0.log").write_bytes(b"2026-01-02T03:04:00.000000000Z stdout F text\n" * 20_000)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    shown = await read(tmp_path / "0.log", stream=stream)
    counting.cancel()
    assert len(shown) == (100_000 if stream == "Stdout" else 0)
    assert turns >= 50
