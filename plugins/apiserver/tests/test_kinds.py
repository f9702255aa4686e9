from __future__ import annotations

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_machinery.schema import Schemas

KINDS = load_kinds()
VIRTUAL = {kind.resource.resource for kind in KINDS.values() if not kind.storage_prefix}


@pytest.mark.parametrize(
    ("key", "namespace", "expected"),
    [
        (("", "v1", "pods"), "n", "/registry/pods/n/a"),
        (("", "v1", "nodes"), "", "/registry/minions/a"),
        (("", "v1", "services"), "n", "/registry/services/specs/n/a"),
        (("", "v1", "endpoints"), "n", "/registry/services/endpoints/n/a"),
        (("", "v1", "replicationcontrollers"), "n", "/registry/controllers/n/a"),
        (("apps", "v1", "deployments"), "n", "/registry/deployments/n/a"),
        (("rbac.authorization.k8s.io", "v1", "clusterroles"), "n", "/registry/clusterroles/a"),
    ],
)
def test_objects_are_kept_where_etcd_keeps_them(key: tuple[str, str, str], namespace: str, expected: str) -> None:
    assert KINDS[key].key(namespace, "a") == expected


def test_no_two_kinds_share_a_place_in_the_store() -> None:
    prefixes = [kind.prefix() for kind in KINDS.values() if kind.is_stored]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and b.startswith(a)]
    assert len(set(prefixes)) == len(prefixes)


def test_a_version_is_kept_with_the_kind_it_is_stored_as() -> None:
    versions = {key: kind for key, kind in KINDS.items() if kind.stored_as is not None}
    assert set(versions) == {("autoscaling", "v1", "horizontalpodautoscalers"), ("events.k8s.io", "v1", "events")}
    for kind in versions.values():
        assert kind.stored_as is not None
        stored = KINDS[kind.stored_as]
        assert kind.key("n", "a") == stored.key("n", "a")
        assert stored.is_stored
        assert not kind.is_stored
        assert set(kind.field_aliases.values()) <= set(stored.selectable_fields)


def test_every_kind_has_a_schema_and_a_subresource_knows_its_verbs() -> None:
    for kind in KINDS.values():
        assert Schemas.load().walker(kind.definition)
        assert all(one.verbs for one in kind.subresources)


def test_what_is_stored_is_listed_watched_and_shown() -> None:
    for kind in KINDS.values():
        if kind.storage_prefix:
            assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(kind.resource.verbs)
            assert kind.columns
            assert "metadata.name" in kind.selectable_fields


def test_namespaces_are_not_deleted_by_the_dozen() -> None:
    assert {"bindings", "tokenreviews", "subjectaccessreviews"} <= VIRTUAL
    lacking = {key[2] for key, kind in KINDS.items() if "deletecollection" not in kind.resource.verbs}
    assert lacking - VIRTUAL == {"namespaces"}
