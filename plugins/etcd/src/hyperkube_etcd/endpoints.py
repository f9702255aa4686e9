"""/health, /livez, /readyz, /version and /metrics, over HTTP on the port of gRPC.

Source: go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial

from hyperkube_etcd.member import Member
from hyperkube_etcd.release import CLUSTER_VERSION, VERSION
from hyperkube_machinery.etcdapi import ALARMS
from hyperkube_machinery.serving.exposition import exposed
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.storage.interface import StoreError

__all__ = ["Endpoints"]

_TEXT = "text/plain; charset=utf-8"

_NAMES = {number: name for name, number in ALARMS.items()}


class Endpoints:
    """Answers what is no gRPC."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._size = (0, 0)
        self.registry = Registry()
        gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("etcd_server_has_leader", "Whether there is a leader.", lambda: 1.0),
            ("etcd_server_is_leader", "Whether this is it.", lambda: 1.0),
            ("etcd_mvcc_db_total_size_in_bytes", "Bytes that the store takes.", lambda: float(self._size[0])),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", "Those in use.", lambda: float(self._size[1])),
            ("etcd_server_quota_backend_bytes", "Bytes that it may take.", lambda: float(member.quota_bytes)),
        )
        for name, text, value in gauges:
            self.registry.collect(name, text, partial(_sample, value))

    async def __call__(self, request: Request) -> Response:
        path = request.path
        if request.method not in ("GET", "HEAD"):
            return Response(405, b"Method Not Allowed\n", _TEXT)
        if path == "/version":
            answer = {"etcdserver": VERSION, "etcdcluster": CLUSTER_VERSION}
            return Response(200, json.dumps(answer, separators=(",", ":")).encode())
        if path == "/health":
            return await self._health(request.query)
        if path.startswith(("/livez", "/readyz")):
            return await self._check(path)
        if path == "/metrics":
            self._size = await self._member.store.size()
            return await exposed(self.registry, request)
        return Response(404, b"404 page not found\n", _TEXT)

    async def _health(self, query: str) -> Response:
        excluded = {part.partition("=")[2] for part in query.split("&") if part.startswith("exclude=")}
        reason = await self._wrong(excluded)
        answer = {"health": "false" if reason else "true", "reason": reason}
        return Response(503 if reason else 200, json.dumps(answer, separators=(",", ":")).encode())

    async def _check(self, path: str) -> Response:
        alarms = () if path.startswith("/livez") else ("NOSPACE", "CORRUPT")
        reason = await self._wrong({name for name in _NAMES.values() if name not in alarms})
        if reason:
            return Response(503, f"[-]{reason} failed\n".encode(), _TEXT)
        return Response(200, b"ok\n", _TEXT)

    async def _wrong(self, excluded: Iterable[str]) -> str:
        """What is wrong; empty for nothing."""
        for alarm in sorted(self._member.alarms):
            if _NAMES[alarm] not in excluded:
                return f"ALARM {_NAMES[alarm]}"
        try:
            await self._member.store.read_here(lambda view: view.get("health"))
        except StoreError as exc:
            return f"RANGE ERROR:{exc}"
        return ""


def _sample(value: Callable[[], float]) -> list[tuple[tuple[str, ...], float]]:
    return [((), value())]
