"""The proxy: what is opened, in which order, and closed in reverse.

/healthz, /metrics → client → informers → in each pods' network there is: parts → first sync → ready
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hyperkube_core import CommandEnded, NotProvided, SettingsError
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import ENDPOINT_SLICES, NODES, SERVICE_CIDRS, SERVICES
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import SeriesRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.podnetwork import NetworkUnavailable
from hyperkube_machinery.serving.process import measure_lag
from hyperkube_machinery.tls import CertificateError
from hyperkube_proxy.changes import Model
from hyperkube_proxy.configuration import shown, write_configuration
from hyperkube_proxy.endpoints import about, health, serving
from hyperkube_proxy.facts import node_facts
from hyperkube_proxy.gates import gate_warnings
from hyperkube_proxy.healthcheck import Health
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.leftovers import clean_up
from hyperkube_proxy.model import ServiceName
from hyperkube_proxy.objects import PROXIED
from hyperkube_proxy.processlimits import allow_open_files, less_likely_killed
from hyperkube_proxy.relaying.openings import Relays
from hyperkube_proxy.session import ModeUnavailable, Session, Surroundings
from hyperkube_proxy.syncer import Syncer
from hyperkube_proxy.sysctls import processors, set_sysctls, wanted

if TYPE_CHECKING:
    from hyperkube_core import Context
    from hyperkube_proxy.options import Options

__all__ = ["serve"]

log = logging.getLogger(__name__)

_HEALTHZ_PORT, _METRICS_PORT = 10256, 10249
_WATCH_SECONDS = 2.0
_SOON_SECONDS = 1.0
_PAUSE_SECONDS = 0.5
"""After the pods' network went away while it was looked at."""


async def serve(context: Context[Options]) -> None:
    """Serve until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    options = context.options
    await _only(options)
    _check_folder(options)
    for text in gate_warnings(options.feature_gates):
        log.warning("%s", text)
    if options.legacy:
        log.warning(
            "nftables acts in place of --proxy-mode=%s: this proxy writes no rules of that mode. Node ports are open at"
            " all addresses but loopback, as there",
            options.proxy_mode,
        )
    allow_open_files()
    less_likely_killed(options.oom_score_adj)
    await _Proxy(context).run()


async def changed_file(file: Path, clock: Clock) -> NoReturn:
    """Raises CommandEnded once there is something else in `file`. One that is gone may come back as it was.

    Source: k8s.io/kubernetes/cmd/kube-proxy/app/options.go (eventHandler).
    """
    began = _content(file)
    while True:
        await clock.sleep(_WATCH_SECONDS)
        now = _content(file)
        if now is not None and now != began:
            raise CommandEnded(1, f"the configuration in {file} was changed: start again with what it is now")


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


async def _only(options: Options) -> None:
    """Do what was asked for in place of proxying, if something was; raises CommandEnded then."""
    if options.write_config_to is not None:
        write_configuration(options, options.write_config_to)
    elif options.cleanup:
        await clean_up(options.pod_network)
    elif options.init_only:
        set_sysctls(wanted(options, processors()))
        log.info("what needs an administrator is done")
    else:
        return
    raise CommandEnded(0)


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
        self._health = Health(clock, timeout_seconds=2 * options.sync_seconds)
        self._model = Model(self._node_name)
        self._syncer = Syncer(
            self._model,
            clock,
            self._instruments,
            self._health,
            min_seconds=options.min_sync_seconds,
            longest_retry_seconds=options.sync_seconds,
        )
        self._node = node_facts(self._node_name, None, options.bind_address)
        self._service_cidrs: tuple[str, ...] = ()
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
            if self._options.end_with_change_of is not None:
                watching = changed_file(self._options.end_with_change_of, self._clock)
                await stack.enter_async_context(companions(watching))
            await stack.enter_async_context(self._following(client))
            given = Surroundings(
                options=self._options,
                clock=self._clock,
                relays=relays,
                instruments=self._instruments,
                health=self._health,
                on_health_port_failure=lambda service, why: _tell(recorder, self._node_name, service, why),
                service_cidrs=lambda: self._service_cidrs,
            )
            _tell_node(recorder, self._node_name)
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
            about(self._instruments, shown(dataclasses.asdict(options)), lambda: self._mode),
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
        ranges = Informers(client, self._clock)
        cidrs = ranges.of(SERVICE_CIDRS)
        cidrs.on_change(lambda old, new: self._take_service_cidrs(cidrs.list()))
        async with informers.running(), ranges.running():
            await informers.synced()
            await self._soon(cidrs.wait_synced())  # servers before 1.33 may not have them
            yield

    async def _soon(self, waited: Coroutine[Any, Any, None]) -> None:
        """Wait, though not for long."""
        both = [asyncio.ensure_future(waited), asyncio.ensure_future(self._clock.sleep(_SOON_SECONDS))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()

    def _queue(self, *, changed: bool) -> None:
        if changed:
            self._syncer.queue()

    def _take_node(self, node: Mapping[str, Any] | None) -> None:
        self._health.node = node
        facts = node_facts(self._node_name, node, self._options.bind_address)
        self._syncer.move(facts.place)
        if (facts.addresses, facts.pod_cidrs) != (self._node.addresses, self._node.pod_cidrs):
            self._node_changed.set()
        self._node = facts

    def _take_service_cidrs(self, objects: Iterable[Mapping[str, Any]]) -> None:
        found = {cidr for each in objects for cidr in (each.get("spec") or {}).get("cidrs") or ()}
        if tuple(sorted(found)) != self._service_cidrs:
            self._service_cidrs = tuple(sorted(found))
            self._node_changed.set()

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
        log.info("the addresses of the node, or those of services, are others now")


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


def _tell_node(recorder: SeriesRecorder, node: str) -> None:
    about = {"apiVersion": "v1", "kind": "Node", "name": node}
    recorder.event(about, "Normal", "Starting", "", action="StartKubeProxy")


def _tell(recorder: SeriesRecorder, node: str, service: ServiceName, why: str) -> None:
    reference = {"apiVersion": "v1", "kind": "Service", "namespace": service.namespace, "name": service.name}
    note = f"node {node} {why}"
    recorder.event(reference, "Warning", "FailedToStartServiceHealthcheck", note, action="Listen")
