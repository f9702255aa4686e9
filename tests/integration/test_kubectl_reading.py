"""kubectl showing what there is: in every form of output, and what it learns from discovery and OpenAPI."""

from __future__ import annotations

import json
from typing import Any

import pytest

CONFIG_MAPS = """\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {size: "3"}}, data: {word: alpha}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b, labels: {size: "1"}}, data: {word: beta}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {size: "2"}}, data: {word: gamma}}
"""


@pytest.fixture
def three(kubectl: Any) -> Any:
    """A kubectl whose namespace has three config maps."""
    kubectl("create", "-f", "-", stdin=CONFIG_MAPS)
    return kubectl


class TestGet:
    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            ("custom-columns=NAME:.metadata.name,WORD:.data.word", "NAME WORD\na alpha\nb beta\nc gamma"),
            ("jsonpath={range .items[*]}{.metadata.name}={.data.word};{end}", "a=alpha;b=beta;c=gamma;"),
            ("go-template={{range .items}}{{.data.word}} {{end}}", "alpha beta gamma "),
            ("name", "configmap/a\nconfigmap/b\nconfigmap/c"),
        ],
    )
    def test_output_is_laid_out_as_wanted(self, three: Any, output: str, expected: str) -> None:
        found = three("get", "configmaps", "-o", output)
        assert [line.split() for line in found.splitlines()] == [line.split() for line in expected.splitlines()]

    def test_lists_are_sorted_by_any_field(self, three: Any) -> None:
        found = three("get", "configmaps", "--sort-by={.metadata.labels.size}", "-o", "name")
        assert found.split() == ["configmap/b", "configmap/c", "configmap/a"]
        rows = three("get", "configmaps", "--sort-by=.metadata.labels.size", "--no-headers").splitlines()
        assert [row.split()[0] for row in rows] == ["b", "c", "a"]

    def test_lists_come_in_chunks(self, three: Any) -> None:
        done = three.try_to("get", "configmaps", "--chunk-size=1", "-o", "name", "-v=6")
        assert done.stdout.split() == ["configmap/a", "configmap/b", "configmap/c"]
        assert sum("configmaps?" in line and "limit=1" in line for line in done.stderr.splitlines()) == 3

    def test_lists_are_selected_by_labels_and_fields(self, three: Any) -> None:
        assert three("get", "configmaps", "-l", "size in (1,2)", "-o", "name").split() == ["configmap/b", "configmap/c"]
        assert three("get", "configmaps", "--field-selector=metadata.name!=b", "-o", "name").split() == [
            "configmap/a",
            "configmap/c",
        ]
        complaint = three.refused("get", "configmaps", "--field-selector=data.word=beta")
        assert '"data.word" is not a known field selector' in complaint

    def test_labels_become_columns(self, three: Any) -> None:
        lines = three("get", "configmaps", "-L", "size", "--show-labels").splitlines()
        assert lines[0].split() == ["NAME", "DATA", "AGE", "SIZE", "LABELS"]
        assert lines[1].split()[-2:] == ["3", "size=3"]

    def test_several_kinds_are_had_at_once(self, three: Any) -> None:
        three("create", "service", "clusterip", "web", "--tcp=80")
        found = three("get", "configmaps,services", "-o", "name").split()
        assert found == ["configmap/a", "configmap/b", "configmap/c", "service/web"]
        assert "service/web" in three("get", "all")

    def test_all_namespaces_show_theirs(self, three: Any) -> None:
        lines = three("get", "configmaps", "--all-namespaces", "--field-selector=metadata.name=b").splitlines()
        assert lines[0].split() == ["NAMESPACE", "NAME", "DATA", "AGE"]
        assert [three.namespace, "b"] in [line.split()[:2] for line in lines]

    def test_a_watch_begins_with_what_there_is_and_shows_deletions(self, three: Any) -> None:
        columns = "custom-columns=NAME:.metadata.name,WORD:.data.word"
        watching = three.start("get", "configmaps", "--watch", "--output-watch-events", "-l", "size=1", "-o", "json")
        try:
            decoder, text = json.JSONDecoder(), ""

            def event() -> Any:
                nonlocal text
                while True:
                    text += watching.stdout.readline()
                    try:
                        found, end = decoder.raw_decode(text)
                    except ValueError:
                        continue
                    text = text[end:].lstrip()
                    return found["type"], found["object"]["data"]["word"]

            assert event() == ("ADDED", "beta")
            three("patch", "configmap", "b", "-p", '{"data": {"word": "delta"}}')
            assert event() == ("MODIFIED", "delta")
            three("delete", "configmap", "b")
            assert event() == ("DELETED", "delta")
        finally:
            watching.kill()
            watching.communicate()
        assert "delta" not in three("get", "configmaps", "-o", columns)

    def test_who_owns_which_fields_is_shown_when_asked(self, three: Any) -> None:
        three.needs(1, 21)
        assert "managedFields" not in three("get", "configmap", "a", "-o", "yaml")
        assert "kubectl-create" in three("get", "configmap", "a", "-o", "yaml", "--show-managed-fields")


