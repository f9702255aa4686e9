"""Tables of custom resources. Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.printers.including import IncludeObject
from hyperkube_apiserver.printers.rows import definitions, row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hyperkube_apiserver.kinds import Column, Kind
    from hyperkube_apiserver.printers.cells import Tree
    from hyperkube_apiserver.printers.metadata import ListMeta

__all__ = ["custom_table"]


def custom_table(
    kind: Kind,
    objects: Sequence[Tree],
    meta: ListMeta,
    *,
    columns: Sequence[Column],
    rows: Iterable[list[Any]],
    include: IncludeObject = IncludeObject.METADATA,
    version: str = "v1",
    headers: bool = True,
) -> dict[str, Any]:
    """`objects`, whose cells are `rows`, as a Table of meta.k8s.io/`version`."""
    listed = [row(kind, obj, cells, include, version, None) for obj, cells in zip(objects, rows, strict=True)]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta.tree(),
        "columnDefinitions": definitions(columns) if headers else None,
        "rows": listed,
    }
