"""Numbers in custom resources: 2.0 is a fraction until it is stored, as 2."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PATH = "/apis/example.com/v1/namespaces/default/sums"
ANY = {"x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture
async def sums(api: Any, custom: Any) -> Any:
    spec = {"n": {"type": "number"}, "any": ANY, "d": {"type": "number", "default": 3.0}}
    await custom.define("sums", "Sum", custom.version(spec=spec))
    return api


async def test_a_fraction_is_stored_as_an_integer(sums: Any, custom: Any) -> None:
    made = await sums.call("POST", PATH, custom.made("Sum", "s", spec={"n": 2.0, "any": [1e3, 1.5]}))
    assert b'"spec":{"n":2,"any":[1000,1.5],"d":3}' in made.body
    assert (await sums.get(f"{PATH}/s")).body == made.body
    patched = await sums.merge(f"{PATH}/s", {"spec": {"n": 4.0}})
    assert b'"n":4,' in patched.body or b'"n":4}' in patched.body


async def test_a_fraction_in_the_place_of_an_integer_is_a_change(sums: Any, custom: Any) -> None:
    await sums.create(PATH, custom.made("Sum", "s", spec={"n": 2}))
    changed = (await sums.merge(f"{PATH}/s", {"spec": {"n": 2.0}})).json
    assert changed["metadata"]["generation"] == 2
    again = (await sums.merge(f"{PATH}/s", {"spec": {"n": 2}})).json
    assert again["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


async def test_true_is_not_one(sums: Any, custom: Any) -> None:
    await sums.create(PATH, custom.made("Sum", "s", spec={"any": 1}))
    changed = (await sums.merge(f"{PATH}/s", {"spec": {"any": True}})).json
    assert (changed["spec"]["any"], changed["metadata"]["generation"]) == (True, 2)


async def test_a_patch_with_a_number_that_nothing_holds_is_refused(sums: Any, custom: Any) -> None:
    await sums.create(PATH, custom.made("Sum", "s"))
    reply = await sums.call(
        "PATCH", f"{PATH}/s", b'{"spec":{"any":1e400}}', content_type="application/merge-patch+json"
    )
    told = "error decoding patch: json: cannot unmarshal number 1e400 into Go value of type float64"
    assert (reply.status, reply.json["message"]) == (400, told)
