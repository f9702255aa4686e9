"""One object in two versions: read, watched, selected, shown and written in either, and stored in one."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery import encoding

pytestmark = pytest.mark.anyio

V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
CORE = "/api/v1/namespaces/default/events"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
METRICS = "autoscaling.alpha.kubernetes.io/metrics"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def autoscaler(**spec: Any) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {"metadata": {"name": "a"}, "spec": {"scaleTargetRef": target, "maxReplicas": 5, **spec}}


def memory() -> dict[str, Any]:
    return {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
    }


def event(name: str, **said: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "eventTime": "2026-01-01T00:00:00.000001Z",
        "reportingController": "ex.com/c",
        "reportingInstance": "i",
        "action": "Do",
        "reason": "R",
        "type": "Normal",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        **said,
    }


async def test_an_object_has_one_resource_version_in_all_its_versions(api: Any) -> None:
    made = await api.create(V1, autoscaler(targetCPUUtilizationPercentage=50))
    assert made["apiVersion"] == "autoscaling/v1"
    other = (await api.get(f"{V2}/a")).json
    assert other["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    target = {"type": "Utilization", "averageUtilization": 50}
    assert other["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    assert (await api.get(f"{V1}/a")).json == made


async def test_what_is_read_in_another_version_is_encoded_once(api: Any) -> None:
    await api.create(V2, autoscaler(metrics=[memory()]))
    before = encoding.calls()
    first = (await api.get(f"{V1}/a")).body
    once = encoding.calls() - before
    for _ in range(3):
        assert (await api.get(f"{V1}/a")).body == first
        assert len((await api.get(V1)).json["items"]) == 1
    assert encoding.calls() - before == once


async def test_a_watch_tells_in_its_version_what_was_written_in_another(api: Any) -> None:
    async with api.watch(f"{V1}?watch=true") as old, api.watch(f"{V2}?watch=true") as new:
        made = await api.create(V2, autoscaler(metrics=[memory()]))
        seen, known = await old.next(), await new.next()
        assert seen["object"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert seen["object"]["apiVersion"] == "autoscaling/v1"
        assert METRICS in seen["object"]["metadata"]["annotations"]
        assert known["object"] == made
        await api.delete(f"{V1}/a")
        gone = await old.next()
        assert (gone["type"], gone["object"]["apiVersion"]) == ("DELETED", "autoscaling/v1")


async def test_an_event_of_a_watch_is_framed_once_for_all_of_a_version(api: Any) -> None:
    async with api.watch(f"{V1}?watch=true") as one, api.watch(f"{V1}?watch=true") as other:
        await api.create(V2, autoscaler())
        await one.next()
        await other.next()
        assert one.frames[-1] is other.frames[-1]


async def test_initial_events_end_in_the_version_of_the_watch(api: Any) -> None:
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with api.watch(f"{V1}?{query}") as stream:
        bookmark = await stream.next()
        assert (bookmark["type"], bookmark["object"]["apiVersion"]) == ("BOOKMARK", "autoscaling/v1")
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_patch_is_applied_to_the_object_in_the_version_of_the_request(api: Any) -> None:
    await api.create(V2, autoscaler(metrics=[memory()]))
    reply = await api.merge(f"{V1}/a", {"spec": {"targetCPUUtilizationPercentage": 30}})
    assert reply.status == 200, reply.body
    stored = (await api.get(f"{V2}/a")).json
    assert [one["resource"]["name"] for one in stored["spec"]["metrics"]] == ["memory", "cpu"]
    assert METRICS not in stored["metadata"].get("annotations", {})
    again = await api.merge(f"{V1}/a", {"spec": {"targetCPUUtilizationPercentage": 30}})
    assert again.json["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


async def test_refusals_name_the_fields_of_the_stored_version(api: Any) -> None:
    reply = await api.call("POST", V1, autoscaler(targetCPUUtilizationPercentage=0))
    assert reply.status == 422
    causes = [cause["field"] for cause in reply.json["details"]["causes"]]
    assert causes == ["spec.metrics[0].resource.target.averageUtilization"]


async def test_each_version_selects_by_names_of_its_own(api: Any) -> None:
    await api.create(EVENTS, event("one"))
    await api.create(EVENTS, event("two", regarding={"kind": "Node", "name": "n"}))
    for path, field in ((EVENTS, "regarding.kind"), (CORE, "involvedObject.kind")):
        reply = await api.get(f"{path}?fieldSelector={field}%3DPod")
        assert [one["metadata"]["name"] for one in reply.json["items"]] == ["one"]
    for path, field in ((CORE, "regarding.kind"), (EVENTS, "involvedObject.kind")):
        reply = await api.get(f"{path}?fieldSelector={field}%3DPod")
        assert (reply.status, reply.json["message"]) == (400, f"field label not supported: {field}")


async def test_the_rules_of_events_are_those_of_the_group_they_are_written_through(api: Any) -> None:
    await api.create(EVENTS, event("one", note="first"))
    reply = await api.merge(f"{EVENTS}/one", {"note": "second"})
    assert reply.status == 422
    assert [cause["field"] for cause in reply.json["details"]["causes"]] == ["message"]
    reply = await api.merge(f"{CORE}/one", {"message": "second"})
    assert reply.status == 200
    assert (await api.get(f"{EVENTS}/one")).json["note"] == "second"
    reply = await api.call("PUT", f"{EVENTS}/three", event("three"))
    assert (reply.status, reply.json["apiVersion"]) == (201, "events.k8s.io/v1")


async def test_tables_and_metadata_are_made_of_what_is_stored(api: Any) -> None:
    await api.create(V2, autoscaler(metrics=[memory()]))
    table = (await api.get(f"{V1}?includeObject=Object", accept=TABLE)).json
    assert table["rows"][0]["cells"][:4] == ["a", "Deployment/d", "memory: <unknown>/1Gi", "1"]
    assert table["rows"][0]["object"]["apiVersion"] == "autoscaling/v1"
    assert METRICS in table["rows"][0]["object"]["metadata"]["annotations"]
    partial = (await api.get(f"{V1}/a", accept=METADATA)).json
    assert "annotations" not in partial["metadata"]


async def test_deleting_a_collection_tells_of_it_in_the_version_of_the_request(api: Any) -> None:
    await api.create(V2, autoscaler(metrics=[memory()]))
    reply = await api.delete(V1)
    assert (reply.json["apiVersion"], len(reply.json["items"])) == ("autoscaling/v1", 1)
    assert (await api.get(V2)).json["items"] == []


async def test_fields_are_owned_in_the_version_in_which_they_were_written(api: Any) -> None:
    made = await api.create(V1, autoscaler(targetCPUUtilizationPercentage=50))
    (entry,) = made["metadata"]["managedFields"]
    assert entry["apiVersion"] == "autoscaling/v1"
    assert "f:targetCPUUtilizationPercentage" in entry["fieldsV1"]["f:spec"]
    reply = await api.merge(f"{V2}/a?fieldManager=other", {"spec": {"maxReplicas": 7}})
    entries = {one["manager"]: one for one in reply.json["metadata"]["managedFields"]}
    assert entries["other"]["apiVersion"] == "autoscaling/v2"
    assert entries["other"]["fieldsV1"] == {"f:spec": {"f:maxReplicas": {}}}


async def test_what_is_applied_in_one_version_is_taken_back_in_it(api: Any) -> None:
    def applied(path: str, version: str, **spec: Any) -> Any:
        config = {"apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler", **autoscaler(**spec)}
        return api.call("PATCH", f"{path}/a?fieldManager=me", config, content_type="application/apply-patch+yaml")

    reply = await applied(V1, "v1", targetCPUUtilizationPercentage=50, minReplicas=2)
    assert reply.status == 201, reply.body
    assert reply.json["spec"]["minReplicas"] == 2
    again = await applied(V1, "v1", targetCPUUtilizationPercentage=50)
    assert again.status == 200, again.body
    assert again.json["spec"]["minReplicas"] == 1
    assert (await api.get(f"{V2}/a")).json["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
