"""What stored definitions do not come up to, which is then not asked of their updates either.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation (the require… functions).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.defaultvalues import validate_defaults
from hyperkube_apiserver.registry.apiextensions.listtypes import has_loose_set, validate_map_keys
from hyperkube_apiserver.registry.apiextensions.schemas import TYPES, Leniency
from hyperkube_apiserver.registry.apiextensions.structural import is_structural, sub_schemas

__all__ = ["leniency_of", "schemas_of"]

Tree = Mapping[str, Any]


def schemas_of(spec: Tree) -> Iterator[Tree]:
    """The schemas of a spec in the form that is checked."""
    for holder in (spec.get("validation"), *(version.get("schema") for version in spec.get("versions") or ())):
        if (schema := (holder or {}).get("openAPIV3Schema")) is not None:
            yield schema


def leniency_of(spec: Tree) -> Leniency:
    """By the spec of a stored definition, in the form that is checked."""
    schemas = list(schemas_of(spec))
    every = [one for schema in schemas for one in sub_schemas(schema)]
    structural = [schema for schema in schemas if is_structural(schema)]
    return Leniency(
        schemas=not schemas or ("validation" not in spec and len(schemas) < len(spec.get("versions") or ())),
        types=any(one.get("type") and one["type"] not in TYPES for one in every),
        structure=len(structural) < len(schemas),
        defaults=any(_has_unknown_fields(schema) for schema in structural),
        sets=any(has_loose_set(one) for one in every),
        map_keys=any(validate_map_keys(one, "") for one in every),
    )


def _has_unknown_fields(schema: Tree) -> bool:
    return any(error.detail == "must not have unknown fields" for error in validate_defaults(schema, "", rules=False))
