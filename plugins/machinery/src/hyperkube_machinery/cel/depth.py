"""Room for expressions that are nested as deeply as they may be.

Parsing, checking and evaluating recurse as expressions nest. Their limit (250 levels) takes more frames than Python
allows by default; frames of Python functions take no C stack, so more of them are safe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from hyperkube_machinery.cel.ast import Call, Comprehension, Expression, Select, children
from hyperkube_machinery.cel.lexing import Token

__all__ = ["deep_calls", "is_deep", "levels_of", "room_for"]

_FRAMES = 20_000
_USUAL_TOKENS = 60  # so few can't nest deeply
_USUAL_LEVELS = 60
_LEVELS = frozenset(
    (
        *("_?_:_", "_<_", "_<=_", "_>=_", "_>_", "_==_", "_!=_", "@in"),
        *("_+_", "_-_", "_*_", "_/_", "_%_", "_[_]", "_[?_]", "_?._"),
    )
)


def is_deep(expression: Expression) -> bool:
    """Whether the tree has more levels than Python's usual room allows to walk over."""
    level: list[Expression] = [expression]
    for _ in range(_USUAL_LEVELS):
        level = [child for node in level for child in children(node)]
        if not level:
            return False
    return True


def levels_of(expression: Expression) -> int:
    """How many operators, accesses and calls of members hold each other, at most."""
    deepest = 0
    stack = [(expression, 0)]
    while stack:
        node, levels = stack.pop()
        levels += isinstance(node, Select | Comprehension)
        levels += isinstance(node, Call) and (node.target is not None or node.function in _LEVELS)
        deepest = max(deepest, levels)
        stack.extend((child, levels) for child in children(node))
    return deepest


class _Room:
    """The limit of recursion, which all threads share: raised while any of them nests deeply."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._nesting = 0
        self._usual = 0

    def enter(self) -> None:
        with self._lock:
            if not self._nesting:
                self._usual = sys.getrecursionlimit()
                sys.setrecursionlimit(max(self._usual, _FRAMES))
            self._nesting += 1

    def leave(self) -> None:
        with self._lock:
            self._nesting -= 1
            if not self._nesting:
                sys.setrecursionlimit(self._usual)


_room = _Room()


@contextmanager
def deep_calls(*, needed: bool = True) -> Iterator[None]:
    """Let calls nest deeply within the block."""
    if not needed:
        yield
        return
    _room.enter()
    try:
        yield
    finally:
        _room.leave()


@contextmanager
def room_for(tokens: Sequence[Token]) -> Iterator[None]:
    """Let an expression of these tokens be parsed, however it nests."""
    with deep_calls(needed=len(tokens) > _USUAL_TOKENS):
        yield
