"""In which order servers start; they stop in reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperkube_core._errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperkube_core._server import Invocation


def start_order(invocations: Sequence[Invocation]) -> list[int]:
    """The indices of `invocations` in the order they start: behind what they start `after`, otherwise as given.

    A server that isn't part of the run holds nobody up. Raises UsageError, naming them, for servers that wait
    for each other.
    """
    indices_of: dict[str, list[int]] = {}
    for index, invocation in enumerate(invocations):
        for name in {invocation.server.name, *invocation.server.aliases}:
            indices_of.setdefault(name, []).append(index)

    order: list[int] = []
    done: set[int] = set()
    path: list[int] = []

    def visit(index: int) -> None:
        if index in done:
            return
        if index in path:
            circle = [invocations[at].server.name for at in (*path[path.index(index) :], index)]
            raise UsageError(f"servers wait for each other: {' after '.join(circle)}")
        path.append(index)
        for name in invocations[index].server.after:
            for earlier in indices_of.get(name, ()):
                visit(earlier)
        path.pop()
        done.add(index)
        order.append(index)

    for index in range(len(invocations)):
        visit(index)
    return order


def labels(invocations: Sequence[Invocation]) -> list[str]:
    """A name for each, told apart where a server runs more than once: `web`, `web-2`."""
    counts: dict[str, int] = {}
    result = []
    for invocation in invocations:
        name = invocation.server.name
        counts[name] = counts.get(name, 0) + 1
        result.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return result
