"""Single rules: a body, and what is said of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry.catalog import strategies
from hyperkube_apiserver.registry.strategy import Policy

BATCH = "batch.kubernetes.io"
Tree = dict[str, Any]


def _pod(**spec: Any) -> Tree:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def _causes(errors: list[Any]) -> list[tuple[str, str]]:
    return [(error.field, error.message) for error in errors]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "container.apparmor.security.beta.kubernetes.io/c",
            "mine",
            ("metadata.annotations[{}]", 'Invalid value: "mine": invalid AppArmor profile name: "mine"'),
        ),
        (
            "container.apparmor.security.beta.kubernetes.io/x",
            "runtime/default",
            ("metadata.annotations[{}]", 'Invalid value: "x": container not found'),
        ),
        (
            "seccomp.security.alpha.kubernetes.io/pod",
            "mine",
            ("metadata.annotations.{}", 'Invalid value: "mine": must be a valid seccomp profile'),
        ),
        (
            "container.seccomp.security.alpha.kubernetes.io/c",
            "localhost/../x",
            ("metadata.annotations.{}", "Invalid value: \"../x\": must not contain '..'"),
        ),
        (
            "scheduler.alpha.kubernetes.io/tolerations",
            '[{"operator":"Equal"}]',
            (
                "metadata.annotations.{}[0].operator",
                'Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values '
                'and all keys"',
            ),
        ),
        ("container.apparmor.security.beta.kubernetes.io/c", "localhost/mine", None),
        ("container.seccomp.security.alpha.kubernetes.io/c", "docker/default", None),
    ],
)
def test_annotations_of_pods_mean_something(
    writer: Any, key: str, value: str, expected: tuple[str, str] | None
) -> None:
    given = _pod()
    given["metadata"]["annotations"] = {key: value}
    _, errors = writer.create(writer.strategy("pods"), given)
    assert _causes(errors) == ([(expected[0].format(key), expected[1])] if expected else [])


@pytest.mark.parametrize(
    ("options", "field", "detail"),
    [
        ({"gmsaCredentialSpecName": "A"}, "gmsaCredentialSpecName", "a lowercase RFC 1123 subdomain must consist of"),
        ({"gmsaCredentialSpec": ""}, "gmsaCredentialSpec", "gmsaCredentialSpec cannot be an empty string"),
        ({"gmsaCredentialSpec": "x" * 65537}, "gmsaCredentialSpec", "gmsaCredentialSpec size must be under 64 KiB"),
        ({"runAsUserName": ""}, "runAsUserName", "runAsUserName cannot be an empty string"),
        ({"runAsUserName": "a\tb"}, "runAsUserName", "runAsUserName cannot contain control characters"),
        ({"runAsUserName": r"a\b\c"}, "runAsUserName", "runAsUserName cannot contain more than one backslash"),
        ({"runAsUserName": r".a\b"}, "runAsUserName", "runAsUserName's Domain doesn't match the NetBios nor the DNS"),
        ({"runAsUserName": "a\\"}, "runAsUserName", "runAsUserName's User cannot be empty"),
        ({"runAsUserName": "x" * 105}, "runAsUserName", "runAsUserName's User length must not be longer than 104"),
        ({"runAsUserName": ". ."}, "runAsUserName", "runAsUserName's User cannot contain only periods or spaces"),
        ({"runAsUserName": "a?"}, "runAsUserName", "runAsUserName's User cannot contain the following characters: "),
        ({"runAsUserName": r"NT AUTHORITY\SYSTEM", "gmsaCredentialSpecName": "a"}, "", ""),
    ],
)
def test_windows_options_are_checked_on_pods_and_containers(
    writer: Any, options: Tree, field: str, detail: str
) -> None:
    context = {"windowsOptions": options}
    containers = [{"name": "c", "image": "i", "securityContext": context}]
    _, errors = writer.create(writer.strategy("pods"), _pod(securityContext=context, containers=containers))
    paths = ("spec.containers[0].securityContext", "spec.securityContext")
    assert [error.field for error in errors] == ([f"{path}.windowsOptions.{field}" for path in paths] if field else [])
    assert all(error.detail.startswith(detail) for error in errors)


def test_processes_of_the_host_are_all_containers_or_none() -> None:
    pods = strategies(load_kinds(), policy=Policy(allow_privileged=True))["", "v1", "pods"]
    host, guest = ({"windowsOptions": {"hostProcess": value}} for value in (True, False))
    given = _pod(securityContext=host, containers=[{"name": "c", "image": "i", "securityContext": guest}])
    given["spec"]["containers"].append({"name": "d", "image": "i"})
    pods.default(given)
    found = {error.field: error.detail for error in pods.validate_object(given)}
    assert found == {
        "spec.containers[0].securityContext.windowsOptions.hostProcess": (
            "pod hostProcess value must be identical if both are specified, was true"
        ),
        "spec": "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        "spec.hostNetwork": "hostNetwork must be true if pod contains any hostProcess containers",
    }


def test_processes_of_the_host_need_the_servers_leave(writer: Any) -> None:
    given = _pod(securityContext={"windowsOptions": {"hostProcess": True}}, hostNetwork=True)
    _, errors = writer.create(writer.strategy("pods"), given)
    assert _causes(errors) == [("spec", "Forbidden: hostProcess containers are disallowed by cluster policy")]


OFF = {
    "schedulingGroup": {"podGroupName": "g"},
    "volumes": [
        {
            "name": "v",
            "projected": {
                "sources": [
                    {"clusterTrustBundle": {"name": "b", "path": "b"}},
                    {"podCertificate": {"signerName": "a.b/c", "keyType": "ED25519", "keyPath": "k"}},
                ]
            },
        }
    ],
    "containers": [{"name": "c", "image": "i", "lifecycle": {"stopSignal": "SIGTERM"}}],
}


def _uses(spec: Tree) -> set[str]:
    sources = {key for volume in spec["volumes"] for source in volume["projected"]["sources"] for key in source}
    others = {"stopSignal"} if spec["containers"][0].get("lifecycle") else set()
    return sources | others | ({"schedulingGroup"} & set(spec))


def test_fields_of_features_that_are_off_are_dropped(writer: Any) -> None:
    pods = writer.strategy("pods")
    pod, errors = writer.create(pods, _pod(**copy.deepcopy(OFF)))
    assert errors == []
    assert _uses(pod["spec"]) == set()
    user = {**pod, "spec": {**pod["spec"], **copy.deepcopy(OFF)}}
    same, _ = writer.update(pods, user, user)
    assert _uses(same["spec"]) == {"schedulingGroup", "clusterTrustBundle", "podCertificate", "stopSignal"}


@pytest.mark.parametrize(
    ("group", "resource"),
    [
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "daemonsets"),
        ("apps", "statefulsets"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
        ("", "replicationcontrollers"),
        ("", "podtemplates"),
    ],
)
def test_templates_drop_them_too(writer: Any, group: str, resource: str) -> None:
    spec = copy.deepcopy(OFF) | ({"restartPolicy": "Never"} if group == "batch" else {})
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    selector: Tree = {"a": "b"} if resource == "replicationcontrollers" else {"matchLabels": {"a": "b"}}
    body: Tree = {"spec": {"selector": selector, "template": template}}
    if resource == "podtemplates":
        body = {"template": template}
    elif resource == "jobs":
        body = {"spec": {"template": template}}
    elif resource == "cronjobs":
        body = {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}}
    strategy = writer.strategy(resource, group)
    made, errors = writer.create(strategy, {"metadata": {"name": "a"}, **body})
    assert errors == []
    changed, errors = writer.update(strategy, made, _with_spec(made, copy.deepcopy(OFF)))
    assert _uses(_template(made)["spec"]) == _uses(_template(changed)["spec"]) == set()


def _template(obj: Tree) -> Tree:
    spec = obj.get("spec") or obj
    found: Tree = spec["template"] if "template" in spec else spec["jobTemplate"]["spec"]["template"]
    return found


def _with_spec(obj: Tree, more: Tree) -> Tree:
    changed = copy.deepcopy(obj)
    _template(changed)["spec"].update(more)
    return changed


def test_stateful_sets_replace_one_pod_at_a_time(writer: Any) -> None:
    strategy = writer.strategy("statefulsets", "apps")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, "updateStrategy": rolling}
    made, errors = writer.create(strategy, {"metadata": {"name": "a"}, "spec": spec})
    assert errors == []
    assert made["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}
    made["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 2
    same, _ = writer.update(strategy, made, made)
    assert same["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 2


def test_claims_take_no_data_of_other_namespaces(writer: Any) -> None:
    source = {"kind": "PersistentVolumeClaim", "name": "b", "namespace": "other"}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "dataSourceRef": source}
    claim, errors = writer.create(writer.strategy("persistentvolumeclaims"), {"metadata": {"name": "a"}, "spec": spec})
    assert errors == []
    assert not {"dataSource", "dataSourceRef"} & set(claim["spec"])


@pytest.mark.parametrize(
    ("node", "field", "message"),
    [
        (
            {"status": {"declaredFeatures": ["lower"]}},
            "status.declaredFeatures[0]",
            'Invalid value: "lower": invalid feature name "lower": must start with an UpperCamelCase segment, with '
            "subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only "
            "alphanumeric characters and slashes",
        ),
        ({"status": {"declaredFeatures": ["A", "A"]}}, "status.declaredFeatures[1]", 'Duplicate value: "A"'),
        (
            {"status": {"declaredFeatures": ["B", "A"]}},
            "status.declaredFeatures[1]",
            'Invalid value: "A": list must be sorted alphabetically',
        ),
        (
            {"status": {"nodeInfo": {"swap": {"capacity": 0}}}},
            "metadata.nodeSwapStatus.capacity",
            "Invalid value: 0: must be greater than zero",
        ),
        (
            {"annotations": {"scheduler.alpha.kubernetes.io/taints": '[{"key":"a"}]'}},
            "metadata.annotations.scheduler.alpha.kubernetes.io/taints[0].effect",
            "Required value",
        ),
    ],
)
def test_a_new_node_is_refused(writer: Any, node: Tree, field: str, message: str) -> None:
    given = {"metadata": {"name": "n", "annotations": node.get("annotations", {})}, "status": node.get("status", {})}
    _, errors = writer.create(writer.strategy("nodes"), given)
    assert _causes(errors) == [(field, message)]


def test_sources_of_a_nodes_configuration_are_what_is_left_of_them(writer: Any) -> None:
    nodes = writer.strategy("nodes")
    source = {"configMap": {"name": "m", "namespace": "n", "kubeletConfigKey": "k"}}
    made, _ = writer.create(nodes, {"metadata": {"name": "n"}, "spec": {"configSource": source}})
    assert "configSource" not in made["spec"]
    more = {**made, "spec": {**made["spec"], "configSource": source}}
    assert "configSource" not in writer.update(nodes, made, more)[0]["spec"]
    kept, errors = writer.update(nodes, more, more)
    assert errors == []
    assert kept["spec"]["configSource"] == source
    wrong = copy.deepcopy(more)
    wrong["spec"]["configSource"]["configMap"] = {"name": "M", "namespace": "n", "uid": "u"}
    found = [(error.reason, error.field) for error in writer.update(nodes, more, wrong)[1]]
    at = "spec.configSource.configMap"
    assert found == [
        ("FieldValueForbidden", f"{at}.uid"),
        ("FieldValueInvalid", f"{at}.name"),
        ("FieldValueRequired", f"{at}.kubeletConfigKey"),
    ]
    wrong["spec"]["configSource"] = {}
    (error,) = writer.update(nodes, more, wrong)[1]
    assert error.message == 'Invalid value: {"ConfigMap":null}: exactly one reference subfield must be non-nil'
    used = {**made, "status": {"config": {"active": source}}}
    found = [(error.reason, error.field) for error in writer.update(nodes, used, used, "status")[1]]
    at = "status.config.active.configMap"
    assert found == [("FieldValueRequired", f"{at}.uid"), ("FieldValueRequired", f"{at}.resourceVersion")]


def _volume(writer: Any, key: str | None) -> Tree:
    spec: Tree = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}
    if key:
        terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": ["x"]}]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    tree, errors = writer.create(writer.strategy("persistentvolumes"), {"metadata": {"name": "v"}, "spec": spec})
    assert errors == []
    return tree  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (None, "a", False),
        ("a", "a", False),
        ("a", "b", True),
        ("a", None, True),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch", False),
        ("kubernetes.io/arch", "beta.kubernetes.io/arch", True),
    ],
)
def test_where_a_volume_can_be_used_is_said_once(
    writer: Any, before: str | None, after: str | None, refused: bool
) -> None:
    old, new = _volume(writer, before), _volume(writer, after)
    _, errors = writer.update(writer.strategy("persistentvolumes"), old, {**old, "spec": new["spec"]})
    assert [error.field for error in errors] == (["nodeAffinity"] if refused else [])
    if refused:
        assert errors[0].detail == "field is immutable, except for updating from beta label to GA"


SECCOMP_TYPE = "Forbidden: seccomp type in annotation and field must match"


@pytest.mark.parametrize(
    ("annotations", "whole", "own", "expected"),
    [
        (
            {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"},
            {"seccompProfile": {"type": "RuntimeDefault"}},
            {},
            [("spec.securityContext.seccompProfile.type", SECCOMP_TYPE)],
        ),
        (
            {"container.seccomp.security.alpha.kubernetes.io/c": "localhost/a"},
            {},
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "b"}},
            [
                (
                    "spec.containers[0].securityContext.seccompProfile.localhostProfile",
                    "Forbidden: seccomp profile in annotation and field must match",
                )
            ],
        ),
        (
            {"container.seccomp.security.alpha.kubernetes.io/c": "docker/default"},
            {},
            {"seccompProfile": {"type": "RuntimeDefault"}},
            [],
        ),
        (
            {"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"},
            {},
            {"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}},
            [
                (
                    "spec.containers[0].securityContext.appArmorProfile.type",
                    "Forbidden: apparmor type in annotation and field must match",
                )
            ],
        ),
        (
            {"container.apparmor.security.beta.kubernetes.io/c": "localhost/a"},
            {"appArmorProfile": {"type": "Unconfined"}},
            {"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}},
            [],
        ),
    ],
)
def test_profiles_that_are_named_twice_are_the_same(
    writer: Any, annotations: Tree, whole: Tree, own: Tree, expected: list[tuple[str, str]]
) -> None:
    given = _pod(securityContext=whole, containers=[{"name": "c", "image": "i", "securityContext": own}])
    given["metadata"]["annotations"] = annotations
    assert _causes(writer.create(writer.strategy("pods"), given)[1]) == expected


def test_both_annotations_of_a_services_topology_agree(writer: Any) -> None:
    hints, mode = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
    given: Tree = {"metadata": {"name": "a", "annotations": {hints: "a", mode: "b"}}, "spec": {"ports": [{"port": 1}]}}
    expected = f'Invalid value: "b": must match annotations[{hints}] when both are specified'
    assert _causes(writer.create(writer.strategy("services"), given)[1]) == [
        (f"metadata.annotations[{mode}]", expected)
    ]
    given["metadata"]["annotations"][mode] = "a"
    assert writer.create(writer.strategy("services"), given)[1] == []


def test_a_quotas_scope_selector_is_shown_as_go_sees_it(writer: Any) -> None:
    selector = {"matchExpressions": [{"scopeName": "BestEffort", "operator": "Exists"}]}
    given = {"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "1"}, "scopeSelector": selector}}
    (error,) = writer.create(writer.strategy("resourcequotas"), given)[1]
    shown = {"MatchExpressions": [{"ScopeName": "BestEffort", "Operator": "Exists", "Values": None}]}
    assert (error.field, error.bad_value) == ("spec.scopeSelector.matchExpressions", shown)


def test_static_pods_claim_no_resources(writer: Any) -> None:
    given = _pod(nodeName="n", resourceClaims=[{"name": "a", "resourceClaimName": "b"}])
    given["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    expected = [("", "Forbidden: static pods do not support resource claims")]
    assert _causes(writer.create(writer.strategy("pods"), given)[1]) == expected


def test_a_job_names_its_pods_by_itself(writer: Any) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    template = {"metadata": {"labels": {"job-name": "other"}}, "spec": pod}
    tree, errors = writer.create(
        writer.strategy("jobs", "batch"), {"metadata": {"name": "j"}, "spec": {"template": template}}
    )
    uid = tree["metadata"]["uid"]
    labels = {"controller-uid": uid, "job-name": "other", f"{BATCH}/controller-uid": uid, f"{BATCH}/job-name": "j"}
    assert [(error.field, error.bad_value, error.detail) for error in errors] == [
        ("spec.template.metadata.labels[job-name]", labels, "must be 'j'")
    ]
