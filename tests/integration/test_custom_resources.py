"""Custom resources as real clients use them: kubectl, kr8s, lightkube and Kubernetes' own for Python."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import new_class
from kubernetes import client as kubernetes_client
from kubernetes import config, dynamic
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.types import PatchType

pytestmark = [
    pytest.mark.filterwarnings("default::DeprecationWarning", "default:Kubernetes version:UserWarning"),
]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STAGES = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "mass": {"type": "integer"}},
    },
}
FUEL = {"type": "integer", "minimum": 0, "description": "How much to burn."}


class Rockets:
    """A definition of these tests' own group, which is there for all of them."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.version = f"{group}/v1"
        self.resource = f"rockets.{group}"

    @property
    def definition(self) -> dict[str, Any]:
        columns = [{"name": "Fuel", "type": "integer", "jsonPath": ".spec.fuel"}]
        scale = {"specReplicasPath": ".spec.fuel", "statusReplicasPath": ".status.fuel"}
        spec = {"type": "object", "description": "What is wanted.", "properties": {"fuel": FUEL, "stages": STAGES}}
        status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        schema = {"type": "object", "description": "Flies.", "properties": {"spec": spec, "status": status}}
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "additionalPrinterColumns": columns,
            "subresources": {"status": {}, "scale": scale},
            "schema": {"openAPIV3Schema": schema},
        }
        names = {"plural": "rockets", "kind": "Rocket", "shortNames": ["rk"], "categories": ["all"]}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.resource},
            "spec": {"group": self.group, "scope": "Namespaced", "names": names, "versions": [version]},
        }

    def rocket(self, name: str, **spec: Any) -> dict[str, Any]:
        return {"apiVersion": self.version, "kind": "Rocket", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def rockets(shared_server: Any) -> Iterator[Rockets]:
    made = Rockets(f"g{uuid.uuid4().hex[:8]}.example.com")
    with shared_server.connect() as connection:
        assert connection.call("POST", DEFINITIONS, made.definition)[0] == 201
        while connection.send("GET", f"/apis/{made.version}/rockets").read()[:1] != b"{":
            time.sleep(0.01)  # it is served with the next turn of a loop in another process
        yield made
        assert connection.call("DELETE", f"{DEFINITIONS}/{made.resource}")[0] == 200


class TestKubectl:
    @pytest.fixture
    def saturn(self, kubectl: Any, rockets: Rockets) -> Any:
        """A kubectl whose namespace has a rocket."""
        manifest = rockets.rocket("saturn", fuel=3, stages=[{"name": "a", "mass": 1}, {"name": "b"}])
        kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        return kubectl

    def test_a_definition_is_established_when_it_is_waited_for(self, kubectl: Any) -> None:
        others = Rockets(f"g{uuid.uuid4().hex[:8]}.example.com")
        kubectl("create", "-f", "-", stdin=json.dumps(others.definition))
        try:
            told = kubectl("wait", "--for=condition=Established", f"crd/{others.resource}", "--timeout=10s")
            assert "condition met" in told
            kubectl("create", "-f", "-", stdin=json.dumps(others.rocket("x", fuel=1)))
        finally:
            kubectl("delete", "crd", others.resource)
        assert "the server doesn't have a resource type" in kubectl.refused("get", others.resource)

    def test_objects_are_shown_by_the_columns_of_the_definition(self, saturn: Any, rockets: Rockets) -> None:
        rows = saturn("get", rockets.resource).splitlines()
        assert [row.split() for row in rows] == [["NAME", "FUEL"], ["saturn", "3"]]
        assert f"rocket.{rockets.group}/saturn" in saturn("get", "all")

    def test_the_schema_is_explained(self, saturn: Any, rockets: Rockets) -> None:
        told = saturn("explain", f"{rockets.resource}.spec.fuel")
        assert "How much to burn." in told
        assert "<integer>" in told
        assert "mass" in saturn("explain", rockets.resource, "--recursive")

    def test_resources_are_listed(self, saturn: Any, rockets: Rockets) -> None:
        (line,) = saturn("api-resources", f"--api-group={rockets.group}", "--no-headers").splitlines()
        assert line.split() == ["rockets", "rk", rockets.version, "true", "Rocket"]

    def test_what_is_applied_twice_changes_nothing(self, saturn: Any, rockets: Rockets) -> None:
        manifest = json.dumps(rockets.rocket("saturn", fuel=3, stages=[{"name": "a", "mass": 1}, {"name": "b"}]))
        assert "unchanged" in saturn("apply", "-f", "-", stdin=manifest)

    def test_server_side_apply_merges_lists_by_their_keys(self, kubectl: Any, rockets: Rockets) -> None:
        def apply(attempt: Any, manager: str, **spec: Any) -> Any:
            manifest = json.dumps(rockets.rocket("apollo", **spec))
            return attempt("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=manifest)

        apply(kubectl, "bob", fuel=3, stages=[{"name": "a", "mass": 1}, {"name": "b"}])
        apply(kubectl, "ada", stages=[{"name": "c", "mass": 7}])
        spec = kubectl.read(rockets.resource, "apollo")["spec"]
        assert {one["name"]: one.get("mass") for one in spec["stages"]} == {"a": 1, "b": None, "c": 7}
        assert "conflict" in apply(kubectl.refused, "ada", fuel=9)

    def test_replicas_are_scaled(self, saturn: Any, rockets: Rockets) -> None:
        saturn("scale", f"{rockets.resource}/saturn", "--replicas=7")
        assert saturn.read(rockets.resource, "saturn")["spec"]["fuel"] == 7

    def test_an_object_is_edited(self, saturn: Any, rockets: Rockets, tmp_path: Any) -> None:
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\nsed -i "s/fuel: 3/fuel: 8/" "$1"\n')
        editor.chmod(0o755)
        done = saturn.try_to("edit", f"{rockets.resource}/saturn", KUBE_EDITOR=str(editor))
        assert done.returncode == 0, done.stderr
        assert saturn.read(rockets.resource, "saturn")["spec"]["fuel"] == 8

    def test_what_the_schema_forbids_is_refused(self, saturn: Any, rockets: Rockets) -> None:
        told = saturn.refused("create", "-f", "-", stdin=json.dumps(rockets.rocket("bad", fuel=-1)))
        assert "spec.fuel: Invalid value: -1: spec.fuel in body should be greater than or equal to 0" in told
        told = saturn.refused("create", "-f", "-", stdin=json.dumps(rockets.rocket("bad", wings=2)))
        assert 'unknown field "spec.wings"' in told


@pytest.fixture(scope="module")
def managed(make_server: Any) -> Iterator[Any]:
    """A server whose controllers run, and a definition that was made after they began."""
    server = make_server()
    command = [sys.executable, "-m", "hyperkube_core", "controller-manager", f"--kubeconfig={server.kubeconfig}"]
    with subprocess.Popen([*command, "--secure-port=0"], stderr=subprocess.DEVNULL) as process:
        try:
            yield server
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def defined(managed: Any) -> Rockets:
    made = Rockets("managed.example.com")
    with managed.connect() as connection:
        eventually(lambda: connection.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200)
        assert connection.call("POST", DEFINITIONS, made.definition)[0] == 201
    return made


class TestControllers:
    """The controllers find out by themselves what is defined."""

    def test_dependents_go_with_their_owner(self, managed: Any, defined: Rockets) -> None:
        path = f"/apis/{defined.version}/namespaces/default/rockets"
        with managed.connect() as connection:
            eventually(lambda: connection.send("GET", path).read()[:1] == b"{")
            owner = connection.call("POST", path, defined.rocket("owner"))[1]["metadata"]["uid"]
            child = defined.rocket("child")
            reference = {"apiVersion": defined.version, "kind": "Rocket", "name": "owner", "uid": owner}
            child["metadata"]["ownerReferences"] = [reference]
            assert connection.call("POST", path, child)[0] == 201
            assert connection.call("DELETE", f"{path}/owner")[0] == 200
            eventually(lambda: connection.call("GET", f"{path}/child")[0] == 404)

    def test_a_namespace_waits_for_what_is_in_it(self, managed: Any, defined: Rockets) -> None:
        path = f"/apis/{defined.version}/namespaces/leaving/rockets"
        with managed.connect() as connection:
            assert connection.call("POST", "/api/v1/namespaces", {"metadata": {"name": "leaving"}})[0] == 201
            held = defined.rocket("held")
            held["metadata"]["finalizers"] = ["example.com/hold"]
            eventually(lambda: connection.call("POST", path, held)[0] == 201)
            assert connection.call("DELETE", "/api/v1/namespaces/leaving")[0] == 200
            eventually(lambda: "deletionTimestamp" in connection.call("GET", f"{path}/held")[1]["metadata"])
            patch = {"metadata": {"finalizers": None}}
            kind = "application/merge-patch+json"
            assert connection.call("PATCH", f"{path}/held", patch, content_type=kind)[0] == 200
            eventually(lambda: connection.call("GET", "/api/v1/namespaces/leaving")[0] == 404)

    def test_a_quota_counts_them(self, managed: Any, defined: Rockets) -> None:
        path = f"/apis/{defined.version}/namespaces/counted/rockets"
        with managed.connect() as connection:
            assert connection.call("POST", "/api/v1/namespaces", {"metadata": {"name": "counted"}})[0] == 201
            quotas = "/api/v1/namespaces/counted/resourcequotas"
            hard = {f"count/{defined.resource}": "1"}
            assert connection.call("POST", quotas, {"metadata": {"name": "few"}, "spec": {"hard": hard}})[0] == 201
            none = dict.fromkeys(hard, "0")
            eventually(lambda: connection.call("GET", f"{quotas}/few")[1].get("status", {}).get("used") == none)
            assert connection.call("POST", path, defined.rocket("one"))[0] == 201
            status, told = connection.call("POST", path, defined.rocket("two"))
            assert (status, "exceeded quota: few" in told["message"]) == (403, True)
            assert connection.call("DELETE", f"{path}/one")[0] == 200
            eventually(lambda: connection.call("POST", path, defined.rocket("two"))[0] == 201)


def eventually(holds: Callable[[], bool]) -> None:
    """Return once that holds, which others see to."""
    deadline = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.anyio
async def test_kr8s_makes_scales_watches_and_deletes(shared_server: Any, namespace: str, rockets: Rockets) -> None:
    api = await kr8s.asyncio.api(kubeconfig=str(shared_server.kubeconfig), namespace=namespace)
    try:
        kind = new_class(
            kind="Rocket",
            version=rockets.version,
            namespaced=True,
            plural="rockets",
            scalable=True,
            scalable_spec="fuel",
        )
        made = await kind(rockets.rocket("saturn", fuel=3), namespace=namespace, api=api)
        await made.create()
        await made.patch({"status": {"phase": "Up"}}, subresource="status")
        await made.patch({"spec": {"fuel": 5}})
        await made.refresh()
        assert (made.spec.fuel, made.status.phase) == (5, "Up")
        found = [one async for one in api.get("rk", namespace=namespace)]
        assert [one.name for one in found] == ["saturn"]  # type: ignore[union-attr]
        await made.delete()
        await made.wait("delete", timeout=10)
        assert not await made.exists()
    finally:
        if api._session is not None:
            await api._session.aclose()


def test_lightkube_needs_no_model(shared_server: Any, namespace: str, rockets: Rockets) -> None:
    kind = create_namespaced_resource(rockets.group, "v1", "Rocket", "rockets")
    access = KubeConfig.from_file(str(shared_server.kubeconfig))
    with Client(config=access, namespace=namespace, field_manager="ada", trust_env=False) as client:
        made = client.create(kind(metadata=ObjectMeta(name="saturn"), spec={"fuel": 3}))
        assert made["spec"] == {"fuel": 3}
        client.patch(kind, "saturn", {"spec": {"fuel": 4}}, patch_type=PatchType.MERGE)
        applied = client.apply(kind(metadata=ObjectMeta(name="saturn"), spec={"stages": [{"name": "a"}]}))
        assert applied["spec"] == {"fuel": 4, "stages": [{"name": "a"}]}
        with pytest.raises(ApiError) as refused:
            client.patch(kind, "saturn", {"spec": {"fuel": 4}}, patch_type=PatchType.STRATEGIC)
        assert refused.value.status.code == 415
        for event, found in client.watch(kind):
            assert (event, found.metadata.name) == ("ADDED", "saturn")  # type: ignore[union-attr]
            break
        client.delete(kind, "saturn")
        assert list(client.list(kind)) == []


def test_the_dynamic_client_finds_a_kind_that_was_defined_just_now(
    shared_server: Any, namespace: str, rockets: Rockets, tmp_path: Any
) -> None:
    connected = config.new_client_from_config(str(shared_server.kubeconfig))
    with connected:
        assert isinstance(connected, kubernetes_client.ApiClient)
        found = dynamic.DynamicClient(connected, cache_file=str(tmp_path / "discovery"))
        kind = found.resources.get(api_version=rockets.version, kind="Rocket")
        made = kind.create(body=rockets.rocket("saturn", fuel=3), namespace=namespace)
        assert made.spec.fuel == 3
        body = rockets.rocket("saturn", stages=[{"name": "a"}])
        applied = kind.server_side_apply(body=body, namespace=namespace, field_manager="ada")
        assert applied.spec.to_dict() == {"fuel": 3, "stages": [{"name": "a"}]}
        scaled = kind.scale.patch(
            name="saturn",
            namespace=namespace,
            body={"spec": {"replicas": 6}},
            content_type="application/merge-patch+json",
        )
        assert scaled.spec.replicas == 6
        events = kind.watch(namespace=namespace, timeout=1)
        assert [(one["type"], one["object"].spec.fuel) for one in events] == [("ADDED", 6)]
        kind.delete(name="saturn", namespace=namespace)
        with pytest.raises(dynamic.exceptions.NotFoundError):
            kind.get(name="saturn", namespace=namespace)
