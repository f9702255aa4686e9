"""kubectl changing what is there: apply, diff, edit, patch, replace, set and rollout, with validation on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
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
        env:
        - {name: COLOUR, value: blue}
"""
SIDECAR = "      - {name: side, image: side:1}\n"


def images(kubectl: Any) -> list[str]:
    containers = kubectl.read("deployment/web")["spec"]["template"]["spec"]["containers"]
    return [container["image"] for container in containers]


@pytest.fixture
def applied(kubectl: Any) -> Any:
    """A kubectl that has applied the deployment."""
    assert kubectl("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/web created\n"
    return kubectl


class TestApply:
    def test_what_is_the_same_changes_nothing(self, applied: Any) -> None:
        before = applied.read("deployment/web")["metadata"]["resourceVersion"]
        assert applied("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/web unchanged\n"
        assert applied.read("deployment/web")["metadata"]["resourceVersion"] == before

    def test_what_differs_is_changed_and_what_is_gone_removed(self, applied: Any) -> None:
        assert applied("apply", "-f", "-", stdin=DEPLOYMENT + SIDECAR) == "deployment.apps/web configured\n"
        assert images(applied) == ["web:1", "side:1"]
        less = DEPLOYMENT.replace("  labels: {app: web}\n", "", 1).replace("web:1", "web:2")
        applied("apply", "-f", "-", stdin=less)
        assert images(applied) == ["web:2"]
        assert "labels" not in applied.read("deployment/web")["metadata"]

    def test_what_somebody_else_set_is_left_alone(self, applied: Any) -> None:
        applied("set", "env", "deployment/web", "SIZE=large")
        applied("apply", "-f", "-", stdin=DEPLOYMENT.replace("blue", "red"))
        (container,) = applied.read("deployment/web")["spec"]["template"]["spec"]["containers"]
        assert {one["name"]: one["value"] for one in container["env"]} == {"COLOUR": "red", "SIZE": "large"}

    def test_an_unknown_field_is_refused(self, kubectl: Any) -> None:
        complaint = kubectl.refused("apply", "-f", "-", stdin=DEPLOYMENT.replace("replicas", "replicaz"))
        if kubectl.version < (1, 25):
            assert 'ValidationError(Deployment.spec): unknown field "replicaz"' in complaint
        else:
            assert 'strict decoding error: unknown field "spec.replicaz"' in complaint

    def test_a_wrong_type_is_refused(self, kubectl: Any) -> None:
        complaint = kubectl.refused("create", "-f", "-", stdin=DEPLOYMENT.replace("replicas: 2", "replicas: two"))
        assert "replicas" in complaint
        assert "not found" in kubectl.refused("get", "deployment/web")

    def test_a_missing_field_is_refused(self, kubectl: Any) -> None:
        complaint = kubectl.refused("create", "-f", "-", stdin=DEPLOYMENT.split("spec:")[0] + "spec: {}\n")
        assert "selector" in complaint
        assert "template" in complaint

    def test_a_warning_tells_of_what_is_ignored(self, kubectl: Any) -> None:
        kubectl.needs(1, 25)
        strange = DEPLOYMENT.replace("  replicas: 2\n", "  replicas: 2\n  strange: true\n")
        done = kubectl.try_to("apply", "--validate=warn", "-f", "-", stdin=strange)
        assert done.stdout == "deployment.apps/web created\n"
        assert done.stderr == 'Warning: unknown field "spec.strange"\n'

    def test_dry_run_tells_and_keeps_nothing(self, applied: Any) -> None:
        newer = DEPLOYMENT.replace("web:1", "web:2")
        said = applied("apply", "--dry-run=server", "-f", "-", stdin=newer)
        assert said == "deployment.apps/web configured (server dry run)\n"
        assert images(applied) == ["web:1"]

    def test_what_is_no_longer_in_the_files_is_pruned(self, kubectl: Any, tmp_path: Path) -> None:
        for name in ("one", "two"):
            text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{app: web}}}}\n"
            tmp_path.joinpath(f"{name}.yaml").write_text(text)
        which = ("--prune", "-l", "app=web", "--prune-whitelist=core/v1/ConfigMap")
        if kubectl.version >= (1, 26):
            which = (*which[:3], "--prune-allowlist=core/v1/ConfigMap")
        kubectl("apply", "-f", str(tmp_path), *which)
        tmp_path.joinpath("two.yaml").unlink()
        assert "configmap/two pruned" in kubectl("apply", "-f", str(tmp_path), *which)
        assert "not found" in kubectl.refused("get", "configmap/two")


