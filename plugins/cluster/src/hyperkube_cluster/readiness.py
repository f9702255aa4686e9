"""When a cluster is ready: pods that are created now find a node, and an account to run as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hyperkube_cluster.access import administrator
from hyperkube_cluster.identities import KUBELET_CLIENT
from hyperkube_machinery.builtin import CLUSTER_ROLE_BINDINGS, NODES, SERVICE_ACCOUNTS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.errors import APIError

if TYPE_CHECKING:
    from hyperkube_cluster.layout import Layout
    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.resources import Resource

__all__ = ["condition_of", "until_ready", "waits_for"]

PAUSE_SECONDS = 0.2
"""Before the API server is asked again after it broke off."""

_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    # Source: k8s.io/kubernetes/hack/local-up-cluster.sh
    "metadata": {"name": "kube-apiserver-kubelet-admin"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": KUBELET_CLIENT}],
}


async def until_ready(layout: Layout, clock: Clock, tell: Callable[[str], None], *, node: bool, accounts: bool) -> None:
    """Return once the cluster is ready: its `node` is Ready, and pods have `accounts`, where these are given."""
    async with administrator(layout, clock) as client:
        if node:
            await _persistently(lambda: _bind(client), clock)
        if accounts:
            tell("the service account default/default")
            await _persistently(lambda: _until_there(client, SERVICE_ACCOUNTS, "default", "default"), clock)
        if node:
            await _persistently(lambda: _until_node_ready(client, layout.node, tell, taints=accounts), clock)


async def _persistently(attempt: Callable[[], Any], clock: Clock) -> None:
    """Try until it succeeds: an API server that is started again is no reason to give up."""
    while True:
        try:
            await attempt()
            return
        except (ClientError, APIError):
            await clock.sleep(PAUSE_SECONDS)


async def _bind(client: Client) -> None:
    """Let the API server use the kubelet's API, for logs and exec."""
    try:
        await client.create(CLUSTER_ROLE_BINDINGS, dict(_BINDING))
    except APIError as exc:
        if exc.reason != "AlreadyExists":
            raise


async def _until_there(client: Client, resource: Resource, namespace: str, name: str) -> None:
    async for event in client.watch(resource, namespace, fields=f"metadata.name={name}", initial_events=True):
        if event.type in ("ADDED", "MODIFIED"):
            return
    raise ClientError("the watch has ended")


async def _until_node_ready(client: Client, name: str, tell: Callable[[str], None], *, taints: bool) -> None:
    tell(f"node {name} to register")
    async for event in client.watch(NODES, fields=f"metadata.name={name}", initial_events=True):
        if event.type in ("ADDED", "MODIFIED"):
            missing = waits_for(event.object, taints=taints)
            if not missing:
                return
            tell(missing)
    raise ClientError("the watch has ended")


def waits_for(node: Mapping[str, Any], *, taints: bool) -> str:
    """What keeps pods from running on a node, in words; "" once nothing does.

    Its `taints` count where there is a controller that takes them off.
    """
    name = node["metadata"]["name"]
    condition = condition_of(node, "Ready")
    if condition.get("status") != "True":
        why = condition.get("message") or condition.get("reason") or "its kubelet has not said so yet"
        return f"node {name} to be Ready: {why}"
    for taint in node.get("spec", {}).get("taints", ()) if taints else ():
        if taint.get("effect") != "PreferNoSchedule" and str(taint.get("key")).startswith("node.kubernetes.io/"):
            return f"node {name} to lose its taint {taint['key']}"
    return ""


def condition_of(node: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of that type, or an empty one."""
    for condition in node.get("status", {}).get("conditions", ()):
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}
