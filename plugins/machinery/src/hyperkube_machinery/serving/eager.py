"""Run a coroutine as far as it goes without waiting.

Most requests are answered without waiting for anything. A task for each would cost more than the answer: so the
coroutine is started right here, and only one that has to wait is handed on, to be continued in a task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar

__all__ = ["eagerly"]

T = TypeVar("T")


def eagerly(coroutine: Coroutine[Any, Any, T]) -> T | Awaitable[T]:
    """The result of `coroutine` if it needs no waiting, else an awaitable that goes on where it stopped.

    What runs before its first wait runs outside of any task: it must not ask for the current one, as timeouts do.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    return _Continued(coroutine, waits_for)


class _Continued(Awaitable[T]):
    """A coroutine that was started and waits for `waits_for`, which it has yielded already."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as exc:  # cancellation above all: it belongs to the coroutine
                thrown: BaseException | None = exc
            else:
                thrown = None
            try:
                waits_for = self._coroutine.send(sent) if thrown is None else self._coroutine.throw(thrown)
            except StopIteration as done:
                result: T = done.value
                return result
