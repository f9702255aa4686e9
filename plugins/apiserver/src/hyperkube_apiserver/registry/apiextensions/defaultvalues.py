"""The defaults that schemas give: they must be values that the schemas themselves take, rules included.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting (validation.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hyperkube_apiserver.registry.apiextensions.embedded import validate_embedded
from hyperkube_apiserver.registry.apiextensions.pruning import prune
from hyperkube_apiserver.registry.apiextensions.sameness import same
from hyperkube_apiserver.registry.apiextensions.structural import sub_schemas
from hyperkube_apiserver.registry.apiextensions.values import validate_value
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_defaults"]

Tree = Mapping[str, Any]
Surround = Callable[[Any], dict[str, Any]]

_META = ("metadata", "apiVersion", "kind")


def validate_defaults(schema: Tree, path: str, *, pruned: bool = True, rules: bool = True) -> list[FieldError]:
    """What is wrong with the defaults in the structural schema of a resource; `pruned` ones hold no unknown fields.

    With `rules`, the rules in the schema are asked as well.
    """
    return _Walk(pruned, rules).walk(schema, path, schema, _typed, is_resource=True)


def _typed(value: Any) -> dict[str, Any]:
    return {"kind": "Validation", "apiVersion": "validation/v1", **value}


class _Walk:
    def __init__(self, pruned: bool, rules: bool) -> None:
        self._pruned = pruned
        self._rules = _RuleCheck() if rules else None

    def walk(
        self,
        schema: Tree,
        path: str,
        resource: Tree,
        surround: Surround,
        *,
        is_resource: bool = False,
        in_meta: bool = False,
    ) -> list[FieldError]:
        """`resource` is the schema of the resource around, and `surround` makes one of a value here."""
        if is_resource or schema.get("x-kubernetes-embedded-resource"):
            is_resource, in_meta, resource, surround = True, False, schema, _typed
        errors: list[FieldError] = []
        if (value := schema.get("default")) is not None:
            at = f"{path}.default"
            errors += (
                self._in_meta(value, schema, resource, surround, at)
                if in_meta
                else self._check(value, schema, at, is_resource)
            )
        if isinstance(items := schema.get("items"), dict):
            within = _around(surround, lambda inner: [inner])
            errors += self.walk(items, f"{path}.items", resource, within, in_meta=in_meta)
        for name, inner in (schema.get("properties") or {}).items():
            within = _around(surround, partial(_field, name))
            is_meta = in_meta or (is_resource and name in _META)
            errors += self.walk(inner, f"{path}.properties[{name}]", resource, within, in_meta=is_meta)
        return errors

    def _check(self, value: Any, schema: Tree, path: str, is_resource: bool) -> list[FieldError]:
        errors: list[FieldError] = []
        if self._pruned and not same(prune(value, schema, is_resource=is_resource), value):
            errors.append(FieldError.invalid(path, value, "must not have unknown fields"))
        return errors + (
            validate_embedded(value, schema, path, is_resource=is_resource)
            or validate_value(value, schema, path, is_default=True)
            or self._ask(value, schema, path, is_resource)
        )

    def _ask(self, value: Any, schema: Tree, path: str, is_resource: bool) -> list[FieldError]:
        return [] if self._rules is None else self._rules.ask(value, schema, path, is_resource)

    def _in_meta(self, value: Any, schema: Tree, resource: Tree, surround: Surround, path: str) -> list[FieldError]:
        if wrong := validate_embedded(surround(value), resource, "", is_resource=True):
            told = [f"{error.field}: {error.message}" for error in wrong]
            text = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
            return [FieldError.invalid(path, value, f"must result in valid metadata: {text}")]
        wrong = validate_value(value, schema, path, is_default=True)
        return wrong or self._ask(value, schema, path, schema is resource)


class _RuleCheck:
    """Asks rules of defaults, all of which share one budget."""

    def __init__(self) -> None:
        self._left: int | None = None  # what they may still cost; None until the first is asked

    def ask(self, value: Any, schema: Tree, path: str, is_resource: bool) -> list[FieldError]:
        if not any(one.get("x-kubernetes-validations") for one in sub_schemas(schema)):
            return []
        from hyperkube_apiserver.crd.rules import BUDGET, Budget, compile_rules  # few need CEL

        left = BUDGET if self._left is None else self._left
        rules = compile_rules(schema, is_resource=is_resource)
        if rules is None or left < 0:
            return []
        kept, new = Budget(left), Budget(left)
        # It must do as what is kept, and then as what appears where nothing was.
        errors = rules.validate(value, value, path=path, budget=kept) or rules.validate(value, path=path, budget=new)
        self._left = min(kept.left, new.left)
        return errors


def _field(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


def _around(surround: Surround, wrap: Callable[[Any], Any]) -> Surround:
    return lambda value: surround(wrap(value))
