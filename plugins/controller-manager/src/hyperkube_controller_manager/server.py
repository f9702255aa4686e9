"""The controller manager: what is opened, in which order, and closed in reverse.

API server's address → client → health and metrics → (a lease) → informers → controllers → ready
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hyperkube_controller_manager.catalog import chosen
from hyperkube_controller_manager.identities import AGENT, Connections
from hyperkube_controller_manager.manager import Progress, run_controllers
from hyperkube_core import NotProvided, SettingsError
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.client.metrics import ClientMetrics
from hyperkube_machinery.companions import companions
from hyperkube_machinery.component import Serving, showing
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.garbage import collecting_seldom
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.leaderelection import LeaderElector, LeaseTimes, new_identity
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.serving.process import LAG_BOUNDS, measure_lag, register_process
from hyperkube_machinery.tls import CertificateError, load_certificates
from hyperkube_machinery.workqueue import WorkQueueMetrics

if TYPE_CHECKING:
    from hyperkube_controller_manager.options import Options
    from hyperkube_core import Context
    from hyperkube_machinery.serving.health import Check

__all__ = ["serve"]

log = logging.getLogger(__name__)

_LAG = "How late the event loop woke a sleeper, in seconds: how long others held it."


async def serve(context: Context[Options]) -> None:
    """Serve until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    with collecting_seldom() as started:
        await _serve(context, started)


async def _serve(context: Context[Options], started: Callable[[], None]) -> None:
    options, clock = context.options, context.clock
    access = _access(options)
    root_ca = _root_ca(options, access)
    registry = Registry()
    register_process(registry)
    lag = registry.histogram("hk_event_loop_lag_seconds", _LAG, bounds=LAG_BOUNDS).labels()
    connections = Connections(
        access=access,
        clock=clock,
        local=_local(context),
        metrics=ClientMetrics(registry),
        qps=max(options.kube_api_qps, 0.0),
        burst=options.kube_api_burst,
    )
    entries = chosen(options.controllers)

    def all_begun() -> None:
        started()
        context.ready.set()

    progress = Progress(entries, all_begun=all_begun)
    metrics = WorkQueueMetrics(registry, clock)

    async def work(reader: Client) -> NoReturn:
        await run_controllers(
            entries,
            connections=connections,
            reader=reader,
            options=options,
            clock=clock,
            metrics=metrics,
            root_ca=root_ca,
            progress=progress,
        )

    try:
        async with (
            connections.own("shared-informers") as reader,
            _asking(context, reader) as asking,
            _shown(context, asking, registry, progress),
            companions(measure_lag(clock, lag)),
        ):
            if not options.leader_elect:
                await work(reader)
            async with (
                connections.own("leader-election") as voter,
                EventRecorder(voter, clock, component=AGENT).running() as recorder,
                _elector(context, voter, recorder).leading(),
            ):
                await work(reader)
    except (KubeconfigError, CertificateError) as exc:
        raise SettingsError("kubeconfig", "flag --kubeconfig", str(exc)) from exc


def _local(context: Context[Options]) -> LocalServer | None:
    """The API server of this process, if it has one."""
    try:
        return context.require(LocalServer)
    except NotProvided:
        return None


def _access(options: Options) -> Access:
    try:
        return kubeconfig.of_flags(options.kubeconfig, master=options.master)
    except KubeconfigError as exc:
        raise SettingsError("kubeconfig", "flag --kubeconfig", str(exc)) from exc


def _root_ca(options: Options, access: Access) -> str:
    """The authorities that pods are to believe the API server by."""
    if options.root_ca_file is None:
        return (access.ca_pem or b"").decode()
    try:
        load_certificates(options.root_ca_file)
        return options.root_ca_file.read_text("utf-8")
    except (OSError, ValueError, CertificateError) as exc:
        raise SettingsError("root-ca-file", "flag --root-ca-file", str(exc)) from exc


@asynccontextmanager
async def _asking(context: Context[Options], client: Client) -> AsyncIterator[Client]:
    """Who asks the API server about those who ask here."""
    options = context.options
    file = options.authentication_kubeconfig or options.authorization_kubeconfig
    if file is None:
        yield client
        return
    async with AsyncExitStack() as stack:
        try:
            asking = await stack.enter_async_context(
                connect(kubeconfig.read(file), clock=context.clock, user_agent=f"{AGENT}/authentication")
            )
        except (KubeconfigError, CertificateError) as exc:
            raise SettingsError("authentication-kubeconfig", "flag --authentication-kubeconfig", str(exc)) from exc
        yield asking


@asynccontextmanager
async def _shown(
    context: Context[Options], client: Client, registry: Registry, progress: Progress
) -> AsyncIterator[None]:
    """Health and metrics, for the length of the block."""
    options = context.options
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
    checks: dict[str, Check] = {entry.name: progress.check(entry.name) for entry in progress.entries}
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(
                showing(
                    serving,
                    clock=context.clock,
                    client=client,
                    registry=registry,
                    checks={"healthz": checks, "readyz": checks},
                    config=_told(options),
                )
            )
        except OSError as exc:
            why = f"{exc.strerror}; choose another port, or 0 to serve nothing"
            raise SettingsError("secure-port", "flag --secure-port", why) from exc
        except CertificateError as exc:
            raise SettingsError("tls-cert-file", "flag --tls-cert-file", str(exc)) from exc
        yield


def _elector(context: Context[Options], client: Client, recorder: EventRecorder) -> LeaderElector:
    options = context.options
    try:
        times = LeaseTimes(
            lease=options.leader_elect_lease_duration,
            renew=options.leader_elect_renew_deadline,
            retry=options.leader_elect_retry_period,
        )
    except ValueError as exc:
        name = "leader-elect-renew-deadline"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    identity = new_identity()

    def on_new_leader(leader: str) -> None:
        if leader and leader != identity:
            context.ready.set()  # to stand by is to be ready

    return LeaderElector(
        client,
        context.clock,
        identity=identity,
        name=options.leader_elect_resource_name,
        namespace=options.leader_elect_resource_namespace,
        times=times,
        recorder=recorder,
        on_new_leader=on_new_leader,
    )


def _told(options: Options) -> Mapping[str, dict[str, Any]]:
    """What /configz shows."""
    values = dataclasses.asdict(options)
    shown = {name.replace("_", "-"): str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return {"kubecontrollermanager.config.k8s.io": shown}
