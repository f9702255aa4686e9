"""Logs that grow are put aside, and old ones go."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hyperkube_kubelet.runtime.cri.logs import Chores, LogKeeper, chores
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

A, B, C, D = (f"0.log.2026010{number}-000000" for number in range(1, 5))


@pytest.mark.parametrize(
    ("names", "most", "expected"),
    [
        ([], 5, Chores()),
        ([A], 5, Chores(compress=(A,))),
        ([f"{A}.gz", B], 5, Chores(compress=(B,))),
        ([f"{A}.gz", f"{B}.gz", f"{C}.gz", D], 5, Chores(remove=(f"{A}.gz",), compress=(D,))),
        ([f"{A}.gz", B], 2, Chores(remove=(f"{A}.gz", B))),
        ([f"{A}.tmp", A], 5, Chores(remove=(f"{A}.tmp",), compress=(A,))),
        ([A, f"{A}.gz"], 5, Chores(remove=(A,))),
    ],
)
def test_what_is_done_with_old_files(names: list[str], most: int, expected: Chores) -> None:
    assert chores(names, most) == expected


class Node:
    """A container that writes to `log`, and to a new file there when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(1_767_323_045.0)
        self.log = folder / "0.log"
        self.failure: RuntimeFailure | None = None
        self.keeper = LogKeeper(self._paths, self._reopen, self.clock, most_bytes=10, most_files=3)

    async def _paths(self) -> dict[str, Path]:
        return {"c": self.log, "silent": self.log.with_name("none")}

    async def _reopen(self, container_id: str) -> None:
        assert container_id == "c"
        if self.failure is not None:
            raise self.failure
        self.log.touch()

    async def grown(self, text: str) -> list[str]:
        """What there is once it has written `text`."""
        self.log.write_text(text)
        await self.keeper.keep()
        await self.clock.advance(1)
        return sorted(path.name for path in self.log.parent.iterdir())


async def test_a_log_that_grew_is_put_aside(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert await node.grown("too short") == ["0.log"]
    first, second = "0.log.20260102-030406", "0.log.20260102-030407"
    assert await node.grown("a" * 10) == ["0.log", first]
    assert await node.grown("b" * 10) == ["0.log", f"{first}.gz", second]
    assert gzip.decompress((tmp_path / f"{first}.gz").read_bytes()) == b"a" * 10
    assert (tmp_path / second).read_text() == "b" * 10
    assert await node.grown("c" * 10) == ["0.log", f"{second}.gz", "0.log.20260102-030408"]


async def test_a_log_that_is_still_written_to_is_put_back(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.failure = RuntimeFailure("no")
    assert await node.grown("a" * 10) == ["0.log"]
    assert node.log.read_text() == "a" * 10
