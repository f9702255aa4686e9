"""Custom resources, served as built-in ones are, and refused in the words of upstream's handler."""

from __future__ import annotations

import threading
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

SPEC = {"size": {"type": "integer"}, "color": {"type": "string"}}
SCALE = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.wanted"}
BOTH = {"subresources": {"status": {}, "scale": SCALE}}
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def widgets(api: Any, custom: Any) -> Any:
    """An API with widgets, which have a status and a scale."""
    await custom.define(
        "widgets", "Widget", custom.version(spec=SPEC, **BOTH), names={"shortNames": ["wd"], "categories": ["all"]}
    )
    return api


async def test_an_object_is_pruned_kept_and_found(widgets: Any, custom: Any) -> None:
    reply = await widgets.call("POST", WIDGETS, custom.made("Widget", "w", spec={"size": 3, "huge": True}))
    assert reply.status == 201
    assert reply.warnings == ['299 - "unknown field \\"spec.huge\\""']
    found = (await widgets.get(f"{WIDGETS}/w")).json
    assert found == reply.json
    assert (found["spec"], found["metadata"]["generation"]) == ({"size": 3}, 1)
    listed = (await widgets.get(WIDGETS)).json
    assert (listed["kind"], listed["items"], listed["metadata"]["continue"]) == ("WidgetList", [found], "")


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", f"{WIDGETS}/none", 404, 'widgets.example.com "none" not found'),
        ("GET", f"{WIDGETS}/w/log", 404, 'widgets.example.com "w" not found'),
        ("GET", "/apis/example.com/v1/widgets/w", 404, None),
        ("GET", "/apis/example.com/v2/namespaces/default/widgets", 404, None),
        ("GET", "/apis/example.com/v1/namespaces/default/gadgets", 404, None),
        ("DELETE", "/apis/example.com/v1/widgets", 404, None),
        ("PUT", WIDGETS, 400, "name must be provided"),
        ("DELETE", f"{WIDGETS}/w/status", 405, 'delete is not supported on resources of kind "widgets.example.com"'),
    ],
)
async def test_what_is_not_there_is_refused_as_upstream_does(
    widgets: Any, method: str, path: str, status: int, message: str | None
) -> None:
    reply = await widgets.call(method, path)
    assert reply.status == status
    if message is None:
        assert reply.body == b"404 page not found\n"
    else:
        assert reply.json["message"] == message


async def test_a_strategic_merge_patch_is_no_patch_of_a_custom_resource(widgets: Any, custom: Any) -> None:
    await widgets.create(WIDGETS, custom.made("Widget", "w"))
    kind = "application/strategic-merge-patch+json"
    reply = await widgets.call("PATCH", f"{WIDGETS}/w", {}, content_type=kind)
    assert (reply.status, reply.json["message"]) == (
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    )


async def test_object_and_status_are_written_apart(widgets: Any, custom: Any) -> None:
    await widgets.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}, status={"size": 9}))
    path = f"{WIDGETS}/w"
    assert "status" not in (await widgets.get(path)).json
    told = (await widgets.merge(f"{path}/status", {"status": {"size": 1}, "spec": {"size": 7}})).json
    assert (told["status"], told["spec"], told["metadata"]["generation"]) == ({"size": 1}, {"size": 1}, 1)
    changed = (await widgets.merge(path, {"status": {"size": 5}, "spec": {"size": 2}})).json
    assert (changed["status"], changed["spec"], changed["metadata"]["generation"]) == ({"size": 1}, {"size": 2}, 2)
    labelled = (await widgets.merge(path, {"metadata": {"labels": {"a": "b"}}})).json
    assert labelled["metadata"]["generation"] == 2


async def test_without_a_subresource_the_status_is_a_field_as_any_other(api: Any, custom: Any) -> None:
    await custom.define("plains", "Plain", custom.version(spec=SPEC))
    path = WIDGETS.replace("widgets", "plains")
    await api.create(path, custom.made("Plain", "p", status={"size": 1}))
    changed = (await api.merge(f"{path}/p", {"status": {"size": 2}})).json
    assert (changed["status"], changed["metadata"]["generation"]) == ({"size": 2}, 2)
    assert (await api.get(f"{path}/p/status")).status == 404