class TestServerSideApply:
    def test_each_manager_owns_what_it_applied(self, kubectl: Any) -> None:
        done = kubectl("apply", "--server-side", "--field-manager=ada", "-f", "-", stdin=DEPLOYMENT)
        assert done == "deployment.apps/web serverside-applied\n"
        newer = DEPLOYMENT.replace("web:1", "web:2")
        complaint = kubectl.refused("apply", "--server-side", "--field-manager=bob", "-f", "-", stdin=newer)
        assert 'conflict with "ada"' in complaint
        assert '.spec.template.spec.containers[name="web"].image' in complaint
        forced = ("apply", "--server-side", "--field-manager=bob", "--force-conflicts", "-f", "-")
        kubectl(*forced, stdin=newer)
        assert images(kubectl) == ["web:2"]

    def test_what_a_manager_no_longer_applies_goes(self, kubectl: Any) -> None:
        apply = ("apply", "--server-side", "-f", "-")
        kubectl(*apply, stdin=DEPLOYMENT + SIDECAR)
        kubectl(*apply, stdin=DEPLOYMENT)
        assert images(kubectl) == ["web:1"]

    def test_an_object_applied_the_old_way_can_be_taken_over(self, applied: Any) -> None:
        applied.needs(1, 26)
        said = applied("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT.replace("web:1", "web:2"))
        assert said == "deployment.apps/web serverside-applied\n"
        assert images(applied) == ["web:2"]


class TestDiff:
    def test_it_shows_what_would_change(self, applied: Any) -> None:
        done = applied.try_to("diff", "-f", "-", stdin=DEPLOYMENT.replace("web:1", "web:2"))
        assert done.returncode == 1
        changed = [line.split() for line in done.stdout.splitlines() if "image:" in line]
        assert [words[0] + words[-1] for words in changed] == ["-web:1", "+web:2"]
        assert images(applied) == ["web:1"]

    def test_what_is_the_same_shows_nothing(self, applied: Any) -> None:
        assert applied("diff", "-f", "-", stdin=DEPLOYMENT) == ""

    def test_it_can_ask_for_server_side_apply(self, applied: Any) -> None:
        newer = DEPLOYMENT.replace("web:1", "web:2")
        done = applied.try_to("diff", "--server-side", "--force-conflicts", "-f", "-", stdin=newer)
        assert done.returncode == 1
        assert "image: web:2" in done.stdout


class TestEdit:
    def test_what_the_editor_leaves_is_stored(self, applied: Any, tmp_path: Path) -> None:
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\nsed -i "s/replicas: 2/replicas: 4/" "$1"\n')
        editor.chmod(0o755)
        assert "edited" in applied("edit", "deployment", "web", EDITOR=str(editor))
        assert applied.read("deployment/web")["spec"]["replicas"] == 4

    def test_without_a_change_nothing_is_sent(self, applied: Any) -> None:
        done = applied.try_to("edit", "deployment", "web", EDITOR="true")
        assert "cancelled" in done.stderr + done.stdout


class TestPatch:
    def test_lists_merge_by_their_keys(self, applied: Any) -> None:
        patch = '{"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}'
        applied("patch", "deployment", "web", "-p", patch)
        assert sorted(images(applied)) == ["side:1", "web:1"]

    def test_a_merge_patch_replaces_them(self, applied: Any) -> None:
        patch = '{"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}'
        applied("patch", "deployment", "web", "--type=merge", "-p", patch)
        assert images(applied) == ["side:1"]

    def test_a_subresource_is_patched_alone(self, applied: Any) -> None:
        applied.needs(1, 27)
        said = applied(
            "patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":5}}'
        )
        assert "patched" in said
        assert applied.read("deployment/web")["spec"]["replicas"] == 5
        assert applied("get", "deployment", "web", "--subresource=scale", "-o", "jsonpath={.kind}") == "Scale"

    def test_what_is_invalid_is_refused_with_its_field(self, applied: Any) -> None:
        complaint = applied.refused("patch", "deployment", "web", "-p", '{"spec": {"replicas": -1}}')
        assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in complaint


class TestReplace:
    def test_all_is_replaced(self, applied: Any) -> None:
        applied("replace", "-f", "-", stdin=DEPLOYMENT.replace("web:1", "web:2"))
        assert images(applied) == ["web:2"]

    def test_by_force_it_is_another_object(self, applied: Any) -> None:
        before = applied.read("deployment/web")["metadata"]["uid"]
        said = applied("replace", "--force", "-f", "-", stdin=DEPLOYMENT)
        assert said.endswith("deployment.apps/web replaced\n")
        assert applied.read("deployment/web")["metadata"]["uid"] != before

    def test_what_cannot_change_is_refused(self, applied: Any) -> None:
        other = DEPLOYMENT.replace("{app: web}", "{app: other}")
        assert "field is immutable" in applied.refused("replace", "-f", "-", stdin=other)


