"""Tables and bare metadata as whole answers."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.printers import IncludeObject, ListMeta, include_object, partial, partial_list
from hyperkube_apiserver.printers.table import table
from hyperkube_machinery.errors import APIError

CONFIG_MAPS = load_kinds()[("", "v1", "configmaps")]
LIMIT_RANGES = load_kinds()[("", "v1", "limitranges")]
METADATA = {"name": "a", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}
OBJECT: dict[str, Any] = {"metadata": METADATA, "data": {"k": "v"}}
NOW = 1767225605.0


def test_a_table_has_columns_rows_and_the_lists_metadata() -> None:
    shown = table(CONFIG_MAPS, [OBJECT], ListMeta("9", "token", 3), now=NOW)
    assert (shown["kind"], shown["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert shown["metadata"] == {"resourceVersion": "9", "continue": "token", "remainingItemCount": 3}
    assert [(one["name"], one["type"], one["format"], one["priority"]) for one in shown["columnDefinitions"]] == [
        ("Name", "string", "name", 0),
        ("Data", "string", "", 0),
        ("Age", "string", "", 0),
    ]
    assert shown["rows"] == [
        {
            "cells": ["a", 1, "5s"],
            "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": METADATA},
        }
    ]


def test_later_events_of_a_watch_have_no_columns() -> None:
    assert table(CONFIG_MAPS, [OBJECT], ListMeta("7"), now=NOW, headers=False)["columnDefinitions"] is None


def test_rows_carry_as_much_of_the_object_as_was_asked_for() -> None:
    def carried(include: IncludeObject, obj: dict[str, Any] = OBJECT) -> Any:
        return table(CONFIG_MAPS, [obj], ListMeta(), now=NOW, include=include)["rows"][0]["object"]

    assert carried(IncludeObject.NONE) is None
    assert carried(IncludeObject.OBJECT) == {**OBJECT, "kind": "ConfigMap", "apiVersion": "v1"}
    assert carried(IncludeObject.METADATA)["kind"] == "PartialObjectMetadata"
    # Clients find the end of the initial events by an annotation, so that it is never left out.
    ends = {"metadata": {"resourceVersion": "7", "annotations": {"k8s.io/initial-events-end": "true"}}}
    assert carried(IncludeObject.NONE, ends)["metadata"] == ends["metadata"]


def test_the_old_version_is_still_spoken() -> None:
    shown = table(CONFIG_MAPS, [OBJECT], ListMeta(), now=NOW, version="v1beta1")
    assert shown["apiVersion"] == "meta.k8s.io/v1beta1"
    assert shown["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"


def test_an_empty_table_has_no_rows() -> None:
    assert table(CONFIG_MAPS, [], ListMeta("9"), now=NOW)["rows"] == []
    assert table(LIMIT_RANGES, [], ListMeta("9"), now=NOW)["rows"] is None


@pytest.mark.parametrize("value", ["", "None", "Metadata", "Object"])
def test_include_object_is_read(value: str) -> None:
    assert include_object(value).value == (value or "Metadata")


def test_another_include_object_is_refused() -> None:
    with pytest.raises(APIError) as refused:
        include_object("none")
    assert refused.value.code == 400
    assert 'includeObject: Invalid value: "none"' in str(refused.value)


def test_objects_are_reduced_to_their_metadata() -> None:
    one = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": METADATA}
    assert partial(OBJECT) == one
    assert partial_list([OBJECT], ListMeta("9")) == {
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "9"},
        "items": [one],
    }


def test_an_empty_metadata_list_has_null_for_items() -> None:
    assert partial_list([], ListMeta("9"))["items"] is None


def test_annotations_that_upstream_keeps_as_fields_are_not_shown_as_metadata() -> None:
    daemon_sets = load_kinds()[("apps", "v1", "daemonsets")]
    generation = {"deprecated.daemonset.template.generation": "1"}
    obj = {"metadata": {"name": "a", "annotations": {**generation, "mine": "1"}}}
    (row,) = table(daemon_sets, [obj], ListMeta(), now=NOW)["rows"]
    assert row["object"]["metadata"] == {"name": "a", "annotations": {"mine": "1"}}
    (whole,) = table(daemon_sets, [obj], ListMeta(), now=NOW, include=IncludeObject.OBJECT)["rows"]
    assert whole["object"]["metadata"] == obj["metadata"]
    alone = {"metadata": {"name": "a", "annotations": generation}}
    assert partial_list([alone], ListMeta(), kind=daemon_sets)["items"][0]["metadata"] == {"name": "a"}
    assert partial(alone, kind=CONFIG_MAPS)["metadata"] == alone["metadata"]
