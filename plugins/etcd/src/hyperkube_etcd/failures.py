"""etcd's refusals, word for word: clients tell them apart by their words.

Source: go.etcd.io/etcd/api/v3/v3rpc/rpctypes/error.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from hyperkube_machinery.grpc import CallFailed, Code
from hyperkube_machinery.storage.interface import Compacted, FutureRevision, NoSpace, StoreError

__all__ = ["refusal", "translated"]

P = ParamSpec("P")
T = TypeVar("T")

_CODES = {
    "key is not provided": Code.INVALID_ARGUMENT,
    "key not found": Code.INVALID_ARGUMENT,
    "value is provided": Code.INVALID_ARGUMENT,
    "lease is provided": Code.INVALID_ARGUMENT,
    "too many operations in txn request": Code.INVALID_ARGUMENT,
    "duplicate key given in txn request": Code.INVALID_ARGUMENT,
    "invalid sort option": Code.INVALID_ARGUMENT,
    "mvcc: required revision has been compacted": Code.OUT_OF_RANGE,
    "mvcc: required revision is a future revision": Code.OUT_OF_RANGE,
    "mvcc: database space exceeded": Code.RESOURCE_EXHAUSTED,
    "requested lease not found": Code.NOT_FOUND,
    "lease already exists": Code.FAILED_PRECONDITION,
    "too large lease TTL": Code.OUT_OF_RANGE,
    "request is too large": Code.INVALID_ARGUMENT,
    "authentication is not enabled": Code.FAILED_PRECONDITION,
    "not capable": Code.FAILED_PRECONDITION,
    "member not found": Code.NOT_FOUND,
    "re-configuration failed due to not enough started members": Code.FAILED_PRECONDITION,
    "bad leader transferee": Code.FAILED_PRECONDITION,
}


def refusal(words: str) -> CallFailed:
    """The failure with these words of etcd's."""
    return CallFailed(_CODES[words], f"etcdserver: {words}")


def translated(handler: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """`handler`, whose failures of the store are told as etcd tells them."""

    @wraps(handler)
    async def handle(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await handler(*args, **kwargs)
        except Compacted as exc:
            raise refusal("mvcc: required revision has been compacted") from exc
        except FutureRevision as exc:
            raise refusal("mvcc: required revision is a future revision") from exc
        except NoSpace as exc:
            raise refusal("mvcc: database space exceeded") from exc
        except StoreError as exc:
            raise CallFailed(Code.UNAVAILABLE, f"etcdserver: {exc}") from exc

    return handle
