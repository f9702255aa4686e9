"""The scheduler: what is opened, in which order, and closed in reverse.

configuration → clients → parts → health and metrics → informers → ready → (a lease) → scheduling
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hyperkube_core import NotProvided, SettingsError
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.client.metrics import ClientMetrics
from hyperkube_machinery.companions import companions
from hyperkube_machinery.component import Serving, showing
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.garbage import collecting_seldom
from hyperkube_machinery.kubeconfig import KubeconfigError
from hyperkube_machinery.leaderelection import LeaderElector, LeaseTimes, new_identity
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.serving.process import LAG_BOUNDS, measure_lag, register_process
from hyperkube_machinery.tls import CertificateError
from hyperkube_scheduler.assembly import assembled
from hyperkube_scheduler.configuration import (
    Configuration,
    ConfigurationError,
    LeaderElection,
    read_configuration,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyperkube_core import Context
    from hyperkube_machinery.serving.health import Check
    from hyperkube_scheduler.options import Options

__all__ = ["serve"]

log = logging.getLogger(__name__)

_AGENT = "kube-scheduler"
_LAG = "How late the event loop woke a sleeper, in seconds: how long others held it."

_Connect: TypeAlias = Callable[[str, bool], AbstractAsyncContextManager[Client]]
"""A client by its name, limited as the flags say or not at all."""


async def serve(context: Context[Options]) -> None:
    """Schedule pods until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    with collecting_seldom() as started:
        await _serve(context, started)


async def _serve(context: Context[Options], started: Callable[[], None]) -> None:
    options, clock = context.options, context.clock
    configuration = _configuration(options)
    registry, synced = Registry(), asyncio.Event()
    register_process(registry)
    lag = registry.histogram("hk_event_loop_lag_seconds", _LAG, bounds=LAG_BOUNDS).labels()
    own = _connections(context, configuration, ClientMetrics(registry))
    wait = options.pod_max_in_unschedulable_pods_duration
    try:
        async with (
            own("scheduler", True) as client,
            assembled(client, clock, configuration, registry, longest_wait_seconds=wait) as assembly,
            _asking(context, client) as asking,
            _shown(context, configuration, asking, registry, synced),
            companions(measure_lag(clock, lag)),
            assembly.informers.running() as informers,
        ):
            await informers.synced()
            synced.set()
            started()
            context.ready.set()
            log.info("scheduling for %s", ", ".join(one.scheduler_name for one in configuration.profiles))
            if configuration.leader_election.elects is False:
                await assembly.scheduler.run()
            async with (
                own("leader-election", False) as voter,
                EventRecorder(voter, clock, component=_AGENT).running() as recorder,
                _elector(context, configuration, voter, recorder).leading(),
            ):
                await assembly.scheduler.run()
    except ConfigurationError as exc:
        raise SettingsError("config", "flag --config", str(exc)) from exc
    except (KubeconfigError, CertificateError) as exc:
        raise SettingsError("kubeconfig", "flag --kubeconfig", str(exc)) from exc


def _configuration(options: Options) -> Configuration:
    """What the file says, and flags before it."""
    told, usual = _read(options), LeaseTimes()
    election = told.leader_election
    return dataclasses.replace(
        told,
        kubeconfig=str(options.kubeconfig or told.kubeconfig),
        qps=max(options.kube_api_qps or told.qps or 0.0, 0.0),
        burst=told.burst or options.kube_api_burst,
        leader_election=LeaderElection(
            elects=election.elects if options.leader_elect is None else options.leader_elect,
            lease=options.leader_elect_lease_duration or election.lease or usual.lease,
            renew=options.leader_elect_renew_deadline or election.renew or usual.renew,
            retry=options.leader_elect_retry_period or election.retry or usual.retry,
            name=options.leader_elect_resource_name or election.name or _AGENT,
            namespace=options.leader_elect_resource_namespace or election.namespace or "kube-system",
        ),
    )


def _read(options: Options) -> Configuration:
    if options.config is None:
        return Configuration()
    try:
        return read_configuration(options.config)
    except ConfigurationError as exc:
        raise SettingsError("config", "flag --config", str(exc)) from exc


