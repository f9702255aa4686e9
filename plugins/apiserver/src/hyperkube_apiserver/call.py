"""One request on its way through the pipeline, and what it is answered from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from hyperkube_apiserver.auditing import Trail
from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.attributes import Annotate, unrecorded
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.requestinfo import Query, RequestInfo
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_machinery.serving.messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyperkube_apiserver.crd.schema import CustomSchema
    from hyperkube_apiserver.registry.conversions import ShownVersion
    from hyperkube_apiserver.registry.generic import Guard, Registry
    from hyperkube_apiserver.watchcache.item import Item
    from hyperkube_machinery.fields import ReplicasPaths

__all__ = ["Call", "Layout", "ScaleShape", "Served"]


Tree = dict[str, Any]


class Served:
    """A served resource: what it is, where it is read from and how it is written."""

    def __init__(
        self, kind: Kind, cache: WatchCache, registry: Callable[[], Registry], version: ShownVersion | None = None
    ) -> None:
        """`version` is given where the kind is stored in another version."""
        self.kind = kind
        self.cache = cache
        self.version = version
        self._make_registry = registry

    @cached_property
    def registry(self) -> Registry:
        """Made when it is first asked for: a start would take a tenth longer if it made all of them."""
        return self._make_registry()

    @property
    def told(self) -> Kind:
        """What discovery tells of it."""
        return self.kind

    @property
    def open(self) -> bool:
        """Whether `cache` shows what there is; else `opened` is to be awaited first."""
        return True

    @property
    def schema(self) -> CustomSchema | None:
        """What reads and checks the objects, where no built-in definition does."""
        return None

    @property
    def scale(self) -> ScaleShape | None:
        """Where the objects have their replicas, unless it is where built-in workloads have them."""
        return None

    async def opened(self) -> None:
        """Return once `cache` shows what there is; look anew at what is offered then, for that may have changed."""

    def enter(self) -> None:
        """A request is being answered from this: whatever becomes of it, `cache` is kept up to date until `leave`."""

    def leave(self) -> None:
        """That request is answered."""

    @property
    def waits(self) -> bool:
        """Whether `ready` has anything to do."""
        return False

    async def ready(self, items: Sequence[Item]) -> None:
        """Do what must be waited for before `items` can be shown in this version. Raises APIError."""

    def shown(self, item: Item) -> Tree:
        """An object that is `ready`, in this version, with its type; it is the caller's."""
        resource = self.kind.resource
        body = item.body if self.version is None else self.version.body(item)
        return {"kind": resource.kind, "apiVersion": resource.api_version, **decode_body(body)}


class ScaleShape(Protocol):
    """How a scale is read off an object and put into it. Trees come with their type; `put` alone changes one."""

    @property
    def paths(self) -> ReplicasPaths | None:
        """Where the replicas are, for ownership; None for `spec.replicas`."""

    def of(self, workload: Tree) -> Tree:
        """The scale of an object."""

    def before(self, workload: Tree) -> Tree:
        """The same for a change, which must not leave out what was not there."""

    def require(self, workload: Tree) -> None:
        """Raise APIError for an object without replicas, which has no scale to show."""

    def put(self, workload: Tree, scale: Tree) -> None:
        """Give the object the replicas of `scale`."""

    def check(self, name: str, scale: Tree) -> None:
        """Raise APIError for a scale that the object `name` can't have."""


class Layout(Protocol):
    """What becomes of an answer that a handler made as JSON."""

    @property
    def media_type(self) -> str: ...

    @property
    def pretty(self) -> bool: ...


@dataclass(slots=True)
class Call:
    """A request, with what each step has found out about it."""

    request: Request
    info: RequestInfo
    query: Query
    identity: Identity
    ends: float = math.inf  # when it is given up, if it writes; on the monotonic clock
    warnings: list[str] = field(default_factory=list)
    annotate: Annotate = unrecorded  # notes something for the audit log
    trail: Trail | None = None  # what is told of it, where an audit log is kept
    layout: Layout | None = None  # of a JSON answer, where a handler has settled it
    guard: Guard | None = None  # what its writes must pass beside authorization

    @property
    def namespace(self) -> str:
        """Where the objects are that this is about; "" for everywhere, and for what is in none, as namespaces are."""
        return self.info.namespace if self.info.in_namespace else ""

    def warn(self, text: str) -> None:
        """Add a warning, which clients such as kubectl show; one is told once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def header(self, name: str) -> str:
        """The value of a header, "" where it is absent; `name` is in lower case."""
        return self.request.headers.get(name, "")
