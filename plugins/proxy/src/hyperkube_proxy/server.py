"""The proxy: what is opened, in which order, and closed in reverse.

/healthz, /metrics → client → informers → in each pods' network there is: parts → first sync → ready
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from hyperkube_core import CommandEnded, NotProvided, SettingsError
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import ENDPOINT_SLICES, NODES, SERVICES
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import SeriesRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.podnetwork import NetworkUnavailable
from hyperkube_machinery.serving.process import measure_lag
from hyperkube_machinery.tls import CertificateError
from hyperkube_proxy.changes import Model
from hyperkube_proxy.endpoints import about, health, serving
from hyperkube_proxy.facts import node_facts
from hyperkube_proxy.healthcheck import Health
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.leftovers import clean_up
from hyperkube_proxy.model import ServiceName
from hyperkube_proxy.objects import PROXIED
from hyperkube_proxy.openfiles import allow_open_files
from hyperkube_proxy.relaying.openings import Relays
from hyperkube_proxy.session import ModeUnavailable, Session, Surroundings
from hyperkube_proxy.syncer import Syncer

if TYPE_CHECKING:
    from hyperkube_core import Context
    from hyperkube_proxy.options import Options

__all__ = ["serve"]

log = logging.getLogger(__name__)

_HEALTHZ_PORT, _METRICS_PORT = 10256, 10249
_PAUSE_SECONDS = 0.5
"""After the pods' network went away while it was looked at."""


