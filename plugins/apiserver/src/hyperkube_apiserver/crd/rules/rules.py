"""The rules of one schema, asked of values.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from hyperkube_apiserver.crd.rules.compiling import Compiled, RuleSet, compiled_rules
from hyperkube_apiserver.crd.rules.evaluation import Budget, OutOfBudget, Place, evaluate
from hyperkube_apiserver.crd.rules.ratcheting import Ratchet
from hyperkube_apiserver.registry.apiextensions.correlation import Correlated, KeyedItems
from hyperkube_machinery.cel.kubernetes.declared import Declared, declared_type
from hyperkube_machinery.cel.kubernetes.escaping import escape
from hyperkube_machinery.cel.kubernetes.limits import OBJECT_BUDGET
from hyperkube_machinery.cel.kubernetes.views import view_of
from hyperkube_machinery.errors import FieldError

__all__ = ["BUDGET", "Rules", "compile_rules"]

Tree = Mapping[str, Any]
Warn = Callable[[str], None]

BUDGET = OBJECT_BUDGET


class Rules:
    """The rules in one structural schema. Expressions are compiled when they are first asked for."""

    def __init__(self, root: _Node) -> None:
        self._root = root

    def validate(
        self,
        value: Any,
        old: Any = None,
        *,
        path: str = "",
        budget: Budget | None = None,
        warn: Warn | None = None,
    ) -> list[FieldError]:
        """What the rules say of `value`, which takes the place of `old` (None if it is new).

        `value` is the whole object: pruned, with defaults, and by its schema of the right types and sizes. `path` is
        where it stands. With `warn`, rules that fail on what is as it was before are told there (as the texts of
        warnings) rather than returned, as they are in updates; without, every failure is returned. `budget` is what
        they may cost together, BUDGET if nothing else is given.
        """
        has_past = warn is not None and old is not None
        ratchet = Ratchet(Correlated(value, old, self._root.schema) if has_past else None)
        budget = budget or Budget(BUDGET)
        if budget.left < 0:
            return []
        walk = _Walk(budget, warn)
        with suppress(OutOfBudget):  # the errors say so
            walk.visit(self._root, path, value, old, ratchet)
        return walk.errors


def compile_rules(schema: Tree, *, is_resource: bool = True) -> Rules | None:
    """The rules in a structural schema (a tree of JSONSchemaProps), None if it has none.

    `is_resource`: whether it is that of a resource, where `apiVersion`, `kind` and names are known to rules.
    """
    if not _has_rules(schema):
        return None
    root = _node(schema, declared_type(schema, is_resource=is_resource))
    return None if root is None else Rules(root)


def _has_rules(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    return (
        bool(schema.get("x-kubernetes-validations"))
        or _has_rules(schema.get("items"))
        or _has_rules(schema.get("additionalProperties"))
        or any(map(_has_rules, (schema.get("properties") or {}).values()))
    )


class _Node:
    """A schema that has rules, or holds one that has."""

    __slots__ = ("_compiled", "_declared", "_view", "has_rules", "items", "others", "properties", "schema")

    def __init__(self, schema: Tree, declared: Declared | None) -> None:
        self.schema = schema
        self._declared = declared
        self.has_rules = bool(schema.get("x-kubernetes-validations"))  # of its own
        self._compiled: RuleSet | None = None
        self._view = view_of(schema) if self.has_rules else None
        self.items: _Node | None = None
        self.others: _Node | None = None  # of additionalProperties
        self.properties: dict[str, _Node] = {}

    def shown(self, value: Any) -> Any:
        """A value as rules see it."""
        return value if self._view is None else self._view(value)

    @property
    def rules(self) -> RuleSet | None:
        """Its own; None if nothing can be asked of its values."""
        if self._compiled is None and self._declared is not None:
            self._compiled = compiled_rules(self.schema, self._declared)
        return self._compiled


def _node(schema: Tree, declared: Declared | None) -> _Node | None:
    """None if there are no rules in it."""
    made = _Node(schema, declared)
    element = declared.element if declared is not None else None
    if isinstance(items := schema.get("items"), dict):
        made.items = _node(items, element)
    if isinstance(others := schema.get("additionalProperties"), dict):
        made.others = _node(others, element)
    for name, inner in (schema.get("properties") or {}).items():
        within = _declared_field(declared, name, inner)
        if within is not None and (node := _node(inner, within)) is not None:
            made.properties[name] = node
    return made if made.items or made.others or made.properties or made.has_rules else None


def _declared_field(declared: Declared | None, name: str, schema: Tree) -> Declared | None:
    identifier = escape(name)
    if identifier is None:  # no rule around can name it, but it has its own
        return declared_type(schema)
    found = (declared.fields or {}).get(identifier) if declared is not None else None
    return None if found is None else found[1]


class _Walk:
    """One validation: down a value and its schema."""

    def __init__(self, budget: Budget, warn: Warn | None) -> None:
        self._budget = budget
        self._warn = warn
        self.errors: list[FieldError] = []

    def visit(self, node: _Node, path: str, value: Any, old: Any, ratchet: Ratchet) -> None:
        if value is None:
            return  # a rule of what holds it may ask for its presence
        if node.has_rules:
            self._ask(node, path, value, old, ratchet)
        if isinstance(value, list):
            self._visit_items(node, path, value, old, ratchet)
        elif isinstance(value, dict):
            self._visit_fields(node, path, value, old, ratchet)

    def _ask(self, node: _Node, path: str, value: Any, old: Any, ratchet: Ratchet) -> None:
        rules = node.rules
        type_ = node.schema.get("type") or ""
        if rules is None:
            text = "rule compiler initialization error: failed to convert to declType for CEL validation rules"
            self.errors.append(FieldError.invalid(path or "<nil>", type_, text))
        else:
            place = Place(path, type_, value, node.shown(value), node.shown(old))
            evaluate(rules, place, self._budget, self._tell(ratchet), self.errors.append)

    def _tell(self, ratchet: Ratchet) -> Callable[[Compiled, FieldError], None]:
        """What to do with the failure of a rule."""

        def tell(rule: Compiled, error: FieldError) -> None:
            if self._warn is not None and not rule.uses_old and ratchet.forgives():
                self._warn(f"{error.field}: {error.message}")
            else:
                self.errors.append(error)

        return tell

    def _visit_items(self, node: _Node, path: str, value: list[Any], old: Any, ratchet: Ratchet) -> None:
        if node.items is None:
            return
        before = KeyedItems(node.schema, old if isinstance(old, list) else ())
        for position, item in enumerate(value):
            self.visit(node.items, f"{path}[{position}]", item, before.get(item), ratchet.index(position))

    def _visit_fields(self, node: _Node, path: str, value: Tree, old: Any, ratchet: Ratchet) -> None:
        before = old if isinstance(old, dict) else {}
        if node.others is not None:
            for name, inner in value.items():
                self.visit(node.others, f"{path}[{name}]", inner, before.get(name), ratchet.key(name))
        for name, within in node.properties.items():
            if name in value:
                at = f"{path}.{name}" if path else name
                self.visit(within, at, value[name], before.get(name), ratchet.key(name))
