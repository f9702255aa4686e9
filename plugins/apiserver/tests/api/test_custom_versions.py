"""Versions and schemas of custom resources: what was stored under one is shown and written by another."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.webhooks.errors import CallFailed

pytestmark = pytest.mark.anyio

OLD = "/apis/example.com/v1/namespaces/default/widgets"
NEW = "/apis/example.com/v2/namespaces/default/widgets"
SIZE = {"size": {"type": "integer"}}
WEBHOOK = {
    "strategy": "Webhook",
    "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://converter.example:9443/convert"}},
}


async def stored(api: Any, name: str = "w") -> bytes:
    entry = await api.store.get(f"/registry/example.com/widgets/default/{name}")
    value: bytes = entry.value
    return value


async def test_a_changed_schema_is_that_of_objects_that_were_there_before(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version(spec={**SIZE, "color": {"type": "string"}}))
    made = await api.create(OLD, custom.made("Widget", "w", spec={"size": 1, "color": "red"}))
    weight = {"weight": {"type": "integer", "default": 7}}
    await custom.redefine("widgets", "Widget", custom.version(spec={**SIZE, **weight}))
    found = (await api.get(f"{OLD}/w")).json
    assert found["spec"] == {"size": 1, "weight": 7}
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert b"red" in await stored(api)
    same = (await api.merge(f"{OLD}/w", {})).json
    assert same["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert b"red" not in await stored(api)
    again = (await api.merge(f"{OLD}/w", {})).json
    assert again["metadata"]["resourceVersion"] == same["metadata"]["resourceVersion"]


async def test_an_object_is_made_what_its_schema_has_it_be_once(api: Any, custom: Any, monkeypatch: Any) -> None:
    from hyperkube_apiserver.crd.schema import CustomSchema

    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))
    await custom.redefine(
        "widgets", "Widget", custom.version(spec={**SIZE, "more": {"type": "string", "default": "x"}})
    )
    restored = []
    restore = CustomSchema.restore

    def counted(self: Any, tree: Any) -> None:
        restored.append(tree["metadata"]["name"])
        restore(self, tree)

    monkeypatch.setattr(CustomSchema, "restore", counted)
    for _ in range(3):
        assert (await api.get(f"{OLD}/w")).json["spec"] == {"size": 1, "more": "x"}
        assert len((await api.get(OLD)).json["items"]) == 1
    assert restored == ["w"]


async def test_versions_without_conversion_differ_in_name_and_schema(api: Any, custom: Any) -> None:
    versions = (
        custom.version("v1", stored=False, spec={**SIZE, "old": {"type": "string"}}),
        custom.version("v2", spec={**SIZE, "new": {"type": "string", "default": "n"}, "old": {"type": "string"}}),
        {**custom.version("v3", stored=False), "served": False},
    )
    await custom.define("widgets", "Widget", *versions)
    made = await api.create(OLD, custom.made("Widget", "w", spec={"size": 1, "old": "o"}))
    assert (made["apiVersion"], made["spec"]) == ("example.com/v1", {"size": 1, "old": "o"})
    found = (await api.get(f"{NEW}/w")).json
    assert (found["apiVersion"], found["spec"]) == ("example.com/v2", {"size": 1, "old": "o", "new": "n"})
    assert (await stored(api)).startswith(b'{"kind":"Widget","apiVersion":"example.com/v2"')
    assert (await api.get(f"{OLD}/w")).json["spec"] == {"size": 1, "old": "o"}
    assert (await api.get(NEW.replace("v2", "v3"))).body == b"404 page not found\n"
    groups = (await api.get("/apis/example.com")).json
    assert [one["version"] for one in groups["versions"]] == ["v2", "v1"]


async def test_a_write_moves_an_object_to_the_version_that_is_stored_now(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version("v1"), custom.version("v2", stored=False))
    await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))
    await custom.redefine("widgets", "Widget", custom.version("v1", stored=False), custom.version("v2"))
    status = (await api.get(f"{custom.PATH}/widgets.example.com")).json["status"]
    assert status["storedVersions"] == ["v1", "v2"]
    assert b'"apiVersion":"example.com/v1"' in await stored(api)
    before = (await api.get(f"{OLD}/w")).json["metadata"]["resourceVersion"]
    assert (await api.merge(f"{OLD}/w", {})).json["metadata"]["resourceVersion"] != before
    assert (await stored(api)).startswith(b'{"kind":"Widget","apiVersion":"example.com/v2"')


async def test_a_changed_definition_ends_its_watches(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    made = await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))
    revision = made["metadata"]["resourceVersion"]
    async with api.watch(f"{OLD}?watch=1&resourceVersion={revision}") as stream:
        await custom.redefine("widgets", "Widget", custom.version(spec={**SIZE, "more": {"type": "string"}}))
        assert await stream.next() is None
    await api.merge(f"{OLD}/w", {"spec": {"size": 2}})
    async with api.watch(f"{OLD}?watch=1&resourceVersion={revision}") as stream:
        assert (await stream.next())["object"]["spec"] == {"size": 2}


async def test_a_deprecated_version_is_warned_of(api: Any, custom: Any) -> None:
    deprecated = custom.version("v1", stored=False, deprecated=True)
    await custom.define("widgets", "Widget", deprecated, custom.version("v2"))
    assert (await api.get(OLD)).warnings == ['299 - "example.com/v1 Widget is deprecated; use example.com/v2 Widget"']
    assert (await api.get(NEW)).warnings == []


class Converter:
    """Stands for the webhook: v1 has `size`, v2 `length`."""

    def __init__(self) -> None:
        self.reviews: list[Any] = []
        self.spoil: Any = lambda review: None

    async def call(self, client_config: Any, review: Any, timeout_seconds: float) -> Any:
        self.reviews.append(review)
        request = review["request"]
        objects = [self._converted(one, request["desiredAPIVersion"]) for one in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
        answer = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        self.spoil(answer)
        return answer

    def close(self) -> None:
        """There is no connection."""

    def _converted(self, tree: Any, version: str) -> Any:
        spec = dict(tree.get("spec") or {})
        before, after = ("size", "length") if version.endswith("v2") else ("length", "size")
        if before in spec:
            spec[after] = spec.pop(before)
        return {**tree, "apiVersion": version, "spec": spec}


@pytest.fixture
async def converter(api: Any, custom: Any) -> Converter:
    """The webhook of widgets, which are stored as v1."""
    made = Converter()
    api.api.cluster.__dict__["webhooks"] = made
    length = custom.version("v2", stored=False, spec={"length": {"type": "integer"}})
    await custom.define("widgets", "Widget", custom.version("v1", spec=SIZE), length, conversion=WEBHOOK)
    return made


async def test_a_webhook_converts_what_is_read_once(api: Any, custom: Any, converter: Converter) -> None:
    for number in range(3):
        await api.create(OLD, custom.made("Widget", f"w{number}", spec={"size": number}))
    assert not converter.reviews
    for _ in range(2):
        found = (await api.get(NEW)).json
        assert [(one["apiVersion"], one["spec"]) for one in found["items"]] == [
            ("example.com/v2", {"length": number}) for number in range(3)
        ]
        assert (await api.get(f"{NEW}/w1")).json["spec"] == {"length": 1}
    (review,) = converter.reviews
    assert (review["apiVersion"], review["request"]["desiredAPIVersion"]) == (
        "apiextensions.k8s.io/v1",
        "example.com/v2",
    )
    assert [one["metadata"]["name"] for one in review["request"]["objects"]] == ["w0", "w1", "w2"]


async def test_a_webhook_converts_what_is_written(api: Any, custom: Any, converter: Converter) -> None:
    made = await api.create(NEW, custom.made("Widget", "w", "v2", spec={"length": 3}))
    assert (made["apiVersion"], made["spec"]) == ("example.com/v2", {"length": 3})
    assert b'"size":3' in await stored(api)
    changed = (await api.merge(f"{NEW}/w", {"spec": {"length": 4}})).json
    assert (changed["spec"], changed["metadata"]["generation"]) == ({"length": 4}, 2)
    same = (await api.merge(f"{NEW}/w", {"spec": {"length": 4}})).json
    assert same["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]
    assert (await api.get(f"{OLD}/w")).json["spec"] == {"size": 4}
    assert (await api.delete(f"{NEW}/w")).status == 200


@pytest.fixture
async def selectable(api: Any, custom: Any) -> Converter:
    """Widgets that are selected by fields which stand elsewhere in each version; they are stored as v1."""
    made = Converter()
    api.api.cluster.__dict__["webhooks"] = made
    old = custom.version("v1", spec=SIZE, selectableFields=[{"jsonPath": ".spec.size"}])
    length = {"length": {"type": "integer"}}
    new = custom.version("v2", stored=False, spec=length, selectableFields=[{"jsonPath": ".spec.length"}])
    await custom.define("widgets", "Widget", old, new, conversion=WEBHOOK)
    return made


async def test_an_object_is_selected_by_the_version_that_is_asked_for(
    api: Any, custom: Any, selectable: Converter
) -> None:
    for length in (3, 4, 3):
        await api.create(
            NEW, custom.made("Widget", f"w{length}-{len(selectable.reviews)}", "v2", spec={"length": length})
        )
    for path in (f"{OLD}?fieldSelector=spec.size%3D3", f"{NEW}?fieldSelector=spec.length%3D3"):
        for query in ("", "&limit=1", "&resourceVersion=0"):
            found = (await api.get(path + query)).json
            spec = {"length": 3} if path.startswith(NEW) else {"size": 3}
            assert [one["spec"] for one in found["items"]] == [spec] * (1 if "limit=1" in query else 2)
    reviews = len(selectable.reviews)
    assert (await api.get(f"{NEW}?fieldSelector=spec.length%3D4")).json["items"][0]["spec"] == {"length": 4}
    assert len(selectable.reviews) == reviews
    refused = await api.get(f"{NEW}?fieldSelector=spec.size%3D3")
    assert (refused.status, refused.json["message"]) == (400, "field label not supported: spec.size")
    await api.delete(f"{NEW}?fieldSelector=spec.length%3D3")
    assert [one["spec"] for one in (await api.get(OLD)).json["items"]] == [{"size": 4}]


async def test_a_watch_selects_by_the_version_that_is_asked_for(api: Any, custom: Any, selectable: Converter) -> None:
    await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))
    await api.create(OLD, custom.made("Widget", "x", spec={"size": 2}))
    async with api.watch(f"{NEW}?watch=1&fieldSelector=spec.length%3D2") as stream:
        assert (await stream.next())["object"]["metadata"]["name"] == "x"
        await api.merge(f"{OLD}/w", {"spec": {"size": 3}})
        await api.merge(f"{OLD}/w", {"spec": {"size": 2}})
        await api.merge(f"{OLD}/x", {"spec": {"size": 5}})
        events = [await stream.next() for _ in range(2)]
        assert [(one["type"], one["object"]["spec"]) for one in events] == [
            ("ADDED", {"length": 2}),
            ("DELETED", {"length": 2}),
        ]


async def test_a_watch_waits_for_the_webhook_and_keeps_the_order(api: Any, custom: Any, converter: Converter) -> None:
    await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))
    async with api.watch(f"{NEW}?watch=1") as stream:
        assert (await stream.next())["object"]["spec"] == {"length": 1}
        await api.merge(f"{OLD}/w", {"spec": {"size": 2}})
        await api.create(OLD, custom.made("Widget", "x", spec={"size": 3}))
        await api.delete(f"{OLD}/w")
        events = [await stream.next() for _ in range(3)]
        assert [(one["type"], one["object"]["spec"]) for one in events] == [
            ("MODIFIED", {"length": 2}),
            ("ADDED", {"length": 3}),
            ("DELETED", {"length": 2}),
        ]


async def test_a_field_keeps_its_owner_in_the_version_it_was_written_in(
    api: Any, custom: Any, converter: Converter
) -> None:
    def apply(path: str, version: str, manager: str, query: str = "", **spec: Any) -> Any:
        body = custom.made("Widget", "w", version, spec=spec)
        kind = "application/apply-patch+yaml"
        return api.call("PATCH", f"{path}/w?fieldManager={manager}{query}", body, content_type=kind)

    assert (await apply(OLD, "v1", "one", size=1)).status == 201
    conflict = await apply(NEW, "v2", "two", length=2)
    assert [(one["field"], one["message"]) for one in conflict.json["details"]["causes"]] == [
        (".spec.size", 'conflict with "one"')
    ]
    taken = await apply(NEW, "v2", "two", "&force=true", length=2)
    owners = {one["manager"]: one["fieldsV1"] for one in taken.json["metadata"]["managedFields"]}
    assert owners == {"two": {"f:spec": {"f:length": {}}}}
    again = await apply(OLD, "v1", "one", size=2)
    owners = {one["manager"]: one["fieldsV1"] for one in again.json["metadata"]["managedFields"]}
    assert owners == {"one": {"f:spec": {"f:size": {}}}, "two": {"f:spec": {"f:length": {}}}}


async def test_owners_are_forgotten_where_the_webhook_fails(api: Any, custom: Any, converter: Converter) -> None:
    await api.create(f"{NEW}?fieldManager=new", custom.made("Widget", "w", "v2", spec={"length": 1}))
    converter.spoil = lambda answer: answer.pop("response")
    changed = await api.merge(f"{OLD}/w?fieldManager=old", {"spec": {"size": 2}})
    assert "managedFields" not in changed.json["metadata"]


async def test_what_can_not_be_told_from_owners_in_another_version_is_not_applied(
    api: Any, custom: Any, converter: Converter
) -> None:
    await api.create(f"{NEW}?fieldManager=new", custom.made("Widget", "w", "v2", spec={"length": 1}))
    body, kind = custom.made("Widget", "w", spec={"size": 2}), "application/apply-patch+yaml"
    converter.spoil = lambda answer: answer.pop("response")
    failed = await api.call("PATCH", f"{OLD}/w?fieldManager=old", body, content_type=kind)
    assert (failed.status, failed.json["message"].split(" failed: ")[1]) == (500, "no response provided")
    converter.spoil = lambda answer: None
    applied = await api.call("PATCH", f"{OLD}/w?fieldManager=old&force=true", body, content_type=kind)
    assert [one["manager"] for one in applied.json["metadata"]["managedFields"]] == ["old", "new"]


def spoil(**changes: Any) -> Any:
    """What changes the one object of an answer."""

    def change(answer: Any) -> None:
        (one,) = answer["response"]["convertedObjects"]
        for field, value in changes.items():
            if field in ("name", "namespace", "uid", "labels"):
                one["metadata"] = {**one["metadata"], field: value}
            else:
                one[field] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda answer: answer["response"].update(convertedObjects=[]), "{0} returned 0 objects, expected 1"),
        (lambda answer: answer["response"].update(uid="x"), '{0} failed: expected response.uid="{1}", got "x"'),
        (lambda answer: answer.pop("response"), "{0} failed: no response provided"),
        (
            lambda answer: answer["response"].update(result={"status": "Failure", "message": "not today"}),
            "{0} failed: not today",
        ),
        (
            lambda answer: answer["response"].update(result={}),
            "{0} failed: response.result.status was '', not 'Success'",
        ),
        (spoil(name="other"), "{0} returned invalid object: must have the same name: w != other"),
        (spoil(uid="u"), "{0} returned invalid object: must have the same UID: {2} != u"),
        (
            spoil(apiVersion="example.com/v1"),
            "{0} returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received "
            "example.com/v1)",
        ),
        (
            spoil(kind="Gadget"),
            "{0} returned invalid object at index 0: invalid kind (expected Widget, received Gadget)",
        ),
        (spoil(metadata={"name": "w"}), "{0} returned invalid object: must have the same namespace: default != "),
        (
            spoil(labels={"x": 5}),
            "{0} returned invalid metadata: metadata.labels[x] must be a string, but is int64 in converted object",
        ),
        (
            spoil(labels={"x": "-"}),
            '{0} returned invalid metadata: metadata.labels: Invalid value: "-": a valid label must be an empty string '
            "or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        (lambda answer: answer["response"].update(convertedObjects=[None]), "unexpected end of JSON input"),
        (
            lambda answer: answer["response"].update(convertedObjects=["x"]),
            "json: cannot unmarshal string into Go value of type map[string]interface {{}}",
        ),
    ],
)
async def test_an_answer_that_is_wrong_is_refused(
    api: Any, custom: Any, converter: Converter, change: Any, message: str
) -> None:
    made = await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))
    converter.spoil = change
    reply = await api.get(f"{NEW}/w")
    uid = converter.reviews[-1]["request"]["uid"]
    told = "conversion webhook for example.com/v1, Kind=Widget"
    assert (reply.status, reply.json["message"]) == (500, message.format(told, uid, made["metadata"]["uid"]))
    assert (await api.get(f"{OLD}/w")).status == 200


async def test_labels_may_be_converted_and_other_metadata_not(api: Any, custom: Any, converter: Converter) -> None:
    await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))

    def label(answer: Any) -> None:
        (one,) = answer["response"]["convertedObjects"]
        one["metadata"] = {**one["metadata"], "labels": {"a": "b"}, "generation": 99, "finalizers": ["x/y"]}

    converter.spoil = label
    metadata = (await api.get(f"{NEW}/w")).json["metadata"]
    assert (metadata["labels"], metadata["generation"], "finalizers" in metadata) == ({"a": "b"}, 1, False)


async def test_a_webhook_that_is_not_reached_fails_the_request(
    api: Any, custom: Any, converter: Converter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.create(OLD, custom.made("Widget", "w", spec={"size": 1}))

    async def call(*sent: Any) -> Any:
        raise CallFailed('Post "https://converter.example:9443/convert?timeout=30s": refused')

    monkeypatch.setattr(converter, "call", call)
    reply = await api.get(f"{NEW}/w")
    assert (reply.status, reply.json["message"]) == (
        500,
        "conversion webhook for example.com/v1, Kind=Widget failed: "
        'Post "https://converter.example:9443/convert?timeout=30s": refused',
    )
