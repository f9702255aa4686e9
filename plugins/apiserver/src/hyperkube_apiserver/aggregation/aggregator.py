"""Follows each APIService that names a service, each in a task of its own: is the server there, and what does it serve.

    the objects say that it can be reached → it answers → its discovery is read → again after a while

What an APIService says, its service or that one's endpoints have another look taken at once.
Source: k8s.io/kube-aggregator/pkg/controllers/status/remote and pkg/apiserver.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NoReturn

from hyperkube_apiserver.aggregation.availability import PASSED, availability, probed
from hyperkube_apiserver.aggregation.backend import Backend, ProxyCertificate
from hyperkube_apiserver.aggregation.delegate import Aggregated
from hyperkube_apiserver.aggregation.gauges import unavailabilities
from hyperkube_apiserver.aggregation.keeping import API_SERVICES
from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.ownconditions import Verdict, tell
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_apiserver.webhooks.places import Places
from hyperkube_apiserver.webhooks.services import SERVICE_LABEL, Services
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.storage.interface import Unavailable
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["Aggregator"]

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 30.0
"""Until a server that answered is asked again: that it is unreachable may show nowhere else."""
_FIRST_RETRY_SECONDS = 0.005
_LONGEST_RETRY_SECONDS = 30.0

Tree = dict[str, Any]


class Aggregator:
    """Has group versions answered for by the servers behind services."""

    def __init__(
        self, api: API, clock: Clock, certificate: Callable[[], ProxyCertificate], *, follows_redirects: bool
    ) -> None:
        self._api = api
        self._clock = clock
        self._certificate = certificate
        self._follows_redirects = follows_redirects
        self._places = Places(Services(api.cluster, lambda: api.cluster.routing), lambda: api.cluster.routing)
        self._followed: dict[str, _Followed] = {}
        self._unavailabilities = unavailabilities(api.instruments.registry)

    async def run(self, changed: asyncio.Event) -> NoReturn:
        """Follow APIServices as they come, change and go (which `changed` tells), until cancelled."""
        for group, resource, service_of in (
            ("", "services", lambda item: item.name),
            ("discovery.k8s.io", "endpointslices", lambda item: item.labels.get(SERVICE_LABEL, "")),
        ):
            self._api.resource(group, resource).cache.observe(partial(self._service_changed, service_of))
        changed.set()
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    await changed.wait()
                    changed.clear()
                    self._settle(tasks)
            finally:
                for followed in self._followed.values():
                    self._end(followed)

    def _settle(self, tasks: asyncio.TaskGroup) -> None:
        """Follow those there are, as they are now."""
        wanted = {meta.name(tree): tree for tree in self._remote()}
        for name in [name for name, one in self._followed.items() if wanted.get(name, {}).get("spec") != one.spec]:
            self._end(self._followed.pop(name))
        for name, tree in wanted.items():
            if name not in self._followed:
                self._followed[name] = self._begin(tree, tasks)

    def _remote(self) -> Iterator[Tree]:
        for item in list(self._api.resource(*API_SERVICES).cache.items()):
            if b'"service":{' in item.body:
                tree = decode_body(item.body)
                if tree["spec"].get("service") is not None:
                    yield tree

    def _begin(self, tree: Tree, tasks: asyncio.TaskGroup) -> _Followed:
        spec = tree["spec"]
        backend = Backend(spec, self._places, self._certificate, self._clock)
        delegate = Aggregated(spec, backend, follows_redirects=self._follows_redirects)
        delegate.available = any(
            one.get("type") == "Available" and one.get("status") == "True"
            for one in (tree.get("status") or {}).get("conditions") or ()
        )
        followed = _Followed(meta.name(tree), delegate)
        self._api.offering.delegate_to(delegate.group, delegate.version, delegate)
        followed.task = tasks.create_task(self._follow(followed), name=f"aggregated API {followed.name}")
        return followed

    def _end(self, followed: _Followed) -> None:
        delegate = followed.delegate
        if self._api.offering.delegate(delegate.group, delegate.version) is delegate:
            self._api.offering.delegate_to(delegate.group, delegate.version, None)
        if followed.task is not None:
            followed.task.cancel()
        delegate.backend.hang_up()

    def _service_changed(self, service_of: Callable[[Item], str], event: Event) -> None:
        item = event.item or event.previous
        if item is None:
            return
        service = item.namespace, service_of(item)
        for followed in self._followed.values():
            if followed.delegate.backend.service == service:
                followed.delegate.backend.hang_up()  # what is connected to may be no part of the service any longer
                followed.look.set()

    async def _follow(self, followed: _Followed) -> NoReturn:
        delegate, retry = followed.delegate, _FIRST_RETRY_SECONDS
        while True:
            followed.look.clear()
            verdict = await self._verdict(followed)
            current = verdict is None
            if verdict is not None:
                if delegate.available and verdict != PASSED:
                    self._unavailabilities.labels(followed.name, verdict[1]).inc()
                delegate.available = verdict == PASSED
                # First: who waits for the condition uses what is served next.
                read = delegate.available and await self._read(delegate)
                current = await self._told(followed.name, verdict) and read
            wait, retry = (
                (_AGAIN_SECONDS, _FIRST_RETRY_SECONDS) if current else (retry, min(retry * 2, _LONGEST_RETRY_SECONDS))
            )
            await self._pause(followed.look, wait)

    async def _verdict(self, followed: _Followed) -> Verdict | None:
        """Whether it is available; None where nobody can say, for the APIService is gone."""
        await self._api.hub.fresh()
        tree = self._api.cluster.find("apiservices", followed.name, group=API_SERVICES[0])
        if tree is None or tree["spec"] != followed.spec:
            return None  # another takes over, or nobody
        delegate = followed.delegate
        namespace, name = delegate.backend.service
        service = self._api.cluster.find("services", name, namespace)
        return availability(tree, service, self._slices(namespace, name)) or await probed(
            delegate.backend, delegate.group, delegate.version
        )

    def _slices(self, namespace: str, service: str) -> Iterable[Tree]:
        cache = self._api.resource("discovery.k8s.io", "endpointslices").cache
        for item in cache.items(namespace):
            if item.labels.get(SERVICE_LABEL) == service:
                yield decode_body(item.body)

    async def _told(self, name: str, verdict: Verdict) -> bool:
        """Have the status tell of it; whether that came about."""
        tree = self._api.cluster.find("apiservices", name, group=API_SERVICES[0])
        if tree is None:
            return True
        served = self._api.resource(*API_SERVICES)
        try:
            await tell(served, "Available", tree, verdict, format_seconds(self._clock.now()))
        except (APIError, Unavailable) as exc:
            log.warning("the condition of APIService %s could not be written: %s", name, exc)
            return False
        return True

    async def _read(self, delegate: Aggregated) -> bool:
        """Read anew what the server serves, and tell of it where that has changed. Whether it could be read."""
        known, described = delegate.resources(), delegate.described()
        read = await delegate.refresh()
        if delegate.resources() != known or delegate.described() is not described:
            self._api.offering.changed()
        return read

    async def _pause(self, look: asyncio.Event, seconds: float) -> None:
        """Wait so long, or until there is something to look at."""
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        asked = asyncio.ensure_future(look.wait())
        try:
            await asyncio.wait((timer, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            asked.cancel()


class _Followed:
    """An APIService with what is done about it."""

    def __init__(self, name: str, delegate: Aggregated) -> None:
        self.name = name
        self.delegate = delegate
        self.look = asyncio.Event()
        self.task: asyncio.Task[NoReturn] | None = None

    @property
    def spec(self) -> Tree:
        return self.delegate.backend.spec
