"""One node: all that looks after its pods, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from hyperkube_kubelet.admission import Permits, Rejection
from hyperkube_kubelet.cgroups.tree import NoGroups, PodGroups
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.equipment import Ground, Upkeep, equip
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.housekeeping import Housekeeper
from hyperkube_kubelet.keeping import Keeping
from hyperkube_kubelet.pods.directory import PodDirectory
from hyperkube_kubelet.pods.images import Images
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_kubelet.sources.files import FileSource
from hyperkube_kubelet.sources.mirrors import Mirrors
from hyperkube_kubelet.stats.provider import Places
from hyperkube_kubelet.syncloop import SyncLoop
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery.builtin import NODES, PODS, SERVICES
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.informers import Handler, Informers

__all__ = ["Cluster", "Node", "PodSource", "node_running"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node at work."""

    loop: SyncLoop  # has its pods
    runtime: Runtime
    state: RuntimeState
    registered: Callable[[], Tree | None]  # its object, as far as it is known
    counts: Counts
    keeping: Keeping  # has its figures, and knows what it is short of


class PodSource(Protocol):
    """Tells of a node's pods as the API server has them."""

    @property
    def synced(self) -> bool:
        """Whether all of them were told."""

    def on_change(self, handler: Handler, /) -> None: ...


class Cluster:
    """The API server, as far as nodes ask it."""

    def __init__(self, client: Client, informers: Informers) -> None:
        """`informers` run as long as the nodes do."""
        self.client = client
        self.informers = informers

    def pods(self, node: str) -> PodSource:
        return self.informers.of(PODS, fields=f"spec.nodeName={node}")

    def node(self, name: str) -> Callable[[], Tree | None]:
        """Tells the node's object, as far as it is known."""
        informer = self.informers.of(NODES, fields=f"metadata.name={name}")
        return lambda: informer.get(name)

    def on_registered(self, name: str, handler: Callable[[], None]) -> None:
        """Have `handler` called when the node's object comes to be."""
        informer = self.informers.of(NODES, fields=f"metadata.name={name}")
        informer.on_change(lambda old, new: handler() if old is None else None)

    def on_node(self, name: str, handler: Callable[[], None]) -> None:
        """Have `handler` called when the node's object changes."""
        informer = self.informers.of(NODES, fields=f"metadata.name={name}")
        informer.on_change(lambda old, new: handler())

    def services(self) -> Callable[[], Iterable[Tree] | None]:
        """Tells all services; None before they are known."""
        informer = self.informers.of(SERVICES)
        return lambda: informer.list() if informer.synced else None


@asynccontextmanager
async def node_running(
    facts: NodeFacts,
    runtime: Runtime,
    state: RuntimeState,
    upkeep: Upkeep,
    *,
    cluster: Cluster | None,
    recorder: Recorder,
    clock: Clock,
    groups: PodGroups | None = None,
    counts: Counts | None = None,
) -> AsyncIterator[Node]:
    """Look after the pods of one node for the length of the block; what runs goes on after it.

    Without a cluster there are but the static pods. `groups`: where pods are held to their limits, None for nowhere;
    `counts`: where it is counted, if somebody else counts there too.
    """
    loop: SyncLoop  # has to be told by what it is made of
    ground = Ground(
        facts=facts,
        runtime=runtime,
        state=state,
        upkeep=upkeep,
        client=cluster.client if cluster is not None else None,
        recorder=recorder,
        clock=clock,
        groups=groups or NoGroups(),
        counts=counts or Counts(),
    )
    client, counts = ground.client, ground.counts
    directory = PodDirectory()
    registered: Callable[[], Tree | None] = cluster.node(facts.name) if cluster is not None else lambda: None
    mirrors = Mirrors(client, directory.mirror_of, registered)
    services = cluster.services() if cluster is not None else lambda: ()
    tools, images, volumes = equip(ground, directory, mirrors, services, lambda uid: loop.wake(uid))
    pods = cluster.pods(facts.name) if cluster is not None else None
    told = asyncio.Event()
    files = None
    if upkeep.manifests is not None:
        files = FileSource(
            upkeep.manifests, facts.name, clock, upkeep.manifest_seconds, lambda *pod: loop.changed(*pod)
        )
    keeping = Keeping(
        upkeep.keeping,
        facts.name,
        runtime,
        lambda: loop,
        Places(upkeep.root, tools.maker.logs, ground.groups.top_path),
        recorder,
        clock,
        counts,
        discard=tools.maker.discard,
    )

    loop = SyncLoop(
        tools,
        directory,
        mirrors,
        Housekeeper(runtime, tools.sightings, volumes, tools.maker.logs, ground.groups),
        node=lambda: registered() or _unregistered(facts),
        fetch_node=(lambda: client.get(NODES, facts.name)) if client is not None else None,
        sources_ready=lambda: (pods is None or told.is_set()) and (files is None or files.synced),
        refuses=_refusals(keeping, upkeep.permits, state),
    )
    async with (
        tools.prober.running(),
        companions(tools.writer.run()),
        ground.groups.running(loop.active),
        loop.running(),
        keeping.running(),
    ):
        if files is not None and loop.found.is_set():
            files.read()
        async with companions() as beside:
            beside.start(_adopt(images, loop), name="images that were being pulled")
            if files is not None:
                beside.start(_follow_files(files, loop))
                if cluster is not None:
                    cluster.on_registered(facts.name, loop.show_static)
            if cluster is not None and pods is not None:
                beside.start(_follow(cluster, pods, loop, told))
            loop.count(counts.registry)
            yield Node(loop, runtime, state, registered, counts, keeping)


def _refusals(keeping: Keeping, permits: Permits | None, state: RuntimeState) -> Callable[[Tree], Rejection | None]:
    """Tells why a pod is not taken whatever the node has."""

    def refusal(pod: Tree) -> Rejection | None:
        short = keeping.evictor.refusal(pod)
        if short is not None or permits is None:
            return short
        features = state.shown.features
        return permits.refusal(pod, strict_groups=features is None or features.supplemental_groups_policy)

    return refusal


async def _follow(cluster: Cluster, pods: PodSource, loop: SyncLoop, told: asyncio.Event) -> None:
    """Let the pods come once it is known what they are judged by and told of: the node's object, and services.

    `told` is set once the loop has them all: before that nothing may be taken for what is left of a pod that is gone.
    """
    await cluster.informers.synced()
    await loop.found.wait()
    pods.on_change(loop.changed)
    told.set()


async def _adopt(images: Images, loop: SyncLoop) -> None:
    """Once the runtime answers, take note of what it was pulling when an earlier kubelet ended."""
    await loop.found.wait()
    with suppress(RuntimeFailure, OSError):  # what isn't noted is asked for again, with credentials
        await images.adopt()


async def _follow_files(files: FileSource, loop: SyncLoop) -> None:
    await loop.found.wait()
    if not files.synced:
        files.read()
    await files.follow()


def _unregistered(facts: NodeFacts) -> Tree:
    """What the node's object will say."""
    return {
        "metadata": {"name": facts.name, "labels": dict(facts.labels)},
        "status": {"allocatable": dict(facts.allocatable)},
    }
