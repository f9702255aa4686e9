"""What is applied to custom resources, and what is read back; whose it is where types are open."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PATH = "/apis/example.com/v1/namespaces/default/things"
APPLY = "application/apply-patch+yaml"


@pytest.fixture
async def things(api: Any, custom: Any) -> Any:
    spec = {
        "text": {"type": "string"},
        "open": {"x-kubernetes-preserve-unknown-fields": True, "properties": {"known": {"type": "object"}}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object", "properties": {}}},
    }
    spec["set"]["items"]["x-kubernetes-map-type"] = "atomic"  # type: ignore[index]
    await custom.define("things", "Thing", custom.version(spec=spec))
    return api


async def apply(api: Any, body: Any, manager: str, force: str = "false") -> Any:
    path = f"{PATH}/t?fieldManager={manager}&force={force}"
    return await api.call("PATCH", path, body, content_type=APPLY)


def owned(tree: Any, manager: str, operation: str) -> Any:
    (found,) = (
        one["fieldsV1"]
        for one in tree["metadata"]["managedFields"]
        if (one["manager"], one["operation"]) == (manager, operation)
    )
    return found


@pytest.mark.parametrize("spec", [{"open": None}, {"open": {"known": {"x": 1}, "other": 1}}])
async def test_an_answer_is_what_is_read_back(things: Any, custom: Any, spec: Any) -> None:
    for _ in range(2):  # made, and applied to what is there
        answer = await apply(things, custom.made("Thing", "t", spec=spec), "a")
        assert answer.status in (200, 201)
        assert answer.json == (await things.get(f"{PATH}/t")).json
        assert answer.json["spec"] in ({}, {"open": {"known": {}, "other": 1}})


async def test_who_puts_true_in_the_place_of_one_owns_it(things: Any, custom: Any) -> None:
    await apply(things, custom.made("Thing", "t", spec={"open": 1}), "a")
    changed = (await things.merge(f"{PATH}/t?fieldManager=b", {"spec": {"open": True}})).json
    assert owned(changed, "b", "Update") == {"f:spec": {"f:open": {}}}


async def test_fields_in_the_place_of_null_are_no_conflict(things: Any, custom: Any) -> None:
    await things.create(f"{PATH}?fieldManager=a", custom.made("Thing", "t", spec={"open": {"x": None}}))
    applied = await apply(things, custom.made("Thing", "t", spec={"open": {"x": {"y": 1}}}), "b")
    assert applied.status == 200
    assert owned(applied.json, "b", "Apply") == {"f:spec": {"f:open": {"f:x": {".": {}, "f:y": {}}}}}


async def test_a_list_that_has_no_owners_is_told_with_its_place(things: Any, custom: Any) -> None:
    await things.create(PATH, custom.made("Thing", "t", spec={"set": [{}]}))
    refused = await apply(things, custom.made("Thing", "t", spec={"text": "a"}), "b")
    assert refused.status == 500
    assert ".spec.set: element 0: associative list without keys" in refused.json["message"]


async def test_a_status_that_was_not_taken_has_its_default_at_once(api: Any, custom: Any) -> None:
    version = custom.version(spec={}, subresources={"status": {}})
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    properties["status"] = {"type": "object", "default": {"phase": "New"}, "properties": {"phase": {"type": "string"}}}
    await custom.define("things", "Thing", version)
    made = await api.create(PATH, custom.made("Thing", "t", status={"phase": "Old"}))
    assert made["status"] == {"phase": "New"}
    assert made == (await api.get(f"{PATH}/t")).json
