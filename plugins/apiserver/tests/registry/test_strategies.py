"""What happens to an object beside its rules: status, generation, deletion, selection."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.catalog import strategies
from hyperkube_apiserver.registry.core.binding import bind, check_binding
from hyperkube_apiserver.registry.strategy import Policy
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.selectors import parse_fields

NOW = "2026-01-01T00:00:00Z"

Tree = dict[str, Any]


def _pod(**spec: Any) -> Tree:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


def _deployment() -> Tree:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    return {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


def test_only_the_kinds_that_upstream_lets_create_on_put(writer: Any) -> None:
    allowed = {key[2] for key, one in writer.strategies.items() if one.allows_create_on_update}
    assert allowed == {
        *("clusterrolebindings", "clusterroles", "endpoints", "events", "leases", "limitranges", "rolebindings"),
        *("roles", "runtimeclasses", "services"),
    }


def test_only_the_kinds_that_upstream_guards_so_insist_on_a_version(writer: Any) -> None:
    assert {key[2] for key, one in writer.strategies.items() if not one.allows_unconditional_update} == {
        *("apiservices", "csidrivers", "csinodes", "csistoragecapacities", "customresourcedefinitions", "leases"),
        *("mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations"),
        *("poddisruptionbudgets", "runtimeclasses", "validatingadmissionpolicies", "validatingadmissionpolicybindings"),
        *("validatingwebhookconfigurations", "volumeattachments"),
    }


def test_jobs_and_replication_controllers_leave_their_pods_by_default(writer: Any) -> None:
    orphaning = {key[2] for key, one in writer.strategies.items() if one.default_propagation == "Orphan"}
    assert orphaning == {"jobs", "replicationcontrollers"}


def test_a_new_generation_follows_a_change_of_the_spec_alone(writer: Any) -> None:
    deployments = writer.strategy("deployments", "apps")
    old, _ = writer.create(deployments, _deployment())
    assert meta.generation(old) == 1
    same, _ = writer.update(deployments, old, {**old, "metadata": {**old["metadata"], "labels": {"x": "y"}}})
    assert meta.generation(same) == 1
    scaled, _ = writer.update(deployments, old, {**old, "spec": {**old["spec"], "replicas": 3}})
    assert meta.generation(scaled) == 2
    noted, _ = writer.update(deployments, old, {**old, "metadata": {**old["metadata"], "annotations": {"x": "y"}}})
    assert meta.generation(noted) == 2, "of deployments, annotations count too"


def test_a_status_is_written_through_its_subresource_alone(writer: Any) -> None:
    deployments = writer.strategy("deployments", "apps")
    given = {**_deployment(), "status": {"replicas": 7}}
    old, _ = writer.create(deployments, given)
    assert old["status"] == {}
    changed = {**copy.deepcopy(old), "status": {"replicas": 3}}
    changed["spec"]["replicas"] = 9
    plain, _ = writer.update(deployments, old, changed)
    assert (plain["status"], plain["spec"]["replicas"]) == ({}, 9)
    status, errors = writer.update(deployments, old, changed, "status")
    assert errors == []
    assert (status["status"], status["spec"]["replicas"]) == ({"replicas": 3}, 1)


def test_labels_of_a_deployment_are_not_changed_through_its_status(writer: Any) -> None:
    deployments = writer.strategy("deployments", "apps")
    old, _ = writer.create(deployments, _deployment())
    changed = {**old, "metadata": {**old["metadata"], "labels": {"x": "y"}, "annotations": {"x": "y"}}}
    status, _ = writer.update(deployments, old, changed, "status")
    assert meta.labels_of(status) == {}
    assert meta.annotations_of(status) == {"x": "y"}


def test_a_pod_begins_pending_with_its_quality_of_service(writer: Any) -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}}
    given = _pod(containers=[{"name": "c", "image": "i", "resources": resources}])
    pod, errors = writer.create(writer.strategy("pods"), {**given, "status": {"phase": "Running"}})
    assert errors == []
    assert pod["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
    assert pod["spec"]["containers"][0]["resources"]["requests"] == resources["limits"]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
        ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
    ],
)
def test_quality_of_service_follows_what_is_asked_for(writer: Any, resources: Tree, expected: str) -> None:
    given = _pod(containers=[{"name": "c", "image": "i", "resources": resources}])
    pod, _ = writer.create(writer.strategy("pods"), given)
    assert pod["status"]["qosClass"] == expected


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/team/nginx:2", "IfNotPresent"),
        (f"nginx@sha256:{'a' * 64}", "IfNotPresent"),
        (f"nginx:latest@sha256:{'a' * 64}", "Always"),
        ("Not/A/Reference", "IfNotPresent"),
        ("", "IfNotPresent"),
    ],
)
def test_an_image_without_a_fixed_tag_is_always_pulled(writer: Any, image: str, policy: str) -> None:
    spec = {"containers": [{"name": "c", "image": image}]}
    tree = {"metadata": {"name": "p"}, "spec": spec}
    writer.strategy("pods").default(tree)
    assert spec["containers"][0]["imagePullPolicy"] == policy


def test_privileged_containers_need_the_servers_leave(writer: Any) -> None:
    given = _pod(containers=[{"name": "c", "image": "i", "securityContext": {"privileged": True}}])
    _, errors = writer.create(writer.strategy("pods"), given)
    assert [error.detail for error in errors] == ["disallowed by cluster policy"]
    allowing = strategies(load_kinds(), policy=Policy(allow_privileged=True))["", "v1", "pods"]
    assert writer.create(allowing, given)[1] == []


@pytest.mark.parametrize(
    ("group", "plural", "tree"),
    [
        ("", "endpoints", {"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 80}]}]}),
        ("discovery.k8s.io", "endpointslices", {"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}]}),
    ],
)
def test_loopback_endpoints_need_the_servers_leave(writer: Any, group: str, plural: str, tree: Tree) -> None:
    def create(policy: Policy) -> list[str]:
        strategy = strategies(load_kinds(), policy=policy)[group, "v1", plural]
        given = {"metadata": {"name": "e"}, **copy.deepcopy(tree)}
        return [error.detail for error in writer.create(strategy, given)[1]]

    assert create(Policy()) == ["may not be in the loopback range (127.0.0.0/8, ::1/128)"]
    assert create(Policy(loopback_endpoints=True)) == []


@pytest.mark.parametrize(
    ("change", "requested", "expected"),
    [
        ({}, None, 30),
        ({}, 5, 5),
        ({}, 0, 0),
        ({"nodeName": ""}, None, 0),
        ({"terminationGracePeriodSeconds": 7}, None, 7),
    ],
)
def test_how_long_a_pod_may_take_to_end(writer: Any, change: Tree, requested: int | None, expected: int) -> None:
    pods = writer.strategy("pods")
    pod, _ = writer.create(pods, _pod(**{"nodeName": "n1", **change}))
    assert pods.grace_seconds(pod, requested) == expected


def test_a_pod_that_has_ended_goes_at_once(writer: Any) -> None:
    pods = writer.strategy("pods")
    pod, _ = writer.create(pods, _pod(nodeName="n1"))
    pod["status"]["phase"] = "Succeeded"
    assert pods.grace_seconds(pod, 60) == 0


def test_a_namespace_stays_until_its_finalizers_are_gone(writer: Any) -> None:
    namespaces = writer.strategy("namespaces")
    made, errors = writer.create(namespaces, {"metadata": {"name": "team"}})
    assert errors == []
    assert namespaces.blocks_removal(made)
    patched, _ = writer.update(namespaces, made, {**made, "spec": {}})
    assert namespaces.blocks_removal(patched), "only the finalize subresource changes them"
    finalized, errors = writer.update(namespaces, made, {**made, "spec": {}}, "finalize")
    assert errors == []
    assert not namespaces.blocks_removal(finalized)


def test_texts_of_a_secret_become_data(writer: Any) -> None:
    given = {"metadata": {"name": "s"}, "data": {"a": "b2xk"}, "stringData": {"a": "new", "b": "x"}}
    secret, _ = writer.create(writer.strategy("secrets"), given)
    assert secret["data"] == {"a": "bmV3", "b": "eA=="}
    assert "stringData" not in secret


def test_the_data_of_a_controller_revision_never_changes_and_all_else_may(writer: Any) -> None:
    revisions = writer.strategy("controllerrevisions", "apps")
    old, _ = writer.create(revisions, {"metadata": {"name": "r"}, "data": {"a": 1}, "revision": 1})
    _, errors = writer.update(revisions, old, {**old, "metadata": {**old["metadata"], "labels": {"x": "y"}}})
    assert errors == []
    _, errors = writer.update(revisions, old, {**old, "data": {"a": 2}})
    assert [error.field for error in errors] == ["data"]


def test_fields_are_selected_by_as_the_kind_allows(writer: Any) -> None:
    pods = writer.strategy("pods")
    pod, _ = writer.create(pods, _pod(nodeName="n1"))
    values = pods.field_values(pod)
    assert pods.field_selector(parse_fields("spec.host=n1,status.phase!=Running")).matches(values)
    assert values["spec.hostNetwork"] == "false"
    with pytest.raises(APIError, match=r"^field label not supported: spec\.bogus$"):
        pods.field_selector(parse_fields("spec.bogus=1"))
    known = 'only "metadata.name", "metadata.namespace"'
    with pytest.raises(APIError, match=f'^"data.k" is not a known field selector: {known}$'):
        writer.strategy("configmaps").field_selector(parse_fields("data.k=1"))


def test_events_are_found_by_who_reported_them(writer: Any) -> None:
    events = writer.strategy("events")
    assert events.field_values({"reportingComponent": "hk"})["source"] == "hk"
    assert events.field_values({"reportingComponent": "hk", "source": {"component": "k"}})["source"] == "k"


def test_binding_puts_a_pod_on_its_node_once(writer: Any) -> None:
    pods = writer.strategy("pods")
    pod, _ = writer.create(pods, _pod())
    binding = {"metadata": {"name": "p", "labels": {"zone": "a"}}, "target": {"kind": "Node", "name": "n1"}}
    check_binding(binding, "p")
    bind(pod, binding, now=NOW, resource=pods.kind.resource)
    assert pod["spec"]["nodeName"] == "n1"
    assert meta.labels_of(pod) == {"zone": "a"}
    assert [(one["type"], one["status"]) for one in pod["status"]["conditions"]] == [("PodScheduled", "True")]
    with pytest.raises(APIError, match='pod p is already assigned to node "n1"') as refused:
        bind(pod, binding, now=NOW, resource=pods.kind.resource)
    assert refused.value.code == 409


def test_a_binding_names_its_pod_and_a_node() -> None:
    with pytest.raises(APIError, match="name in URL does not match name in Binding object"):
        check_binding({"metadata": {"name": "other"}}, "p")
    with pytest.raises(APIError, match=r"^target.name: Required value$"):
        check_binding({"metadata": {"name": "p"}, "target": {}}, "p")
    wrong = r'target.kind: Unsupported value: "X": supported values: "Node", "<empty>"'
    with pytest.raises(APIError, match=rf"^\[{wrong}, target.name: Required value\]$"):
        check_binding({"metadata": {"name": "p"}, "target": {"kind": "X"}}, "p")


def test_what_the_server_owns_of_metadata_is_never_the_clients() -> None:
    obj: Tree = {"metadata": {"name": "a", "uid": "mine", "creationTimestamp": "x", "deletionTimestamp": "y"}}
    object_meta.before_create(obj, namespace="n", now=NOW)
    assert obj["metadata"]["uid"] != "mine"
    assert {field: obj["metadata"].get(field) for field in ("namespace", "creationTimestamp", "deletionTimestamp")} == {
        "namespace": "n",
        "creationTimestamp": NOW,
        "deletionTimestamp": None,
    }


def test_a_generated_name_fits_a_label_and_is_new_each_time() -> None:
    names = {object_meta.generate_name("x" * 80) for _ in range(50)}
    assert len(names) == 50
    assert {len(name) for name in names} == {63}


def test_an_object_of_another_namespace_is_refused() -> None:
    with pytest.raises(APIError, match="the namespace of the provided object does not match"):
        object_meta.match_namespace({"metadata": {"namespace": "a"}}, "b")


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    old = {"metadata": {"name": "a", "deletionTimestamp": NOW, "finalizers": ["x.io/a"]}}
    new = {"metadata": {**old["metadata"], "finalizers": ["x.io/a", "x.io/b"]}}
    (error,) = object_meta.validate_meta_update(new, old)
    assert error.message.endswith('found new finalizers []string{"x.io/b"}')
