"""Keeping containers' logs small: a runtime writes them, and goes on in a new file when it is told to.

    web/0.log ─▶ web/0.log.20260102-150405 ─▶ web/0.log.20260102-150405.gz ─▶ gone
Source: k8s.io/kubernetes/pkg/kubelet/logs/container_log_manager.go.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_machinery.clock import Clock

__all__ = ["Chores", "LogKeeper", "chores"]

log = logging.getLogger(__name__)

SECONDS = 10.0
"""How often logs are looked at. Upstream's."""
_COMPRESSED, _UNFINISHED = ".gz", ".tmp"


@dataclass(frozen=True, slots=True)
class Chores:
    """What is to be done with the files that were put aside."""

    remove: tuple[str, ...] = ()
    compress: tuple[str, ...] = ()


def chores(names: Iterable[str], most: int) -> Chores:
    """Of the files beside a log that is about to be put aside as well, by their names; `most` with the log itself.

    What a broken-off compression has left goes; the newest of the others may still be read by somebody.
    """
    found = sorted(names)
    whole = {name for name in found if not name.endswith((_UNFINISHED, _COMPRESSED))}
    unfinished = [name for name in found if name.endswith(_UNFINISHED)]
    # Compressed, and its source is still there: it was broken off before that was removed.
    twice = [name for name in whole if name + _COMPRESSED in found]
    kept = [name for name in found if name not in unfinished and name not in twice]
    surplus = max(0, len(kept) - max(0, most - 2))  # the log goes on, and what it was until now is put aside
    old, young = kept[:surplus], kept[surplus:]
    return Chores((*unfinished, *twice, *old), tuple(name for name in young if name in whole))


class LogKeeper:
    """Puts logs aside that have grown too large."""

    def __init__(
        self,
        paths: Callable[[], Awaitable[Mapping[str, Path]]],
        reopen: Callable[[str], Awaitable[None]],
        clock: Clock,
        *,
        most_bytes: int,
        most_files: int,
    ) -> None:
        """`paths`: the logs of the containers that run, by their ids; `reopen` has a runtime begin a new file there."""
        self._paths = paths
        self._reopen = reopen
        self._clock = clock
        self._most_bytes = most_bytes
        self._most_files = most_files

    async def run(self) -> NoReturn:
        while True:
            await self._clock.sleep(SECONDS)
            try:
                await self.keep()
            except RuntimeFailure as exc:
                log.debug("logs are not looked at: %s", exc)

    async def keep(self) -> None:
        """Look at all logs. Raises RuntimeFailure where it isn't known which there are."""
        paths = await self._paths()
        for container_id in await asyncio.to_thread(self._large, paths):
            try:
                await self._put_aside(container_id, paths[container_id])
            except (RuntimeFailure, OSError) as exc:
                log.warning("the log %s goes on though it is large: %s", paths[container_id], exc)

    def _large(self, paths: Mapping[str, Path]) -> list[str]:
        return [container_id for container_id, path in paths.items() if _size(path) >= self._most_bytes]

    async def _put_aside(self, container_id: str, path: Path) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._clock.now()))
        aside = path.with_name(f"{path.name}.{stamp}")
        await asyncio.to_thread(self._tidy, path)
        os.rename(path, aside)
        try:
            await self._reopen(container_id)
        except RuntimeFailure:
            await asyncio.to_thread(_put_back, aside, path)  # it still writes there
            raise

    def _tidy(self, path: Path) -> None:
        prefix = f"{path.name}."
        beside = [entry.name for entry in path.parent.iterdir() if entry.name.startswith(prefix)]
        todo = chores(beside, self._most_files)
        for name in todo.remove:
            (path.parent / name).unlink(missing_ok=True)
        for name in todo.compress:
            _compress(path.parent / name)


def _put_back(aside: Path, path: Path) -> None:
    if not path.exists():
        aside.rename(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _compress(path: Path) -> None:
    unfinished = path.with_name(path.name + _UNFINISHED)
    mode = path.stat().st_mode & 0o777
    made = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with path.open("rb") as source, open(made, "wb") as to, gzip.GzipFile(fileobj=to, mode="wb") as packed:
        shutil.copyfileobj(source, packed, 1 << 20)
    unfinished.rename(path.with_name(path.name + _COMPRESSED))
    path.unlink()