async def test_a_scale_is_read_off_the_paths_of_the_definition(widgets: Any, custom: Any) -> None:
    await widgets.create(WIDGETS, custom.made("Widget", "w", spec={"size": 3}))
    await widgets.merge(f"{WIDGETS}/w/status", {"status": {"size": 2, "wanted": "a=b"}})
    found = (await widgets.get(f"{WIDGETS}/w/scale")).json
    assert (found["kind"], found["spec"], found["status"]) == (
        "Scale",
        {"replicas": 3},
        {"replicas": 2, "selector": "a=b"},
    )
    scaled = (await widgets.merge(f"{WIDGETS}/w/scale?fieldManager=scaler", {"spec": {"replicas": 5}})).json
    assert scaled["spec"] == {"replicas": 5}
    now = (await widgets.get(f"{WIDGETS}/w")).json
    assert (now["spec"], now["metadata"]["generation"]) == ({"size": 5}, 2)
    owned = {one["manager"]: one for one in now["metadata"]["managedFields"]}["scaler"]
    assert (owned["fieldsV1"], owned["subresource"]) == ({"f:spec": {"f:size": {}}}, "scale")


async def test_what_has_no_replicas_has_no_scale(widgets: Any, custom: Any) -> None:
    await widgets.create(WIDGETS, custom.made("Widget", "w"))
    reply = await widgets.get(f"{WIDGETS}/w/scale")
    assert (reply.status, 'the spec replicas field ".spec.size" does not exist' in reply.json["message"]) == (500, True)
    reply = await widgets.merge(f"{WIDGETS}/w/scale", {"metadata": {}})
    assert (reply.status, reply.json["message"]) == (400, 'the spec replicas field ".spec.size" cannot be empty')
    reply = await widgets.merge(f"{WIDGETS}/w/scale", {"spec": {"replicas": -1}})
    assert reply.status == 422


async def test_appliers_own_what_they_applied(widgets: Any) -> None:
    def apply(manager: str, size: int) -> Any:
        body = f"apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: w}}\nspec: {{size: {size}}}\n".encode()
        path = f"{WIDGETS}/w?fieldManager={manager}"
        return widgets.call("PATCH", path, body, content_type="application/apply-patch+yaml")

    assert (await apply("one", 1)).status == 201
    conflict = await apply("two", 2)
    assert (conflict.status, conflict.json["details"]["causes"][0]["field"]) == (409, ".spec.size")
    assert (await apply("one", 3)).json["spec"] == {"size": 3}


async def test_updates_say_what_they_are_of(widgets: Any, custom: Any) -> None:
    found = await widgets.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    reply = await widgets.put(f"{WIDGETS}/w", custom.made("Widget", "w", spec={"size": 2}))
    assert (reply.status, reply.json["details"]["causes"][0]["message"]) == (
        422,
        "Invalid value: 0: must be specified for an update",
    )
    assert (await widgets.put(f"{WIDGETS}/new", custom.made("Widget", "new"))).status == 404
    assert (await widgets.put(f"{WIDGETS}/w", {**found, "spec": {"size": 2}})).json["spec"] == {"size": 2}
    assert (await widgets.put(f"{WIDGETS}/w", {**found, "spec": {"size": 3}})).status == 409


async def test_a_finalizer_without_a_domain_is_warned_of(widgets: Any, custom: Any) -> None:
    body = custom.made("Widget", "w")
    body["metadata"]["finalizers"] = ["mine"]
    reply = await widgets.call("POST", WIDGETS, body)
    assert [text for text in reply.warnings if "prefer a domain-qualified finalizer name" in text]
    assert (await widgets.delete(f"{WIDGETS}/w")).json["metadata"]["deletionTimestamp"]
    assert (await widgets.merge(f"{WIDGETS}/w", {"metadata": {"finalizers": None}})).status == 200
    assert (await widgets.get(f"{WIDGETS}/w")).status == 404


async def test_discovery_tells_of_a_definition_as_soon_as_it_is_served(widgets: Any, custom: Any) -> None:
    listed = (await widgets.get("/apis/example.com/v1")).json["resources"]
    assert [(one["name"], one["verbs"]) for one in listed] == [
        ("widgets", ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]),
        ("widgets/status", ["get", "patch", "update"]),
        ("widgets/scale", ["get", "patch", "update"]),
    ]
    assert (listed[0]["shortNames"], listed[0]["categories"], listed[2]["kind"]) == (["wd"], ["all"], "Scale")
    groups = (await widgets.get("/apis")).json["groups"]
    assert groups[-1]["preferredVersion"] == {"groupVersion": "example.com/v1", "version": "v1"}
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    before = await widgets.get("/apis", accept=accept)
    await custom.define("gadgets", "Gadget")
    after = await widgets.get("/apis", accept=accept)
    assert dict(before.headers)["ETag"] != dict(after.headers)["ETag"]
    (group,) = [one for one in after.json["items"] if one["metadata"].get("name") == "example.com"]
    assert [one["resource"] for one in group["versions"][0]["resources"]] == ["gadgets", "widgets"]


