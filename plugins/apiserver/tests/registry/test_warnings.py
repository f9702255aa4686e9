"""What the API server takes and warns of, in its words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hyperkube_apiserver.registry.addresses import address_warnings, network_warnings
from hyperkube_apiserver.registry.strategy import WriteContext

Tree = dict[str, Any]

NULL_SELECTOR = "a null labelSelector results in matching no pod"
SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
APP_ARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
ARCH = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
WHOLE = "is invalid, must be an integer"
TINY_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100m"}}}
ARMOR_KEY = "container.apparmor.security.beta.kubernetes.io/c"


def _container(**fields: Any) -> Tree:
    return {"name": "c", "image": "i:1", **fields}


def _spec(**fields: Any) -> Tree:
    return {"containers": [_container()], **fields}


def _warned(writer: Any, resource: str, given: Tree, group: str = "") -> list[str]:
    """The warnings of a create, which has to succeed."""
    strategy = writer.strategy(resource, group)
    tree, errors = writer.create(strategy, {"metadata": {"name": "a"}, **given})
    assert errors == []
    return strategy.warnings(tree)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeSelector": {"beta.kubernetes.io/arch": "x"}}, [f"spec.nodeSelector[beta.kubernetes.io/arch]: {ARCH}"]),
        (
            {"nodeSelector": {"node-role.kubernetes.io/master": ""}},
            ['spec.nodeSelector[node-role.kubernetes.io/master]: use "node-role.kubernetes.io/control-plane" instead'],
        ),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "configMap": {"name": "m", "items": [{"key": "a", "path": "x/"}, {"key": "b", "path": "x/y"}]},
                    }
                ]
            },
            ['volume "v" (ConfigMap "m"): overlapping paths: "x/y" with "x"'],
        ),
        (
            {
                "volumes": [
                    {"name": "v", "secret": {"secretName": "s", "items": [{"key": k, "path": "x"} for k in "ab"]}}
                ]
            },
            ['volume "v" (Secret "s"): overlapping paths: "x" with "x"'],
        ),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "secret": {"secretName": "s", "items": [{"key": "a", "path": "xy"}, {"key": "b", "path": "x"}]},
                    }
                ]
            },
            [],
        ),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "projected": {
                            "sources": [
                                {"serviceAccountToken": {"path": "t/x"}},
                                {"configMap": {"name": "m", "items": [{"key": "a", "path": "t"}]}},
                                {"clusterTrustBundle": {"name": "b", "path": "t"}},
                            ]
                        },
                    }
                ],
                "serviceAccountName": "me",
            },
            None,
        ),
        (
            {"containers": [_container(ports=[{"containerPort": 80, "hostIP": "127.0.0.1"}])]},
            [
                "spec.containers[0].ports[0]: hostIP set without hostPort: "
                "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:127.0.0.1}"
            ],
        ),
        (
            {"containers": [_container(resources={"limits": {"memory": "1500m"}})]},
            [
                f'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" {WHOLE}',
                f'spec.containers[0].resources.requests[memory]: fractional byte value "1500m" {WHOLE}',
            ],
        ),
        (
            {"dnsConfig": {"nameservers": ["FE80::0:1"]}, "hostAliases": [{"ip": "2001:DB8::1", "hostnames": ["a"]}]},
            [
                'spec.dnsConfig.nameservers[0]: IPv6 address "FE80::0:1" should be in RFC 5952 canonical format '
                '("fe80::1")',
                'spec.hostAliases[0].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format '
                '("2001:db8::1")',
            ],
        ),
        (
            {
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "beta.kubernetes.io/arch", "whenUnsatisfiable": "DoNotSchedule"}
                ]
            },
            [
                f"spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/arch is {ARCH}",
                f"spec.topologySpreadConstraints[0].labelSelector: {NULL_SELECTOR}",
            ],
        ),
        (
            {
                "volumes": [
                    {"name": "a", "storageos": {"volumeName": "v"}},
                    {"name": "b", "gitRepo": {"repository": "r"}},
                    {"name": "c", "ephemeral": {"volumeClaimTemplate": {"spec": TINY_CLAIM}}},
                ]
            },
            [
                "spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+",
                "spec.volumes[1].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                "spec.volumes[2].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "
                f'"100m" {WHOLE}',
            ],
        ),
        (
            {"hostAliases": [{"ip": "1.2.3.4"}] * 2, "imagePullSecrets": [{"name": "s"}, {"name": "s"}, {"name": ""}]},
            [
                'spec.hostAliases[1].ip: duplicate ip "1.2.3.4"',
                'spec.imagePullSecrets[1].name: duplicate name "s"',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
            ],
        ),
        (
            {
                "containers": [
                    _container(env=[{"name": "A", "value": value} for value in ("1", "$(A)2", "$(A)", "3")]),
                ]
            },
            [
                f'spec.containers[0].env[{index}]: hides previous definition of "A", which may be dropped when using '
                "apply"
                for index in (2, 3)
            ],
        ),
        (
            {"containers": [_container(ports=[{"containerPort": 80}, {"containerPort": 80}])]},
            ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
        ),
        (
            {"containers": [_container(ports=[{"containerPort": 80}, {"containerPort": 80, "hostPort": 80}])]},
            ["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
        ),
        (
            {
                "containers": [
                    _container(
                        ports=[
                            {"containerPort": 80, "hostPort": 80},
                            {"containerPort": 80, "hostPort": 80, "hostIP": "1.2.3.4"},
                        ]
                    )
                ]
            },
            ["spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"],
        ),
        (
            {"containers": [_container(ports=[{"containerPort": 80, "hostIP": "1.2.3.4"}, {"containerPort": 81}])]},
            [
                "spec.containers[0].ports[0]: hostIP set without hostPort: "
                "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"
            ],
        ),
        (
            {
                "containers": [_container(ports=[{"name": "p", "containerPort": 80}])],
                "initContainers": [{"name": "d", "image": "i", "ports": [{"name": "p", "containerPort": 81}]}],
            },
            [
                'spec.containers[0].ports[0]: duplicate port name "p" with spec.initContainers[0].ports[0], services '
                "and probes that select ports by name will use spec.initContainers[0].ports[0]"
            ],
        ),
        (
            {
                "affinity": {
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k"}]},
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 1, "podAffinityTerm": {"topologyKey": "k"}}
                        ]
                    },
                }
            },
            [
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: "
                f"{NULL_SELECTOR}",
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm."
                f"labelSelector: {NULL_SELECTOR}",
            ],
        ),
    ],
)
def test_odd_things_in_a_pod_are_told(writer: Any, spec: Tree, expected: list[str] | None) -> None:
    if expected is None:
        strategy = writer.strategy("pods")
        tree = {"metadata": {"name": "a"}, "spec": _spec(**spec)}
        # Paths of projected files that are equal are refused; those that hide each other are only told.
        assert strategy.warnings(tree) == [
            'volume "v" (Projected): overlapping paths: "t" (ConfigMap "m") with "t/x" (ServiceAccountToken)',
            'volume "v" (Projected): overlapping paths: "t" (ClusterTrustBundle "b") with "t/x" (ServiceAccountToken)',
            'volume "v" (Projected): overlapping paths: "t" (ClusterTrustBundle "b") with "t" (ConfigMap "m")',
        ]
        return
    assert _warned(writer, "pods", {"spec": _spec(**spec)}) == expected


def test_node_affinity_is_told_where_it_names_what_no_node_has(writer: Any) -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}]}
    preferred = [{"weight": 1, "preference": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["-"]}]}}]
    node = {
        "requiredDuringSchedulingIgnoredDuringExecution": required,
        "preferredDuringSchedulingIgnoredDuringExecution": preferred,
    }
    at = "spec.affinity.nodeAffinity"
    first, second = _warned(writer, "pods", {"spec": _spec(affinity={"nodeAffinity": node})})
    assert first == (
        f"{at}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: "
        f"beta.kubernetes.io/arch is {ARCH}"
    )
    path = f"{at}.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]"
    assert second.startswith(f"{path}: - is invalid, a valid label must be an empty string")


def test_profiles_in_annotations_are_told(writer: Any) -> None:
    keys = ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/c", ARMOR_KEY)
    template = {
        "metadata": {"labels": {"a": "b"}, "annotations": dict.fromkeys(keys, "runtime/default")},
        "spec": _spec(),
    }
    given = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    at = "spec.template.metadata.annotations"
    assert _warned(writer, "deployments", given, "apps") == [
        f"{at}[{keys[0]}]: {SECCOMP}",
        f"{at}[{keys[1]}]: {SECCOMP}",
        f"{at}[{ARMOR_KEY}]: {APP_ARMOR}",
    ]
    template["spec"]["securityContext"] = {
        "appArmorProfile": {"type": "RuntimeDefault"},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    template["spec"]["containers"][0]["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}}
    assert _warned(writer, "deployments", given, "apps") == []


@pytest.mark.parametrize(
    ("annotation", "profile", "warned"),
    [
        ("runtime/default", {"type": "RuntimeDefault"}, True),
        ("localhost/mine", {"type": "Localhost", "localhostProfile": "mine"}, True),
        ("unconfined", None, False),  # as the pod as a whole has it
        ("localhost/ padded", None, True),
    ],
)
def test_an_annotated_app_armor_profile_becomes_the_containers(
    writer: Any, annotation: str, profile: Tree | None, warned: bool
) -> None:
    pods = writer.strategy("pods")
    told: list[str] = []
    pod = {"metadata": {"name": "a", "annotations": {ARMOR_KEY: annotation}}, "spec": _spec()}
    pod["spec"]["securityContext"] = {"appArmorProfile": {"type": "Unconfined"}}
    pods.default(pod)
    pods.prepare_for_create(pod, WriteContext(now="2026-01-01T00:00:00Z", warn=told.append))
    assert (pod["spec"]["containers"][0].get("securityContext") or {}).get("appArmorProfile") == profile
    assert told == ([f"metadata.annotations[{ARMOR_KEY}]: {APP_ARMOR}"] if warned else [])


@pytest.mark.parametrize(
    ("spec", "annotations", "expected"),
    [
        ({}, {}, []),
        (
            {"externalIPs": ["1.2.3.4"]},
            {},
            ["spec.externalIPs is deprecated and may no longer be implemented in some clusters"],
        ),
        (
            {"clusterIP": "None", "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP"},
            {},
            [
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
        (
            {"type": "ExternalName", "externalName": "a.b", "externalIPs": ["1.2.3.4"]},
            {},
            ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
        ),
        ({"externalName": "a.b"}, {}, ['spec.externalName is ignored when spec.type is not "ExternalName"']),
        (
            {"trafficDistribution": "PreferClose"},
            {},
            ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
        ),
        (
            {},
            {"service.kubernetes.io/topology-aware-hints": "auto"},
            [
                "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
                "service.kubernetes.io/topology-mode instead"
            ],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerIP": "FE80::1", "loadBalancerSourceRanges": ["2001:DB8::/64"]},
            {},
            [
                'spec.loadBalancerIP: IPv6 address "FE80::1" should be in RFC 5952 canonical format ("fe80::1")',
                'spec.loadBalancerSourceRanges[0]: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical '
                'format ("2001:db8::/64")',
            ],
        ),
    ],
)
def test_what_a_service_says_in_vain_is_told(writer: Any, spec: Tree, annotations: Tree, expected: list[str]) -> None:
    given = {"metadata": {"name": "a", "annotations": annotations}, "spec": {"ports": [{"port": 80}], **spec}}
    assert _warned(writer, "services", given) == expected


def test_odd_addresses_in_a_status_are_told_with_the_status_alone(writer: Any) -> None:
    address = "2001:DB8::1"
    told = f'IPv6 address "{address}" should be in RFC 5952 canonical format ("2001:db8::1")'
    service = {"spec": {"externalIPs": ["1.2.3.4"]}, "status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
    services, pods = writer.strategy("services"), writer.strategy("pods")
    assert services.update_warnings(service, service, "status") == [f"status.loadBalancer.ingress[0]: {told}"]
    assert len(services.update_warnings(service, service, "")) == 1
    pod = {"spec": _spec(hostAliases=[{"ip": address}]), "status": {"hostIPs": [{"ip": address}]}}
    assert pods.update_warnings(pod, pod, "status") == [f"status.hostIPs[0].ip: {told}"]
    assert pods.update_warnings(pod, pod, "") == []
    assert pods.update_warnings(pod, pod, "ephemeralcontainers") == []


@pytest.mark.parametrize(
    ("resource", "given", "expected"),
    [
        (
            "persistentvolumes",
            {"spec": {"persistentVolumeReclaimPolicy": "Recycle", "rbd": {"monitors": ["m"], "image": "i"}}},
            [
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
                "recommended approach is to use dynamic provisioning.",
                "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            "persistentvolumes",
            {
                "metadata": {"name": "a", "annotations": {"volume.beta.kubernetes.io/mount-options": "ro"}},
                "spec": {"storageos": {"volumeName": "x"}},
            },
            [
                "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; "
                'use "mountOptions" attribute instead',
                "spec.storageOS: deprecated in v1.22, non-functional in v1.25+",
            ],
        ),
        (
            "persistentvolumes",
            {
                "spec": {
                    "hostPath": {"path": "/a"},
                    "nodeAffinity": {
                        "required": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}
                            ]
                        }
                    },
                }
            },
            [
                "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: "
                f"beta.kubernetes.io/arch is {ARCH}"
            ],
        ),
        (
            "persistentvolumeclaims",
            {
                "metadata": {"name": "a", "annotations": {"volume.beta.kubernetes.io/storage-class": "x"}},
                "spec": {"resources": {"requests": {"storage": "1500m"}}},
            },
            [
                "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; "
                'use "storageClassName" attribute instead',
                f'spec.resources.requests[storage]: fractional byte value "1500m" {WHOLE}',
            ],
        ),
    ],
)
def test_storage_that_is_no_longer_supported_is_told(
    writer: Any, resource: str, given: Tree, expected: list[str]
) -> None:
    given["spec"]["accessModes"] = ["ReadWriteOnce"]
    if resource == "persistentvolumes":
        given["spec"]["capacity"] = {"storage": "1Gi"}
    strategy = writer.strategy(resource)
    tree, errors = writer.create(strategy, {"metadata": {"name": "a"}, **given})
    assert errors == []
    assert strategy.warnings(tree) == expected
    assert strategy.update_warnings(tree, tree, "") == expected
    assert strategy.update_warnings(tree, tree, "status") == []


def test_nodes_and_endpoints_tell_of_odd_addresses(writer: Any) -> None:
    node = {"metadata": {"name": "n"}, "spec": {"podCIDRs": ["2001:DB8::/64"]}}
    (told,) = _warned(writer, "nodes", node)
    assert told.startswith('spec.podCIDRs[0]: IPv6 CIDR value "2001:DB8::/64" should be')
    assert writer.strategy("nodes").update_warnings(node, node, "status") == []
    endpoints: Tree = {"subsets": [{"addresses": [{"ip": "2001:DB8::1"}], "ports": [{"port": 1}]}]}
    (told,) = _warned(writer, "endpoints", endpoints)
    assert told.startswith('subsets[0].addresses[0].ip: IPv6 address "2001:DB8::1" should be')
    mine = {"name": "a", "labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}
    assert _warned(writer, "endpoints", {**endpoints, "metadata": mine}) == []


def _workload(**spec: Any) -> Tree:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": _spec(imagePullSecrets=[{}])}
    selected = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"metadata": {"name": "a.b"}, "spec": {**selected, **spec}}


EMPTY_NAME = 'spec.template.spec.imagePullSecrets[0].name: invalid empty name ""'


def test_quotas_tell_of_limits_below_requests(writer: Any) -> None:
    hard = {"cpu": "2", "limits.cpu": "1", "requests.memory": "2Gi", "limits.memory": "1Gi", "pods": "1"}
    assert _warned(writer, "resourcequotas", {"spec": {"hard": hard}}) == [
        "ResourceQuota cpu (2) should be less than limits.cpu (1)",
        "ResourceQuota requests.memory (2Gi) should be less than limits.memory (1Gi)",
    ]


def test_workloads_tell_of_their_templates_when_they_are_new(writer: Any) -> None:
    for resource in ("deployments", "replicasets"):
        strategy = writer.strategy(resource, "apps")
        old, _ = writer.create(strategy, _workload())
        name, template = strategy.warnings(old)
        assert name.startswith("metadata.name: this is used in Pod names and hostnames")
        assert template == EMPTY_NAME
        assert strategy.update_warnings(old, old, "") == []
        new, _ = writer.update(strategy, old, {**old, "spec": {**old["spec"], "replicas": 7}})
        assert strategy.update_warnings(new, old, "") == [EMPTY_NAME]
        assert strategy.update_warnings(new, old, "scale") == [EMPTY_NAME]
        assert strategy.update_warnings(new, old, "status") == []


def test_daemon_sets_tell_of_new_templates_alone(writer: Any) -> None:
    strategy = writer.strategy("daemonsets", "apps")
    old, _ = writer.create(strategy, _workload())
    assert strategy.warnings(old) == [EMPTY_NAME]
    slower, _ = writer.update(strategy, old, {**old, "spec": {**old["spec"], "minReadySeconds": 7}})
    assert strategy.update_warnings(slower, old, "") == []
    changed = copy.deepcopy(old)
    changed["spec"]["template"]["spec"]["hostname"] = "x"
    newer, _ = writer.update(strategy, old, changed)
    assert strategy.update_warnings(newer, old, "") == [EMPTY_NAME]


def test_stateful_sets_tell_of_their_claims(writer: Any) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}}
    given = _workload(volumeClaimTemplates=[{"metadata": {"name": "v"}, "spec": claim}], revisionHistoryLimit=-1)
    given["metadata"]["name"] = "a"
    strategy = writer.strategy("statefulsets", "apps")
    old, errors = writer.create(strategy, given)
    assert errors == []
    limit = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
    size = f'resources.requests[storage]: fractional byte value "1500m" {WHOLE}'
    assert strategy.warnings(old) == [EMPTY_NAME, f"spec.volumeClaimTemplates[0].{size}", limit]
    assert strategy.update_warnings(old, old, "") == [f"spec.volumeClaimTemplates[0].Spec.{size}", limit]


def test_jobs_tell_of_more_than_can_be_tracked(writer: Any) -> None:
    job: Tree = {
        "completionMode": "Indexed",
        "completions": 100_001,
        "parallelism": 10_001,
        "template": {"spec": _spec()},
    }
    job["template"]["spec"]["restartPolicy"] = "Never"
    (told,) = _warned(writer, "jobs", {"spec": copy.deepcopy(job)}, "batch")
    assert told.startswith("spec: In Indexed Jobs with a number of completions higher than 10^5")
    cron = {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": copy.deepcopy(job)}}}
    (told,) = _warned(writer, "cronjobs", cron, "batch")
    assert told.startswith("spec.jobTemplate.spec: In Indexed Jobs")
    job["parallelism"] = 10_000
    assert _warned(writer, "jobs", {"spec": job}, "batch") == []


def test_a_schedule_that_was_once_allowed_is_told(writer: Any) -> None:
    strategy = writer.strategy("cronjobs", "batch")
    cron = {"metadata": {"name": "a", "generation": 1}, "spec": {"schedule": "TZ=UTC * * * * *"}}
    (told,) = strategy.update_warnings(cron, cron, "")
    assert told.startswith("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4", None),
        ("fe80::1", None),
        ("no address", None),
        ("01.2.3.4", 'non-standard IP address "01.2.3.4" is invalid: use "1.2.3.4"'),
        ("::ffff:1.2.3.4", 'non-standard IP address "::ffff:1.2.3.4" is invalid: use "1.2.3.4"'),
        ("FE80::1", 'IPv6 address "FE80::1" should be in RFC 5952 canonical format ("fe80::1")'),
    ],
)
def test_addresses_have_one_spelling(text: str, expected: str | None) -> None:
    assert address_warnings(text, "p") == ([f"p: {expected}"] if expected else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", []),
        ("2001:db8::/64", []),
        ("10.0.0.0", []),
        ("10.0.0.0/33", []),
        ("10.0.0.0/08", ['non-standard CIDR value "10.0.0.0/08" is invalid: use "10.0.0.0/8"']),
        (
            "10.1.0.0/8",
            ['CIDR value "10.1.0.0/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.0.0/32"?)'],
        ),
        (
            "::ffff:1.2.3.0/120",
            ['non-standard CIDR value "::ffff:1.2.3.0/120" is invalid: use "1.2.3.0/24"'],
        ),
        (
            "2001:db8:0::/64",
            ['IPv6 CIDR value "2001:db8:0::/64" should be in RFC 5952 canonical format ("2001:db8::/64")'],
        ),
    ],
)
def test_ranges_have_one_spelling(text: str, expected: list[str]) -> None:
    assert network_warnings(text, "p") == [f"p: {one}" for one in expected]


def test_an_account_tells_of_an_old_annotation_when_it_is_new(writer: Any) -> None:
    key = "kubernetes.io/enforce-mountable-secrets"
    strategy = writer.strategy("serviceaccounts")
    tree, _ = writer.create(strategy, {"metadata": {"name": "a", "annotations": {key: "true"}}})
    expected = f"metadata.annotations[{key}]: deprecated in v1.32+; "
    expected += "prefer separate namespaces to isolate access to mounted secrets"
    assert strategy.warnings(tree) == [expected]
    assert strategy.warnings(tree, tree) == []
    plain, _ = writer.create(strategy, {"metadata": {"name": "a"}})
    assert strategy.warnings(tree, plain) == [expected]
