"""lightkube: a typed client that applies, and knows kinds by their models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import CascadeType, PatchType

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")


@pytest.fixture
def client(shared_server: Any, namespace: str) -> Iterator[Client]:
    access = KubeConfig.from_file(str(shared_server.kubeconfig))
    with Client(config=access, namespace=namespace, field_manager="ada", trust_env=False) as client:
        yield client


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"app": "web"}), data=data)


def test_objects_are_made_read_changed_and_deleted(client: Client) -> None:
    made = client.create(config_map("a", colour="blue"))
    assert made.metadata is not None
    assert made.metadata.uid
    made.data = {"colour": "red"}
    assert client.replace(made).data == {"colour": "red"}
    with pytest.raises(ApiError) as conflict:
        client.replace(made)
    assert conflict.value.status.reason == "Conflict"
    assert [one.data for one in client.list(ConfigMap, labels={"app": "web"})] == [{"colour": "red"}]
    client.delete(ConfigMap, "a", cascade=CascadeType.BACKGROUND)
    with pytest.raises(ApiError) as gone:
        client.get(ConfigMap, "a")
    assert gone.value.status.code == 404


def test_patches_of_each_type(client: Client) -> None:
    client.create(config_map("a", colour="blue"))
    for kind in (PatchType.MERGE, PatchType.STRATEGIC):
        assert client.patch(ConfigMap, "a", {"data": {"by": kind.name}}, patch_type=kind).data == {
            "colour": "blue",
            "by": kind.name,
        }
    operations = [{"op": "remove", "path": "/data/by"}]
    assert client.patch(ConfigMap, "a", operations, patch_type=PatchType.JSON).data == {"colour": "blue"}


def test_what_is_applied_is_owned(client: Client) -> None:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": "web"}), spec=PodSpec(containers=[Container(name="web", image="web:1")])
    )
    wanted = Deployment(
        metadata=ObjectMeta(name="web"),
        spec=DeploymentSpec(replicas=2, selector=LabelSelector(matchLabels={"app": "web"}), template=template),
    )
    client.apply(wanted)
    assert wanted.spec is not None
    wanted.spec.replicas = 3
    with pytest.raises(ApiError, match='conflict with "ada"'):
        client.apply(wanted, field_manager="bob")
    applied = client.apply(wanted, field_manager="bob", force=True)
    assert applied.spec is not None
    assert applied.spec.replicas == 3
    scaled = client.get(Deployment.Scale, "web")
    assert scaled.spec is not None
    assert scaled.spec.replicas == 3


def test_a_list_in_pieces_is_whole(client: Client) -> None:
    for number in range(5):
        client.create(config_map(f"a-{number}"))
    names = [one.metadata.name for one in client.list(ConfigMap, chunk_size=2) if one.metadata is not None]
    assert names == [f"a-{number}" for number in range(5)]


def test_a_watch_begins_with_what_there_is(client: Client) -> None:
    client.create(config_map("a"))
    seen = []
    for event, found in client.watch(ConfigMap, server_timeout=60):
        assert found.metadata is not None
        seen.append((event, found.metadata.name))
        if len(seen) == 1:
            client.delete(ConfigMap, "a")
        else:
            break
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


def test_kinds_without_a_model_are_reached_too(client: Client) -> None:
    leases: Any = create_namespaced_resource("coordination.k8s.io", "v1", "Lease", "leases")
    made: Any = client.create(leases(metadata=ObjectMeta(name="a"), spec={"holderIdentity": "ada"}))
    assert made.spec["holderIdentity"] == "ada"
