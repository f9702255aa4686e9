"""What a fresh server holds, and how a start brings it back."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import RBAC, ResourceAttributes, aggregate
from hyperkube_apiserver.bootstrap import (
    SERVICE_RANGE,
    Action,
    Key,
    Write,
    objects,
    ready,
    reconcile,
    with_authorities,
)

GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
Tree = dict[str, Any]


def wanted() -> dict[Key, Tree]:
    return dict(objects(service_range="10.0.0.0/24", service_ip="10.0.0.1", secure_port=6443, address="192.0.2.7"))


def start(existing: dict[Key, Tree]) -> list[Write]:
    return reconcile(
        existing, objects(service_range="10.0.0.0/24", service_ip="10.0.0.1", secure_port=6443, address="192.0.2.7")
    )


def cluster_role(name: str) -> Key:
    return Key(GROUP, "clusterroles", "", name)


@pytest.fixture
def existing() -> dict[Key, Tree]:
    return wanted()


def test_an_empty_store_gets_everything_in_an_order_that_works() -> None:
    writes = start({})
    assert {write.action for write in writes} == {Action.CREATE}
    resources = list(dict.fromkeys(write.key.resource for write in writes))
    assert resources == [
        *("namespaces", "clusterroles", "clusterrolebindings", "roles", "rolebindings"),
        *("servicecidrs", "services", "endpoints", "endpointslices"),
    ]
    counts = {resource: sum(write.key.resource == resource for write in writes) for resource in resources}
    # As counted on a fresh kube-apiserver 1.36
    assert counts == {
        "namespaces": 4,
        "clusterroles": 70,
        "clusterrolebindings": 51,
        "roles": 7,
        "rolebindings": 7,
        "servicecidrs": 1,
        "services": 1,
        "endpoints": 1,
        "endpointslices": 1,
    }
    namespaces = {write.key.name for write in writes if write.key.resource == "namespaces"}
    assert all(write.key.namespace in {"", *namespaces} for write in writes)


def test_every_binding_means_a_role_that_is_made() -> None:
    everything = wanted()
    for key, obj in everything.items():
        if not key.resource.endswith("bindings"):
            continue
        ref = obj["roleRef"]
        namespace = key.namespace if ref["kind"] == "Role" else ""
        assert Key(GROUP, f"{ref['kind'].lower()}s", namespace, ref["name"]) in everything


def test_the_roles_give_the_usual_rights() -> None:
    everything = wanted()

    def listed(resource: str) -> list[Tree]:
        return [obj for key, obj in everything.items() if key.resource == resource]

    clusterroles = listed("clusterroles")
    for name, rules in aggregate(clusterroles).items():
        everything[cluster_role(name)]["rules"] = rules
    rbac = RBAC()
    rbac.replace(listed("roles"), listed("rolebindings"), clusterroles, listed("clusterrolebindings"))

    def may(identity: Identity, verb: str, resource: str = "", path: str = "", group: str = "") -> bool:
        asked = ResourceAttributes(verb=verb, group=group, resource=resource, is_resource=not path, path=path)
        return rbac.authorize(identity, asked).allowed

    admin = Identity("a", groups=("system:masters",))
    assert may(admin, "delete", "nodes")
    anonymous = Identity("system:anonymous", groups=("system:unauthenticated",))
    assert may(anonymous, "get", path="/version")
    assert not may(anonymous, "get", path="/api")
    user = Identity("u", groups=("system:authenticated",))
    assert may(user, "get", path="/api/v1")
    assert may(user, "create", "selfsubjectaccessreviews", group="authorization.k8s.io")
    assert not may(user, "list", "pods")
    scheduler = Identity("system:kube-scheduler")
    assert may(scheduler, "list", "pods")
    assert not may(scheduler, "delete", "nodes")
    assert everything[cluster_role("view")]["rules"]


def test_nothing_is_written_where_all_is_well(existing: dict[Key, Tree]) -> None:
    existing[Key("", "pods", "default", "p")] = {"metadata": {"name": "p"}}
    before = deepcopy(existing)
    assert start(existing) == []
    assert existing == before


def test_what_is_gone_is_made_again(existing: dict[Key, Tree]) -> None:
    gone = cluster_role("view")
    del existing[gone]
    assert start(existing) == [Write(Action.CREATE, gone, wanted()[gone])]


def test_lost_rules_and_labels_come_back_and_added_ones_stay(existing: dict[Key, Tree]) -> None:
    key = cluster_role("system:aggregate-to-view")
    role = existing[key]
    lost = role["rules"].pop(2)
    extra = {"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]}
    role["rules"].append(extra)
    role["metadata"] |= {"labels": {"mine": "1"}, "annotations": {}, "resourceVersion": "7"}
    before = deepcopy(role)
    (write,) = start(existing)
    assert role == before
    assert (write.action, write.key) == (Action.UPDATE, key)
    assert write.obj["rules"][: len(before["rules"])] == before["rules"]
    assert write.obj["rules"][len(before["rules"]) :] == [lost]
    assert write.obj["metadata"]["labels"]["mine"] == "1"
    assert write.obj["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert write.obj["metadata"]["annotations"] == {AUTOUPDATE: "true"}
    assert write.obj["metadata"]["resourceVersion"] == "7"


def test_a_wider_rule_replaces_the_lost_ones(existing: dict[Key, Tree]) -> None:
    role = existing[cluster_role("system:aggregate-to-view")]
    role["rules"] = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert start(existing) == []


def test_aggregation_comes_back_and_gathered_rules_stay(existing: dict[Key, Tree]) -> None:
    key = cluster_role("view")
    mine = {"matchLabels": {"mine": "1"}}
    gathered = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    existing[key] |= {"aggregationRule": {"clusterRoleSelectors": [mine]}, "rules": gathered}
    (write,) = start(existing)
    assert write.obj["aggregationRule"]["clusterRoleSelectors"][0] == mine
    assert len(write.obj["aggregationRule"]["clusterRoleSelectors"]) == 2
    assert write.obj["rules"] == gathered


def test_a_role_that_should_not_gather_stops(existing: dict[Key, Tree]) -> None:
    key = cluster_role("system:discovery")
    existing[key]["aggregationRule"] = {"clusterRoleSelectors": [{}]}
    (write,) = start(existing)
    assert "aggregationRule" not in write.obj


def test_lost_subjects_come_back_and_added_ones_stay(existing: dict[Key, Tree]) -> None:
    key = Key(GROUP, "clusterrolebindings", "", "system:discovery")
    (lost,) = existing[key]["subjects"]
    mine = {"kind": "User", "name": "joe", "apiGroup": GROUP}
    existing[key]["subjects"] = [mine]
    (write,) = start(existing)
    assert write.obj["subjects"] == [mine, lost]


def test_a_binding_to_another_role_is_replaced(existing: dict[Key, Tree]) -> None:
    key = Key(GROUP, "clusterrolebindings", "", "system:discovery")
    existing[key]["roleRef"]["name"] = "cluster-admin"
    assert start(existing) == [Write(Action.REPLACE, key, wanted()[key])]


@pytest.mark.parametrize("resource", ["clusterroles", "clusterrolebindings"])
def test_what_is_not_to_be_updated_is_left_alone(existing: dict[Key, Tree], resource: str) -> None:
    obj = existing[Key(GROUP, resource, "", "system:discovery")]
    obj["metadata"]["annotations"][AUTOUPDATE] = "false"
    obj.pop("rules", None)
    obj.pop("subjects", None)
    assert start(existing) == []


def test_the_service_follows_the_port(existing: dict[Key, Tree]) -> None:
    key = Key("", "services", "default", "kubernetes")
    existing[key]["spec"] |= {"ports": [{"port": 443, "targetPort": 1}], "clusterIP": "10.0.0.7"}
    (write,) = start(existing)
    assert (write.action, write.key) == (Action.UPDATE, key)
    assert write.obj["spec"]["ports"][0]["targetPort"] == 6443
    assert write.obj["spec"]["clusterIP"] == "10.0.0.7"


def test_namespaces_that_exist_are_left_alone(existing: dict[Key, Tree]) -> None:
    existing[Key("", "namespaces", "", "default")]["metadata"]["labels"] = {"mine": "1"}
    assert start(existing) == []


def test_a_server_that_nobody_knows_how_to_reach_tells_no_address() -> None:
    wanted = dict(objects(service_range="10.0.0.0/24", service_ip="10.0.0.1", secure_port=6443, address=None))
    assert not {key.resource for key in wanted} & {"endpoints", "endpointslices"}


@pytest.mark.parametrize(("address", "action"), [("192.0.2.8", Action.UPDATE), ("2001:db8::1", Action.REPLACE)])
def test_a_server_that_has_moved_tells_of_it(address: str, action: Action) -> None:
    key = Key("discovery.k8s.io", "endpointslices", "default", "kubernetes")
    moved = objects(service_range="10.0.0.0/24", service_ip="10.0.0.1", secure_port=6443, address=address)
    writes = {write.key: write for write in reconcile(wanted(), moved)}
    assert writes[key].action is action
    assert writes[key].obj["endpoints"][0]["addresses"] == [address]


def test_a_range_is_ready_unless_somebody_says_no() -> None:
    made = wanted()[SERVICE_RANGE]
    said = ready(made, "10.0.0.0/24", now="2026-01-01T00:00:00Z")
    assert said is not None
    assert [one["status"] for one in said["status"]["conditions"]] == ["True"]
    assert ready(said, "10.0.0.0/24", now="2027-01-01T00:00:00Z") is None
    said["status"]["conditions"][0]["status"] = "False"
    assert ready(said, "10.0.0.0/24", now="2027-01-01T00:00:00Z") is None
    assert ready(made, "10.0.0.0/16", now="2027-01-01T00:00:00Z") is None


FIRST, SECOND = (f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----" for name in ("first", "second"))


def test_authorities_are_published_once_and_those_of_others_stay() -> None:
    made = with_authorities(None, f"{FIRST}\n")
    assert made is not None
    assert made["data"] == {"client-ca-file": f"{FIRST}\n"}
    assert with_authorities(made, f"{FIRST}\n") is None
    made["data"]["requestheader-allowed-names"] = "[]"
    both = with_authorities(made, f"{SECOND}\n{FIRST}\n")
    assert both is not None
    assert both["data"] == {"client-ca-file": f"{FIRST}\n{SECOND}\n", "requestheader-allowed-names": "[]"}
