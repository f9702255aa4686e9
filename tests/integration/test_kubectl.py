"""The real kubectl, in every version at hand, doing what people do most."""

from __future__ import annotations

import json
from typing import Any

import pytest

EVERY_KUBECTL = True

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  labels: {app: web}
data:
  colour: blue
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: web:1
        ports:
        - containerPort: 8080
"""


def create(kubectl: Any, manifest: str) -> str:
    return str(kubectl("create", "-f", "-", stdin=manifest))


def test_create_get_and_delete(kubectl: Any) -> None:
    assert create(kubectl, CONFIG_MAP) == "configmap/settings created\n"
    assert kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.colour}") == "blue"
    refused = kubectl.try_to("create", "-f", "-", stdin=CONFIG_MAP)
    assert 'configmaps "settings" already exists' in refused.stderr
    assert kubectl("delete", "configmap", "settings").startswith('configmap "settings" deleted')
    gone = kubectl.try_to("get", "configmap", "settings")
    assert gone.returncode == 1
    assert 'configmaps "settings" not found' in gone.stderr


def test_tables_are_the_servers(kubectl: Any) -> None:
    create(kubectl, DEPLOYMENT)
    lines = kubectl("get", "deployments", "-o", "wide").splitlines()
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert lines[1].split()[:4] == ["web", "0/2", "0", "0"]
    assert lines[1].split()[-3:] == ["web", "web:1", "app=web"]


def test_output_as_yaml_and_json_is_the_whole_object(kubectl: Any) -> None:
    create(kubectl, DEPLOYMENT)
    found = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    assert found["spec"]["progressDeadlineSeconds"] == 600, "defaults are filled in"
    assert found["metadata"]["generation"] == 1
    assert "progressDeadlineSeconds: 600" in kubectl("get", "deployment", "web", "-o", "yaml")


def test_label_and_annotate(kubectl: Any) -> None:
    create(kubectl, CONFIG_MAP)
    kubectl("label", "configmap", "settings", "tier=front", "app-")
    kubectl("annotate", "configmap", "settings", "note=hello")
    found = json.loads(kubectl("get", "configmap", "settings", "-o", "json"))["metadata"]
    assert found["labels"] == {"tier": "front"}
    assert found["annotations"] == {"note": "hello"}
    assert kubectl("get", "configmaps", "-l", "tier=front", "-o", "name") == "configmap/settings\n"


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", '{"data": {"colour": "red"}}'),
        ("json", '[{"op": "replace", "path": "/data/colour", "value": "red"}]'),
        ("strategic", '{"data": {"colour": "red"}}'),
    ],
)
def test_patch(kubectl: Any, kind: str, patch: str) -> None:
    create(kubectl, CONFIG_MAP)
    kubectl("patch", "configmap", "settings", f"--type={kind}", "-p", patch)
    assert kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.colour}") == "red"


def test_replace(kubectl: Any) -> None:
    create(kubectl, CONFIG_MAP)
    kubectl("replace", "-f", "-", stdin=CONFIG_MAP.replace("blue", "green"))
    assert kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.colour}") == "green"
    absent = kubectl.try_to("replace", "-f", "-", stdin=CONFIG_MAP.replace("settings", "absent"))
    assert 'configmaps "absent" not found' in absent.stderr


def test_get_watch_prints_changes_as_they_come(kubectl: Any) -> None:
    create(kubectl, CONFIG_MAP)
    watching = kubectl.start("get", "configmaps", "--watch", "-o", "name")
    try:
        assert watching.stdout.readline() == "configmap/settings\n"
        create(kubectl, CONFIG_MAP.replace("settings", "more"))
        assert watching.stdout.readline() == "configmap/more\n"
    finally:
        watching.kill()
        watching.communicate()


def test_wait_for_a_condition_and_for_deletion(kubectl: Any) -> None:
    create(kubectl, DEPLOYMENT)
    waiting = kubectl.start("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    condition = {"type": "Available", "status": "True", "reason": "Test"}
    with kubectl.server.connect() as connection:
        status, _ = connection.call(
            "PATCH",
            f"/apis/apps/v1/namespaces/{kubectl.namespace}/deployments/web/status",
            {"status": {"conditions": [condition]}},
            content_type="application/merge-patch+json",
        )
    assert status == 200
    assert waiting.communicate(timeout=60)[0] == "deployment.apps/web condition met\n"
    gone = kubectl.start("wait", "--for=delete", "deployment/web", "--timeout=30s", "-v=6")
    while "watch=true" not in gone.stderr.readline():  # it looks before it waits, and older ones want to see something
        assert gone.poll() is None
    kubectl("delete", "deployment", "web", "--wait=true")
    assert (gone.communicate(timeout=60)[0], gone.returncode) == ("deployment.apps/web condition met\n", 0)
