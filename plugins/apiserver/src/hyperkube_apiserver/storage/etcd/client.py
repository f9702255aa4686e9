"""Calls to etcd, whose refusals become the store's.

Source: go.etcd.io/etcd/api/v3/v3rpc/rpctypes (words), go.etcd.io/etcd/client/v3 (times, what is tried again).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.etcdapi import ETCD
from hyperkube_machinery.grpc import BadMessage, Call, CallFailed, Channel, Code
from hyperkube_machinery.storage.interface import NoSpace, StoreError, Unavailable

__all__ = ["COMPACTED", "FUTURE", "EtcdClient", "Refused", "TooLarge", "key_bytes", "key_text"]

Tree = dict[str, Any]

COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE = "etcdserver: mvcc: required revision is a future revision"
_NO_SPACE = "etcdserver: mvcc: database space exceeded"
_TOO_LARGE = "etcdserver: request is too large"

_READ_ATTEMPTS = 3
_PAUSE_SECONDS = 0.1


class Refused(StoreError):
    """etcd refused a call in words that mean something else for each call."""


class TooLarge(StoreError):
    """A value is larger than etcd takes."""


class EtcdClient:
    """Asks etcd. Raises Refused, and what every store may raise."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self.closed = False

    async def ask(self, service: str, name: str, request: Mapping[str, Any], answer: str = "") -> Tree:
        """The answer to a call, `nameRequest` → `nameResponse`; of what only reads it is tried a few times."""
        method = f"/etcdserverpb.{service}/{name}"
        kind = answer or name
        data = ETCD.encode(f"{kind}Request", request)
        attempts = _READ_ATTEMPTS if name in ("Range", "Status", "TimeToLive") else 1
        for attempt in range(attempts):
            try:
                if self.closed:
                    raise Unavailable("the store is closed")
                return ETCD.decode(f"{kind}Response", await self._channel.call(method, data))
            except CallFailed as exc:
                if exc.code is Code.UNAVAILABLE and attempt + 1 < attempts and not self.closed:
                    await self._clock.sleep(_PAUSE_SECONDS)
                    continue
                raise translated(exc) from exc
            except BadMessage as exc:
                raise Unavailable(f"etcd's answer to {name} can't be read: {exc}") from exc
        raise AssertionError("the last attempt returns or raises")

    async def range(self, key: bytes, end: bytes = b"", **how: Any) -> Tree:
        return await self.ask("KV", "Range", {"key": key, "range_end": end, **how})

    async def transact(self, compare: Tree, success: list[Tree], failure: list[Tree]) -> Tree:
        """One comparison, and what is done where it holds, and where it doesn't."""
        return await self.ask("KV", "Txn", {"compare": [compare], "success": success, "failure": failure})

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Call]:
        """A stream of watches, for the length of the block. Calls on it raise CallFailed: see `translated`."""
        if self.closed:
            raise Unavailable("the store is closed")
        async with self._channel.open("/etcdserverpb.Watch/Watch", headers=(("hasleader", "true"),)) as call:
            yield call


def translated(exc: CallFailed) -> StoreError:
    """What a failed call is to who uses a store."""
    if exc.message == _NO_SPACE:
        return NoSpace()
    if exc.message.startswith(_TOO_LARGE) or "message larger than max" in exc.message:
        return TooLarge(exc.message)
    if exc.code in (Code.OUT_OF_RANGE, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT):
        return Refused(exc.message)
    return Unavailable(exc.message)


def key_bytes(key: str) -> bytes:
    """Raises ValueError for what is no key."""
    if not key:
        raise ValueError("a key can't be empty")
    return key.encode()


def key_text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
