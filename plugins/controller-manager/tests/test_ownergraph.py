"""The graph of owners: what each change calls for."""

from __future__ import annotations

from typing import Any

from hyperkube_controller_manager.ownergraph import Findings, Identity, OwnerGraph, Stranger


def identity(name: str, *, namespace: str = "default", kind: str = "ConfigMap", api_version: str = "v1") -> Identity:
    return Identity(api_version, kind, namespace, name, f"uid-{name}")


def ref(owner: Identity, *, blocks: bool = False, **changed: str) -> dict[str, Any]:
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "blockOwnerDeletion": blocks,
        **changed,
    }


def tree(*owners: dict[str, Any], deleted: bool = False, finalizers: tuple[str, ...] = ()) -> dict[str, Any]:
    metadata: dict[str, Any] = {"ownerReferences": list(owners), "finalizers": list(finalizers)}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata}


def asked(found: Findings) -> list[str]:
    return [uid.removeprefix("uid-") for uid in found.examine]


OWNER, CHILD, OTHER = identity("owner"), identity("child"), identity("other")


def test_an_owner_that_nobody_saw_is_looked_for() -> None:
    graph = OwnerGraph()
    assert asked(graph.observe(CHILD, tree(ref(OWNER)))) == ["owner"]
    owner = graph.node(OWNER.uid)
    assert owner is not None
    assert owner.virtual
    graph.observe(OWNER, tree())
    assert not owner.virtual
    assert [node.identity for node in owner.dependents] == [CHILD]


def test_an_owner_that_was_seen_first_needs_no_look() -> None:
    graph = OwnerGraph()
    graph.observe(OWNER, tree())
    assert asked(graph.observe(CHILD, tree(ref(OWNER)))) == []


def test_dependents_are_looked_at_when_their_owner_goes() -> None:
    graph = OwnerGraph()
    graph.observe(OWNER, tree())
    graph.observe(CHILD, tree(ref(OWNER)))
    graph.observe(OTHER, tree())
    assert asked(graph.gone(OWNER.uid)) == ["child"]
    assert graph.is_known_absent(OWNER)
    assert graph.node(OWNER.uid) is None


def test_nobody_is_said_to_be_absent_whom_nobody_names() -> None:
    graph = OwnerGraph()
    graph.observe(OWNER, tree())
    assert asked(graph.gone(OWNER.uid)) == []
    assert not graph.is_known_absent(OWNER)
    assert asked(graph.gone(OWNER.uid)) == []  # nor is it an error to hear of it twice


def test_a_virtual_owner_goes_when_there_is_none_such() -> None:
    graph = OwnerGraph()
    graph.observe(CHILD, tree(ref(OWNER)))
    assert asked(graph.absent(OWNER)) == ["child"]
    assert graph.node(OWNER.uid) is None
    assert graph.is_known_absent(OWNER)


def test_an_owner_deleted_in_the_foreground_has_its_dependents_looked_at_and_then_itself() -> None:
    graph = OwnerGraph()
    graph.observe(OWNER, tree())
    graph.observe(CHILD, tree(ref(OWNER, blocks=True)))
    leaving = tree(deleted=True, finalizers=("foregroundDeletion",))
    assert asked(graph.observe(OWNER, leaving)) == ["child", "owner"]
    node = graph.node(OWNER.uid)
    assert node is not None
    assert node.deleting_dependents
    assert [blocking.identity for blocking in node.blocking_dependents()] == [CHILD]
    assert asked(graph.observe(OWNER, leaving)) == []  # once is enough
    assert asked(graph.gone(CHILD.uid)) == ["owner"]


def test_a_first_sight_of_an_owner_being_deleted_counts_as_the_beginning() -> None:
    graph = OwnerGraph()
    graph.observe(CHILD, tree(ref(OWNER, blocks=True)))
    assert asked(graph.observe(OWNER, tree(deleted=True, finalizers=("foregroundDeletion",)))) == ["child", "owner"]


def test_an_owner_that_leaves_its_dependents_behind_is_told_of_once() -> None:
    graph = OwnerGraph()
    graph.observe(OWNER, tree())
    leaving = tree(deleted=True, finalizers=("orphan",))
    assert [*graph.observe(OWNER, leaving).orphan] == [OWNER.uid]
    assert [*graph.observe(OWNER, leaving).orphan] == []