def test_set_changes_parts_of_the_template(applied: Any) -> None:
    applied("set", "image", "deployment/web", "web=web:3")
    applied("set", "env", "deployment/web", "SIZE=large", "COLOUR-")
    applied("set", "resources", "deployment/web", "--limits=cpu=500m,memory=1Gi", "--requests=cpu=0.1")
    applied("set", "serviceaccount", "deployment/web", "default")
    spec = applied.read("deployment/web")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "web:3"
    assert container["env"] == [{"name": "SIZE", "value": "large"}]
    assert container["resources"] == {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}}
    assert spec["serviceAccountName"] == "default"
    assert applied.read("deployment/web")["metadata"]["generation"] == 5


def test_set_changes_selectors_and_subjects(kubectl: Any) -> None:
    kubectl("create", "service", "clusterip", "web", "--tcp=80")
    kubectl("set", "selector", "service/web", "app=other")
    assert kubectl.read("service/web")["spec"]["selector"] == {"app": "other"}
    kubectl("create", "rolebinding", "some", "--clusterrole=view", "--user=ada")
    kubectl("set", "subject", "rolebinding/some", "--user=bob")
    assert [one["name"] for one in kubectl.read("rolebinding/some")["subjects"]] == ["ada", "bob"]


def test_a_rollout_is_paused_resumed_and_restarted(applied: Any) -> None:
    assert applied("rollout", "pause", "deployment/web") == "deployment.apps/web paused\n"
    assert applied.read("deployment/web")["spec"]["paused"] is True
    assert "paused" in applied.refused("rollout", "restart", "deployment/web")
    assert applied("rollout", "resume", "deployment/web") == "deployment.apps/web resumed\n"
    assert "paused" not in applied.read("deployment/web")["spec"]
    assert applied("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    template = applied.read("deployment/web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]


def test_a_rollout_goes_back_to_what_a_replica_set_holds(applied: Any) -> None:
    assert "no rollout history found" in applied.refused("rollout", "undo", "deployment/web")
    deployment = applied.read("deployment/web")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": True}
    for revision, image in (("1", "web:0"), ("2", "web:1")):
        template = deployment["spec"]["template"]
        template["metadata"]["labels"]["pod-template-hash"] = revision
        template["spec"]["containers"][0]["image"] = image
        replica_set = {
            "metadata": {
                "name": f"web-{revision}",
                "labels": template["metadata"]["labels"],
                "annotations": {"deployment.kubernetes.io/revision": revision},
                "ownerReferences": [{**owner, "uid": deployment["metadata"]["uid"]}],
            },
            "spec": {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template},
        }
        with applied.server.connect() as connection:
            path = f"/apis/apps/v1/namespaces/{applied.namespace}/replicasets"
            assert connection.call("POST", path, replica_set)[0] == 201
    history = applied("rollout", "history", "deployment/web").split()
    assert history[:2] == ["deployment.apps/web", "REVISION"]
    assert "web:0" in applied("rollout", "history", "deployment/web", "--revision=1")
    assert "rolled back" in applied("rollout", "undo", "deployment/web")
    assert images(applied) == ["web:0"]


class TestDelete:
    def test_by_selector_by_file_and_all(self, kubectl: Any) -> None:
        for name, colour in (("a", "red"), ("b", "blue"), ("c", "blue")):
            kubectl("create", "configmap", name)
            kubectl("label", "configmap", name, f"colour={colour}")
        kubectl("delete", "configmaps", "-l", "colour=blue")
        assert kubectl("get", "configmaps", "-o", "name").split() == ["configmap/a"]
        assert kubectl("delete", "configmaps", "--all", "--dry-run=server").startswith('configmap "a" deleted')
        kubectl("delete", "configmaps", "--all")
        assert kubectl("delete", "configmap", "a", "--ignore-not-found") == ""

    def test_orphaning_a_deployment_marks_it_for_the_collector(self, applied: Any) -> None:
        applied("delete", "deployment", "web", "--cascade=orphan", "--wait=false")
        assert applied.read("deployment/web")["metadata"]["finalizers"] == ["orphan"]

    def test_in_the_foreground_too(self, applied: Any) -> None:
        applied("delete", "deployment", "web", "--cascade=foreground", "--wait=false")
        assert applied.read("deployment/web")["metadata"]["finalizers"] == ["foregroundDeletion"]

    def test_a_pod_on_no_node_goes_at_once(self, kubectl: Any) -> None:
        kubectl("run", "one", "--image=web:1")
        kubectl("delete", "pod", "one", "--grace-period=30")
        kubectl("run", "one", "--image=web:1")
        kubectl("delete", "pod", "one", "--force", "--grace-period=0")
        assert "not found" in kubectl.refused("get", "pod", "one")
