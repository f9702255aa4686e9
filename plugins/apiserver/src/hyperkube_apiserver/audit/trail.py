"""The events of one request. Source: k8s.io/apiserver/pkg/audit (context.go), pkg/endpoints/filters/audit.go."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from hyperkube_apiserver.audit.events import Event, status_of, user_of, without_managed_fields
from hyperkube_apiserver.audit.policy import LEVELS, Ruling
from hyperkube_machinery import meta
from hyperkube_machinery.decoding import read_protobuf
from hyperkube_machinery.durations import format_duration
from hyperkube_machinery.errors import failure
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Response, StreamingResponse, Upgrade
from hyperkube_machinery.timestamps import format_micro
from hyperkube_machinery.yamltext import BadYAML, parse_yaml

__all__ = ["Recorder", "RequestTrail"]

log = logging.getLogger(__name__)

_METADATA, _REQUEST, _RESPONSE = (LEVELS.index(level) for level in ("Metadata", "Request", "RequestResponse"))
_JSON, _PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
_STATUS = b'"kind":"Status"'
_STATUS_BYTES = 64
"""A Status says that it is one within so many bytes."""
_SLOW_SECONDS = 0.5

Tree = Mapping[str, Any]


class Recorder(Protocol):
    """Where events go."""

    async def record(self, event: Event) -> bool:
        """Keep an event; whether that succeeded as far as it has to."""

    def record_later(self, event: Event) -> None:
        """Keep an event without having anybody wait for it."""


class RequestTrail:
    """What is told of one request."""

    __slots__ = ("_event", "_long", "_now", "_received", "_recorder", "_ruling", "_spent", "_status", "_unknown")

    def __init__(
        self,
        ruling: Ruling,
        event: Event,
        recorder: Recorder,
        now: Callable[[], float],
        received: float,
        *,
        long_running: bool,
        unknown: bool,
    ) -> None:
        """`received` is when the request came, as `now` tells it.

        `unknown`: nobody knows whose request it is, and so it goes no further than to be refused.
        """
        self._ruling = ruling
        self._event = event
        self._recorder = recorder
        self._now = now
        self._long = long_running
        self._unknown = unknown
        self._received = received
        self._spent: dict[str, float] = {}
        self._status: Event | None = None

    # what is told on the way

    async def received(self) -> bool:
        stage = "RequestReceived"
        if stage in self._ruling.omitted:
            return True
        return await self._recorder.record(self._at(stage, self._event["requestReceivedTimestamp"]))

    def impersonated(self, identity: Identity) -> None:
        self._event["impersonatedUser"] = user_of(identity)

    def constrained(self, constraint: str) -> None:
        self._event["authenticationMetadata"] = {"impersonationConstraint": constraint}

    def annotate(self, key: str, value: str, level: str = "Metadata", /) -> None:
        if LEVELS.index(level) > self._ruling.depth:
            return
        told = self._event.setdefault("annotations", {})
        if told.setdefault(key, value) != value:
            log.warning("the audit annotation %s of %s is not set: it is set already", key, self._event["auditID"])

    def spent(self, layer: str, seconds: float) -> None:
        self._spent[layer] = self._spent.get(layer, 0.0) + seconds

    def sent(self, tree: Tree, default: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._refer(tree)
        if self._ruling.depth >= _REQUEST:
            shown = copy.deepcopy(without_managed_fields(tree) if self._ruling.omits_managed_fields else dict(tree))
            if default is not None:
                default(shown)
            self._event["requestObject"] = shown

    def _refer(self, tree: Tree) -> None:
        """Complete what the path tells of the object."""
        metadata = meta.metadata(tree)
        reference = self._event.setdefault("objectRef", {})
        for field in ("namespace", "name", "uid", "resourceVersion"):
            if metadata.get(field):
                reference.setdefault(field, metadata[field])

    def sent_patch(self, body: bytes) -> None:
        if self._ruling.depth < _REQUEST:
            return
        try:
            self._event["requestObject"] = orjson.loads(body)
        except orjson.JSONDecodeError:
            try:  # what is applied may be YAML
                self._event["requestObject"] = parse_yaml(body)[0]
            except BadYAML:
                return  # the answer says so

    # what became of it

    async def answered(self, answer: Answer) -> None:
        self._observe(answer)
        if self._long or self._unknown:
            await self._record("ResponseStarted")
        if isinstance(answer, StreamingResponse):
            self._accompany(answer)
        elif isinstance(answer, Upgrade):
            self._accompany_upgrade(answer)
        elif not self._unknown:
            self._note_slowness()
            await self._record("ResponseComplete")

    async def panicked(self, exc: Exception) -> None:
        self._status = status_of(failure(500, "InternalError", f"APIServer panic'd: {exc!r}"))
        await self._record("Panic")

    def abandoned(self) -> None:
        if self._status is None:
            self._status = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
            if self._long:
                self._record_later("ResponseStarted")
        self._completed()

    def _observe(self, answer: Answer) -> None:
        """Take over what is told of an answer."""
        self._status = {"metadata": {}, "code": 101 if isinstance(answer, Upgrade) else answer.status}
        if not isinstance(answer, Response) or answer.content_type not in (_JSON, _PROTOBUF):
            return
        if self._ruling.depth < _RESPONSE and not _may_be_status(answer):
            return
        body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        try:
            tree = orjson.loads(body) if answer.content_type == _JSON else read_protobuf(body)
        except ValueError:
            return
        if not isinstance(tree, dict) or not tree.get("kind") or not tree.get("apiVersion"):
            return
        if tree["kind"] == "Status" and tree["apiVersion"] == "v1":
            self._status = {**status_of(tree), "code": answer.status}
        if self._ruling.depth >= _RESPONSE:
            shown = without_managed_fields(tree) if self._ruling.omits_managed_fields else tree
            self._event["responseObject"] = shown

    def _accompany(self, answer: StreamingResponse) -> None:
        """Tell when a streaming answer has ended."""
        produce = answer.produce

        async def accompanied(writer: BodyWriter) -> None:
            try:
                await produce(writer)
            finally:
                self._completed()

        answer.produce = accompanied

    def _accompany_upgrade(self, answer: Upgrade) -> None:
        """Tell when the connection that a request turned into has ended."""
        make = answer.protocol
        answer.protocol = lambda: _Accompanied(make(), self._completed)

    def _completed(self) -> None:
        self._note_slowness()
        self._record_later("ResponseComplete")

    def _note_slowness(self) -> None:
        """Of a request that took long, tell what took how long."""
        seconds = self._now() - self._received
        if seconds > _SLOW_SECONDS and self._event["verb"] != "watch":
            for layer, part in (*self._spent.items(), ("total", seconds)):
                self.annotate(f"apiserver.latency.k8s.io/{layer}", format_duration(part))

    async def _record(self, stage: str) -> None:
        if stage not in self._ruling.omitted:
            await self._recorder.record(self._at(stage, format_micro(self._now())))

    def _record_later(self, stage: str) -> None:
        if stage not in self._ruling.omitted:
            self._recorder.record_later(self._at(stage, format_micro(self._now())))

    def _at(self, stage: str, when: str) -> Event:
        """The event of a stage, which nothing changes that is told later."""
        known = {**self._event, "stage": stage}
        if self._status is not None:
            known["responseStatus"] = self._status
        known["stageTimestamp"] = when
        if "annotations" in known:
            known["annotations"] = dict(known["annotations"])
        if "objectRef" in known:
            known["objectRef"] = dict(known["objectRef"])
        return {field: known[field] for field in _ORDER if field in known}


class _Accompanied(asyncio.Protocol):
    """Another protocol, of whose end somebody is told."""

    def __init__(self, protocol: asyncio.Protocol, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._lost = protocol.connection_lost
        self.connection_made = protocol.connection_made  # type: ignore[method-assign]
        self.data_received = protocol.data_received  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()
        self._lost(exc)


_ORDER = (
    *("kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user", "impersonatedUser"),
    *("authenticationMetadata", "sourceIPs", "userAgent", "objectRef", "responseStatus", "requestObject"),
    *("responseObject", "requestReceivedTimestamp", "stageTimestamp", "annotations"),
)


def _may_be_status(answer: Response) -> bool:
    body = answer.body
    head = body if isinstance(body, bytes) else body[0] if body else b""
    return answer.status >= 400 or _STATUS in head[:_STATUS_BYTES]
