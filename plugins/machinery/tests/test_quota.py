"""What quotas count of each kind of object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from hyperkube_machinery.quota import NOTHING_KNOWN, Evaluators, Requirement, requirements_of, used_by, written
from hyperkube_machinery.timestamps import parse

Tree = dict[str, Any]

NOW = "2026-01-01T00:01:00Z"
EVALUATORS = Evaluators(NOTHING_KNOWN, lambda: parse(NOW))


def usage(resource: str, obj: Tree, group: str = "", evaluators: Evaluators = EVALUATORS) -> Mapping[str, str]:
    evaluator = evaluators.of(group, resource)
    assert evaluator is not None
    return written(evaluator.usage(obj))


def pod(*containers: Tree, metadata: Tree | None = None, status: Tree | None = None, **spec: Any) -> Tree:
    named = [{"name": f"c{index}", "resources": one} for index, one in enumerate(containers)]
    return {"metadata": metadata or {}, "spec": {"containers": named, **spec}, "status": status or {}}


CPU: Tree = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
ONE_CPU = {"count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1", "limits.cpu": "2"}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod({}), {"count/pods": "1", "pods": "1"}),
        (pod(CPU), ONE_CPU),
        (
            pod(CPU, {"requests": {"memory": "1Gi", "ephemeral-storage": "2Gi"}}),
            {
                **ONE_CPU,
                "memory": "1Gi",
                "requests.memory": "1Gi",
                "ephemeral-storage": "2Gi",
                "requests.ephemeral-storage": "2Gi",
            },
        ),
        (
            pod({"requests": {"hugepages-2Mi": "4Mi", "example.com/gpu": "2", "example.com/requests.x": "1"}}),
            {
                "count/pods": "1",
                "pods": "1",
                "hugepages-2Mi": "4Mi",
                "requests.hugepages-2Mi": "4Mi",
                "requests.example.com/gpu": "2",
                "requests.example.com/requests.x": "1",
            },
        ),
        (
            pod({"requests": {"deviceclass.resource.kubernetes.io/gpu": "2"}}),
            {"count/pods": "1", "pods": "1", "requests.deviceclass.resource.kubernetes.io/gpu": "2"},
        ),
        (pod(CPU, resources={"requests": {"cpu": "5"}}), {**ONE_CPU, "cpu": "5", "requests.cpu": "5"}),
        (
            pod(CPU, overhead={"cpu": "250m"}),
            {**ONE_CPU, "cpu": "1250m", "requests.cpu": "1250m", "limits.cpu": "2250m"},
        ),
        (pod(CPU, initContainers=[{"name": "i", "resources": {"requests": {"cpu": "500m"}}}]), ONE_CPU),
        (
            pod(CPU, initContainers=[{"name": "i", "restartPolicy": "Always", "resources": CPU}]),
            {**ONE_CPU, "cpu": "2", "requests.cpu": "2", "limits.cpu": "4"},
        ),
        (pod(CPU, status={"phase": "Succeeded"}), {"count/pods": "1"}),
        (pod(CPU, status={"phase": "Failed"}), {"count/pods": "1"}),
        (
            pod(CPU, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}),
            {"count/pods": "1"},
        ),
        (
            pod(CPU, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 90}),
            ONE_CPU,
        ),
        (
            pod(CPU, status={"containerStatuses": [{"name": "c0", "resources": {"requests": {"cpu": "3"}}}]}),
            {**ONE_CPU, "cpu": "3", "requests.cpu": "3"},
        ),
        (
            pod(
                CPU,
                status={
                    "containerStatuses": [{"name": "c0", "resources": {"requests": {"cpu": "500m"}}}],
                    "conditions": [{"type": "PodResizePending", "reason": "Infeasible"}],
                },
            ),
            {"count/pods": "1", "pods": "1", "cpu": "500m", "requests.cpu": "500m"},
        ),
    ],
)
def test_pods_use_what_they_ask_for_until_they_end(obj: Tree, expected: Tree) -> None:
    assert usage("pods", obj) == dict(sorted(expected.items()))


@pytest.mark.parametrize(
    ("obj", "scopes"),
    [
        (pod({}), {"NotTerminating", "BestEffort"}),
        (pod(CPU), {"NotTerminating", "NotBestEffort"}),
        (pod({}, activeDeadlineSeconds=0), {"Terminating", "BestEffort"}),
        (pod({}, priorityClassName="high"), {"NotTerminating", "BestEffort", "PriorityClass"}),
        (
            pod(
                {},
                affinity={
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]}
                },
            ),
            {"NotTerminating", "BestEffort", "CrossNamespacePodAffinity"},
        ),
        (
            pod(
                {},
                affinity={
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"podAffinityTerm": {"namespaceSelector": {}}}
                        ]
                    }
                },
            ),
            {"NotTerminating", "BestEffort", "CrossNamespacePodAffinity"},
        ),
        (
            pod({}, affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}),
            {"NotTerminating", "BestEffort"},
        ),
    ],
)
def test_pods_are_in_scopes(obj: Tree, scopes: set[str]) -> None:
    pods = EVALUATORS.of("", "pods")
    assert pods is not None
    known = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass")
    asked = [Requirement(scope, "Exists") for scope in (*known, "CrossNamespacePodAffinity", "Other")]
    assert {one.scope for one in pods.matching(asked, obj)} == scopes


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ("high",), {"high"}),
        ("NotIn", ("high",), {"low", ""}),
        ("Exists", (), {"high", "low"}),
        ("DoesNotExist", (), {""}),
        ("Odd", (), set()),
    ],
)
def test_a_scope_can_be_of_some_values(operator: str, values: tuple[str, ...], fits: set[str]) -> None:
    pods = EVALUATORS.of("", "pods")
    assert pods is not None
    wanted = Requirement("PriorityClass", operator, values)
    assert {name for name in ("high", "low", "") if pods.is_in(wanted, pod({}, priorityClassName=name))} == fits


def test_containers_must_say_what_a_quota_of_cpu_or_memory_counts() -> None:
    pods = EVALUATORS.of("", "pods")
    assert pods is not None
    required = ["requests.cpu", "limits.memory", "pods", "requests.ephemeral-storage"]
    told = pods.lacking(required, pod(CPU, {}, initContainers=[{"name": "i", "resources": {}}]))
    assert told == "must specify limits.memory for: c0,c1,i; requests.cpu for: c1,i"
    assert pods.lacking(["pods"], pod({})) == ""
    assert pods.lacking(required, pod({}, resources={"requests": {"cpu": "1"}})) == "", "the pod says it as a whole"


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{}, {}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{}, {}]}, "2", "1"),
        ({"type": "LoadBalancer", "ports": [{}, {"nodePort": 3}], "allocateLoadBalancerNodePorts": False}, "1", "1"),
    ],
)
def test_services_use_ports_and_balancers(spec: Tree, ports: str, balancers: str) -> None:
    assert usage("services", {"spec": spec}) == {
        "count/services": "1",
        "services": "1",
        "services.loadbalancers": balancers,
        "services.nodeports": ports,
    }


@pytest.mark.parametrize(
    ("obj", "storage", "kind"),
    [
        ({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}, "1Gi", ""),
        ({"spec": {"resources": {"requests": {"storage": "1500m"}}}}, "2", ""),
        ({"spec": {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s"}}, "1Gi", "s"),
        (
            {
                "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}},
                "spec": {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s"},
                "status": {"allocatedResources": {"storage": "3Gi"}},
            },
            "3Gi",
            "old",
        ),
    ],
)
def test_claims_use_storage_in_all_and_by_class(obj: Tree, storage: str, kind: str) -> None:
    expected = {"persistentvolumeclaims": "1", "count/persistentvolumeclaims": "1", "requests.storage": storage}
    if kind:
        expected[f"{kind}.storageclass.storage.k8s.io/persistentvolumeclaims"] = "1"
        expected[f"{kind}.storageclass.storage.k8s.io/requests.storage"] = storage
    assert usage("persistentvolumeclaims", obj) == dict(sorted(expected.items()))


def test_claims_are_in_the_scopes_of_all_their_attributes_classes() -> None:
    claims = EVALUATORS.of("", "persistentvolumeclaims")
    assert claims is not None
    obj = {
        "spec": {"volumeAttributesClassName": "a"},
        "status": {
            "currentVolumeAttributesClassName": "b",
            "modifyVolumeStatus": {"targetVolumeAttributesClassName": "c"},
        },
    }
    for name in "abc":
        assert claims.is_in(Requirement("VolumeAttributesClass", "In", (name,)), obj)
    assert not claims.is_in(Requirement("VolumeAttributesClass", "In", ("d",)), obj)
    assert claims.is_in(Requirement("VolumeAttributesClass", "DoesNotExist"), {"spec": {}})
    assert not claims.is_in(Requirement("PriorityClass", "Exists"), obj)


class Known:
    """Some device classes, one pod and its claims."""

    def __init__(self, pod: Tree | None = None, claims: Iterable[Tree] = ()) -> None:
        self._pod = pod
        self._claims = claims

    def device_classes(self) -> Iterable[Tree]:
        return [{"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}]

    def pod(self, namespace: str, name: str) -> Tree | None:
        return self._pod if name == "p" else None

    def claims(self, namespace: str) -> Iterable[Tree]:
        return self._claims


def device_claim(*requests: Tree, **metadata: Any) -> Tree:
    return {"metadata": {"namespace": "n", **metadata}, "spec": {"devices": {"requests": list(requests)}}}


def exactly(kind: str, mode: str = "ExactCount", count: int = 1) -> Tree:
    return {"deviceClassName": kind, "allocationMode": mode, "count": count}


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([{"exactly": exactly("fpga", count=3)}], {"fpga": "3"}),
        ([{"exactly": exactly("fpga", "All")}], {"fpga": "32"}),
        ([{"exactly": exactly("fpga", "Odd")}], {"fpga": "0"}),
        (
            [{"exactly": exactly("fpga")}, {"exactly": exactly("fpga")}, {"exactly": exactly("x")}],
            {"fpga": "2", "x": "1"},
        ),
        ([{"firstAvailable": [exactly("fpga"), exactly("fpga", count=4), exactly("x")]}], {"fpga": "4", "x": "1"}),
        ([{}], {}),
    ],
)
def test_device_claims_use_the_most_that_they_may_come_to(requests: list[Tree], expected: Tree) -> None:
    found = usage("resourceclaims", device_claim(*requests), "resource.k8s.io")
    own = {f"{kind}.deviceclass.resource.k8s.io/devices": amount for kind, amount in expected.items()}
    implicit = {
        f"requests.deviceclass.resource.kubernetes.io/{kind}": amount
        for kind, amount in expected.items()
        if amount != "0"
    }
    assert found == dict(sorted({"count/resourceclaims.resource.k8s.io": "1", **own, **implicit}.items()))


@pytest.mark.parametrize(
    ("status", "others", "charged"),
    [
        ({"extendedResourceClaimStatus": {"resourceClaimName": "c"}}, [], False),
        ({"extendedResourceClaimStatus": {"resourceClaimName": "other"}}, [], True),
        ({}, [], False),
        ({}, ["2025-01-01T00:00:00Z"], True),
        ({}, ["2027-01-01T00:00:00Z"], False),
    ],
)
def test_devices_that_a_pod_is_charged_for_are_not_charged_to_its_claim_again(
    status: Tree, others: list[str], charged: bool
) -> None:
    owner = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u", "controller": True}
    about = {
        "ownerReferences": [owner],
        "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
    }
    whose = pod({"requests": {"example.com/gpu": "1"}}, metadata={"uid": "u"}, status=status)
    older = [device_claim(name="x", creationTimestamp=when, **about) for when in others]
    evaluators = Evaluators(Known(whose, older), lambda: parse(NOW))
    claim = device_claim({"exactly": exactly("gpu")}, name="c", creationTimestamp=NOW, **about)
    found = usage("resourceclaims", claim, "resource.k8s.io", evaluators)
    assert ("requests.example.com/gpu" in found) is charged
    assert found["gpu.deviceclass.resource.k8s.io/devices"] == "1"


def test_names_of_devices_are_counted_by_claims_where_a_class_stands_for_them() -> None:
    names = [
        "requests.example.com/gpu",
        "requests.example.com/other",
        "requests.cpu",
        "x.deviceclass.resource.k8s.io/devices",
    ]
    names += ["requests.deviceclass.resource.kubernetes.io/gpu", "requests.deviceclass.resource.kubernetes.io/x"]
    claims = Evaluators(Known(), lambda: 0.0).of("resource.k8s.io", "resourceclaims")
    assert claims is not None
    assert claims.counted(names) == sorted([names[0], names[3], names[4]])


@pytest.mark.parametrize(
    ("group", "resource", "names"),
    [
        ("apps", "deployments", {"count/deployments.apps": "1"}),
        ("example.com", "widgets", {"count/widgets.example.com": "1"}),
        ("", "secrets", {"count/secrets": "1", "secrets": "1"}),
        ("", "configmaps", {"count/configmaps": "1", "configmaps": "1"}),
        ("", "endpoints", {"count/endpoints": "1"}),
    ],
)
def test_everything_else_is_counted(group: str, resource: str, names: Tree) -> None:
    assert usage(resource, {}, group) == names


@pytest.mark.parametrize(("group", "resource"), [("", "events"), ("events.k8s.io", "events"), ("", "bindings")])
def test_some_things_are_never_counted(group: str, resource: str) -> None:
    assert EVALUATORS.of(group, resource) is None


@pytest.mark.parametrize(
    ("resource", "operation", "subresource", "new", "old", "handled"),
    [
        ("pods", "CREATE", "", pod({}), None, True),
        ("pods", "UPDATE", "", pod({}), pod({}), False),
        ("pods", "UPDATE", "", pod({}, activeDeadlineSeconds=1), pod({}), True),
        ("pods", "UPDATE", "resize", pod({}), pod({}), True),
        ("pods", "UPDATE", "status", pod({}), pod({}), False),
        ("services", "UPDATE", "", {}, {}, True),
        ("services", "UPDATE", "status", {}, {}, False),
        ("configmaps", "CREATE", "", {}, None, True),
        ("configmaps", "UPDATE", "", {}, {}, False),
        ("serviceaccounts", "CREATE", "token", {}, None, False),
        ("persistentvolumeclaims", "UPDATE", "", {}, {}, True),
        ("persistentvolumeclaims", "UPDATE", "status", {}, {}, False),
        (
            *("persistentvolumeclaims", "UPDATE", "status"),
            *({"status": {"allocatedResources": {"storage": "1"}}}, {}, True),
        ),
    ],
)
def test_only_what_may_change_the_use_is_charged(
    resource: str, operation: str, subresource: str, new: Tree, old: Tree | None, handled: bool
) -> None:
    evaluator = EVALUATORS.of("", resource)
    assert evaluator is not None
    assert evaluator.handles(operation, subresource, new, old) is handled


@pytest.mark.parametrize(
    ("resource", "old", "new", "freed"),
    [
        ("pods", pod({}), pod({}), False),
        ("pods", pod({}), pod({}, status={"phase": "Failed"}), True),
        ("pods", pod({}, activeDeadlineSeconds=1), pod({}), True),
        ("pods", pod({}), pod({}, status={"containerStatuses": [{"name": "c0", "resources": {}}]}), True),
        ("services", {"spec": {"type": "NodePort"}}, {"spec": {"type": "ClusterIP"}}, True),
        ("services", {"spec": {"type": "ExternalName"}}, {"spec": {"type": "ClusterIP"}}, False),
        ("configmaps", {}, {"data": {}}, False),
    ],
)
def test_changes_that_may_free_something_are_known(resource: str, old: Tree, new: Tree, freed: bool) -> None:
    evaluator = EVALUATORS.of("", resource)
    assert evaluator is not None
    assert evaluator.has_freed(old, new) is freed


def test_what_is_there_is_added_up_as_far_as_it_is_known() -> None:
    quota: Tree = {
        "spec": {
            "hard": {"pods": "9", "requests.cpu": "9", "secrets": "9", "count/widgets.example.com": "9", "odd": "1"},
            "scopeSelector": {"matchExpressions": [{"scopeName": "NotBestEffort", "operator": "Exists"}]},
        }
    }
    objects = {"pods": [pod(CPU), pod(CPU), pod({})], "secrets": None}
    hard = quota["spec"]["hard"]
    evaluators = Evaluators(NOTHING_KNOWN, lambda: 0.0).counting(hard)
    found = used_by(quota, evaluators, lambda one: objects.get(one.resource, []))
    assert written(found) == {"count/widgets.example.com": "0", "pods": "2", "requests.cpu": "2"}


def test_scopes_and_scope_selectors_are_both_required() -> None:
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a", "b"]}]}
    found = requirements_of({"spec": {"scopes": ["BestEffort"], "scopeSelector": selector}})
    assert list(map(str, found)) == ["{BestEffort Exists []}", "{PriorityClass In [a b]}"]
