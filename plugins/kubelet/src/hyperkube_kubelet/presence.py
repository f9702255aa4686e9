"""The node's object and lease, as long as the kubelet runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.node.happenings import Happening
from hyperkube_kubelet.node.machine import Machine
from hyperkube_kubelet.node.ranges import RangeTeller
from hyperkube_kubelet.node.registration import NodeKeeper
from hyperkube_kubelet.node.status import NodeView
from hyperkube_kubelet.nodes import Cluster, Node
from hyperkube_kubelet.options import Options, parse_taint
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions

if TYPE_CHECKING:
    from hyperkube_core import Context

__all__ = ["keeper_of", "node_shown"]

log = logging.getLogger(__name__)

UNINITIALIZED = ("node.cloudprovider.kubernetes.io/uninitialized", "true", "NoSchedule")
"""The taint of a node that a cloud's controller has not seen yet."""


async def node_shown(
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
    keeper = keeper_of(context.options, cluster.client, context.clock, node, facts, machine, port=port, tell=tell)
    ranges = RangeTeller(node.runtime, node.registered, context.clock)
    cluster.on_node(facts.name, ranges.wake)
    async with companions(keeper.run(), ranges.run()), cluster.informers.running():
        await keeper.registered()
        ready()
        log.info("node %s is ready for pods", facts.name)
        await context.clock.sleep(1 << 31)


def keeper_of(
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
