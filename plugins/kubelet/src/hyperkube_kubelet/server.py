"""The kubelet: what is opened, in which order, and closed in reverse.

root directory ─→ API server's client ─→ runtime ─→ node's pods ─→ node's object and lease ─→ API ─→ ready
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hyperkube_core import NotProvided, SettingsError
from hyperkube_kubelet.admission import Permits
from hyperkube_kubelet.api.figures import FiguresAPI
from hyperkube_kubelet.api.serving import api_served
from hyperkube_kubelet.certificates.client import ClientIdentity, client_identity
from hyperkube_kubelet.certificates.metrics import count_client
from hyperkube_kubelet.configuration.gates import warnings as gate_warnings
from hyperkube_kubelet.containers.profiles import why_no_apparmor
from hyperkube_kubelet.containers.security import Confinement, masked_paths
from hyperkube_kubelet.containers.sysctls import Allowlist, safe_sysctls
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.grouping import allocatable_of, groups_of, rules_of
from hyperkube_kubelet.hollow import Fleet, hollow_node_running, node_ranges
from hyperkube_kubelet.keepingrules import keeping_of
from hyperkube_kubelet.lockfile import file_locked
from hyperkube_kubelet.node.happenings import Happening
from hyperkube_kubelet.node.kernellog import kernel_followed
from hyperkube_kubelet.node.machine import Machine, capacity, examine
from hyperkube_kubelet.node.ranges import RangeTeller
from hyperkube_kubelet.node.registration import NodeKeeper
from hyperkube_kubelet.node.reservations import pods_at_most
from hyperkube_kubelet.node.status import NodeView, default_labels
from hyperkube_kubelet.nodeaddresses import default_address, is_here, is_loopback, node_addresses, parse_node_ips
from hyperkube_kubelet.nodelabels import restricted
from hyperkube_kubelet.nodes import Cluster, Node, Upkeep, node_running
from hyperkube_kubelet.options import Options, parse_taint
from hyperkube_kubelet.pods.making import ClusterNames
from hyperkube_kubelet.pullrules import pulls_of
from hyperkube_kubelet.rootlock import root_locked
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtimes import runtime_open
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_kubelet.systemd import feed_watchdog, notify, watchdog_seconds
from hyperkube_kubelet.telling import LogRecorder, Recorder
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.garbage import collecting_seldom
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.kubeconfig import KubeconfigError

if TYPE_CHECKING:
    from hyperkube_core import Context

__all__ = ["serve"]

log = logging.getLogger(__name__)

AGENT = "kubelet"
FIRST_LOOK_SECONDS = 10.0
"""How long a kubelet that starts waits for its runtime to say what it is."""

UNINITIALIZED = ("node.cloudprovider.kubernetes.io/uninitialized", "true", "NoSchedule")
"""The taint of a node that a cloud's controller has not seen yet."""


