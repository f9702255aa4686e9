"""That the servers of a cluster come with an identity whose roles let them do their work, and not each other's."""

from __future__ import annotations

import pytest

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import RBAC, Authorizer, Decision, ResourceAttributes, union
from hyperkube_apiserver.authz.aggregation import aggregate
from hyperkube_apiserver.authz.node import NodeAuthorizer
from hyperkube_apiserver.bootstrap import node_rules, objects

EVERYBODY = ("system:authenticated",)
SCHEDULER = Identity("system:kube-scheduler", groups=EVERYBODY)
MANAGER = Identity("system:kube-controller-manager", groups=EVERYBODY)
PROXY = Identity("system:kube-proxy", groups=EVERYBODY)
KUBELET = Identity("system:node:n1", groups=("system:nodes", *EVERYBODY))
BOOTSTRAPPER = Identity("system:bootstrap:abcdef", groups=("system:bootstrappers", *EVERYBODY))


def controller(name: str) -> Identity:
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", *EVERYBODY)
    return Identity(f"system:serviceaccount:kube-system:{name}", groups=groups)


class Unrelated:
    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        return False


@pytest.fixture(scope="module")
def authorizer() -> Authorizer:
    """What decides on a fresh server."""
    made: dict[str, list[dict[str, object]]] = {}
    for key, obj in objects(service_range="10.0.0.0/24", service_ip="10.0.0.1", secure_port=6443, address=None):
        made.setdefault(key.resource, []).append(obj)
    roles = made["clusterroles"]
    for name, rules in aggregate(roles).items():
        next(role for role in roles if role["metadata"]["name"] == name)["rules"] = rules  # type: ignore[index]
    rbac = RBAC()
    rbac.replace(made["roles"], made["rolebindings"], roles, made["clusterrolebindings"])
    return union([NodeAuthorizer(Unrelated(), node_rules()), rbac])


def may(authorizer: Authorizer, who: Identity, asked: str) -> bool:
    """Whether `who` may `VERB GROUP/RESOURCE[/SUBRESOURCE] [NAMESPACE/NAME]`."""
    verb, what, *where = asked.split(" ")
    group, resource, subresource = f"{what}/".split("/")[:3]
    namespace, _, name = where[0].partition("/") if where else ("", "", "")
    question = ResourceAttributes(
        verb=verb, group=group, resource=resource, subresource=subresource, namespace=namespace, name=name
    )
    decision = authorizer.authorize(who, question)
    assert isinstance(decision, Decision)
    return decision.allowed


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        (SCHEDULER, "watch /pods"),
        (SCHEDULER, "create /pods/binding ns/p"),
        (SCHEDULER, "patch /pods/status ns/p"),
        (SCHEDULER, "list storage.k8s.io/csinodes"),
        (SCHEDULER, "update coordination.k8s.io/leases kube-system/kube-scheduler"),
        (MANAGER, "create /serviceaccounts/token kube-system/deployment-controller"),
        (MANAGER, "list apps/deployments"),
        (MANAGER, "update coordination.k8s.io/leases kube-system/kube-controller-manager"),
        (MANAGER, "create authentication.k8s.io/tokenreviews"),
        (controller("deployment-controller"), "create apps/replicasets ns/"),
        (controller("replicaset-controller"), "create /pods ns/"),
        (controller("namespace-controller"), "deletecollection /secrets ns/"),
        (controller("generic-garbage-collector"), "delete example.com/things ns/x"),
        (controller("endpointslice-controller"), "create discovery.k8s.io/endpointslices ns/"),
        (controller("service-account-controller"), "create /serviceaccounts ns/"),
        (controller("clusterrole-aggregation-controller"), "escalate rbac.authorization.k8s.io/clusterroles"),
        (controller("node-controller"), "update /nodes/status"),
        (controller("resourcequota-controller"), "update /resourcequotas/status ns/q"),
        (PROXY, "watch discovery.k8s.io/endpointslices"),
        (PROXY, "list /services"),
        (PROXY, "create events.k8s.io/events ns/"),
        (KUBELET, "create /nodes"),
        (KUBELET, "create certificates.k8s.io/certificatesigningrequests"),
        (KUBELET, "patch /nodes/status /n1"),
        (controller("kube-dns"), "watch /endpoints"),
    ],
)
def test_a_component_may_do_its_work(authorizer: Authorizer, who: Identity, asked: str) -> None:
    assert may(authorizer, who, asked)


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        (SCHEDULER, "get /secrets ns/s"),
        (SCHEDULER, "create /pods ns/"),
        (MANAGER, "create /pods ns/"),
        (MANAGER, "escalate rbac.authorization.k8s.io/clusterroles"),
        (controller("replicaset-controller"), "get /secrets ns/s"),
        (controller("deployment-controller"), "create /pods ns/"),
        (controller("nobody"), "list /pods ns/"),
        (PROXY, "get /secrets ns/s"),
        (PROXY, "update /services ns/s"),
        (KUBELET, "get /secrets ns/s"),
        (KUBELET, "delete /nodes /n1"),
        (BOOTSTRAPPER, "create /nodes"),
        (Identity("jane", groups=EVERYBODY), "list /pods ns/"),
    ],
)
def test_a_component_may_do_no_more(authorizer: Authorizer, who: Identity, asked: str) -> None:
    assert not may(authorizer, who, asked)