class TestExplain:
    def test_a_kind_and_its_fields_are_told(self, kubectl: Any) -> None:
        told = kubectl("explain", "deployment")
        assert "Keeps pods running" in told
        assert "apiVersion" in told
        assert "spec" in told

    @pytest.mark.parametrize(
        ("field", "expected"),
        [
            ("deployment.spec.strategy", ["How old pods are replaced by new ones.", "rollingUpdate", "type"]),
            ("pod.spec.containers.resources", ["What the container asks for", "limits", "requests"]),
            ("service.spec.type", ["ClusterIP (the default)"]),
            ("cronjob.spec.jobTemplate.spec.template.spec.containers.image", ["The image to run"]),
        ],
    )
    def test_a_field_is_told(self, kubectl: Any, field: str, expected: list[str]) -> None:
        told = " ".join(kubectl("explain", field).split())
        for text in expected:
            assert text in told

    def test_a_whole_tree_of_fields_is_told(self, kubectl: Any) -> None:
        lines = [line.split() for line in kubectl("explain", "deployment", "--recursive").splitlines()]
        assert ["terminationGracePeriodSeconds", "<integer>"] in [line[:2] for line in lines]
        assert ["matchLabels", "<map[string]string>"] in [line[:2] for line in lines]

    def test_the_old_document_tells_the_same(self, kubectl: Any) -> None:
        kubectl.needs(1, 27)
        told = kubectl("explain", "deployment.spec.strategy", "--output=plaintext-openapiv2")
        assert "How old pods are replaced by new ones." in " ".join(told.split())
        assert "rollingUpdate\t<Object>" in told

    def test_values_that_are_allowed_are_told(self, kubectl: Any) -> None:
        kubectl.needs(1, 30)
        assert "enum: Recreate, RollingUpdate" in kubectl("explain", "deployment.spec.strategy")

    def test_a_version_is_chosen(self, kubectl: Any) -> None:
        old = kubectl("explain", "horizontalpodautoscaler.spec", "--api-version=autoscaling/v1")
        assert "targetCPUUtilizationPercentage" in old
        assert "metrics" in kubectl("explain", "horizontalpodautoscaler.spec", "--api-version=autoscaling/v2")

    def test_what_is_not_there_is_an_error(self, kubectl: Any) -> None:
        assert 'field "nothing" does not exist' in kubectl.refused("explain", "deployment.spec.nothing")


