"""The official Python client: typed calls, watches, and the dynamic client, which goes by discovery and OpenAPI."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException

# The client uses what is deprecated, and leaves the connections of watches to the collector of garbage.
pytestmark = pytest.mark.filterwarnings(
    "default::DeprecationWarning", "default::FutureWarning", "default::pytest.PytestUnraisableExceptionWarning"
)

PATIENCE_SECONDS = 60


@pytest.fixture
def connected(shared_server: Any) -> Iterator[Any]:
    with config.new_client_from_config(str(shared_server.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def core(connected: Any) -> Any:
    return client.CoreV1Api(connected)


@pytest.fixture
def apps(connected: Any) -> Any:
    return client.AppsV1Api(connected)


def config_map(name: str, **data: str) -> Any:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"app": "web"}), data=data)


def deployment(name: str) -> Any:
    container = client.V1Container(
        name="web",
        image="web:1",
        resources=client.V1ResourceRequirements(limits={"cpu": "500m"}),
        liveness_probe=client.V1Probe(http_get=client.V1HTTPGetAction(path="/", port=80)),
    )
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=2,
            selector=client.V1LabelSelector(match_labels={"app": name}),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels={"app": name}), spec=client.V1PodSpec(containers=[container])
            ),
        ),
    )


def test_objects_are_made_read_changed_and_deleted(core: Any, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", colour="blue"))
    assert made.metadata.uid
    assert made.metadata.creation_timestamp.tzinfo is not None
    found = core.read_namespaced_config_map("a", namespace)
    assert found.data == {"colour": "blue"}
    found.data["colour"] = "red"
    core.replace_namespaced_config_map("a", namespace, found)
    with pytest.raises(ApiException) as conflict:  # what was found is old by now
        core.replace_namespaced_config_map("a", namespace, found)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    core.patch_namespaced_config_map("a", namespace, {"data": {"size": "large"}})
    listed = core.list_namespaced_config_map(namespace, label_selector="app=web")
    assert [one.data for one in listed.items] == [{"colour": "red", "size": "large"}]
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("a", namespace)
    assert gone.value.status == 404


def test_every_part_of_an_object_comes_back_typed(apps: Any, namespace: str) -> None:
    made = apps.create_namespaced_deployment(namespace, deployment("web"))
    (container,) = made.spec.template.spec.containers
    assert container.liveness_probe.http_get.port == 80
    assert container.resources.limits == {"cpu": "500m"}
    assert made.spec.strategy.rolling_update.max_surge == "25%"
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    scale.spec.replicas = 5
    apps.replace_namespaced_deployment_scale("web", namespace, scale)
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 5
    made.status.replicas = 3
    made.metadata.resource_version = None
    apps.replace_namespaced_deployment_status("web", namespace, made)
    found = apps.read_namespaced_deployment("web", namespace)
    assert (found.status.replicas, found.spec.replicas) == (3, 5)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/merge-patch+json", {"data": {"colour": "red"}}),
        ("application/strategic-merge-patch+json", {"data": {"colour": "red"}}),
        ("application/json-patch+json", [{"op": "replace", "path": "/data/colour", "value": "red"}]),
    ],
)
def test_patches_of_each_type(core: Any, namespace: str, content_type: str, body: Any) -> None:
    core.create_namespaced_config_map(namespace, config_map("a", colour="blue"))
    patched = core.patch_namespaced_config_map("a", namespace, body, _content_type=content_type)
    assert patched.data == {"colour": "red"}


def test_a_list_in_pieces_is_whole(core: Any, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_config_map(namespace, config_map(f"a-{number}"))
    names, token, pieces = [], None, 0
    while token != "":
        piece = core.list_namespaced_config_map(namespace, limit=2, _continue=token)
        names += [one.metadata.name for one in piece.items]
        token, pieces = piece.metadata._continue or "", pieces + 1
    assert (names, pieces) == ([f"a-{number}" for number in range(5)], 3)


def test_a_watch_goes_on_from_a_list(core: Any, namespace: str) -> None:
    listed = core.list_namespaced_config_map(namespace)
    core.create_namespaced_config_map(namespace, config_map("a", colour="blue"))
    watcher, seen = watch.Watch(), []
    for event in watcher.stream(
        core.list_namespaced_config_map,
        namespace,
        resource_version=listed.metadata.resource_version,
        timeout_seconds=PATIENCE_SECONDS,
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 1:
            core.delete_namespaced_config_map("a", namespace)
        else:
            watcher.stop()
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


def test_an_expired_watch_is_told_so(core: Any, namespace: str) -> None:
    with pytest.raises(ApiException) as malformed:
        for _ in watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version="nonsense"):
            pass
    assert malformed.value.status == 500


def test_the_log_of_a_pod_that_runs_nowhere_is_empty(core: Any, namespace: str) -> None:
    core.create_namespaced_service_account(namespace, client.V1ServiceAccount(metadata={"name": "default"}))
    spec = client.V1PodSpec(containers=[client.V1Container(name="web", image="web:1")])
    core.create_namespaced_pod(namespace, client.V1Pod(metadata={"name": "one"}, spec=spec))
    assert not core.read_namespaced_pod_log("one", namespace)
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod_log("one", namespace, container="other")
    assert refused.value.status == 400
    assert "container other is not valid for pod one" in refused.value.body


def test_manifests_are_created_from_dictionaries(connected: Any, apps: Any, namespace: str) -> None:
    manifest = connected.sanitize_for_serialization(deployment("web"))
    utils.create_from_dict(connected, {"apiVersion": "apps/v1", "kind": "Deployment", **manifest}, namespace=namespace)
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 2


class TestDynamicClient:
    @pytest.fixture
    def resources(self, connected: Any, tmp_path: Any) -> Any:
        return dynamic.DynamicClient(connected, cache_file=str(tmp_path / "discovery")).resources

    def test_every_kind_is_found_by_name_and_by_short_name(self, resources: Any) -> None:
        assert resources.get(api_version="apps/v1", kind="Deployment").name == "deployments"
        assert resources.get(short_names=["deploy"]).kind == "Deployment"
        preferred = resources.get(kind="HorizontalPodAutoscaler", preferred=True)
        assert preferred.group_version == "autoscaling/v2"
        assert resources.get(api_version="v1", kind="Pod").subresources["status"].name == "pods/status"

    def test_objects_are_made_applied_watched_and_deleted(self, resources: Any, namespace: str) -> None:
        maps = resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"colour": "blue"}}
        made = maps.create(body=body, namespace=namespace)
        assert made.data.colour == "blue"
        body["data"] = {"size": "large"}
        applied = maps.server_side_apply(body=body, namespace=namespace, field_manager="ada")
        assert applied.data.to_dict() == {"colour": "blue", "size": "large"}
        managers = {one.manager: one.operation for one in applied.metadata.managedFields}
        assert managers["ada"] == "Apply"
        assert [one.metadata.name for one in maps.get(namespace=namespace).items] == ["a"]
        maps.delete(name="a", namespace=namespace)
        with pytest.raises(dynamic.exceptions.NotFoundError):
            maps.get(name="a", namespace=namespace)

    def test_a_conflict_names_who_owns_what(self, resources: Any, namespace: str) -> None:
        maps = resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"colour": "blue"}}
        maps.server_side_apply(body=body, namespace=namespace, field_manager="ada")
        body["data"] = {"colour": "red"}
        with pytest.raises(dynamic.exceptions.ConflictError) as refused:
            maps.server_side_apply(body=body, namespace=namespace, field_manager="bob")
        (cause,) = json.loads(refused.value.body)["details"]["causes"]
        assert cause["field"] == ".data.colour"
        assert cause["message"] == 'conflict with "ada"'
        maps.server_side_apply(body=body, namespace=namespace, field_manager="bob", force_conflicts=True)
        assert maps.get(name="a", namespace=namespace).data.colour == "red"


def test_an_informer_of_ones_own_misses_nothing(core: Any, connected: Any, namespace: str) -> None:
    """List, then watch from there, while somebody writes: what is seen is what there is."""
    total = 20

    def write() -> None:
        for number in range(total):
            core.create_namespaced_config_map(namespace, config_map(f"a-{number}"))

    listed = core.list_namespaced_config_map(namespace)
    seen = {one.metadata.name for one in listed.items}
    writer = threading.Thread(target=write)
    writer.start()
    watcher = watch.Watch()
    for event in watcher.stream(
        client.CoreV1Api(connected).list_namespaced_config_map,
        namespace,
        resource_version=listed.metadata.resource_version,
        timeout_seconds=PATIENCE_SECONDS,
    ):
        name = event["object"].metadata.name
        assert name not in seen
        seen.add(name)
        if len(seen) == total:
            watcher.stop()
    writer.join(PATIENCE_SECONDS)
    assert seen == {f"a-{number}" for number in range(total)}
