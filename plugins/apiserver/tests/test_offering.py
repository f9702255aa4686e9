"""What is offered changes while the server runs, and whoever looks sees all of a change or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_apiserver.call import Served
from hyperkube_apiserver.kinds import Kind, load_kinds
from hyperkube_apiserver.offering import Delegate, Offering, Place
from hyperkube_machinery.resources import Resource


def served(group: str, version: str, plural: str, *, stored: str = "") -> Served:
    resource = Resource(
        group=group, version=version, resource=plural, kind=plural.title(), singular="", namespaced=True, verbs=("get",)
    )
    stored_as = (group, stored, plural) if stored and stored != version else None
    kind = Kind(resource=resource, definition="", list_kind="", storage_prefix="/registry/x", stored_as=stored_as)
    return Served(kind, None, None)  # type: ignore[arg-type]


@dataclass
class Elsewhere:
    """A server that answers for a group version."""

    place: Place = field(default_factory=Place)

    def resources(self) -> Sequence[Any] | None:
        return []

    def described(self) -> None:
        return None

    async def answer(self, call: Any) -> Any:
        raise NotImplementedError


def offering() -> Offering:
    return Offering({key: kind for key, kind in load_kinds().items() if key[0] in ("", "apps")})


def names(offering: Offering) -> list[tuple[str, list[str]]]:
    return [(group.name, [one.version for one in group.versions]) for group in offering.groups()]


def test_views_follow_what_is_offered_and_observers_are_told() -> None:
    it, seen = offering(), list[int]()
    kinds, before = it.kinds, len(it.kinds)
    it.observe(lambda: seen.append(len(kinds)))
    it.put("one", [served("g", "v1", "as"), served("g", "v1", "bs")])
    assert (len(kinds), it.has_group("g"), it.has_group_version("g", "v1")) == (before + 2, True, True)
    it.put("one", [served("g", "v2", "as")])
    assert (("g", "v1", "as") in kinds, ("g", "v2", "as") in kinds, it.has_group_version("g", "v1")) == (
        False,
        True,
        False,
    )
    it.withdraw("one")
    it.withdraw("one")
    assert (len(kinds), it.has_group("g"), seen) == (before, False, [before + 2, before + 1, before])


def test_the_stored_version_stands_for_a_resource() -> None:
    it = offering()
    old, new = served("g", "v1", "as", stored="v2"), served("g", "v2", "as", stored="v2")
    it.put("one", [old, new])
    assert it.stored("g", "as") is new
    it.put("one", [old])
    assert it.stored("g", "as") is old
    it.withdraw("one")
    assert it.stored("g", "as") is None


def test_who_was_first_keeps_a_resource() -> None:
    it = offering()
    it.put("one", [served("apps", "v1", "deployments")])
    assert ("apps", "v1", "deployments") not in it.served
    first, second = served("g", "v1", "as"), served("g", "v1", "as")
    it.put("one", [first])
    it.put("two", [second])
    it.withdraw("two")
    assert it.served["g", "v1", "as"] is first


def test_groups_stand_by_their_priority_behind_those_that_are_built_in() -> None:
    it = offering()
    it.put("one", [served("b.x", "v1beta1", "as"), served("b.x", "v1", "zs"), served("b.x", "v1", "as")])
    it.put("two", [served("a.x", "v1", "as")])
    it.delegate_to("c.x", "v1", Elsewhere(Place(2000, 10)))
    it.delegate_to("b.x", "v3", Elsewhere(Place(900, 200)))
    assert names(it)[1:] == [("apps", ["v1"]), ("c.x", ["v1"]), ("a.x", ["v1"]), ("b.x", ["v3", "v1", "v1beta1"])]
    (version,) = [one for group in it.groups() if group.name == "b.x" for one in group.versions if one.version == "v1"]
    assert [kind.resource.resource for kind in version.kinds] == ["as", "zs"]


def test_a_delegate_comes_and_goes() -> None:
    it = offering()
    one: Delegate = Elsewhere()
    it.delegate_to("g", "v1", one)
    assert (it.delegate("g", "v1"), it.has_group("g"), it.is_built_in("g")) == (one, True, False)
    before = it.generation
    it.delegate_to("g", "v1", None)
    it.delegate_to("g", "v1", None)
    assert (it.delegate("g", "v1"), it.has_group("g"), it.generation) == (None, False, before + 1)