async def serve(context: Context[Options]) -> None:
    """Serve until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    with collecting_seldom() as started:

        def ready() -> None:
            started()
            context.ready.set()

        await _serve(context, ready)


async def _serve(context: Context[Options], ready: Callable[[], None]) -> None:
    options, clock = context.options, context.clock
    for warning in _warnings(options):
        log.warning("%s", warning)
    if options.oom_score_adj is not None:
        _set_oom_score(options.oom_score_adj)
    async with _lock(options, clock):
        await _serve_locked(context, ready)


async def _serve_locked(context: Context[Options], ready: Callable[[], None]) -> None:
    options, clock = context.options, context.clock
    with _root(options):
        machine = examine(options.root_dir)
        name = (options.hostname_override or socket.gethostname()).strip().lower()
        identity = await _identity(options, name, clock)
        facts = _facts(options, machine, name, identity.access.server if identity is not None else "")
        if options.hollow_nodes:
            assert identity is not None, "the options know of none without an API server"
            await _serve_fleet(context, identity, facts, machine, ready)
        counts = Counts()
        async with (
            _cluster(context, identity, facts) as (cluster, recorder),
            _runtime(options, clock, counts) as runtime,
        ):
            state = RuntimeState(runtime, clock)
            await state.look_for(FIRST_LOOK_SECONDS)
            driver = state.latest.cgroup_driver if state.latest is not None else ""
            groups = await groups_of(options, facts, machine, recorder, clock, told_driver=driver)
            async with (
                companions(state.follow()) as beside,
                kernel_followed(facts.name, recorder),
                node_running(
                    facts,
                    runtime,
                    state,
                    _upkeep(options, facts, machine),
                    cluster=cluster,
                    recorder=recorder,
                    clock=clock,
                    groups=groups,
                    counts=counts,
                ) as node,
                api_served(
                    options,
                    facts,
                    node.loop,
                    runtime,
                    client=cluster.client if cluster is not None else None,
                    clock=clock,
                    checks={"syncloop": node.loop.check},
                    registry=node.counts.registry,
                    figures=FiguresAPI(node.keeping.provider, machine, node.keeping.places.top_group, node.counts),
                ) as port,
            ):
                notify("READY=1")
                if seconds := watchdog_seconds():
                    beside.start(feed_watchdog(clock, seconds, node.loop.check))
                if identity is not None:
                    count_client(node.counts.registry, identity.renewal, identity.seconds_left)
                if cluster is not None:
                    await _keep_node(context, cluster, recorder, node, facts, machine, port, ready)
                else:
                    ready()
                    await clock.sleep(1 << 31)


@asynccontextmanager
async def _lock(options: Options, clock: Clock) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if options.lock_file is not None:
            try:
                await stack.enter_async_context(
                    file_locked(options.lock_file, clock, yields=options.exit_on_lock_contention)
                )
            except OSError as exc:
                raise SettingsError("lock-file", "flag --lock-file", str(exc)) from exc
        yield


def _set_oom_score(score: int) -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(score))
    except OSError as exc:  # lowering it needs a right that few have
        log.warning("the kernel's score of this process can't be made %d: %s", score, exc)


def _warnings(options: Options) -> Iterator[str]:
    """What is asked for that is not so."""
    yield from gate_warnings(options.feature_gates)
    if options.cloud_provider not in ("", "external"):
        yield f"--cloud-provider={options.cloud_provider} has no effect: kubelets know no cloud since Kubernetes 1.31"


async def _serve_fleet(
    context: Context[Options],
    identity: ClientIdentity,
    facts: NodeFacts,
    machine: Machine,
    ready: Callable[[], None],
) -> NoReturn:
    """Stand for many nodes until cancelled. They have no API: there is nothing to be read or run on them."""
    options, clock = context.options, context.clock
    names = [f"{facts.name}-{number}" for number in range(options.hollow_nodes)]
    async with (
        # Each node may ask as much as one may alone.
        _connected(identity, clock, _local(context), 0.0, 0) as client,
        EventRecorder(client, clock, component=AGENT, host=facts.name).running() as recorder,
        AsyncExitStack() as stack,
    ):
        fleet = Fleet(client, Informers(client, clock))
        beside = await stack.enter_async_context(companions())
        await stack.enter_async_context(fleet.informers.running())
        for start in range(0, len(names), _AT_A_TIME):
            ranges = node_ranges(len(names))[start : start + _AT_A_TIME]
            keepers = []
            for name, pod_cidr in zip(names[start : start + _AT_A_TIME], ranges, strict=True):
                its = replace(facts, name=name, labels={**facts.labels, **default_labels(name, machine)})
                node = await stack.enter_async_context(
                    hollow_node_running(
                        its, pod_cidr, _upkeep(options, its, machine), cluster=fleet, recorder=recorder, clock=clock
                    )
                )
                keeper = _keeper(options, client, clock, node, its, machine, port=0)
                beside.start(keeper.run(), name=name)
                keepers.append(keeper)
            for keeper in keepers:
                await keeper.registered()
        ready()
        log.info("%d hollow nodes are ready for pods", len(names))
        await asyncio.get_running_loop().create_future()
    raise AssertionError("only a cancellation ends it")


_AT_A_TIME = 50
"""How many nodes register themselves at once."""


async def _keep_node(
    context: Context[Options],
    cluster: Cluster,
    recorder: Recorder,
    node: Node,
    facts: NodeFacts,
    machine: Machine,
    port: int,
    ready: Callable[[], None],
) -> None:
    """Show the node to the API server's clients until cancelled."""
    # Kubelets call a node by its name where its uid would be, for they may tell of it before it is there.
    about = {"apiVersion": "v1", "kind": "Node", "name": facts.name, "uid": facts.name}

    def tell(happening: Happening) -> None:
        recorder.event(about, *happening)

    tell(Happening("Normal", "Starting", "Starting kubelet."))
    keeper = _keeper(context.options, cluster.client, context.clock, node, facts, machine, port=port, tell=tell)
    ranges = RangeTeller(node.runtime, node.registered, context.clock)
    cluster.on_node(facts.name, ranges.wake)
    async with companions(keeper.run(), ranges.run()), cluster.informers.running():
        await keeper.registered()
        ready()
        log.info("node %s is ready for pods", facts.name)
        await context.clock.sleep(1 << 31)


def _keeper(
    options: Options,
    client: Client,
    clock: Clock,
    node: Node,
    facts: NodeFacts,
    machine: Machine,
    *,
    port: int,
    tell: Callable[[Happening], None] = lambda happening: None,
) -> NodeKeeper:
    taints = [parse_taint(taint) for taint in options.register_with_taints]
    clouded = options.cloud_provider == "external"
    if clouded and UNINITIALIZED not in taints:
        taints.append(UNINITIALIZED)
    return NodeKeeper(
        facts.name,
        client,
        clock,
        lambda: _look(node, facts, machine, options, port),
        known=node.registered,
        frequency_seconds=options.node_status_update_frequency,
        registers=options.register_node,
        taints=taints,
        provider_id=options.provider_id,
        report_seconds=options.node_status_report_frequency,
        lease_seconds=options.node_lease_duration_seconds,
        tell=tell,
        clouded=clouded,
    )


