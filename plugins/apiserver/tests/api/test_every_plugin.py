"""Every admission plugin, in the whole API: what it does, and that nothing else does it.

A case is a request on which the plugin acts. It is sent to an API where the plugin is on and to one where it is off,
the others being as they are by default.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.admission.catalog import PLUGINS
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.assembly import Settings

Tree = dict[str, Any]
Step = tuple[str, str, Tree]
"""Method, path and body."""

DEFAULT = "/api/v1/namespaces/default"
PODS, CLAIMS = f"{DEFAULT}/pods", f"{DEFAULT}/persistentvolumeclaims"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
GROUP_RBAC = "rbac.authorization.k8s.io"

NOTHING_TO_SEE = {"AlwaysAdmit": "it lets everything pass, as if it were not there"}
ELSEWHERE = {
    "ImagePolicyWebhook": "admission/test_imagepolicy.py",
    "MutatingAdmissionWebhook": "api/test_webhooks.py",
    "ValidatingAdmissionWebhook": "api/test_webhooks.py",
}
"""Plugins that ask others, and where their tests are."""


@dataclass(frozen=True, kw_only=True)
class Case:
    request: Step
    acts: Callable[[int, Tree], bool]  # whether the plugin was there, by code and body of the answer
    before: Sequence[Step] = ()  # what must be there; each of these succeeds
    headers: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()  # other plugins that would do the same
    configuration: Any = None


def code(expected: int) -> Callable[[int, Tree], bool]:
    return lambda found, body: found == expected


def shows(*path: Any) -> Callable[[int, Tree], bool]:
    """Whether the answer has a value at `path`: the last of it, below the others."""
    *fields, value = path

    def look(found: int, body: Tree) -> bool:
        assert found in (200, 201), body
        place: Any = body
        for one in fields:
            place = place[one] if isinstance(one, int) else (place or {}).get(one)
        return bool(place == value or (isinstance(place, list) and value in place))

    return look


def pod(name: str = "p", **spec: Any) -> Tree:
    containers = [{"name": "c", "image": "i:1", **spec.pop("container", {})}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def node(name: str = "n", **fields: Any) -> Tree:
    return {"metadata": {"name": name, **fields.pop("metadata", {})}, **fields}


def grant(group: str, resource: str, *verbs: str) -> list[Step]:
    """Let jane do that."""
    base = f"/apis/{GROUP_RBAC}/v1"
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}]}
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": GROUP_RBAC, "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": GROUP_RBAC}],
    }
    return [("POST", f"{base}/clusterroles", role), ("POST", f"{base}/clusterrolebindings", binding)]


KEY = ec.generate_private_key(ec.SECP256R1())


def signing_request(organization: str, signer: str) -> Tree:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "someone"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        ]
    )
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(KEY, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    spec = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": "x"}, "spec": spec}


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def annotated(key: str, value: str) -> Step:
    return ("PATCH", DEFAULT, {"metadata": {"annotations": {key: value}}})


def policy(kind: str, rules: Tree, binding: Tree) -> list[Step]:
    """A policy about new config maps, and its binding."""
    base = f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}admissionpolic"
    about = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    spec = {"matchConstraints": {"resourceRules": [about]}, **rules}
    if kind == "Mutating":
        spec["reinvocationPolicy"] = "Never"
    return [
        ("POST", f"{base}ies", {"metadata": {"name": "p"}, "spec": spec}),
        ("POST", f"{base}ybindings", {"metadata": {"name": "b"}, "spec": {"policyName": "p", **binding}}),
    ]


LABELLING = {"applyConfiguration": {"expression": 'Object{metadata: Object.metadata{labels: {"a": "b"}}}'}}
ANTI_AFFINITY = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
        ]
    }
}
CLAIM = {
    "metadata": {"name": "c"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
QUOTA = {"hard": {"configmaps": "0"}, "used": {"configmaps": "0"}}
NEW_REQUEST = ("POST", REQUESTS, signing_request("o", "example.com/s"))
ON_NODE = [
    ("POST", "/api/v1/nodes", node()),
    ("PATCH", "/api/v1/nodes/n/status", {"status": {"allocatable": {"cpu": "1", "memory": "1Gi"}}}),
]
EVENT = {
    "metadata": {"name": "e", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
}

CASES: dict[str, Case] = {
    "AlwaysDeny": Case(request=("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}}), acts=code(403)),
    "AlwaysPullImages": Case(
        request=("POST", PODS, pod(container={"imagePullPolicy": "Never"})),
        acts=shows("spec", "containers", 0, "imagePullPolicy", "Always"),
    ),
    "CertificateApproval": Case(
        before=[NEW_REQUEST, *grant("certificates.k8s.io", "certificatesigningrequests/approval", "patch")],
        request=(
            "PATCH",
            f"{REQUESTS}/x/approval",
            {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R"}]}},
        ),
        headers={"token": "jane-token"},
        acts=code(403),
    ),
    "CertificateSigning": Case(
        before=[NEW_REQUEST, *grant("certificates.k8s.io", "certificatesigningrequests/status", "patch")],
        request=("PATCH", f"{REQUESTS}/x/status", {"status": {"certificate": certificate()}}),
        headers={"token": "jane-token"},
        acts=code(403),
    ),
    "CertificateSubjectRestriction": Case(
        request=("POST", REQUESTS, signing_request("system:masters", "kubernetes.io/kube-apiserver-client")),
        acts=code(403),
    ),
    "DefaultIngressClass": Case(
        before=[
            (
                "POST",
                "/apis/networking.k8s.io/v1/ingressclasses",
                {
                    "metadata": {"name": "d", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
                    "spec": {"controller": "example.com/c"},
                },
            )
        ],
        request=(
            "POST",
            "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
            {
                "metadata": {"name": "i"},
                "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
            },
        ),
        acts=shows("spec", "ingressClassName", "d"),
    ),
    "DefaultStorageClass": Case(
        before=[
            (
                "POST",
                "/apis/storage.k8s.io/v1/storageclasses",
                {
                    "metadata": {"name": "d", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                    "provisioner": "example.com/p",
                },
            )
        ],
        request=("POST", CLAIMS, CLAIM),
        acts=shows("spec", "storageClassName", "d"),
    ),
    "DefaultTolerationSeconds": Case(
        request=("POST", PODS, pod()),
        acts=shows(
            *("spec", "tolerations"),
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            },
        ),
    ),
    "DenyServiceExternalIPs": Case(
        request=(
            "POST",
            f"{DEFAULT}/services",
            {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}},
        ),
        acts=code(403),
    ),
    "EventRateLimit": Case(
        configuration={"limits": [{"type": "Server", "qps": 1, "burst": 1}]},
        before=[("POST", f"{DEFAULT}/events", {**EVENT, "metadata": {"name": "first", "namespace": "default"}})],
        request=("POST", f"{DEFAULT}/events", EVENT),
        acts=code(429),
    ),
    "ExtendedResourceToleration": Case(
        request=(
            "POST",
            PODS,
            pod(container={"resources": {"limits": {"example.com/gpu": "1"}, "requests": {"example.com/gpu": "1"}}}),
        ),
        acts=shows(*("spec", "tolerations"), {"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}),
    ),
    "LimitPodHardAntiAffinityTopology": Case(request=("POST", PODS, pod(affinity=ANTI_AFFINITY)), acts=code(403)),
    "LimitRanger": Case(
        before=[
            (
                "POST",
                f"{DEFAULT}/limitranges",
                {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
            )
        ],
        request=("POST", PODS, pod(container={"resources": {"limits": {"cpu": "2"}}})),
        acts=code(403),
    ),
    "MutatingAdmissionPolicy": Case(
        before=policy("Mutating", {"mutations": [{"patchType": "ApplyConfiguration", **LABELLING}]}, {}),
        request=("POST", f"{DEFAULT}/configmaps", {"metadata": {"name": "c"}}),
        acts=shows("metadata", "labels", {"a": "b"}),
    ),
    "NamespaceAutoProvision": Case(
        request=("POST", "/api/v1/namespaces/new/configmaps", {"metadata": {"name": "c"}}), acts=code(201)
    ),
    "NamespaceExists": Case(
        request=("POST", "/api/v1/namespaces/new/configmaps", {"metadata": {"name": "c"}}),
        without=("NamespaceLifecycle",),
        acts=code(404),
    ),
    "NamespaceLifecycle": Case(
        request=("POST", "/api/v1/namespaces/new/configmaps", {"metadata": {"name": "c"}}), acts=code(404)
    ),
    "NodeDeclaredFeatureValidator": Case(
        before=[*ON_NODE, ("POST", PODS, pod(nodeName="n", resources={"requests": {"cpu": "100m"}}))],
        request=("PATCH", f"{PODS}/p/resize", {"spec": {"resources": {"requests": {"cpu": "200m"}}}}),
        acts=code(403),
    ),
    "NodeRestriction": Case(
        request=("POST", "/api/v1/nodes", node("own", metadata={"labels": {"node-restriction.kubernetes.io/x": "y"}})),
        headers={"impersonate_user": "system:node:own", "impersonate_group": "system:nodes"},
        acts=code(403),
    ),
    "OwnerReferencesPermissionEnforcement": Case(
        before=[("POST", PODS, pod()), *grant("", "configmaps", "create")],
        request=(
            "POST",
            f"{DEFAULT}/configmaps",
            {
                "metadata": {
                    "name": "c",
                    "ownerReferences": [
                        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "blockOwnerDeletion": True}
                    ],
                }
            },
        ),
        headers={"token": "jane-token"},
        acts=code(403),
    ),
    "PersistentVolumeClaimResize": Case(
        before=[("POST", CLAIMS, CLAIM), ("PATCH", f"{CLAIMS}/c/status", {"status": {"phase": "Bound"}})],
        request=("PATCH", f"{CLAIMS}/c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}),
        acts=code(403),
    ),
    "PodNodeSelector": Case(
        before=[annotated("scheduler.alpha.kubernetes.io/node-selector", "a=b")],
        request=("POST", PODS, pod()),
        acts=shows("spec", "nodeSelector", {"a": "b"}),
    ),
    "PodResizeValidator": Case(
        before=[
            *ON_NODE,
            ("POST", PODS, pod(nodeName="n", container={"resources": {"requests": {"cpu": "500m"}}})),
        ],
        request=(
            "PATCH",
            f"{PODS}/p/resize",
            {"spec": {"containers": [{"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "2"}}}]}},
        ),
        acts=code(403),
    ),
    "PodSecurity": Case(
        before=[("PATCH", DEFAULT, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}})],
        request=("POST", PODS, pod(hostNetwork=True)),
        acts=code(403),
    ),
    "PodTolerationRestriction": Case(
        before=[annotated("scheduler.alpha.kubernetes.io/defaultTolerations", '[{"key": "k", "operator": "Exists"}]')],
        request=("POST", PODS, pod()),
        acts=shows("spec", "tolerations", {"key": "k", "operator": "Exists"}),
    ),
    "PodTopologyLabels": Case(
        before=[("POST", "/api/v1/nodes", node(metadata={"labels": {"topology.kubernetes.io/zone": "z"}}))],
        request=("POST", PODS, pod(nodeName="n")),
        acts=shows("metadata", "labels", {"topology.kubernetes.io/zone": "z"}),
    ),
    "Priority": Case(request=("POST", PODS, pod(priorityClassName="none")), acts=code(403)),
    "ResourceQuota": Case(
        before=[
            (
                "POST",
                f"{DEFAULT}/resourcequotas",
                {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}},
            ),
            ("PATCH", f"{DEFAULT}/resourcequotas/q/status", {"status": QUOTA}),
        ],
        request=("POST", f"{DEFAULT}/configmaps", {"metadata": {"name": "c"}}),
        acts=code(403),
    ),
    "RuntimeClass": Case(request=("POST", PODS, pod(runtimeClassName="none")), acts=code(403)),
    "ServiceAccount": Case(request=("POST", PODS, pod(serviceAccountName="none")), acts=code(403)),
    "StorageObjectInUseProtection": Case(
        request=("POST", CLAIMS, CLAIM), acts=shows("metadata", "finalizers", "kubernetes.io/pvc-protection")
    ),
    "TaintNodesByCondition": Case(
        request=("POST", "/api/v1/nodes", node()),
        acts=shows("spec", "taints", {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}),
    ),
    "ValidatingAdmissionPolicy": Case(
        before=policy("Validating", {"validations": [{"expression": "false"}]}, {"validationActions": ["Deny"]}),
        request=("POST", f"{DEFAULT}/configmaps", {"metadata": {"name": "c"}}),
        acts=code(422),
    ),
}


def test_no_plugin_is_forgotten() -> None:
    assert sorted((*CASES, *NOTHING_TO_SEE, *ELSEWHERE)) == sorted(PLUGINS)
    tests = Path(__file__).parents[1]
    assert [name for name, file in ELSEWHERE.items() if name not in (tests / file).read_text("utf-8")] == []


def settings(name: str, case: Case, *, on: bool) -> Settings:
    others = set(chosen(disable={name, "ServiceAccount", *case.without}))
    plugins = chosen(only=others | {name} if on else others)
    configurations = {name: case.configuration} if case.configuration is not None else {}
    return Settings(admission=AdmissionSettings(plugins=plugins, configurations=configurations))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("api", "case", "on"),
    [
        pytest.param(settings(name, case, on=on), case, on, id=f"{name}-{'on' if on else 'off'}")
        for name, case in CASES.items()
        for on in (True, False)
    ],
    indirect=["api"],
)
async def test_a_plugin_acts_where_it_is_on_and_nothing_else_does(api: Any, case: Case, on: bool) -> None:
    async def send(step: Step, **headers: str) -> Any:
        method, path, body = step
        if method == "PATCH":
            strategic = "/resize" in path
            kind = "application/strategic-merge-patch+json" if strategic else "application/merge-patch+json"
            headers["content_type"] = kind
        return await api.call(method, path, body, **headers)

    for step in case.before:
        reply = await send(step)
        assert reply.status in (200, 201), (step, reply.body)
    reply = await send(case.request, **case.headers)
    assert case.acts(reply.status, reply.json) is on, reply.body