async def test_tables_show_the_columns_of_the_definition(api: Any, custom: Any) -> None:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    await custom.define("widgets", "Widget", custom.version(spec=SPEC, additionalPrinterColumns=columns))
    await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 3}))
    found = (await api.get(WIDGETS, accept=TABLE)).json
    assert [one["name"] for one in found["columnDefinitions"]] == ["Name", "Size"]
    assert [row["cells"] for row in found["rows"]] == [["w", 3]]
    assert (await api.get(f"{WIDGETS}/w", accept=TABLE)).json["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_what_can_not_be_shown_as_wanted_is_refused_by_the_handler(widgets: Any) -> None:
    reply = await widgets.get(WIDGETS, accept="text/html")
    accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    assert (reply.status, reply.json["message"]) == (406, f"only the following media types are accepted: {accepted}")
    assert (await widgets.get(WIDGETS, accept="application/yaml")).content_type == "application/yaml"


async def test_objects_are_selected_by_the_fields_that_the_definition_names(api: Any, custom: Any) -> None:
    fields = [{"jsonPath": ".spec.color"}]
    await custom.define("widgets", "Widget", custom.version(spec=SPEC, selectableFields=fields))
    for name, color in (("a", "red"), ("b", "blue")):
        await api.create(WIDGETS, custom.made("Widget", name, spec={"color": color}))
    found = (await api.get(f"{WIDGETS}?fieldSelector=spec.color%3Dred")).json
    assert [one["metadata"]["name"] for one in found["items"]] == ["a"]
    reply = await api.get(f"{WIDGETS}?fieldSelector=spec.size%3D1")
    assert (reply.status, reply.json["message"]) == (400, "field label not supported: spec.size")


async def test_watches_begin_and_go_on_as_those_of_built_in_kinds(widgets: Any, custom: Any) -> None:
    await widgets.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    async with widgets.watch(f"{WIDGETS}?{query}") as stream:
        added = await stream.next()
        assert (added["type"], added["object"]["spec"]) == ("ADDED", {"size": 1})
        mark = await stream.next()
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert mark["object"].keys() == {"kind", "apiVersion", "metadata"}
        await widgets.merge(f"{WIDGETS}/w", {"spec": {"size": 2}})
        changed = await stream.next()
        assert (changed["type"], changed["object"]["spec"]) == ("MODIFIED", {"size": 2})
        await widgets.delete(f"{WIDGETS}/w")
        gone = await stream.next()
        assert (gone["type"], gone["object"]["spec"]) == ("DELETED", {"size": 2})


async def test_a_large_schema_is_compiled_beside_the_event_loop(
    api: Any, custom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperkube_apiserver.crd import rules

    threads = []
    compile_rules = rules.compile_rules

    def noted(schema: Any) -> Any:
        threads.append(threading.current_thread())
        return compile_rules(schema)

    monkeypatch.setattr(rules, "compile_rules", noted)
    words = {f"field{number}": {"type": "string", "description": "words " * 200} for number in range(80)}
    words["field0"]["x-kubernetes-validations"] = [{"rule": "self != 'x'"}]  # type: ignore[assignment]
    await custom.define("widgets", "Widget", custom.version(spec={**SPEC, **words}))
    assert (await api.get(WIDGETS)).json["items"] == []
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    assert (await api.get(f"{WIDGETS}/w")).json["spec"] == {"size": 1}


async def test_cluster_wide_resources_are_in_no_namespace(api: Any, custom: Any) -> None:
    await custom.define("planets", "Planet", scope="Cluster")
    path = "/apis/example.com/v1/planets"
    await api.create(path, custom.made("Planet", "mars"))
    assert (await api.get(f"{path}/mars")).status == 200
    assert (await api.get("/apis/example.com/v1/namespaces/default/planets")).body == b"404 page not found\n"


async def test_who_may_not_read_is_told_so_of_the_resource(widgets: Any) -> None:
    reply = await widgets.get(WIDGETS, token="jane-token")
    assert (reply.status, reply.json["details"]["kind"]) == (403, "widgets")
