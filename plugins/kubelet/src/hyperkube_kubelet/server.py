"""The kubelet: what is opened, in which order, and closed in reverse.

root directory ─→ API server's client ─→ runtime ─→ node's pods ─→ node's object and lease ─→ API ─→ ready
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from hyperkube_core import SettingsError
from hyperkube_kubelet.api.figures import FiguresAPI
from hyperkube_kubelet.api.serving import api_served
from hyperkube_kubelet.certificates.client import ClientIdentity
from hyperkube_kubelet.certificates.metrics import count_client
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.grouping import groups_of
from hyperkube_kubelet.hollow import Fleet, hollow_node_running, node_ranges
from hyperkube_kubelet.node.kernellog import kernel_followed
from hyperkube_kubelet.node.machine import Machine, examine
from hyperkube_kubelet.node.status import default_labels
from hyperkube_kubelet.nodes import node_running
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.preparing import (
    check_kernel,
    facts_of,
    lock_held,
    raise_file_limit,
    root_held,
    set_oom_score,
    upkeep_of,
    warnings_of,
)
from hyperkube_kubelet.presence import keeper_of, node_shown
from hyperkube_kubelet.reaching import AGENT, cluster_reached, connected, identity_of, local_server
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtimes import runtime_open
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_kubelet.systemd import feed_watchdog, notify, watchdog_seconds
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.garbage import collecting_seldom
from hyperkube_machinery.informers import Informers

if TYPE_CHECKING:
    from hyperkube_core import Context

__all__ = ["serve"]

log = logging.getLogger(__name__)

FIRST_LOOK_SECONDS = 10.0
"""How long a kubelet that starts waits for its runtime to say what it is."""


async def serve(context: Context[Options]) -> None:
    """Serve until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    with collecting_seldom() as started:

        def ready() -> None:
            started()
            context.ready.set()

        await _serve(context, ready)


async def _serve(context: Context[Options], ready: Callable[[], None]) -> None:
    options, clock = context.options, context.clock
    for warning in warnings_of(options):
        log.warning("%s", warning)
    if options.protect_kernel_defaults:
        check_kernel()
    if options.max_open_files:
        raise_file_limit(options.max_open_files)
    if options.oom_score_adj is not None:
        set_oom_score(options.oom_score_adj)
    async with lock_held(options, clock):
        await _serve_locked(context, ready)


async def _serve_locked(context: Context[Options], ready: Callable[[], None]) -> None:
    options, clock = context.options, context.clock
    with root_held(options):
        machine = examine(options.root_dir)
        name = (options.hostname_override or socket.gethostname()).strip().lower()
        identity = await identity_of(options, name, clock)
        facts = facts_of(options, machine, name, identity.access.server if identity is not None else "")
        if options.hollow_nodes:
            assert identity is not None, "the options know of none without an API server"
            await _serve_fleet(context, identity, facts, machine, ready)
        counts = Counts()
        async with (
            cluster_reached(context, identity, facts) as (cluster, recorder),
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
                    upkeep_of(options, facts, machine),
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
                    await node_shown(context, cluster, recorder, node, facts, machine, port, ready)
                else:
                    ready()
                    await clock.sleep(1 << 31)


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
        connected(identity, clock, local_server(context), 0.0, 0) as client,
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
                        its, pod_cidr, upkeep_of(options, its, machine), cluster=fleet, recorder=recorder, clock=clock
                    )
                )
                keeper = keeper_of(options, client, clock, node, its, machine, port=0)
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


@asynccontextmanager
async def _runtime(options: Options, clock: Clock, counts: Counts) -> AsyncIterator[Runtime]:
    async with AsyncExitStack() as stack:
        try:
            runtime = await stack.enter_async_context(runtime_open(options, clock, counts))
        except RuntimeFailure as exc:
            raise SettingsError("container-runtime", "flag --container-runtime", str(exc)) from exc
        yield runtime
