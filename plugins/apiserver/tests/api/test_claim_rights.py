"""Claims to devices: who may ask for admin access, allocate, and report on devices."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

GROUP = "/apis/resource.k8s.io/v1/namespaces/default"
CLAIMS, TEMPLATES = f"{GROUP}/resourceclaims", f"{GROUP}/resourceclaimtemplates"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NEEDS_LABEL = (
    "Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label "
    "on the containing namespace"
)
RESULT = {"request": "r", "driver": "gpu.example", "pool": "p", "device": "d"}
MERGE = {"content_type": "application/merge-patch+json"}


def spec(*, admin: bool) -> dict[str, Any]:
    plain = {"name": "first", "exactly": {"deviceClassName": "c"}}
    return {"devices": {"requests": [plain, {"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": admin}}]}}


def claim(name: str = "one", *, admin: bool = False) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec(admin=admin)}


def causes(reply: Any) -> list[tuple[str, str]]:
    assert reply.status == 422, reply.body
    return [(one["field"], one["message"]) for one in reply.json["details"]["causes"]]


async def label_namespace(api: Any, value: str) -> None:
    labels = {"resource.kubernetes.io/admin-access": value}
    await api.merge("/api/v1/namespaces/default", {"metadata": {"labels": labels}})


async def allow(api: Any, resource: str, verb: str, **more: Any) -> None:
    """Let jane do that, in the whole cluster."""
    rule = {"apiGroups": ["resource.k8s.io"], "resources": [f"resourceclaims/{resource}"], "verbs": [verb], **more}
    role = await api.create(f"{RBAC}/clusterroles", {"metadata": {"generateName": "r-"}, "rules": [rule]})
    name = role["metadata"]["name"]
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await api.create(f"{RBAC}/clusterrolebindings", binding)


async def test_admin_access_is_for_namespaces_that_have_its_label(api: Any) -> None:
    template = {"metadata": {"name": "t"}, "spec": {"spec": spec(admin=True)}}
    path = "spec.devices.requests[1].adminAccess"  # of templates too, as upstream
    for value in ("", "false"):
        await label_namespace(api, value)
        assert causes(await api.call("POST", CLAIMS, claim(admin=True))) == [(path, NEEDS_LABEL)]
        assert causes(await api.call("POST", TEMPLATES, template)) == [(path, NEEDS_LABEL)]
    await api.create(CLAIMS, claim("without"))
    await label_namespace(api, "true")
    await api.create(CLAIMS, claim(admin=True))
    await api.create(TEMPLATES, template)
    await label_namespace(api, "")
    assert (await api.merge(f"{CLAIMS}/one", {"metadata": {"labels": {"a": "b"}}})).status == 200


async def test_what_a_writer_may_not_say_comes_before_what_is_wrong(api: Any) -> None:
    wrong = claim(admin=True)
    wrong["spec"]["devices"]["requests"][0]["name"] = ""
    assert [path for path, _ in causes(await api.call("POST", CLAIMS, wrong))][:2] == [
        "spec.devices.requests[1].adminAccess",
        "spec.devices.requests[0].name",
    ]


async def test_a_status_grants_admin_access_by_the_label_alone_and_keeps_it(api: Any) -> None:
    await api.create(CLAIMS, claim())
    granted = {"status": {"allocation": {"devices": {"results": [{**RESULT, "adminAccess": True}]}}}}
    path = "status.allocation.devices.results[0].adminAccess"
    assert causes(await api.merge(f"{CLAIMS}/one/status", granted)) == [(path, NEEDS_LABEL)]
    await label_namespace(api, "true")
    assert (await api.merge(f"{CLAIMS}/one/status", granted)).status == 200
    await label_namespace(api, "")
    later = await api.merge(f"{CLAIMS}/one/status", {"status": {"devices": [{**RESULT, "request": None}]}})
    assert later.status == 200, later.body


async def test_who_allocates_needs_the_right_to_bind_claims(api: Any) -> None:
    await api.create(CLAIMS, claim())
    await allow(api, "status", "patch")
    allocate = {"status": {"allocation": {"devices": {"results": [RESULT]}}}}
    refused = causes(await api.merge(f"{CLAIMS}/one/status", allocate, token="jane-token"))
    assert refused == [
        (
            "status.allocation",
            "Forbidden: changing status.allocation or status.reservedFor requires "
            'resource="resourceclaims/binding", verb="patch" permission: resourceclaims.resource.k8s.io is forbidden: '
            'User "jane" cannot patch resource "resourceclaims/binding" in API group "resource.k8s.io" '
            "at the cluster scope",
        )
    ]
    await allow(api, "binding", "patch")
    assert (await api.merge(f"{CLAIMS}/one/status", allocate, token="jane-token")).status == 200
    same = await api.merge(f"{CLAIMS}/one/status", allocate, token="jane-token")
    assert same.status == 200


async def test_who_reports_on_devices_needs_a_right_to_their_driver(api: Any) -> None:
    await api.create(CLAIMS, claim())
    await allow(api, "status", "patch")
    await api.merge(f"{CLAIMS}/one/status", {"status": {"allocation": {"devices": {"results": [RESULT]}}}})
    report = {"status": {"devices": [{"driver": "gpu.example", "pool": "p", "device": "d"}]}}
    refused = causes(await api.merge(f"{CLAIMS}/one/status", report, token="jane-token"))
    assert refused == [
        (
            "status.devices",
            'Forbidden: changing status.devices requires resource="resourceclaims/driver", '
            'verb="[arbitrary-node:patch]" permission: resourceclaims.resource.k8s.io "gpu.example" is forbidden: '
            'User "jane" cannot arbitrary-node:patch resource "resourceclaims/driver" in API group '
            '"resource.k8s.io" in the namespace "default"',
        )
    ]
    await allow(api, "driver", "arbitrary-node:patch", resourceNames=["other.example"])
    assert causes(await api.merge(f"{CLAIMS}/one/status", report, token="jane-token")) == refused
    await allow(api, "driver", "arbitrary-node:patch", resourceNames=["gpu.example"])
    assert (await api.merge(f"{CLAIMS}/one/status", report, token="jane-token")).status == 200


async def test_a_driver_on_the_node_of_a_claim_needs_the_smaller_right(api: Any) -> None:
    node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    allocation = {"devices": {"results": [RESULT]}, "nodeSelector": {"nodeSelectorTerms": [node]}}
    await api.create(CLAIMS, claim())
    await api.merge(f"{CLAIMS}/one/status", {"status": {"allocation": allocation}})
    account = "system:serviceaccount:default:driver"
    subject = [{"kind": "ServiceAccount", "name": "driver", "namespace": "default"}]
    rules = [
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims/status"], "verbs": ["patch"]},
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims/driver"], "verbs": ["associated-node:patch"]},
    ]
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "driver"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "driver"}
    await api.create(
        f"{RBAC}/clusterrolebindings", {"metadata": {"name": "driver"}, "roleRef": reference, "subjects": subject}
    )
    report = {"status": {"devices": [{"driver": "gpu.example", "pool": "p", "device": "d"}]}}
    told = {"impersonate_user": account, "impersonate_extra_authentication.kubernetes.io%2fnode_name": "n2"}
    refused = causes(await api.merge(f"{CLAIMS}/one/status", report, **told))
    assert 'verb="[arbitrary-node:patch]"' in refused[0][1]
    told = {"impersonate_user": account, "impersonate_extra_authentication.kubernetes.io%2fnode_name": "n1"}
    assert (await api.merge(f"{CLAIMS}/one/status", report, **told)).status == 200
