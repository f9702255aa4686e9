"""What holds for objects of every kind, whatever else the kind does: each is led through its whole life."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.kinds import Kind, load_kinds
from hyperkube_apiserver.registry.catalog import strategies

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]
Key = tuple[str, str, str]

NAMESPACE = "t-u1"  # which the samples know
KINDS = load_kinds()
STRATEGIES = strategies(KINDS)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
APPLY = "application/apply-patch+yaml"

# Where a change of the metadata alone is a new generation.
COUNTING_LABELS = {"endpointslices"}
# What something else has to go before.
GONE_LATER = {"customresourcedefinitions", "namespaces"}
# Whose validation upstream is no part of core's, or looks at no metadata: a finalizer needs no domain there.
FREE_FINALIZERS = {
    *("apiservices", "customresourcedefinitions", "leases", "poddisruptionbudgets"),
    *("mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations"),
    *("validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations"),
}


def samples() -> dict[Key, Tree]:
    """A small object of each kind."""
    entries = json.loads((Path(__file__).parent.parent / "data" / "defaults.json").read_text())
    found: dict[Key, Tree] = {}
    for entry in sorted(entries, key=lambda entry: len(entry["name"])):
        found.setdefault(tuple(entry["resource"]), entry["given"])
    return found


SAMPLES = samples()


def of_kinds(keys: Iterable[Key]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "key", [pytest.param(key, id=f"{key[2]} of {key[0] or 'core'}/{key[1]}") for key in keys]
    )


every_kind = of_kinds(SAMPLES)


def sample(key: Key, **labels: str) -> Tree:
    tree = copy.deepcopy(SAMPLES[key])
    tree["metadata"].pop("namespace", None)
    return labelled(tree, **labels)


def labelled(tree: Tree, **labels: str) -> Tree:
    """A copy of `tree` with more labels."""
    metadata = {**tree["metadata"], "labels": {**tree["metadata"].get("labels", {}), **labels}}
    return {**copy.deepcopy(tree), "metadata": metadata}


async def collection(api: Any, key: Key) -> str:
    """The path of objects of a kind, whose namespace is there from now on."""
    group, version, plural = key
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    if not KINDS[key].resource.namespaced:
        return f"{root}/{plural}"
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    return f"{root}/namespaces/{NAMESPACE}/{plural}"


async def made(api: Any, key: Key) -> tuple[str, Tree]:
    """The path of a new object, and what it is."""
    path = await collection(api, key)
    obj = await api.create(path, sample(key, made="yes"))
    return f"{path}/{obj['metadata']['name']}", obj


def version_of(tree: Tree) -> int:
    return int(tree["metadata"]["resourceVersion"])


def managers(tree: Tree) -> list[tuple[str, str]]:
    """Who owns something: by which operation, and through which subresource."""
    return [(entry["operation"], entry.get("subresource", "")) for entry in tree["metadata"].get("managedFields", ())]


def test_there_is_a_sample_of_every_kind_that_is_stored() -> None:
    assert set(SAMPLES) == {key for key, kind in KINDS.items() if kind.is_stored or kind.stored_as}


@every_kind
async def test_a_dry_run_shows_what_would_be_made_and_leaves_no_trace(api: Any, key: Key) -> None:
    path = await collection(api, key)
    before = (await api.get(path)).json
    shown = await api.create(f"{path}?dryRun=All", sample(key))
    assert "resourceVersion" not in shown["metadata"], "nothing was stored"
    assert shown["metadata"]["uid"]
    assert (await api.get(path)).json == before
    stored = await api.create(path, sample(key))
    assert shown["kind"] == stored["kind"]
    assert set(shown) == set(stored)
    name = stored["metadata"]["name"]
    await api.put(f"{path}/{name}?dryRun=All", labelled(stored, dry="run"))
    await api.delete(f"{path}/{name}?dryRun=All")
    assert (await api.get(f"{path}/{name}")).json == stored


@every_kind
async def test_a_replacement_keeps_what_the_server_decides(api: Any, key: Key) -> None:
    path, old = await made(api, key)
    # What a client must not say of itself is taken back; a wrong uid would be a conflict.
    sent = labelled(old, more="labels")
    sent["metadata"] |= {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 77}
    reply = await api.put(path, sent)
    assert reply.status == 200, reply.body
    new = reply.json
    for field in ("uid", "creationTimestamp", "name"):
        assert new["metadata"][field] == old["metadata"][field]
    assert version_of(new) > version_of(old)
    grown = key[2] in COUNTING_LABELS
    assert new["metadata"].get("generation", 0) == old["metadata"].get("generation", 0) + grown
    assert {**new, "metadata": {}} == {**old, "metadata": {}}
    assert (await api.get(path)).json == new
    assert ("Update", "") in managers(new)
    stale = await api.put(path, labelled(old, stale="yes"))
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    same = await api.put(path, new)
    assert version_of(same.json) == version_of(new), "a write that changes nothing is none"
    other = copy.deepcopy(new)
    other["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    assert (await api.put(path, other)).status == 409


@every_kind
async def test_a_replacement_without_a_version_is_unconditional_or_refused(api: Any, key: Key) -> None:
    path, old = await made(api, key)
    sent = labelled(old, more="labels")
    del sent["metadata"]["resourceVersion"]
    reply = await api.put(path, sent)
    if STRATEGIES[key].allows_unconditional_update:
        assert (reply.status, reply.json["metadata"]["labels"]["more"]) == (200, "labels")
    else:
        assert reply.status == 422
        assert reply.json["details"]["causes"][0]["field"] == "metadata.resourceVersion"
        assert (await api.get(path)).json == old


@every_kind
async def test_only_some_kinds_are_made_by_a_replacement(api: Any, key: Key) -> None:
    path = await collection(api, key)
    given = sample(key)
    reply = await api.put(f"{path}/{given['metadata']['name']}", given)
    assert reply.status == (201 if STRATEGIES[key].allows_create_on_update else 404), reply.body


@every_kind
async def test_a_finalizer_has_a_domain_where_core_sees_to_it(api: Any, key: Key) -> None:
    path, obj = await made(api, key)
    obj["metadata"]["finalizers"] = [*obj["metadata"].get("finalizers", ()), "nodomain"]
    reply = await api.put(f"{path}?dryRun=All", obj)
    if key[2] in FREE_FINALIZERS or key == ("", "v1", "events"):
        assert reply.status == 200, reply.body
    else:
        (field,) = {cause["field"] for cause in reply.json["details"]["causes"]}
        assert field == f"metadata.finalizers[{len(obj['metadata']['finalizers']) - 1}]"


@every_kind
async def test_a_patch_of_nothing_is_no_write(api: Any, key: Key) -> None:
    path, old = await made(api, key)
    old = (await api.put(path, labelled(old, settled="yes"))).json  # the first may be one: see completed_by_reading
    for patch, media_type in (
        ({}, "application/merge-patch+json"),
        ({}, "application/strategic-merge-patch+json"),
        ([], "application/json-patch+json"),
    ):
        reply = await api.call("PATCH", path, patch, content_type=media_type)
        assert reply.status == 200, reply.body
    assert (await api.get(path)).json == old


@every_kind
async def test_who_applies_labels_owns_those_alone(api: Any, key: Key) -> None:
    path, old = await made(api, key)
    name = old["metadata"]["name"]
    config = {
        "apiVersion": old["apiVersion"],
        "kind": old["kind"],
        "metadata": {"name": name, "labels": {"applied": "1"}},
    }
    reply = await api.call("PATCH", f"{path}?fieldManager=me", config, content_type=APPLY)
    assert reply.status == 200, reply.body
    (mine,) = (entry for entry in reply.json["metadata"]["managedFields"] if entry["manager"] == "me")
    assert (mine["operation"], mine["fieldsV1"]) == ("Apply", {"f:metadata": {"f:labels": {"f:applied": {}}}})
    again = await api.call("PATCH", f"{path}?fieldManager=me", config, content_type=APPLY)
    assert again.json == reply.json
    config["metadata"]["labels"] = {}
    withdrawn = await api.call("PATCH", f"{path}?fieldManager=me", config, content_type=APPLY)
    assert withdrawn.json["metadata"].get("labels") == old["metadata"].get("labels")


@of_kinds(key for key in SAMPLES if KINDS[key].subresource("status"))
async def test_nobody_owns_what_a_write_of_the_status_leaves_alone(api: Any, key: Key) -> None:
    path, old = await made(api, key)
    sent = labelled(old, through="status")
    sent["metadata"]["annotations"] = {"through": "status"}
    reply = await api.put(f"{path}/status", sent)
    assert reply.status == 200, reply.body
    new = reply.json
    assert new.get("spec") == old.get("spec")
    assert new["metadata"].get("generation") == old["metadata"].get("generation")
    for field in ("labels", "annotations"):
        is_written = new["metadata"].get(field) != old["metadata"].get(field)
        owned = [
            entry
            for entry in new["metadata"].get("managedFields", ())
            if entry.get("subresource") == "status" and f"f:{field}" in entry["fieldsV1"].get("f:metadata", {})
        ]
        assert bool(owned) == is_written
    missing = copy.deepcopy(sent)
    missing["metadata"]["name"] = "missing"
    missing["metadata"].pop("resourceVersion")
    assert (await api.put(f"{path.rpartition('/')[0]}/missing/status", missing)).status == 404


@every_kind
async def test_lists_tables_and_watches_show_it(api: Any, key: Key) -> None:
    path = await collection(api, key)
    start = (await api.get(path)).json["metadata"]["resourceVersion"]
    async with api.watch(f"{path}?watch=1&resourceVersion={start}") as stream:
        _, obj = await made(api, key)
        event = await stream.next()
        assert (event["type"], event["object"]) == ("ADDED", obj)
        await api.put(f"{path}/{obj['metadata']['name']}?dryRun=All", labelled(obj, dry="run"))
        changed = (await api.put(f"{path}/{obj['metadata']['name']}", labelled(obj, real="run"))).json
        event = await stream.next()
        assert (event["type"], event["object"]) == ("MODIFIED", changed)
    untyped = {name: value for name, value in changed.items() if name not in ("kind", "apiVersion")}
    for query in ("labelSelector=real%3Drun", f"fieldSelector=metadata.name%3D{obj['metadata']['name']}"):
        listed = (await api.get(f"{path}?{query}")).json
        assert (listed["kind"], listed["items"]) == (KINDS[key].list_kind, [untyped])
    kind: Kind = KINDS[key]
    (row,) = (await api.get(f"{path}?labelSelector=real%3Drun", accept=TABLE)).json["rows"]
    assert row["cells"][0] == obj["metadata"]["name"] or kind.resource.kind == "Event"
    assert len(row["cells"]) == len(kind.columns) + (kind.resource.kind == "IPAddress")
    assert row["object"]["metadata"]["uid"] == obj["metadata"]["uid"]


@every_kind
async def test_a_deletion_answers_as_the_kind_does(api: Any, key: Key) -> None:
    path, obj = await made(api, key)
    if obj["metadata"].get("finalizers"):
        obj["metadata"]["finalizers"] = []
        obj = (await api.put(path, obj)).json
    reply = await api.delete(f"{path}?propagationPolicy=Background")
    assert reply.status == 200, reply.body
    if key[2] in GONE_LATER:
        assert (reply.json["kind"], bool(reply.json["metadata"]["deletionTimestamp"])) == (obj["kind"], True)
        return
    if STRATEGIES[key].answers_deleted_object:
        assert (reply.json["kind"], reply.json["metadata"]["uid"]) == (obj["kind"], obj["metadata"]["uid"])
        assert version_of(reply.json) > version_of(obj)
    else:
        details = {"group": key[0], "kind": key[2], "name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
        assert reply.json["details"] == {name: value for name, value in details.items() if value}
    assert (await api.get(path)).status == 404


@of_kinds(key for key in SAMPLES if key[2] == "events")
async def test_events_have_no_dependents_to_leave_or_to_wait_for(api: Any, key: Key) -> None:
    path, _ = await made(api, key)
    reply = await api.delete(f"{path}?propagationPolicy=Foreground")
    assert (reply.json["kind"], (await api.get(path)).status) == ("Status", 404)