class TestDiscovery:
    def test_resources_are_listed_with_their_short_names(self, kubectl: Any) -> None:
        rows = [line.split() for line in kubectl("api-resources", "--no-headers").splitlines()]
        assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in rows
        assert ["clusterroles", "rbac.authorization.k8s.io/v1", "false", "ClusterRole"] in rows
        assert not any("/" in row[0] for row in rows)

    def test_resources_are_selected(self, kubectl: Any) -> None:
        names = kubectl("api-resources", "--api-group=apps", "--verbs=list,watch", "-o", "name").split()
        assert sorted(names) == [
            f"{name}.apps"
            for name in ("controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets")
        ]
        categories = kubectl("api-resources", "--namespaced=false", "-o", "name").split()
        assert "nodes" in categories
        assert "pods" not in categories

    def test_versions_are_listed(self, kubectl: Any) -> None:
        versions = kubectl("api-versions").split()
        assert {"v1", "apps/v1", "batch/v1", "autoscaling/v1", "autoscaling/v2"} <= set(versions)

    def test_a_short_name_and_a_full_one_are_the_same(self, kubectl: Any) -> None:
        kubectl("create", "configmap", "a")
        for resource in ("cm", "configmap", "configmaps", "configmaps.v1."):
            assert kubectl("get", resource, "a", "-o", "name") == "configmap/a\n"

    def test_an_unknown_resource_is_an_error(self, kubectl: Any) -> None:
        assert 'doesn\'t have a resource type "nothing"' in kubectl.refused("get", "nothing")


class TestDescribe:
    @pytest.mark.parametrize(
        ("command", "name", "expected"),
        [
            ("create deployment web --image=web:1", "deployment/web", ["StrategyType: RollingUpdate", "Image: web:1"]),
            ("create service clusterip web --tcp=80:8080", "service/web", ["TargetPort: 8080/TCP", "Type: ClusterIP"]),
            ("create secret generic key --from-literal=word=kept", "secret/key", ["word: 4 bytes"]),
            ("create configmap a --from-literal=word=kept", "configmap/a", ["word:", "kept"]),
            ("run one --image=web:1", "pod/one", ["Status: Pending", "QoS Class: BestEffort"]),
            ("create role reader --verb=get --resource=pods", "role/reader", ["pods [] [] [get]"]),
            ("create quota few --hard=pods=10", "resourcequota/few", ["Name: few"]),
            ("create job once --image=web:1", "job/once", ["Completions: 1"]),
        ],
    )
    def test_an_object_is_told_in_words(self, kubectl: Any, command: str, name: str, expected: list[str]) -> None:
        kubectl(*command.split(" "))
        told = " ".join(kubectl("describe", name).split())
        for text in expected:
            assert text in told

    def test_a_namespace_is_told_with_its_limits(self, kubectl: Any) -> None:
        told = " ".join(kubectl("describe", "namespace", kubectl.namespace).split())
        assert "Status: Active" in told

    def test_events_are_told_with_the_object(self, kubectl: Any) -> None:
        kubectl("create", "configmap", "a")
        found = kubectl.read("configmap/a")["metadata"]
        target = {"kind": "ConfigMap", "apiVersion": "v1", "name": "a", "namespace": kubectl.namespace}
        event = {
            "metadata": {"name": "a.1"},
            "involvedObject": {**target, "uid": found["uid"]},
            "reason": "Read",
            "message": "somebody read it",
            "type": "Normal",
        }
        with kubectl.server.connect() as connection:
            assert connection.call("POST", f"/api/v1/namespaces/{kubectl.namespace}/events", event)[0] == 201
        assert "somebody read it" in kubectl("get", "events", "--field-selector=involvedObject.name=a")


def test_what_one_may_do_is_told(kubectl: Any) -> None:
    assert kubectl("auth", "can-i", "create", "deployments") == "yes\n"
    kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "ada", "--role=reader", "--user=ada")
    assert kubectl("auth", "can-i", "get", "pods", "--as=ada") == "yes\n"
    assert kubectl.try_to("auth", "can-i", "create", "pods", "--as=ada").stdout.startswith("no")
    assert "pods" in kubectl("auth", "can-i", "--list", "--as=ada")
    if kubectl.version >= (1, 28):
        assert "system:masters" in kubectl("auth", "whoami")


def test_the_version_of_the_server_is_told(kubectl: Any) -> None:
    told = json.loads(kubectl("version", "-o", "json"))
    assert told["serverVersion"]["gitVersion"] == "v1.36.2"
