"""The annotation in which kubectl remembers what it applied from the client's side.

One who goes over to server-side apply keeps what was applied before, and may go back.
Source: k8s.io/apimachinery/pkg/util/managedfields/internal (lastapplied.go, lastappliedmanager.go,
lastappliedupdater.go).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from hyperkube_machinery.fields.elements import go_json
from hyperkube_machinery.fields.sets import FieldSet, difference
from hyperkube_machinery.fields.shapes import Shape
from hyperkube_machinery.fields.typed import BadValue, check, field_set

__all__ = ["ANNOTATION", "keep_up", "still_as_applied"]

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_BYTES = 256 * 1024  # of all annotations of an object

Tree = dict[str, Any]


def still_as_applied(
    live: Tree, api_version: str, shape: Shape, compare: Callable[[Any, Any], tuple[FieldSet, FieldSet]]
) -> FieldSet | None:
    """The fields that `live` has as kubectl last applied them; None if nothing is known of that."""
    text = (live["metadata"].get("annotations") or {}).get(ANNOTATION)
    if not text:
        return None
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(applied, dict) or not applied.get("kind") or applied.get("apiVersion") != api_version:
        return None
    if not isinstance(applied.get("metadata", {}), dict):
        return None
    try:
        check(applied, shape)
    except BadValue:
        return None
    changed, removed = compare(applied, live)
    return difference(difference(field_set(applied, shape), changed), removed)


def keep_up(merged: Tree, config: Tree) -> None:
    """Bring the annotation of `merged`, if it has one, to what was just applied."""
    annotations = merged["metadata"].get("annotations") or {}
    if not annotations.get(ANNOTATION):
        return
    annotations = {**annotations, ANNOTATION: go_json(_unannotated(config)) + "\n"}
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MOST_BYTES:
        del annotations[ANNOTATION]
    merged["metadata"]["annotations"] = annotations


def _unannotated(config: Tree) -> Tree:
    metadata = config.get("metadata") or {}
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict):
        return config
    kept = {name: value for name, value in annotations.items() if name != ANNOTATION}
    return {**config, "metadata": {**metadata, "annotations": kept}}
