"""Whose objects are, and what they are made from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_controller_manager.claims import claims_of
from hyperkube_controller_manager.podcontrol import Outcome, in_slow_start, together
from hyperkube_controller_manager.templates import alike, name_prefix, pod_from, template_hash
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio


def obj(owner: str = "", *, fits: bool = True, deleted: bool = False) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": "x", "labels": {"app": "web" if fits else "other"}}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    if deleted:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": meta}


@pytest.mark.parametrize(
    ("found", "going", "expected"),
    [
        (obj("me"), False, "owned"),
        (obj("me"), True, "owned"),
        (obj("me", deleted=True), False, "owned"),
        (obj("me", fits=False), False, "release"),
        (obj("me", fits=False), True, ""),
        (obj("another"), False, ""),
        (obj(), False, "adopt"),
        (obj(), True, ""),
        (obj(deleted=True), False, ""),
        (obj(fits=False), False, ""),
    ],
)
def test_what_fits_is_adopted_and_what_no_longer_does_is_released(found: Any, going: bool, expected: str) -> None:
    owner: dict[str, Any] = {"metadata": {"uid": "me"}}
    if going:
        owner["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    claims = claims_of(owner, lambda labels: labels.get("app") == "web", [found])
    sorted_into = {"owned": claims.owned, "adopt": claims.adopt, "release": claims.release}
    assert [name for name, objects in sorted_into.items() if objects] == ([expected] if expected else [])


TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


def test_templates_are_alike_whatever_is_empty_in_them() -> None:
    other: dict[str, Any] = {
        "metadata": {"labels": {"app": "web"}, "annotations": {}, "creationTimestamp": None},
        "spec": {"containers": [{"name": "c", "image": "i", "args": []}], "nodeSelector": {}},
    }
    assert alike(TEMPLATE, other)
    assert template_hash(TEMPLATE) == template_hash(other)
    assert not alike(TEMPLATE, {**other, "spec": {**other["spec"], "volumes": [{"name": "v", "emptyDir": {}}]}})


def test_a_label_may_be_left_out_of_account() -> None:
    hashed = {**TEMPLATE, "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}}}
    assert alike(TEMPLATE, hashed, ignoring="pod-template-hash")
    assert not alike(TEMPLATE, hashed)


def test_an_empty_volume_source_says_something() -> None:
    plain = {"spec": {"volumes": [{"name": "v"}]}}
    assert not alike(plain, {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}})


def test_a_collision_gives_another_hash_in_letters_that_suit_names() -> None:
    hashes = {template_hash(TEMPLATE), *(template_hash(TEMPLATE, count) for count in range(5))}
    assert len(hashes) == 6
    assert all(set(one) <= set("bcdfghjklmnpqrstvwxz2456789") for one in hashes)


def test_a_pod_has_what_its_template_says_and_nothing_of_it_is_shared() -> None:
    template: dict[str, Any] = {
        "metadata": {"labels": {"a": "b"}, "finalizers": ["f"], "name": "ignored"},
        "spec": {"volumes": []},
    }
    made = pod_from(template, {"metadata": {"name": "web"}}, {"uid": "me"})
    assert made["metadata"] == {
        "generateName": "web-",
        "ownerReferences": [{"uid": "me"}],
        "labels": {"a": "b"},
        "finalizers": ["f"],
    }
    made["spec"]["volumes"].append("x")
    assert template["spec"]["volumes"] == []


def test_pods_are_called_after_their_owner() -> None:
    assert name_prefix("web") == "web-"
    assert name_prefix("w" * 260) == "w" * 260  # with a dash it would be no name; nor is it without


async def test_requests_start_slowly_and_stop_at_the_first_failure() -> None:
    batches: list[int] = []
    running = 0

    async def request(index: int) -> None:
        nonlocal running
        running += 1
        await asyncio.sleep(0)
        if running:
            batches.append(running)
            running = 0
        if index == 5:
            raise APIError.bad_request("no")

    outcome = await in_slow_start(100, request)
    assert batches == [1, 2, 4]
    assert outcome.successes == 6
    with pytest.raises(APIError, match="no"):
        outcome.check()


async def test_all_requests_are_made_if_none_fails() -> None:
    seen: list[int] = []

    async def request(index: int) -> None:
        seen.append(index)

    assert await in_slow_start(11, request) == Outcome(11)
    assert seen == list(range(11))
    assert await in_slow_start(0, request) == Outcome(0)


async def test_a_fault_of_the_program_is_no_failure_of_a_request() -> None:
    async def broken(item: str) -> None:
        raise KeyError(item)

    with pytest.raises(KeyError, match="spec"):
        await together(broken, ["spec"])


async def test_requests_are_not_all_made_at_once() -> None:
    running = most = 0

    async def request(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    assert await together(request, range(100)) == Outcome(100)
    assert most == 16
