"""What the status of a definition of custom resources tells: its names, its approval and its end."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.definitionstatus import settle

pytestmark = pytest.mark.anyio

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(plural: str, kind: str, **names: Any) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, **names},
            "versions": [version],
        },
    }


async def status(api: Any, plural: str) -> dict[str, Any]:
    found = (await api.get(f"{PATH}/{plural}.example.com")).json["status"]
    return dict(found)


def told(found: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found["conditions"]}


async def test_names_are_accepted_once(api: Any) -> None:
    made = await api.create(PATH, definition("widgets", "Widget", shortNames=["wd"]))
    assert made["status"] == {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]}
    await settle(api.api, api.clock)
    found = await status(api, "widgets")
    assert found["acceptedNames"] == made["spec"]["names"]
    assert told(found) == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    before = await api.store.revision()
    await settle(api.api, api.clock)
    assert await api.store.revision() == before


@pytest.mark.parametrize(
    ("names", "accepted", "reason", "message"),
    [
        ({"kind": "Widget"}, {"plural": "gadgets", "kind": ""}, "ListKindConflict", '"WidgetList" is already in use'),
        (
            {"kind": "Gadget", "shortNames": ["wd"]},
            {"plural": "gadgets", "kind": "Gadget", "listKind": "GadgetList", "singular": "gadget"},
            "ShortNamesConflict",
            '"wd" is already in use',
        ),
        (
            {"kind": "Gadget", "singular": "widget"},
            {"plural": "gadgets", "kind": "Gadget", "listKind": "GadgetList"},
            "SingularConflict",
            '"widget" is already in use',
        ),
    ],
)
async def test_a_name_of_another_is_not_accepted(
    api: Any, names: dict[str, Any], accepted: dict[str, Any], reason: str, message: str
) -> None:
    await api.create(PATH, definition("widgets", "Widget", shortNames=["wd"]))
    await settle(api.api, api.clock)
    await api.create(PATH, definition("gadgets", names.pop("kind"), **names))
    await settle(api.api, api.clock)
    found = await status(api, "gadgets")
    assert found["acceptedNames"] == accepted
    assert told(found) == {
        "NamesAccepted": ("False", reason, message),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    await api.delete(f"{PATH}/widgets.example.com")
    await settle(api.api, api.clock)
    assert told(await status(api, "gadgets"))["NamesAccepted"] == ("True", "NoConflicts", "no conflicts found")


@pytest.mark.parametrize(
    ("annotation", "holds", "reason", "message"),
    [
        ("https://github.com/x/y/pull/1", "True", "ApprovedAnnotation", "approved in https://github.com/x/y/pull/1"),
        ("unapproved, a trial", "False", "UnapprovedAnnotation", 'not approved: "unapproved, a trial"'),
    ],
)
async def test_a_group_of_kubernetes_itself_tells_of_its_approval(
    api: Any, annotation: str, holds: str, reason: str, message: str
) -> None:
    made = definition("widgets", "Widget")
    made["metadata"] = {"name": "widgets.x.k8s.io", "annotations": {"api-approved.kubernetes.io": annotation}}
    made["spec"]["group"] = "x.k8s.io"
    await api.create(PATH, made)
    await settle(api.api, api.clock)
    found = (await api.get(f"{PATH}/widgets.x.k8s.io")).json["status"]
    assert told(found)["KubernetesAPIApprovalPolicyConformant"] == (holds, reason, message)
    before = await api.store.revision()
    await settle(api.api, api.clock)
    assert await api.store.revision() == before


async def test_a_deletion_waits_for_what_is_defined(api: Any) -> None:
    await api.create(PATH, definition("widgets", "Widget"))
    await settle(api.api, api.clock)
    name = f"{PATH}/widgets.example.com"
    dry = await api.delete(f"{name}?dryRun=All")
    assert told(dry.json["status"])["Terminating"][1] == "InstanceDeletionPending"
    assert "deletionTimestamp" not in (await api.get(name)).json["metadata"]
    marked = await api.delete(name)
    assert marked.status == 200
    metadata = marked.json["metadata"]
    assert metadata["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert metadata["deletionTimestamp"]
    assert "deletionGracePeriodSeconds" not in metadata
    assert metadata["generation"] == 1
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    assert told(marked.json["status"])["Terminating"] == ("True", "InstanceDeletionPending", message)
    revision = metadata["resourceVersion"]
    async with api.watch(f"{PATH}?watch=1&resourceVersion={revision}") as stream:
        await settle(api.api, api.clock)
        assert await stream.names(2) == [("MODIFIED", "widgets.example.com"), ("DELETED", "widgets.example.com")]
    assert (await api.get(name)).status == 404


async def test_other_finalizers_keep_a_definition_that_has_no_instances(api: Any) -> None:
    made = definition("widgets", "Widget")
    made["metadata"]["finalizers"] = ["ex.com/mine"]
    await api.create(PATH, made)
    await api.delete(f"{PATH}/widgets.example.com")
    await settle(api.api, api.clock)
    found = (await api.get(f"{PATH}/widgets.example.com")).json
    assert found["metadata"]["finalizers"] == ["ex.com/mine"]
    expected = ("False", "NeverEstablished", "resource was never established")
    assert told(found["status"])["Terminating"] == expected
    await settle(api.api, api.clock)
    again = (await api.get(f"{PATH}/widgets.example.com")).json
    assert again == found


async def test_a_schema_from_before_there_were_structural_ones_is_told(api: Any) -> None:
    await api.create(PATH, definition("widgets", "Widget"))
    await settle(api.api, api.clock)
    served = api.api.resource("apiextensions.k8s.io", "customresourcedefinitions")
    entry = await api.store.get(served.kind.key("", "widgets.example.com"))
    old = entry.value.replace(b'"x-kubernetes-preserve-unknown-fields":true', b'"properties":{"a":{}}').replace(
        b'"spec":{', b'"spec":{"preserveUnknownFields":true,', 1
    )
    await api.store.update(entry.key, old, expected=entry.mod_revision)
    await api.api.hub.fresh()
    await settle(api.api, api.clock)
    assert told(await status(api, "widgets"))["NonStructuralSchema"] == (
        "True",
        "Violations",
        "[spec.preserveUnknownFields: Invalid value: true: must be false, "
        "spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: "
        "must not be empty for specified object fields]",
    )
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    mended = {"spec": {"preserveUnknownFields": False, "versions": versions}}
    assert (await api.merge(f"{PATH}/widgets.example.com", mended)).status == 200
    await settle(api.api, api.clock)
    assert "NonStructuralSchema" not in told(await status(api, "widgets"))


async def test_what_is_defined_in_a_group_of_the_server_itself_is_not_served(api: Any) -> None:
    tree = definition("widgets", "Widget")
    tree["metadata"] = {
        "name": "widgets.storage.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
    }
    tree["spec"] |= {"group": "storage.k8s.io", "scope": "Cluster"}
    await api.create(PATH, tree)
    await settle(api.api, api.clock)
    found = (await api.get(f"{PATH}/widgets.storage.k8s.io")).json["status"]
    assert told(found)["Established"][0] == "True"
    assert (await api.get("/apis/storage.k8s.io/v1/widgets")).status == 404
    await api.delete(f"{PATH}/widgets.storage.k8s.io")
    await settle(api.api, api.clock)
    assert (await api.get(f"{PATH}/widgets.storage.k8s.io")).status == 404
