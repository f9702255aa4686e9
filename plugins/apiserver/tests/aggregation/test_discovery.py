"""What other servers say that they serve, in either form."""

from __future__ import annotations

from hyperkube_apiserver.aggregation.discovery import read_aggregated, read_resources


def test_resources_of_a_version_take_the_aggregated_form() -> None:
    listed = [
        {"name": "fruits/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["get"]},
        {
            "name": "fruits",
            "singularName": "fruit",
            "namespaced": True,
            "kind": "Fruit",
            "verbs": ["get", "list"],
            "shortNames": ["fr"],
        },
        {"name": "trees/status", "kind": "Tree", "verbs": ["get"]},
    ]
    fruits, trees = read_resources({"resources": listed}, "g", "v1")
    scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert fruits == {
        "resource": "fruits",
        "responseKind": {"group": "g", "version": "v1", "kind": "Fruit"},
        "scope": "Namespaced",
        "singularResource": "fruit",
        "shortNames": ["fr"],
        "verbs": ["get", "list"],
        "subresources": [{"subresource": "scale", "responseKind": scale, "verbs": ["get"]}],
    }
    assert (trees["resource"], trees["responseKind"]) == ("trees", {})
    assert [one["subresource"] for one in trees["subresources"]] == ["status"]


def test_every_resource_has_a_kind() -> None:
    resources = [{"resource": "fruits", "responseKind": None, "subresources": [{"subresource": "status"}]}]
    document = {"items": [{"metadata": {"name": "g"}, "versions": [{"version": "v1", "resources": resources}]}]}
    (found,) = read_aggregated(document)["g", "v1"]
    assert found["responseKind"] == {}
    assert found["subresources"] == [{"subresource": "status", "responseKind": {}}]


def test_what_makes_no_sense_is_nothing() -> None:
    assert read_aggregated({"items": "none"}) == {}
    assert read_resources({"resources": [7]}, "g", "v1") == ()
