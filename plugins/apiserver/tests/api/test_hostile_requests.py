"""No request makes the server fail, whatever stands in its path, query, headers and body."""

from __future__ import annotations

import base64
import json
import random
from typing import Any
from urllib.parse import quote

import pytest

from hyperkube_machinery.serving.messages import Response

pytestmark = pytest.mark.anyio

RESOURCES = (
    *(
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/namespaces/default/pods",
        "/api/v1/nodes",
        "/api/v1/namespaces",
    ),
    *("/api/v1/namespaces/default/services", "/api/v1/namespaces/default/secrets", "/api/v1/persistentvolumes"),
    *("/apis/apps/v1/namespaces/default/deployments", "/apis/apps/v1/namespaces/default/statefulsets"),
    *("/apis/batch/v1/namespaces/default/jobs", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
    "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims",
    "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates",
    "/apis/resource.k8s.io/v1/resourceslices",
    "/apis/resource.k8s.io/v1/deviceclasses",
    *("/api", "/apis", "/version", "/openapi/v2", "/openapi/v3", "/healthz", "/apis/apps/v1", "/"),
)
TAILS = ("", "/a", "/a/status", "/a/scale", "/a/x/y", "/", "//", "/%00", "/%ff", "/..", "/a%2fb", "/" + "a" * 300)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "")
TEXTS = (
    *(
        "",
        "0",
        "1",
        "-1",
        "9" * 30,
        "true",
        "false",
        "All",
        "a",
        "a=b",
        "a in (b",
        "!a",
        "metadata.name=a",
        "x=",
        "=",
        ",",
    ),
    *("(", "é", "\u0000", "null", "[]", "{}", "%", "1e9", " ", "Exact", "NotOlderThan", "Foreground", "Strict", "Warn"),
    *("Ignore", "a" * 200, "a" * 5000),
)
PARAMETERS = (
    *("limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "dryRun"),
    *(
        "fieldManager",
        "fieldValidation",
        "force",
        "pretty",
        "timeoutSeconds",
        "gracePeriodSeconds",
        "propagationPolicy",
    ),
    *("orphanDependents", "includeObject", "allowWatchBookmarks", "sendInitialEvents", "export", "x"),
)
MEDIA = (
    *("", "*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"),
    *(
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    ),
    *(
        "application/json;pretty=1",
        "text/html",
        ",,;;==",
        "a/b/c",
        ";q=",
        "*",
        "application/json;q=nan",
        "é",
        "a" * 5000,
    ),
    *("application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json"),
    *("application/apply-patch+yaml", "application/json; charset=utf-8", "multipart/form-data; boundary=x"),
)
LEAVES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**63,
        2**64,
        1.5,
        -0.0,
        1e300,
        "",
        "a",
        "a b",
        "A_",
        "10.0.0.1",
        "1Gi",
        "5%",
    ),
    *("2026-01-01T00:00:00Z", "x" * 300, "é\u200b", "http://x", "{.a[", "a/b/c", "*", [], {}),
)
FIELDS = (
    *(
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "uid",
    ),
    *(
        "resourceVersion",
        "generateName",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "spec",
        "status",
        "data",
    ),
    *("template", "selector", "matchLabels", "matchExpressions", "containers", "ports", "volumes", "replicas", "rules"),
    *("webhooks", "clientConfig", "versions", "schema", "openAPIV3Schema", "properties", "type", "items", "default"),
    *(
        "names",
        "kind",
        "apiVersion",
        "plural",
        "group",
        "scope",
        "conversion",
        "webhook",
        "devices",
        "requests",
        "exactly",
    ),
    *(
        "firstAvailable",
        "pool",
        "attributes",
        "capacity",
        "requestPolicy",
        "validRange",
        "min",
        "step",
        "matchConstraints",
    ),
    *(
        "resourceRules",
        "operations",
        "validations",
        "expression",
        "paramKind",
        "conditions",
        "op",
        "path",
        "value",
        "$patch",
    ),
    *("a", "", "x-kubernetes-list-type", "allOf", "pattern", "enum", "format", "url", "service", "caBundle", "limits"),
)


def drawn(random_: random.Random, depth: int = 0) -> Any:
    kind = random_.random()
    if depth > 6 or kind < 0.35:
        return random_.choice(LEAVES)
    if kind < 0.55:
        return [drawn(random_, depth + 1) for _ in range(random_.randrange(3))]
    return {random_.choice(FIELDS): drawn(random_, depth + 1) for _ in range(random_.randrange(5))}


def like(random_: random.Random, tree: Any) -> Any:
    """A copy of `tree` with a few values in the places of others."""
    if random_.random() < 0.06:
        return drawn(random_, 4)
    if isinstance(tree, dict):
        return {key: like(random_, value) for key, value in tree.items() if random_.random() > 0.03}
    return [like(random_, item) for item in tree] if isinstance(tree, list) else tree


def token(random_: random.Random) -> str:
    """Something like what continues a list."""
    inside = (
        drawn(random_, 3) if random_.random() < 0.5 else {"v": "meta.k8s.io/v1", "rv": drawn(random_, 7), "start": "a"}
    )
    return base64.urlsafe_b64encode(json.dumps(inside).encode()).decode()


def query(random_: random.Random) -> str:
    pairs = []
    for _ in range(random_.randrange(3)):
        name = random_.choice(PARAMETERS)
        value = token(random_) if name == "continue" and random_.random() < 0.7 else random_.choice(TEXTS)
        pairs.append(f"{name}={quote(value) if random_.random() < 0.9 else value}")
    return "&".join(pairs)


