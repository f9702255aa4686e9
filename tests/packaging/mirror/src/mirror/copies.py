"""What is to be done about one config map, decided from what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery.meta import annotations_of, metadata

Tree = Mapping[str, Any]

WHERE = "mirror.example.com/to"
ORIGIN = "mirror.example.com/of"


def wanted(original: Tree | None, namespaces: Iterable[str]) -> list[dict[str, Any]]:
    """The copies that should be, in those of `namespaces` that the original names."""
    if original is None:
        return []
    about, there = metadata(original), set(namespaces)
    named = annotations_of(original).get(WHERE, "").split(",")
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": about["name"],
                "namespace": namespace,
                "labels": {ORIGIN: about["namespace"]},
            },
            "data": original.get("data") or {},
        }
        for namespace in sorted({name.strip() for name in named} & there - {about["namespace"]})
    ]


def differs(copy: Tree, wanted: Tree) -> bool:
    return bool((copy.get("data") or {}) != wanted["data"])
