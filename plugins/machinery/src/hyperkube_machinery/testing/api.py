"""An API in memory for tests of what follows and changes it: no validation, no permissions, but failures on demand.

api = MemoryAPI()
async with api.client(clock) as client: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import orjson

from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.kubeconfig import Access
from hyperkube_machinery.patches import merge
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse

__all__ = ["Asked", "MemoryAPI"]

Tree: TypeAlias = dict[str, Any]

_ADDRESS = "https://memory.test:443"
_BOOKMARK = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was made."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path leads to."""

    collection: str  # /api/v1/pods, of all namespaces
    namespace: str
    name: str
    subresource: str

    def holds(self, key: tuple[str, str, str]) -> bool:
        return key[0] == self.collection and self.namespace in ("", key[1])


class MemoryAPI:
    """Objects of whatever resources, by the paths of the API."""

    def __init__(self) -> None:
        self.server = LocalServer(_ADDRESS, self._handle, lambda certificate, key: certificate)
        self.asked: list[Asked] = []
        self.objects: dict[tuple[str, str, str], Tree] = {}  # by collection, namespace and name
        self.revision = 0
        self.streams_lists = True
        self.page_items = 1_000_000  # a list's pages are no longer, whatever was asked for
        self._history: list[tuple[int, str, tuple[str, str, str], Tree]] = []
        self._forgotten = 0  # the revision up to which history is gone
        self._changed = asyncio.Event()
        self._ending: set[asyncio.Event] = set()  # of watches
        self._refusals: list[tuple[Callable[[Asked], bool], Exception]] = []

    @asynccontextmanager
    async def client(self, clock: Clock, **options: Any) -> AsyncIterator[Client]:
        """A client of this API; `options` are those of `connect`."""
        access = Access(server=_ADDRESS)
        async with connect(access, clock=clock, user_agent="test", local=self.server, **options) as client:
            yield client

    # What tests do to it.

    def refuse(self, error: Exception, when: Callable[[Asked], bool] = lambda asked: True, *, times: int = 1) -> None:
        """Answer the next requests that are such with `error`; with an Unreachable they get no answer."""
        self._refusals += [(when, error)] * times

    def end_watches(self) -> None:
        """End every watch, as servers do from time to time."""
        for ending in self._ending:
            ending.set()

    def forget(self) -> None:
        """Lose all history, as by compaction."""
        self._forgotten = self.revision
        self._history.clear()

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(self._ending)

    def put(self, path: str, obj: Tree) -> Tree:
        """Store `obj` in the collection at `path`, over one of its name."""
        about = obj.setdefault("metadata", {})
        place = _place(path)
        about.setdefault("namespace", place.namespace) if place.namespace else None
        key = (place.collection, about.get("namespace") or "", about["name"])
        about["uid"] = about.get("uid") or f"uid-{self.revision + 1}"
        self._record("MODIFIED" if key in self.objects else "ADDED", key, obj)
        return obj

    def remove(self, path: str) -> Tree:
        """Delete the object at `path`."""
        place = _place(path)
        key = (place.collection, place.namespace, place.name)
        obj = self.objects.pop(key)
        self._record("DELETED", key, orjson.loads(encode(obj)))
        return obj

    def _record(self, kind: str, key: tuple[str, str, str], obj: Tree) -> None:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        if kind != "DELETED":
            self.objects[key] = obj
        self._history.append((self.revision, kind, key, orjson.loads(encode(obj))))
        self._changed.set()
        self._changed = asyncio.Event()

    # The API.

    def _handle(self, request: Request) -> Answer:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        body = orjson.loads(request.body) if request.body else None
        asked = Asked(request.method, request.path, query, body, request.headers)
        self.asked.append(asked)
        for refusal in self._refusals:
            if refusal[0](asked):
                self._refusals.remove(refusal)
                raise refusal[1]
        place = _place(request.path)
        if request.method == "GET" and query.get("watch") == "true":
            return self._watch(place, query)
        return Response(*self._answer(place, asked))

    def _answer(self, place: _Place, asked: Asked) -> tuple[int, bytes]:
        key = (place.collection, place.namespace, place.name)
        if asked.method == "POST":
            return self._create(place, asked.body)
        if not place.name:
            return self._list(place, asked.query) if asked.method == "GET" else self._empty(place)
        known = self.objects.get(key)
        if known is None:
            raise APIError.of(404, "NotFound", f"{place.name} not found", {"name": place.name})
        if asked.method == "GET":
            return 200, encode(known)
        if asked.method == "DELETE":
            self._check_uid(known, asked.body)
            return 200, encode(self.remove(asked.path))
        changed = asked.body if asked.method == "PUT" else merge.apply(orjson.loads(encode(known)), asked.body)
        version = changed["metadata"].get("resourceVersion")
        if version and version != known["metadata"]["resourceVersion"]:
            raise APIError.of(409, "Conflict", "the object has been modified")
        changed["metadata"]["uid"] = known["metadata"]["uid"]
        self._record("MODIFIED", key, changed)
        return 200, encode(changed)

    def _create(self, place: _Place, obj: Tree) -> tuple[int, bytes]:
        if place.subresource:
            return 201, encode(obj)
        about = obj.setdefault("metadata", {})
        if "name" not in about:
            about["name"] = f"{about.get('generateName', 'x-')}{self.revision + 1}"
        if place.namespace:
            about["namespace"] = place.namespace
        if (place.collection, place.namespace, about["name"]) in self.objects:
            raise APIError.of(409, "AlreadyExists", f"{about['name']} already exists")
        return 201, encode(self.put(place.collection, obj))

    @staticmethod
    def _check_uid(known: Tree, options: Tree | None) -> None:
        wanted = ((options or {}).get("preconditions") or {}).get("uid")
        if wanted and wanted != known["metadata"]["uid"]:
            raise APIError.of(409, "Conflict", "the uid is another")

    def _list(self, place: _Place, query: dict[str, str]) -> tuple[int, bytes]:
        found = [obj for key, obj in sorted(self.objects.items()) if place.holds(key)]
        begin = int(query.get("continue") or 0)
        end = begin + min(int(query.get("limit") or self.page_items), self.page_items)
        about: Tree = {"resourceVersion": str(self.revision)}
        if end < len(found):
            about |= {"continue": str(end), "remainingItemCount": len(found) - end}
        items = [{name: value for name, value in obj.items() if name not in ("apiVersion", "kind")} for obj in found]
        return 200, encode({"kind": "List", "apiVersion": "v1", "metadata": about, "items": items[begin:end]})

    def _empty(self, place: _Place) -> tuple[int, bytes]:
        for key in [key for key in self.objects if place.holds(key)]:
            self._record("DELETED", key, self.objects.pop(key))
        return 200, encode({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _watch(self, place: _Place, query: dict[str, str]) -> Answer:
        initial = query.get("sendInitialEvents") == "true"
        if initial and not self.streams_lists:
            raise APIError.of(422, "Invalid", "sendInitialEvents: Forbidden: not here")
        since = self.revision if initial else int(query.get("resourceVersion") or self.revision)

        async def produce(writer: BodyWriter) -> None:
            if since < self._forgotten:
                error = APIError.expired(f"too old resource version: {since} ({self.revision})")
                writer.send(_line("ERROR", error.status))
                return
            if initial:
                for key, obj in self.objects.items():
                    if place.holds(key):
                        writer.send(_line("ADDED", obj))
                about = {"resourceVersion": str(since), "annotations": _BOOKMARK}
                writer.send(_line("BOOKMARK", {"metadata": about}))
            await self._follow(place, since, writer)

        return StreamingResponse(produce)

    async def _follow(self, place: _Place, seen: int, writer: BodyWriter) -> None:
        ending = asyncio.Event()
        self._ending.add(ending)
        over = asyncio.ensure_future(ending.wait())
        try:
            while not ending.is_set():
                changed = asyncio.ensure_future(self._changed.wait())
                for revision, kind, key, obj in self._history:
                    if revision > seen and place.holds(key):
                        writer.send(_line(kind, obj))
                seen = self.revision
                try:
                    await asyncio.wait((changed, over), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
        finally:
            over.cancel()
            self._ending.discard(ending)


def _line(kind: str, obj: Tree) -> bytes:
    return encode({"type": kind, "object": obj}) + b"\n"


def _place(path: str) -> _Place:
    parts = path.strip("/").split("/")
    group = 2 if parts[0] == "api" else 3
    namespace = ""
    rest = parts[group:]
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:3], "", "")[:2]
    return _Place("/" + "/".join((*parts[:group], rest[0])), namespace, name, subresource)