GOOD: dict[str, Any] = {
    "customresourcedefinitions": {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["w"]},
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://x/y"}}},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "selectableFields": [{"jsonPath": ".spec.n"}],
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n"}},
                    "additionalPrinterColumns": [{"name": "N", "type": "string", "jsonPath": ".spec.n"}],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "default": {"n": 1},
                                    "properties": {
                                        "n": {"type": "integer", "minimum": 1, "enum": [1, 2], "default": 1},
                                        "l": {
                                            "type": "array",
                                            "x-kubernetes-list-type": "map",
                                            "x-kubernetes-list-map-keys": ["k"],
                                            "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                                        },
                                        "m": {"type": "object", "additionalProperties": {"type": "string"}},
                                        "r": {
                                            "type": "object",
                                            "x-kubernetes-embedded-resource": True,
                                            "default": {"kind": "A", "apiVersion": "v1", "metadata": {"name": "a"}},
                                            "x-kubernetes-preserve-unknown-fields": True,
                                        },
                                    },
                                    "allOf": [{"anyOf": [{"required": ["n"]}], "not": {"properties": {"n": {}}}}],
                                    "x-kubernetes-validations": [{"rule": "true", "fieldPath": ".n"}],
                                }
                            },
                        }
                    },
                }
            ],
        },
    },
    "resourceslices": {
        "metadata": {"name": "s"},
        "spec": {
            "driver": "d.example",
            "nodeName": "n",
            "pool": {"name": "p", "resourceSliceCount": 1, "generation": 1},
            "devices": [
                {
                    "name": "d",
                    "allowMultipleAllocations": True,
                    "attributes": {"a": {"version": "1.0.0"}},
                    "capacity": {
                        "m": {"value": "10", "requestPolicy": {"default": "1", "validRange": {"min": "1", "step": "1"}}}
                    },
                    "taints": [{"key": "a", "effect": "None"}],
                }
            ],
        },
    },
    "resourceclaims": {
        "metadata": {"name": "c"},
        "spec": {
            "devices": {
                "requests": [{"name": "r", "exactly": {"deviceClassName": "c", "tolerations": [{"key": "a"}]}}],
                "constraints": [{"matchAttribute": "a.b/c", "requests": ["r"]}],
                "config": [{"opaque": {"driver": "d", "parameters": {"a": 1}}}],
            }
        },
    },
    "validatingwebhookconfigurations": {
        "metadata": {"name": "w"},
        "webhooks": [
            {
                "name": "a.b.c",
                "clientConfig": {"service": {"name": "a", "namespace": "b", "path": "/c"}},
                "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/*"]}],
                "matchConditions": [{"name": "a", "expression": "true"}],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    },
    "validatingadmissionpolicies": {
        "metadata": {"name": "p"},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"]}]},
            "variables": [{"name": "a", "expression": "1"}],
            "validations": [{"expression": "true", "message": "no"}],
            "auditAnnotations": [{"key": "a", "valueExpression": "'b'"}],
        },
    },
    "pods": {
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    "resources": {"limits": {"cpu": "1"}},
                    "livenessProbe": {"httpGet": {"port": 80}},
                }
            ],
            "volumes": [{"name": "v", "configMap": {"name": "m"}}],
            "tolerations": [{"key": "a", "operator": "Exists"}],
        },
    },
}


async def _status(api: Any, method: str, path: str, body: Any, headers: dict[str, str]) -> int:
    answer = await api.answer(method, path, body, **headers)
    if not isinstance(answer, Response):
        return 200
    if not isinstance(answer.body, bytes):
        b"".join(answer.body)  # what is made while it is sent can fail too
    return int(answer.status)


@pytest.mark.parametrize("seed", range(4))
async def test_odd_requests_are_answered(api: Any, seed: int) -> None:
    random_ = random.Random(seed)
    for number in range(400):
        path = f"{random_.choice(RESOURCES)}{random_.choice(TAILS)}"
        if asked := query(random_):
            path += f"?{asked}"
        method = random_.choice(METHODS[:5] if random_.random() < 0.9 else METHODS)
        body: Any = drawn(random_) if method in ("POST", "PUT", "PATCH", "DELETE") and random_.random() < 0.8 else None
        if body is not None and random_.random() < 0.2:
            body = json.dumps(body).encode()[: random_.randrange(60)] + bytes([random_.randrange(256)])
        headers = {"accept": random_.choice(MEDIA), "content_type": random_.choice(MEDIA)}
        if random_.random() < 0.5:
            headers = {"content_type": "application/json"}
        # A refusal may be a 500, as upstream's are of some patches; what nobody thought of is no answer at all.
        assert await _status(api, method, path, body, headers), (seed, number)


@pytest.mark.parametrize("plural", GOOD)
async def test_objects_that_are_almost_right_are_taken_or_refused(api: Any, plural: str) -> None:
    random_ = random.Random(plural)
    path = next(one for one in RESOURCES if one.endswith(f"/{plural}"))
    for number in range(300):
        body = like(random_, GOOD[plural])
        status = await _status(api, "POST", f"{path}?dryRun=All", body, {})
        assert status in (201, 400, 403, 404, 409, 422), (number, body)
    await _status(api, "POST", path, GOOD[plural], {})
    name = GOOD[plural]["metadata"]["name"]
    for number in range(120):
        patch = like(random_, GOOD[plural])
        kind = random_.choice(("merge", "strategic-merge"))
        status = await _status(
            api, "PATCH", f"{path}/{name}?dryRun=All", patch, {"content_type": f"application/{kind}-patch+json"}
        )
        assert status in (200, 400, 403, 404, 409, 415, 422, 500), (number, kind, patch)
