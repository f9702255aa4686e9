"""One node: all that looks after its pods, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hyperkube_kubelet.admission import Permits, Rejection
from hyperkube_kubelet.allocation.allocations import Allocations
from hyperkube_kubelet.allocation.records import Records
from hyperkube_kubelet.cgroups.tree import NoGroups, PodGroups
from hyperkube_kubelet.containers.limits import Rules
from hyperkube_kubelet.containers.security import PLAIN, Confinement
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.housekeeping import Housekeeper
from hyperkube_kubelet.images.providers import CredentialProviders
from hyperkube_kubelet.images.pullrecords import PullRecords
from hyperkube_kubelet.keeping import DISKS_UNWATCHED, Keeping, KeepingRules
from hyperkube_kubelet.pods.directory import PodDirectory
from hyperkube_kubelet.pods.hooks import Hooks
from hyperkube_kubelet.pods.images import Images
from hyperkube_kubelet.pods.killing import Killer
from hyperkube_kubelet.pods.making import ClusterNames, Maker
from hyperkube_kubelet.pods.namespaces import PodNamespaces
from hyperkube_kubelet.pods.pulls import ONE_BY_ONE, PullCredentials, Puller, PullRules, ServiceAccounts
from hyperkube_kubelet.pods.resizing import Resizer
from hyperkube_kubelet.pods.sightings import Sightings
from hyperkube_kubelet.pods.starting import Starter
from hyperkube_kubelet.pods.tools import Tools
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.probes.prober import Prober
from hyperkube_kubelet.probes.trying import Trier
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_kubelet.sources.files import FileSource
from hyperkube_kubelet.sources.mirrors import Mirrors
from hyperkube_kubelet.stats.provider import Places
from hyperkube_kubelet.status.writer import StatusWriter
from hyperkube_kubelet.syncloop import SyncLoop
from hyperkube_kubelet.telling import Recorder
from hyperkube_kubelet.volumes.manager import PodVolumes
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_kubelet.volumes.tokens import Tokens
from hyperkube_machinery.builtin import NODES, PODS, SERVICES
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.informers import Handler, Informers

__all__ = ["Cluster", "Node", "PodSource", "Upkeep", "node_running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """How a node's pods are looked after; times in seconds."""

    root: Path
    names: ClusterNames
    manifests: Path | None = None  # a file or folder of static pods
    manifest_seconds: float = 20.0
    sync_seconds: float = 60.0
    kept_dead: int = 1
    dead_seconds: float = 0.0
    most_back_off_seconds: float = 300.0
    confinement: Confinement = PLAIN
    permits: Permits | None = None  # what pods may ask for; None: anything
    pulls: PullRules = ONE_BY_ONE
    rules: Rules | None = None  # what containers' limits depend on; None for what the facts say of it
    keeping: KeepingRules = DISKS_UNWATCHED
    own_files: bool = True  # whether containers get files of the kubelet's own, such as /etc/hosts


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
    client = cluster.client if cluster is not None else None
    counts = counts or Counts()
    groups = groups or NoGroups()
    loop: SyncLoop  # has to be told by what it is made of
    directory = PodDirectory()
    registered: Callable[[], Tree | None] = cluster.node(facts.name) if cluster is not None else lambda: None
    mirrors = Mirrors(client, directory.mirror_of, registered)
    objects = ObjectCache(client, clock) if client is not None else None
    tokens = Tokens(client, clock) if client is not None else None
    volumes = PodVolumes(upkeep.root, runtime, objects, tokens, clock)
    services = cluster.services() if cluster is not None else lambda: ()
    maker = Maker(
        upkeep.root,
        facts,
        upkeep.names,
        objects=objects,
        services=services,
        own_files=upkeep.own_files,
        groups=groups,
        rules=upkeep.rules,
        confinement=upkeep.confinement,
        namespaces=PodNamespaces(upkeep.root / "pods", objects, lambda: state.shown),
    )
    accounts = ServiceAccounts(client, tokens) if client is not None and tokens is not None else None
    pulls = upkeep.pulls
    images = Images(
        runtime,
        Puller(runtime, pulls, clock),
        PullCredentials(
            upkeep.root,
            objects,
            recorder,
            CredentialProviders(pulls.providers, pulls.provider_folder, clock, accounts) if pulls.providers else None,
        ),
        PullRecords(upkeep.root / "image_manager"),
        pulls.verification,
        recorder,
        clock,
    )
    hooks = Hooks(runtime, recorder, clock)
    killer = Killer(runtime, hooks, recorder, clock)
    records = Records(upkeep.root / "resources.json" if upkeep.own_files else None)
    allocations = Allocations(records, recorder, clock)
    tools = Tools(
        runtime=runtime,
        sightings=Sightings(runtime, records.actuated),
        maker=maker,
        starter=Starter(runtime, maker, images, hooks, killer, recorder, clock, upkeep.most_back_off_seconds),
        killer=killer,
        prober=Prober(Trier(runtime, clock), recorder, clock, lambda uid: loop.wake(uid)),
        volumes=volumes,
        writer=StatusWriter(client, clock, directory.in_api),
        recorder=recorder,
        clock=clock,
        facts=facts,
        state=state,
        counts=counts,
        objects=objects,
        groups=groups,
        allocations=allocations,
        resizer=Resizer(runtime, groups, allocations, maker.rules),
        show=mirrors.show,
        sync_seconds=upkeep.sync_seconds,
        kept_dead=upkeep.kept_dead,
        dead_seconds=upkeep.dead_seconds,
    )
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
        Places(upkeep.root, maker.logs, groups.top_path),
        recorder,
        clock,
        counts,
        discard=maker.discard,
    )

    def refusal(pod: Tree) -> Rejection | None:
        """Why the pod is not taken whatever the node has."""
        short = keeping.evictor.refusal(pod)
        if short is not None or upkeep.permits is None:
            return short
        features = state.shown.features
        return upkeep.permits.refusal(pod, strict_groups=features is None or features.supplemental_groups_policy)

    loop = SyncLoop(
        tools,
        directory,
        mirrors,
        Housekeeper(runtime, tools.sightings, volumes, maker.logs, groups),
        node=lambda: registered() or _unregistered(facts),
        fetch_node=(lambda: client.get(NODES, facts.name)) if client is not None else None,
        sources_ready=lambda: (pods is None or told.is_set()) and (files is None or files.synced),
        refuses=refusal,
    )
    async with (
        tools.prober.running(),
        companions(tools.writer.run()),
        groups.running(loop.active),
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
