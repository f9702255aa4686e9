"""Changes that are refused, in a kube-apiserver's words: its own types, laid out as Go lays them out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hyperkube_apiserver.registry.differences import difference
from hyperkube_apiserver.registry.internal import as_internal

Tree = dict[str, Any]

POD_NODE = """\
@@ -42,7 +42,7 @@
  "NodeSelector": null,
  "ServiceAccountName": "",
  "AutomountServiceAccountToken": null,
- "NodeName": "",
+ "NodeName": "n",
  "SecurityContext": {
   "HostNetwork": false,
   "HostPID": false,
"""
CLAIM_SIZE = """\
@@ -6,7 +6,7 @@
  "Resources": {
   "Limits": null,
   "Requests": {
-   "storage": "1Gi"
+   "storage": "2Gi"
   }
  },
  "VolumeName": "",
"""
VOLUME_PATH = """\
@@ -2,7 +2,7 @@
  "GCEPersistentDisk": null,
  "AWSElasticBlockStore": null,
  "HostPath": {
-  "Path": "/tmp/x",
+  "Path": "/new",
   "Type": ""
  },
  "Glusterfs": null,
"""
DEBUGGER_IMAGE = """\
@@ -1,6 +1,6 @@
 {
  "Name": "dbg",
- "Image": "busybox",
+ "Image": "changed",
  "Command": null,
  "Args": null,
  "WorkingDir": "",
"""


@pytest.mark.parametrize(
    ("resource", "spec", "change", "expected"),
    [
        ("pods", {"containers": [{"name": "c", "image": "i"}]}, {"nodeName": "n"}, POD_NODE),
        (
            "persistentvolumeclaims",
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            {"resources": {"requests": {"storage": "2Gi"}}},
            CLAIM_SIZE,
        ),
        (
            "persistentvolumes",
            {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/tmp/x"}},
            {"hostPath": {"path": "/new"}},
            VOLUME_PATH,
        ),
    ],
)
def test_a_refused_change_is_shown_as_go_sees_it(
    writer: Any, resource: str, spec: Tree, change: Tree, expected: str
) -> None:
    strategy = writer.strategy(resource)
    old, errors = writer.create(strategy, {"metadata": {"name": "a"}, "spec": spec})
    assert errors == []
    changed = {**old, "spec": {**copy.deepcopy(old["spec"]), **change}}
    _, errors = writer.update(strategy, old, changed)
    details = [error.detail for error in errors if "\n" in error.detail]
    assert [detail.partition("\n")[2] for detail in details] == [expected]


def test_a_changed_debugger_is_shown_as_go_sees_it(writer: Any) -> None:
    pods = writer.strategy("pods")
    pod, _ = writer.create(pods, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    debugger = {"name": "dbg", "image": "busybox", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}
    pod["spec"]["ephemeralContainers"] = [{**debugger, "terminationMessagePath": "/dev/termination-log"}]
    changed = copy.deepcopy(pod)
    changed["spec"]["ephemeralContainers"][0]["image"] = "changed"
    _, errors = writer.update(pods, pod, changed, "ephemeralcontainers")
    assert [error.detail for error in errors] == [
        f'existing ephemeral containers "dbg" may not be changed\n{DEBUGGER_IMAGE}'
    ]


def test_a_template_is_shown_with_its_metadata_first_and_nothing_left_out(writer: Any) -> None:
    jobs = writer.strategy("jobs", "batch")
    spec = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never", "hostPID": True}
    old, _ = writer.create(jobs, {"metadata": {"name": "a"}, "spec": {"template": {"spec": spec}}})
    changed = copy.deepcopy(old)
    changed["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}
    _, errors = writer.update(jobs, old, changed)
    (error,) = errors
    uid, template = old["metadata"]["uid"], error.bad_value
    assert error.field == "spec.template"
    assert list(template) == ["labels", "Spec"]
    assert list(template["labels"].items()) == [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", "a"),
        ("controller-uid", uid),
        ("job-name", "a"),
    ]
    shown = template["Spec"]
    assert list(shown["Containers"][0].items())[:9] == [
        ("Name", "c"),
        ("Image", "i"),
        ("Command", None),
        ("Args", None),
        ("WorkingDir", ""),
        ("Ports", None),
        ("EnvFrom", None),
        ("Env", None),
        ("Resources", {"Limits": None, "Requests": None, "Claims": None}),
    ]
    names = list(shown)
    assert names[names.index("Subdomain") :][:3] == ["Subdomain", "SetHostnameAsFQDN", "Affinity"]
    assert names[names.index("Priority") :][:3] == ["Priority", "PreemptionPolicy", "DNSConfig"]
    assert names[names.index("RuntimeClassName") :][:3] == ["RuntimeClassName", "Overhead", "EnableServiceLinks"]
    assert not {"HostNetwork", "HostPID", "ServiceAccount"} & set(names)
    context = list(shown["SecurityContext"].items())
    assert context[:6] == [
        ("HostNetwork", False),
        ("HostPID", True),
        ("HostIPC", False),
        ("ShareProcessNamespace", None),
        ("HostUsers", None),
        ("SELinuxOptions", None),
    ]
    assert shown["NodeSelector"] == {"a": "b"}


@pytest.mark.parametrize(
    ("tree", "definition", "expected"),
    [
        ({"monitors": ["m"]}, "RBDVolumeSource", {"CephMonitors": ["m"], "RBDImage": "", "RBDPool": ""}),
        ({}, "AzureDiskVolumeSource", {"DiskName": "", "DataDiskURI": "", "CachingMode": None, "FSType": None}),
        ({}, "GlusterfsVolumeSource", {"EndpointsName": "", "Path": "", "ReadOnly": False}),
        (
            {"httpGet": {"port": "web"}},
            "Probe",
            {"HTTPGet": {"Path": "", "Port": "web", "Host": "", "Scheme": "", "HTTPHeaders": None}, "TCPSocket": None},
        ),
        (
            {"labelSelector": {"matchLabels": {"b": "1", "a": "2"}}},
            "PodAffinityTerm",
            {"LabelSelector": {"matchLabels": {"a": "2", "b": "1"}}, "Namespaces": None, "TopologyKey": ""},
        ),
    ],
)
def test_fields_have_the_names_that_go_gives_them(tree: Tree, definition: str, expected: Tree) -> None:
    shown = as_internal(tree, definition)
    assert {name: shown.get(name, "absent") for name in expected} == expected


def test_what_html_would_read_is_escaped() -> None:
    old, new = {"command": ["a"]}, {"command": ["<b>&"]}
    assert r'+  "\u003cb\u003e\u0026"' in difference(old, new, "Container")
