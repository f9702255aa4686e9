"""What kinds of networking, storage and policy warn of, and what an update of them changes beside what it says."""

from __future__ import annotations

import copy
from typing import Any

import pytest

Tree = dict[str, Any]

NET = "networking.k8s.io"
ARCH = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
UNSET = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
    "logging of tokens in volume attributes"
)
INGRESS = {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}}
SLICE = {"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]}
FQDN = {"addressType": "FQDN", "endpoints": [{"addresses": ["a.example.com"]}]}
POLICY = {
    "spec": {
        "podSelector": {},
        "ingress": [{"from": [{"ipBlock": {"cidr": "FD00::/64", "except": ["FD00::/80"]}}]}],
        "egress": [{"to": [{"podSelector": {}}, {"ipBlock": {"cidr": "FD00::/64"}}]}],
    }
}
CLASS = {
    "provisioner": "example.com/p",
    "allowedTopologies": [{"matchLabelExpressions": [{"key": "beta.kubernetes.io/arch", "values": ["x"]}]}],
}
RANGE = {"spec": {"cidrs": ["10.0.0.0/24"]}}
CAPACITY = {
    "storageClassName": "s",
    "nodeTopology": {
        "matchLabels": {"beta.kubernetes.io/arch": "x"},
        "matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}],
    },
}


def _made(writer: Any, group: str, resource: str, given: Tree) -> tuple[Any, Tree]:
    strategy = writer.strategy(resource, group)
    tree, errors = writer.create(strategy, {"metadata": {"name": "a"}, **given})
    assert errors == []
    return strategy, tree


def _canonical(path: str, text: str) -> str:
    return f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{text.lower()}")'


@pytest.mark.parametrize(
    ("group", "resource", "given", "expected"),
    [
        (
            *(
                NET,
                "ingresses",
                {**INGRESS, "metadata": {"name": "a", "annotations": {"kubernetes.io/ingress.class": "c"}}},
            ),
            ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"],
        ),
        (NET, "ingresses", INGRESS, []),
        ("discovery.k8s.io", "endpointslices", FQDN, ["spec.addressType: FQDN endpoints are deprecated"]),
        ("discovery.k8s.io", "endpointslices", SLICE, []),
        (
            *(NET, "networkpolicies", POLICY),
            [
                _canonical("spec.ingress[0].from[0].ipBlock.cidr", "FD00::/64"),
                _canonical("spec.ingress[0].from[0].ipBlock.except[0]", "FD00::/80"),
                _canonical("spec.egress[0].to[1].ipBlock.cidr", "FD00::/64"),
            ],
        ),
        (
            *("storage.k8s.io", "storageclasses", CLASS),
            [f"allowedTopologies[0].matchLabelExpressions[0].key: {ARCH}"],
        ),
        (
            *("storage.k8s.io", "csistoragecapacities", CAPACITY),
            [
                f"nodeTopology.matchExpressions[0].key: beta.kubernetes.io/arch is {ARCH}",
                f"nodeTopology.matchLabels.beta.kubernetes.io/arch: {ARCH}",
            ],
        ),
        ("storage.k8s.io", "csidrivers", {"spec": {"tokenRequests": [{"audience": "a"}]}}, [UNSET]),
        (
            *("storage.k8s.io", "csidrivers"),
            {"spec": {"tokenRequests": [{"audience": "a"}], "serviceAccountTokenInSecrets": False}},
            [],
        ),
    ],
)
def test_a_new_object_is_warned_of(writer: Any, group: str, resource: str, given: Tree, expected: list[str]) -> None:
    strategy, tree = _made(writer, group, resource, given)
    assert strategy.warnings(tree) == expected


def test_a_change_warns_of_less_than_a_creation(writer: Any) -> None:
    strategy, ingress = _made(writer, NET, "ingresses", INGRESS)
    ingress["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "c"}
    assert strategy.warnings(ingress, ingress) == []
    strategy, driver = _made(writer, "storage.k8s.io", "csidrivers", {"spec": {"tokenRequests": [{"audience": "a"}]}})
    assert strategy.warnings(driver, driver) == []
    changed = copy.deepcopy(driver)
    changed["spec"]["tokenRequests"] = [{"audience": "b"}]
    assert strategy.warnings(changed, driver) == [UNSET]
    strategy, fqdn = _made(writer, "discovery.k8s.io", "endpointslices", FQDN)
    assert strategy.warnings(fqdn, fqdn) == []


def test_addresses_of_controllers_are_not_looked_at(writer: Any) -> None:
    label = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    given = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}
    strategy, tree = _made(writer, "discovery.k8s.io", "endpointslices", given)
    tree["endpoints"][0]["addresses"] = ["010.0.0.1"]
    assert len(strategy.warnings(tree)) == 1
    tree["metadata"]["labels"] = label
    assert strategy.warnings(tree) == []


def test_the_status_of_an_ingress_is_warned_of(writer: Any) -> None:
    strategy, tree = _made(writer, NET, "ingresses", INGRESS)
    tree["status"]["loadBalancer"]["ingress"] = [{"hostname": "a"}, {"ip": "FD00::1"}]
    assert strategy.status_warnings(tree) == [
        'status.loadBalancer.ingress[1]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")'
    ]


@pytest.mark.parametrize(
    ("group", "resource", "given", "change", "generations"),
    [
        (NET, "ingresses", INGRESS, {"spec": {"ingressClassName": "c", **INGRESS["spec"]}}, (1, 2)),
        (NET, "ingressclasses", {"spec": {"controller": "a.b/c"}}, {"metadata": {"labels": {"a": "b"}}}, (1, 1)),
        (NET, "networkpolicies", POLICY, {"spec": {"podSelector": {}}}, (1, 2)),
        (
            NET,
            "servicecidrs",
            {"spec": {"cidrs": ["10.0.0.0/24"]}},
            {"spec": {"cidrs": ["10.0.0.0/24", "fd00::/64"]}},
            (0, 0),
        ),
        ("discovery.k8s.io", "endpointslices", SLICE, {"metadata": {"labels": {"a": "b"}}}, (1, 2)),
        ("discovery.k8s.io", "endpointslices", SLICE, {"metadata": {"annotations": {"a": "b"}}}, (1, 1)),
        ("discovery.k8s.io", "endpointslices", SLICE, {"endpoints": []}, (1, 2)),
        ("storage.k8s.io", "csidrivers", {}, {"spec": {"podInfoOnMount": True}}, (0, 1)),
        ("policy", "poddisruptionbudgets", {"spec": {"minAvailable": 1}}, {"spec": {"minAvailable": 2}}, (1, 2)),
    ],
)
def test_generations(
    writer: Any, group: str, resource: str, given: Tree, change: Tree, generations: tuple[int, int]
) -> None:
    strategy, tree = _made(writer, group, resource, given)
    assert tree["metadata"].get("generation", 0) == generations[0]
    metadata = {**tree["metadata"], **change.get("metadata", {})}
    updated, errors = writer.update(strategy, tree, {**tree, **change, "metadata": metadata})
    assert errors == []
    assert updated["metadata"].get("generation", 0) == generations[1]


@pytest.mark.parametrize("resource", ["servicecidrs", "volumeattachments"])
def test_the_status_leaves_metadata_alone(writer: Any, resource: str) -> None:
    given: dict[str, Tree] = {
        "servicecidrs": {"spec": {"cidrs": ["10.0.0.0/24"]}},
        "volumeattachments": {
            "spec": {"attacher": "example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
        },
    }
    group = NET if resource == "servicecidrs" else "storage.k8s.io"
    strategy, tree = _made(writer, group, resource, given[resource])
    changed = {**tree, "spec": {}, "metadata": {**tree["metadata"], "labels": {"a": "b"}, "finalizers": ["a.b/c"]}}
    updated, errors = writer.update(strategy, tree, changed, "status")
    assert errors == []
    assert (updated["metadata"], updated["spec"]) == (tree["metadata"], tree["spec"])


def test_a_key_of_an_earlier_version_is_forgotten_beside_others(writer: Any) -> None:
    old = {"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists"}
    other = {"key": "a", "operator": "Exists"}
    for given, kept in (([old], [old]), ([old, other], [other])):
        _, tree = _made(writer, "policy", "poddisruptionbudgets", {"spec": {"selector": {"matchExpressions": given}}})
        assert tree["spec"]["selector"]["matchExpressions"] == kept
