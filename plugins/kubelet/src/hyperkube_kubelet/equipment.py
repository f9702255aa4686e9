"""What a node's pods are worked on with, made of what the node stands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hyperkube_kubelet.admission import Permits
from hyperkube_kubelet.allocation.allocations import Allocations
from hyperkube_kubelet.allocation.records import Records
from hyperkube_kubelet.cgroups.tree import PodGroups
from hyperkube_kubelet.containers.limits import Rules
from hyperkube_kubelet.containers.security import PLAIN, Confinement
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.images.providers import CredentialProviders
from hyperkube_kubelet.images.pullrecords import PullRecords
from hyperkube_kubelet.keeping import DISKS_UNWATCHED, KeepingRules
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
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_kubelet.sources.mirrors import Mirrors
from hyperkube_kubelet.status.writer import StatusWriter
from hyperkube_kubelet.telling import Recorder
from hyperkube_kubelet.volumes.manager import PodVolumes
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_kubelet.volumes.tokens import Tokens
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock

__all__ = ["Equipment", "Ground", "Upkeep", "equip"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a node stands on."""

    facts: NodeFacts
    runtime: Runtime
    state: RuntimeState
    upkeep: Upkeep
    client: Client | None  # None without an API server
    recorder: Recorder
    clock: Clock
    groups: PodGroups  # where pods are held to their limits
    counts: Counts


class Equipment(NamedTuple):
    """What pods are worked on with."""

    tools: Tools
    images: Images
    volumes: PodVolumes


def equip(
    ground: Ground,
    directory: PodDirectory,
    mirrors: Mirrors,
    services: Callable[[], Iterable[Tree] | None],
    wake: Callable[[str], None],
) -> Equipment:
    """What the pods of a node are worked on with; a probe that comes to another verdict calls `wake`."""
    runtime, upkeep, recorder, clock = ground.runtime, ground.upkeep, ground.recorder, ground.clock
    client = ground.client
    objects = ObjectCache(client, clock) if client is not None else None
    tokens = Tokens(client, clock) if client is not None else None
    maker = _maker(ground, objects, services)
    images = _images(ground, objects, tokens)
    volumes = PodVolumes(upkeep.root, runtime, objects, tokens, clock)
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
        prober=Prober(Trier(runtime, clock), recorder, clock, wake),
        volumes=volumes,
        writer=StatusWriter(client, clock, directory.in_api),
        recorder=recorder,
        clock=clock,
        facts=ground.facts,
        state=ground.state,
        counts=ground.counts,
        objects=objects,
        groups=ground.groups,
        allocations=allocations,
        resizer=Resizer(runtime, ground.groups, allocations, maker.rules),
        show=mirrors.show,
        sync_seconds=upkeep.sync_seconds,
        kept_dead=upkeep.kept_dead,
        dead_seconds=upkeep.dead_seconds,
    )
    return Equipment(tools, images, volumes)


def _maker(ground: Ground, objects: ObjectCache | None, services: Callable[[], Iterable[Tree] | None]) -> Maker:
    upkeep, state = ground.upkeep, ground.state
    return Maker(
        upkeep.root,
        ground.facts,
        upkeep.names,
        objects=objects,
        services=services,
        own_files=upkeep.own_files,
        groups=ground.groups,
        rules=upkeep.rules,
        confinement=upkeep.confinement,
        namespaces=PodNamespaces(upkeep.root / "pods", objects, lambda: state.shown),
    )


def _images(ground: Ground, objects: ObjectCache | None, tokens: Tokens | None) -> Images:
    runtime, upkeep, recorder, clock = ground.runtime, ground.upkeep, ground.recorder, ground.clock
    pulls = upkeep.pulls
    providers = None
    if pulls.providers:
        client = ground.client
        accounts = ServiceAccounts(client, tokens) if client is not None and tokens is not None else None
        providers = CredentialProviders(pulls.providers, pulls.provider_folder, clock, accounts)
    return Images(
        runtime,
        Puller(runtime, pulls, clock),
        PullCredentials(upkeep.root, objects, recorder, providers),
        PullRecords(upkeep.root / "image_manager"),
        pulls.verification,
        recorder,
        clock,
    )