def test_an_owner_is_looked_at_when_a_dependent_blocks_it_no_more() -> None:
    cases = {
        "unblocked": tree(ref(OWNER)),
        "let go": tree(),
    }
    for name, after in cases.items():
        graph = OwnerGraph()
        graph.observe(OWNER, tree())
        graph.observe(CHILD, tree(ref(OWNER, blocks=True)))
        assert asked(graph.observe(CHILD, after)) == ["owner"], name


def test_a_dependent_that_changes_its_owners_is_found_under_the_new_ones_alone() -> None:
    graph = OwnerGraph()
    graph.observe(OWNER, tree())
    graph.observe(OTHER, tree())
    graph.observe(CHILD, tree(ref(OWNER)))
    graph.observe(CHILD, tree(ref(OTHER)))
    before, after = graph.node(OWNER.uid), graph.node(OTHER.uid)
    assert before is not None
    assert after is not None
    assert not before.dependents
    assert [node.identity for node in after.dependents] == [CHILD]


def test_an_owner_in_another_namespace_is_reported_and_the_dependent_verified() -> None:
    stranger = identity("child", namespace="elsewhere")
    told = [Stranger(stranger, Identity("v1", "ConfigMap", "elsewhere", "owner", OWNER.uid))]

    seen_first = OwnerGraph()
    seen_first.observe(OWNER, tree())
    found = seen_first.observe(stranger, tree(ref(OWNER)))
    assert (asked(found), found.strangers) == (["child"], told)

    seen_last = OwnerGraph()
    seen_last.observe(stranger, tree(ref(OWNER)))
    found = seen_last.observe(OWNER, tree())
    assert (asked(found), found.strangers) == (["child"], told)


def test_owners_of_the_cluster_may_be_named_from_everywhere() -> None:
    owner = identity("owner", namespace="", kind="Node")
    for first, second in ((owner, CHILD), (CHILD, owner)):
        graph = OwnerGraph()
        graph.observe(first, tree(*[ref(owner)] * (first is CHILD)))
        found = graph.observe(second, tree(*[ref(owner)] * (second is CHILD)))
        assert not found.strangers
        assert (graph.node(owner.uid) or graph).identity == owner  # type: ignore[union-attr]


def test_a_dependent_that_misnames_its_owner_is_verified() -> None:
    for changed in ({"kind": "Secret"}, {"name": "nobody"}, {"apiVersion": "v2"}):
        graph = OwnerGraph()
        graph.observe(OWNER, tree())
        misnamed = {**ref(OWNER), **changed}
        assert asked(graph.observe(CHILD, tree(misnamed))) == ["child"], changed


def test_one_wrong_dependent_does_not_cost_the_others_their_owner() -> None:
    """Two dependents disagree about an owner that no informer told of: each place is tried, and each is believed."""
    liar = identity("liar")
    graph = OwnerGraph()
    graph.observe(liar, tree(ref(OWNER, kind="Secret")))
    graph.observe(CHILD, tree(ref(OWNER)))
    wrong = Identity("v1", "Secret", "default", "owner", OWNER.uid)
    found = graph.absent(wrong)
    assert asked(found) == ["liar"]
    assert [*found.later] == [OWNER.uid]
    node = graph.node(OWNER.uid)
    assert node is not None
    assert node.identity == OWNER  # the next place to look at
    assert asked(graph.observe(OWNER, tree())) == []  # the liar was looked at by then
    assert asked(graph.absent(wrong)) == ["liar"]
    assert graph.node(OWNER.uid) is node  # what was seen is not removed for a place where it never was


def test_the_places_of_an_owner_are_tried_in_turn() -> None:
    graph = OwnerGraph()
    first, second = identity("a"), identity("b", namespace="elsewhere")
    graph.observe(first, tree(ref(OWNER, kind="A")))
    graph.observe(second, tree(ref(OWNER, kind="B")))
    place_a = Identity("v1", "A", "default", "owner", OWNER.uid)
    place_b = Identity("v1", "B", "elsewhere", "owner", OWNER.uid)
    node = graph.node(OWNER.uid)
    assert node is not None
    assert node.identity == place_a
    graph.absent(place_a)
    assert node.identity == place_b
    graph.absent(place_b)
    assert node.identity == place_a


def test_what_is_known_to_be_absent_is_bounded() -> None:
    graph = OwnerGraph()
    owners = [identity(f"o{number}") for number in range(600)]
    for owner in owners:
        graph.mark_absent(owner)
    assert not graph.is_known_absent(owners[0])
    assert sum(map(graph.is_known_absent, owners)) == 500


def test_identities_read_as_events_have_them() -> None:
    assert str(OWNER) == "[v1/ConfigMap, namespace: default, name: owner, uid: uid-owner]"
