"""The API server: who the kubelet is there, and how it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hyperkube_core import NotProvided, SettingsError
from hyperkube_kubelet.certificates.client import ClientIdentity, client_identity
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.nodes import Cluster
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.telling import LogRecorder, Recorder
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.kubeconfig import KubeconfigError

if TYPE_CHECKING:
    from hyperkube_core import Context

__all__ = ["AGENT", "cluster_reached", "connected", "identity_of", "local_server"]

AGENT = "kubelet"


async def identity_of(options: Options, node: str, clock: Clock) -> ClientIdentity | None:
    """Who the kubelet is to the API server; None without one."""
    if options.kubeconfig is None and not options.master:
        return None
    assert options.cert_dir is not None, "the options fill it in"
    try:
        return await client_identity(
            options.kubeconfig,
            options.bootstrap_kubeconfig,
            options.cert_dir,
            node,
            clock,
            master=options.master,
            rotates=options.rotate_certificates,
        )
    except (OSError, KubeconfigError) as exc:
        raise SettingsError("kubeconfig", "flag --kubeconfig", str(exc)) from exc


@asynccontextmanager
async def cluster_reached(
    context: Context[Options], identity: ClientIdentity | None, facts: NodeFacts
) -> AsyncIterator[tuple[Cluster | None, Recorder]]:
    """The API server, and who tells it of events; without one they are logged."""
    options, clock = context.options, context.clock
    if identity is None:
        yield None, LogRecorder()
        return
    local = local_server(context)
    async with (
        connected(identity, clock, local, options.kube_api_qps, options.kube_api_burst) as client,
        connected(identity, clock, local, options.event_qps, options.event_burst) as teller,
        EventRecorder(teller, clock, component=AGENT, host=facts.name).running() as recorder,
        companions(identity.keep(client)),
    ):
        yield Cluster(client, Informers(client, clock)), recorder


@asynccontextmanager
async def connected(
    identity: ClientIdentity, clock: Clock, local: LocalServer | None, qps: float, burst: int
) -> AsyncIterator[Client]:
    async with connect(
        identity.access,
        clock=clock,
        user_agent=AGENT,
        local=local,
        qps=max(qps, 0.0),
        burst=burst,
        credentials=identity.credentials,
    ) as client:
        yield client


def local_server(context: Context[Options]) -> LocalServer | None:
    """The API server of this process, if it has one."""
    try:
        return context.require(LocalServer)
    except NotProvided:
        return None