async def serve(context: Context[Options]) -> None:
    """Serve until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    if context.options.cleanup:
        await clean_up(context.options.pod_network)
        raise CommandEnded(0)
    _check_folder(context.options)
    allow_open_files()
    await _Proxy(context).run()


def _check_folder(options: Options) -> None:
    file, name = options.relay_status_file, "relay-status-file"
    if file is not None and not file.parent.is_dir():
        raise SettingsError(name, f"flag --{name}", f"there is no folder {file.parent}; make it first")


class _Proxy:
    def __init__(self, context: Context[Options]) -> None:
        self._context = context
        self._options = options = context.options
        self._clock = clock = context.clock
        self._node_name = (options.hostname_override or socket.gethostname()).strip().lower()
        self._instruments = Instruments()
        self._health = Health(clock, timeout_seconds=2 * options.sync_period)
        self._model = Model(self._node_name)
        self._syncer = Syncer(
            self._model,
            clock,
            self._instruments,
            self._health,
            min_seconds=options.min_sync_period,
            longest_retry_seconds=options.sync_period,
        )
        self._node = node_facts(self._node_name, None)
        self._node_changed = asyncio.Event()
        self._mode = ""

    async def run(self) -> NoReturn:
        async with AsyncExitStack() as stack:
            await self._serve_http(stack)
            client = await stack.enter_async_context(_connected(self._context))
            recorder = SeriesRecorder(client, self._clock, controller="kube-proxy", instance=self._node_name)
            await stack.enter_async_context(recorder.running())
            relays = await stack.enter_async_context(Relays.running(self._clock))
            self._measure(relays)
            lag = measure_lag(self._clock, self._instruments.lag)
            await stack.enter_async_context(companions(lag))
            await stack.enter_async_context(self._following(client))
            given = Surroundings(
                options=self._options,
                clock=self._clock,
                relays=relays,
                instruments=self._instruments,
                health=self._health,
                on_health_port_failure=lambda service, why: _tell(recorder, self._node_name, service, why),
            )
            while True:
                await self._proxy(given)
        raise AssertionError("it goes on until it is cancelled")

    async def _serve_http(self, stack: AsyncExitStack) -> None:
        options, must = self._options, self._options.bind_address_hard_fail
        healthz = serving(
            health(self._health, self._instruments),
            self._clock,
            options.healthz_bind_address,
            flag="healthz-bind-address",
            default_port=_HEALTHZ_PORT,
            must=must,
        )
        metrics = serving(
            about(self._instruments, _shown(options), lambda: self._mode),
            self._clock,
            options.metrics_bind_address,
            flag="metrics-bind-address",
            default_port=_METRICS_PORT,
            must=must,
        )
        await stack.enter_async_context(healthz)
        await stack.enter_async_context(metrics)

    def _measure(self, relays: Relays) -> None:
        model = self._model
        self._instruments.follow_model(
            service_changes=lambda: model.service_changes,
            endpoint_changes=lambda: model.endpoint_changes,
            pending_services=lambda: model.pending_services,
            pending_endpoints=lambda: model.pending_endpoints,
        )
        self._instruments.follow_relays(
            connections=lambda: relays.streams.connections,
            flows=lambda: relays.datagrams.flows,
            failed=lambda: relays.streams.failures,
        )

    @asynccontextmanager
    async def _following(self, client: Client) -> AsyncIterator[None]:
        """Follow the API server for the length of the block, which begins once all is known that there is."""
        informers = Informers(client, self._clock)
        services = informers.of(SERVICES, labels=PROXIED)
        slices = informers.of(ENDPOINT_SLICES, labels=PROXIED)
        nodes = informers.of(NODES, fields=f"metadata.name={self._node_name}")
        services.on_change(lambda old, new: self._queue(changed=self._model.on_service(old, new)))
        slices.on_change(lambda old, new: self._queue(changed=self._model.on_slice(old, new)))
        nodes.on_change(lambda old, new: self._take_node(new))
        async with informers.running():
            await informers.synced()
            yield

    def _queue(self, *, changed: bool) -> None:
        if changed:
            self._syncer.queue()

    def _take_node(self, node: Mapping[str, Any] | None) -> None:
        self._health.node = node
        facts = node_facts(self._node_name, node)
        self._syncer.move(facts.place)
        if (facts.addresses, facts.pod_cidrs) != (self._node.addresses, self._node.pod_cidrs):
            self._node_changed.set()
        self._node = facts

    async def _proxy(self, given: Surroundings) -> None:
        """In the network that is there, until that is another, or the node's addresses are."""
        try:
            async with Session.open(given, self._node) as session:
                self._mode = session.mode
                self._node_changed.clear()
                self._syncer.use(session.parts)
                async with companions(self._syncer.run(), self._ready()):
                    await self._until_over(session)
        except NetworkUnavailable as exc:
            log.warning("the pods' network went away: %s", exc)
            await self._clock.sleep(_PAUSE_SECONDS)
        except ModeUnavailable as exc:
            raise SettingsError("proxy-mode", "flag --proxy-mode", str(exc)) from exc

    async def _ready(self) -> None:
        await self._syncer.synced.wait()
        self._context.ready.set()

    async def _until_over(self, session: Session) -> None:
        ends = [asyncio.ensure_future(session.over())]
        if session.depends_on_node:
            ends.append(asyncio.ensure_future(self._changed_node()))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    async def _changed_node(self) -> None:
        await self._node_changed.wait()
        log.info("the node's addresses are others now")


@asynccontextmanager
async def _connected(context: Context[Options]) -> AsyncIterator[Client]:
    options = context.options
    try:
        local = context.require(LocalServer)
    except NotProvided:
        local = None
    try:
        async with connect(
            _access(options),
            clock=context.clock,
            user_agent="hk-proxy",
            local=local,
            qps=max(options.kube_api_qps, 0),
            burst=options.kube_api_burst,
        ) as client:
            yield client
    except (KubeconfigError, CertificateError) as exc:
        raise SettingsError("kubeconfig", "flag --kubeconfig", str(exc)) from exc


def _access(options: Options) -> Access:
    if options.kubeconfig is None:
        return Access(server=options.master)
    return kubeconfig.read(options.kubeconfig, master=options.master)


def _shown(options: Options) -> dict[str, Any]:
    """The options as JSON, by their flags."""
    values = dataclasses.asdict(options)
    return {
        name.replace("_", "-"): value if isinstance(value, str | int | float | bool | tuple) else str(value or "")
        for name, value in values.items()
    }


def _tell(recorder: SeriesRecorder, node: str, service: ServiceName, why: str) -> None:
    reference = {"apiVersion": "v1", "kind": "Service", "namespace": service.namespace, "name": service.name}
    note = f"node {node} {why}"
    recorder.event(reference, "Warning", "FailedToStartServiceHealthcheck", note, action="Listen")
