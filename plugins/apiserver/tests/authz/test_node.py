"""What kubelets may do, each rule with its refusal."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import ResourceAttributes, Union
from hyperkube_apiserver.authz.node import NodeAuthorizer
from hyperkube_apiserver.bootstrap import node_rules

GROUPS = ("system:nodes", "system:authenticated")
NODE = Identity("system:node:n1", groups=GROUPS)
UNRELATED = "no relationship found between node 'n1' and this object"


class Mine:
    """Everything whose name begins with `mine` has to do with n1."""

    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        return node == "n1" and name.startswith("mine")


AUTHORIZER = NodeAuthorizer(Mine(), node_rules())


def ask(text: str, selector: str = "", identity: Identity = NODE) -> tuple[bool, str]:
    """The decision on `VERB GROUP/RESOURCE/SUBRESOURCE NAMESPACE/NAME`; parts that are not there are empty."""
    verb, _, rest = text.partition(" ")
    what, _, where = rest.partition(" ")
    group, resource, subresource = f"{what}/".split("/")[:3]
    namespace, _, name = where.rpartition("/")
    asked = ResourceAttributes(
        verb=verb,
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
        field_selector=selector,
    )
    decision = AUTHORIZER.authorize(identity, asked)
    assert AUTHORIZER.explain(identity, asked) == decision
    return decision.allowed, decision.reason


LEASE, CSI, SLICES, DRA = (
    "coordination.k8s.io/leases",
    "storage.k8s.io/csinodes",
    "resource.k8s.io/resourceslices",
    ("resource.k8s.io/resourceclaims"),
)
SLICE_VERBS = (
    "only the following verbs are allowed for a ResourceSlice: "
    "get, watch, list, create, update, patch, delete, deletecollection"
)
ONE = "can only get individual resources of this type"
TOKENS = "can only create tokens for individual service accounts"

CASES: list[tuple[str, str | None]] = [  # what is asked, and the reason of a refusal
    *((f"{verb} /secrets ns/mine", None) for verb in ("get", "list", "watch")),
    *((f"{verb} /configmaps ns/mine", None) for verb in ("get", "list", "watch")),
    ("get /secrets ns/other", UNRELATED),
    ("list /secrets ns/", "No Object name found"),
    ("list /secrets", "can only read namespaced object of this type"),
    ("create /secrets ns/mine", "can only read resources of this type"),
    ("delete /configmaps ns/mine", "can only read resources of this type"),
    ("get /configmaps/status ns/mine", "cannot read subresource"),
    ("get /persistentvolumeclaims ns/mine", None),
    ("get /persistentvolumeclaims ns/other", UNRELATED),
    ("list /persistentvolumeclaims ns/mine", ONE),
    ("update /persistentvolumeclaims/status ns/mine", None),
    ("patch /persistentvolumeclaims/status ns/mine", None),
    ("patch /persistentvolumeclaims/status ns/other", UNRELATED),
    ("get /persistentvolumeclaims/status ns/mine", "can only get/update/patch this type"),
    ("get /persistentvolumeclaims/other ns/mine", "cannot get subresource"),
    ("get /persistentvolumes mine", None),
    ("watch /persistentvolumes mine", ONE),
    (f"get {DRA} ns/mine", None),
    (f"list {DRA} ns/mine", ONE),
    ("get storage.k8s.io/volumeattachments mine", None),
    ("get storage.k8s.io/volumeattachments other", UNRELATED),
    ("get storage.k8s.io/volumeattachments/status mine", "cannot get subresource"),
    ("create /serviceaccounts/token ns/mine", None),
    ("create /serviceaccounts/token ns/other", UNRELATED),
    ("create /serviceaccounts/token ns/", TOKENS),
    ("get /serviceaccounts/token ns/mine", TOKENS),
    ("update /serviceaccounts ns/mine", TOKENS),
    ("create /serviceaccounts/other ns/mine", "can only create token subresource of serviceaccount"),
    ("get /serviceaccounts ns/mine", None),
    ("get /serviceaccounts ns/other", UNRELATED),
    *((f"{verb} {LEASE} kube-node-lease/n1", None) for verb in ("get", "create", "update", "patch", "delete")),
    (f"create {LEASE} kube-node-lease/", None),
    (f"list {LEASE} kube-node-lease/n1", "can only get, create, update, patch, or delete a node lease"),
    (f"get {LEASE} ns/n1", 'can only access leases in the "kube-node-lease" system namespace'),
    (f"get {LEASE} kube-node-lease/n2", "can only access node lease with the same name as the requesting node"),
    *((f"{verb} {CSI} n1", None) for verb in ("get", "create", "update", "patch", "delete")),
    (f"create {CSI} n2", None),
    (f"watch {CSI} n1", "can only get, create, update, patch, or delete a CSINode"),
    (f"get {CSI}/status n1", "cannot authorize CSINode subresources"),
    (f"delete {CSI} n2", "can only access CSINode with the same name as the requesting node"),
    *((f"{verb} {SLICES} mine", None) for verb in ("get", "update", "patch", "delete")),
    (f"create {SLICES}", None),
    (f"get {SLICES} other", UNRELATED),
    (f"get {SLICES}/status mine", "cannot authorize ResourceSlice subresources"),
    (f"list {SLICES}", "can only list/watch/deletecollection resourceslices with nodeName field selector"),
    (f"bind {SLICES}", SLICE_VERBS),
    *((f"{verb} /nodes n1", None) for verb in ("create", "get", "list", "watch", "update", "patch")),
    *((f"{verb} /nodes n2", None) for verb in ("create", "update", "patch")),
    *((f"{verb} /nodes/status n1", None) for verb in ("update", "patch")),
    ("list /nodes", "node 'n1' cannot read all nodes, only its own Node object"),
    ("get /nodes n2", "node 'n1' cannot read 'n2', only its own Node object"),
    ("delete /nodes n1", ""),
    ("get /nodes/proxy n1", ""),
    ("get /pods ns/mine", None),
    ("get /pods ns/other", UNRELATED),
    ("list /pods", "can only list/watch pods with spec.nodeName field selector"),
    ("watch /pods ns/mine", None),
    ("watch /pods ns/other", UNRELATED),
    *((f"{verb} /pods ns/other", None) for verb in ("create", "delete")),
    *((f"{verb} /pods/status ns/other", None) for verb in ("update", "patch")),
    ("create /pods/eviction ns/other", None),
    ("update /pods ns/mine", ""),
    ("get /pods/log ns/mine", ""),
    ("deletecollection /pods ns/", ""),
    ("get certificates.k8s.io/podcertificaterequests ns/mine", ""),
    # What is not divided among nodes
    ("list /services", None),
    ("watch node.k8s.io/runtimeclasses", None),
    ("create /events ns/", None),
    ("create authentication.k8s.io/tokenreviews", None),
    ("create certificates.k8s.io/certificatesigningrequests", None),
    ("delete /services ns/x", ""),
    ("get rbac.authorization.k8s.io/roles ns/x", ""),
]


@pytest.mark.parametrize(("asked", "reason"), CASES, ids=[case[0] for case in CASES])
def test_a_node_may_do_this_and_not_that(asked: str, reason: str | None) -> None:
    assert ask(asked) == (reason is None, reason or "")


@pytest.mark.parametrize("what", ["list /pods", "watch /pods", f"list {SLICES}", f"deletecollection {SLICES}"])
@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ("spec.nodeName=n1", True),
        ("spec.nodeName==n1,status.phase!=Failed", True),
        ("spec.nodeName=n2", False),
        ("spec.nodeName!=n2", False),
        ("spec.nodeName", False),
        ("metadata.name=n1", False),
    ],
)
def test_what_is_on_a_node_is_listed_by_its_name(what: str, selector: str, allowed: bool) -> None:
    assert ask(what, selector)[0] is allowed


@pytest.mark.parametrize(
    "identity",
    [
        Identity("system:node:n1"),
        Identity("system:nodes:n1", groups=GROUPS),
        Identity("jane", groups=GROUPS),
        Identity("system:node:n1", groups=("system:authenticated",)),
    ],
)
def test_others_are_left_to_others(identity: Identity) -> None:
    assert ask("get /secrets ns/mine", identity=identity) == (False, "")
    assert not AUTHORIZER.rules_for(identity, "ns").incomplete


def test_a_node_without_a_name_may_do_nothing() -> None:
    nobody = Identity("system:node:", groups=GROUPS)
    assert ask("list /services", identity=nobody) == (False, 'unknown node for user "system:node:"')


def test_paths_are_not_for_nodes_as_such() -> None:
    asked = ResourceAttributes(verb="get", resource="", is_resource=False, path="/healthz")
    assert not AUTHORIZER.authorize(NODE, asked).allowed


def test_that_the_rights_of_a_node_cant_be_listed_is_told() -> None:
    rules: Any = Union([AUTHORIZER]).rules_for(NODE, "ns")
    assert rules.incomplete
    assert rules.errors == ("node authorizer does not support user rule resolution",)
