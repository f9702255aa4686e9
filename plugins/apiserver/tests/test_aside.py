"""What takes long is done in a thread, one after another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from hyperkube_apiserver.aside import aside, on_loop, promptly_or_aside
from hyperkube_machinery.patience import TakesLong, current

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What work waits for; open at the end, whatever happens."""
    opened = threading.Event()
    yield opened
    opened.set()


async def test_what_is_prompt_is_done_at_once_and_anything_else_aside() -> None:
    threads: list[int] = []

    def judge() -> str:
        threads.append(threading.get_ident())
        if current() is not None and len(threads) > 1:
            raise TakesLong
        return "judged"

    assert await promptly_or_aside(judge) == "judged"
    assert threads == [threading.get_ident()]
    assert await promptly_or_aside(judge) == "judged"
    assert threads[1] == threading.get_ident() != threads[2]


async def test_what_is_raised_aside_is_raised_here() -> None:
    def fail() -> None:
        raise LookupError("nothing")

    with pytest.raises(LookupError, match="nothing"):
        await aside(fail)
    assert await aside(lambda: 1) == 1


async def test_nobody_takes_the_place_of_who_is_still_at_work(gate: threading.Event) -> None:
    began, ended = asyncio.Event(), list[str]()
    loop = asyncio.get_running_loop()

    def work(name: str) -> Callable[[], None]:
        def done() -> None:
            loop.call_soon_threadsafe(began.set)
            gate.wait()
            ended.append(name)

        return done

    first = asyncio.create_task(aside(work("first")))
    await began.wait()
    began.clear()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(aside(work("second")))
    third = asyncio.create_task(aside(work("third")))
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)
    assert not began.is_set()
    gate.set()
    await second
    assert ended == ["first", "second"]


async def test_who_is_aside_can_have_the_loop_do_something() -> None:
    loop, here = asyncio.get_running_loop(), threading.get_ident()

    def fail() -> None:
        raise LookupError("nothing")

    assert await aside(lambda: on_loop(loop, threading.get_ident)) == here
    with pytest.raises(LookupError, match="nothing"):
        await aside(lambda: on_loop(loop, fail))