async def _look(node: Node, facts: NodeFacts, machine: Machine, options: Options, port: int) -> NodeView:
    return NodeView(
        facts=facts,
        machine=machine,
        runtime=node.state.shown,
        images=await node.state.images(),
        not_ready=node.state.troubles(),
        pressures=node.keeping.evictor.conditions,
        port=port,
        most_images=options.node_status_max_images,
        provided_ips=options.node_ip if options.cloud_provider == "external" else "",
    )


@contextmanager
def _root(options: Options) -> Iterator[None]:
    name = "root-dir"
    with ExitStack() as stack:
        try:
            stack.enter_context(root_locked(options.root_dir))
        except OSError as exc:
            raise SettingsError(name, f"flag --{name}", str(exc)) from exc
        yield


@asynccontextmanager
async def _runtime(options: Options, clock: Clock, counts: Counts) -> AsyncIterator[Runtime]:
    async with AsyncExitStack() as stack:
        try:
            runtime = await stack.enter_async_context(runtime_open(options, clock, counts))
        except RuntimeFailure as exc:
            raise SettingsError("container-runtime", "flag --container-runtime", str(exc)) from exc
        yield runtime


@asynccontextmanager
async def _cluster(
    context: Context[Options], identity: ClientIdentity | None, facts: NodeFacts
) -> AsyncIterator[tuple[Cluster | None, Recorder]]:
    """The API server, and who tells it of events; without one they are logged."""
    options, clock = context.options, context.clock
    if identity is None:
        yield None, LogRecorder()
        return
    local = _local(context)
    async with (
        _connected(identity, clock, local, options.kube_api_qps, options.kube_api_burst) as client,
        _connected(identity, clock, local, options.event_qps, options.event_burst) as teller,
        EventRecorder(teller, clock, component=AGENT, host=facts.name).running() as recorder,
        companions(identity.keep(client)),
    ):
        yield Cluster(client, Informers(client, clock)), recorder


@asynccontextmanager
async def _connected(
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


def _local(context: Context[Options]) -> LocalServer | None:
    """The API server of this process, if it has one."""
    try:
        return context.require(LocalServer)
    except NotProvided:
        return None


async def _identity(options: Options, node: str, clock: Clock) -> ClientIdentity | None:
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


def _facts(options: Options, machine: Machine, name: str, server: str) -> NodeFacts:
    whole = capacity(machine, max_pods=pods_at_most(options.max_pods, options.pods_per_core, machine.cpus))
    return NodeFacts(
        name=name,
        ips=_addresses(options, server),
        capacity=whole,
        allocatable=allocatable_of(options, whole, machine),
        labels={**default_labels(name, machine), **_labels(options)},
        operating_system=machine.operating_system,
    )


def _permits(options: Options, machine: Machine) -> Permits | None:
    if options.container_runtime == "hollow":
        return None  # nothing is done, whatever is asked for
    try:
        allowed = Allowlist([*safe_sysctls(machine.kernel_version), *options.allowed_unsafe_sysctls])
    except ValueError as exc:
        name = "allowed-unsafe-sysctls"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    return Permits(allowed, why_no_apparmor())


def _addresses(options: Options, server: str) -> tuple[str, ...]:
    try:
        found = node_addresses(parse_node_ips(options.node_ip), server, here=is_here, default=default_address)
    except ValueError as exc:
        raise SettingsError("node-ip", "flag --node-ip", str(exc)) from exc
    if options.enable_server and is_loopback(options.address) and not is_loopback(found[0]):
        log.warning(
            "logs and commands can't be asked for at %s: the kubelet listens on %s alone, see --address",
            found[0],
            options.address,
        )
    return found


def _labels(options: Options) -> dict[str, str]:
    """Those that are a kubelet's to give."""
    others = restricted(options.node_labels)
    if others:
        log.warning(
            "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels are left out: %s",
            ", ".join(others),
        )
    return {name: value for name, value in options.node_labels.items() if name not in others}


def _upkeep(options: Options, facts: NodeFacts, machine: Machine) -> Upkeep:
    return Upkeep(
        root=options.root_dir,
        names=ClusterNames(
            options.cluster_dns, options.cluster_domain, Path(options.resolv_conf) if options.resolv_conf else None
        ),
        manifests=options.pod_manifest_path,
        manifest_seconds=options.file_check_frequency,
        sync_seconds=options.sync_frequency,
        kept_dead=options.maximum_dead_containers_per_container,
        dead_seconds=options.minimum_container_ttl_duration,
        rules=rules_of(options, facts, machine),
        keeping=keeping_of(options),
        pulls=pulls_of(options),
        most_back_off_seconds=options.max_container_restart_period,
        permits=_permits(options, machine),
        confinement=Confinement(
            seccomp_default=options.seccomp_default,
            seccomp_root=options.root_dir / "seccomp",
            masked_paths=masked_paths(),
        ),
    )