def _connections(context: Context[Options], configuration: Configuration, metrics: ClientMetrics) -> _Connect:
    options = context.options
    try:
        local = context.require(LocalServer)
    except NotProvided:
        local = None
    file = Path(configuration.kubeconfig) if configuration.kubeconfig else None
    try:
        access = kubeconfig.of_flags(file, master=options.master)
    except KubeconfigError as exc:
        raise SettingsError("kubeconfig", "flag --kubeconfig", str(exc)) from exc

    def own(name: str, limited: bool) -> AbstractAsyncContextManager[Client]:
        return connect(
            access,
            clock=context.clock,
            user_agent=f"{_AGENT}/{name}",
            local=local,
            metrics=metrics,
            qps=(configuration.qps or 0.0) if limited else 0.0,
            burst=configuration.burst or 0,
        )

    return own


@asynccontextmanager
async def _asking(context: Context[Options], client: Client) -> AsyncIterator[Client]:
    """Who asks the API server about those who ask here."""
    file = context.options.authentication_kubeconfig or context.options.authorization_kubeconfig
    if file is None:
        yield client
        return
    async with AsyncExitStack() as stack:
        try:
            asking = await stack.enter_async_context(
                connect(kubeconfig.read(file), clock=context.clock, user_agent=f"{_AGENT}/authentication")
            )
        except (KubeconfigError, CertificateError) as exc:
            raise SettingsError("authentication-kubeconfig", "flag --authentication-kubeconfig", str(exc)) from exc
        yield asking


def _times(configuration: Configuration) -> LeaseTimes:
    told, usual = configuration.leader_election, LeaseTimes()
    try:
        return LeaseTimes(
            lease=told.lease or usual.lease, renew=told.renew or usual.renew, retry=told.retry or usual.retry
        )
    except ValueError as exc:
        name = "leader-elect-renew-deadline"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc


def _elector(
    context: Context[Options], configuration: Configuration, client: Client, recorder: EventRecorder
) -> LeaderElector:
    """The candidate for the lease."""
    told = configuration.leader_election
    return LeaderElector(
        client,
        context.clock,
        identity=new_identity(),
        name=told.name or _AGENT,
        namespace=told.namespace or "kube-system",
        times=_times(configuration),
        recorder=recorder,
    )


@asynccontextmanager
async def _shown(
    context: Context[Options],
    configuration: Configuration,
    client: Client,
    registry: Registry,
    synced: asyncio.Event,
) -> AsyncIterator[None]:
    """Health and metrics, for the length of the block."""
    options, clock = context.options, context.clock
    if not options.secure_port:
        yield
        return
    serving = Serving(
        host=options.bind_address,
        port=options.secure_port,
        certificate=options.tls_cert_file,
        key=options.tls_private_key_file,
        client_ca=options.client_ca_file,
        token_seconds=options.authentication_token_webhook_cache_ttl,
        allowed_seconds=options.authorization_webhook_cache_authorized_ttl,
        denied_seconds=options.authorization_webhook_cache_unauthorized_ttl,
        always_paths=options.authorization_always_allow_paths,
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(
                showing(
                    serving,
                    clock=clock,
                    client=client,
                    registry=registry,
                    checks=_checks(synced),
                    config=_told(configuration),
                )
            )
        except OSError as exc:
            why = f"{exc.strerror}; choose another port, or 0 to serve nothing"
            raise SettingsError("secure-port", "flag --secure-port", why) from exc
        except CertificateError as exc:
            raise SettingsError("tls-cert-file", "flag --tls-cert-file", str(exc)) from exc
        yield


def _checks(synced: asyncio.Event) -> Mapping[str, Mapping[str, Check]]:
    async def informers() -> None:
        if not synced.is_set():
            raise RuntimeError("caches are not synced yet")

    return {"readyz": {"informer-sync": informers}}


def _told(configuration: Configuration) -> Mapping[str, dict[str, Any]]:
    """What /configz shows."""
    times = _times(configuration)
    return {
        "componentconfig": shown(
            configuration,
            {"leaseDuration": times.lease, "renewDeadline": times.renew, "retryPeriod": times.retry},
        )
    }
