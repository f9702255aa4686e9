"""Whether the types of an expression fit, and which overloads and names it means.

Source: cel-go's checker/checker.go; the messages are its.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_machinery.cel import types
from hyperkube_machinery.cel.ast import (
    Call,
    Comprehension,
    CreateList,
    CreateMap,
    CreateObject,
    Expression,
    Ident,
    Literal,
    Select,
)
from hyperkube_machinery.cel.declarations import Declarations, Named
from hyperkube_machinery.cel.kinds import type_of_value
from hyperkube_machinery.cel.library import Function
from hyperkube_machinery.cel.source import Problem
from hyperkube_machinery.cel.types import Kind, Type, list_of, map_of, optional_of, type_parameter
from hyperkube_machinery.cel.unification import Bindings, most_general, unwrap_optional

__all__ = ["Findings", "Meaning", "check"]


@dataclass(slots=True)
class Meaning:
    """What a name or a call was found to mean."""

    name: str
    overloads: tuple[str, ...] = ()  # of a call: the ids of those that may be meant
    namespaced: bool = False  # of a call: its target is but the namespace of the function
    known: bool = False  # of a name: it is the `value`, not a variable
    value: Any = None
    local: bool = False  # of a name: a comprehension's variable
    is_variable: bool = False  # of a name: evaluation must look it up


@dataclass(slots=True)
class Findings:
    """What the checker knows of each node."""

    types: dict[Expression, Type] = field(default_factory=dict)
    meanings: dict[Expression, Meaning] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def check(expression: Expression, declarations: Declarations, *, disabled: frozenset[str]) -> Findings:
    """Find all types and meanings, and what is wrong. `disabled` are the ids of overloads not to be used."""
    checker = _Checker(declarations, disabled)
    checker.check(expression)
    found = checker.found
    for node, type in found.types.items():
        found.types[node] = checker.bindings.substitute(type, to_dyn=True)
    return found


class _Checker:
    def __init__(self, declarations: Declarations, disabled: frozenset[str]) -> None:
        self.found = Findings()
        self.bindings = Bindings()
        self._declarations = declarations
        self._disabled = disabled
        self._scopes: list[dict[str, Type]] = []
        self._fresh = 0

    def check(self, node: Expression) -> Type:
        match node:
            case Literal():
                type = type_of_value(node.value)
            case Ident():
                type = self._ident(node)
            case Select():
                type = self._select(node)
            case Call():
                type = self._call(node)
            case CreateList():
                type = self._list(node)
            case CreateMap():
                type = self._map(node)
            case CreateObject():
                type = self._object(node)
            case Comprehension():
                type = self._comprehension(node)
            case _:
                raise TypeError(f"no expression: {node!r}")
        self.found.types[node] = type
        return type

    # Helpers

    def _report(self, offset: int, message: str) -> Type:
        self.found.problems.append((offset, message))
        return types.ERROR

    def _undeclared(self, offset: int, name: str) -> Type:
        container = self._declarations.container
        return self._report(offset, f"undeclared reference to '{name}' (in container '{container}')")

    def _mismatch(self, offset: int, expected: Type, actual: Type) -> Type:
        return self._report(offset, f"expected type '{expected}' but found '{actual}'")

    def _new_parameter(self) -> Type:
        self._fresh += 1
        return type_parameter(f"_var{self._fresh - 1}")

    def _local(self, name: str) -> Type | None:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return None

    # Names

    def _ident(self, node: Ident) -> Type:
        local = self._local(node.name)
        if local is not None:
            self.found.meanings[node] = Meaning(node.name, local=True, is_variable=True)
            return local
        named = self._declarations.find(node.name)
        if named is None:
            return self._undeclared(node.offset, node.name)
        return self._named(node, named)

    def _named(self, node: Expression, named: Named) -> Type:
        self.found.meanings[node] = Meaning(
            named.name, known=named.known, value=named.value, is_variable=not named.known
        )
        return named.type

    def _select(self, node: Select) -> Type:
        qualified = _qualified_name(node)
        if qualified is not None and self._local(qualified.partition(".")[0]) is None:
            named = self._declarations.find(qualified)
            if named is not None:
                return self._named(node, named)
        result = self._field(node, node.operand, node.field, optional=False)
        return types.BOOL if node.test_only else self.bindings.substitute(result)

    def _field(self, node: Expression, operand: Expression, field: str, *, optional: bool) -> Type:
        target, is_optional = unwrap_optional(self.bindings.substitute(self.check(operand)))
        result = types.ERROR
        match target.kind:
            case Kind.MAP:
                result = target.parameters[1]
            case Kind.OBJECT:
                result = self._object_field(node.offset, target, field)
            case Kind.TYPE_PARAMETER:
                self.bindings.assignable(types.DYN, target)
                result = types.DYN
            case _:
                if target.kind not in (Kind.DYN, Kind.ANY, Kind.ERROR):
                    self._report(node.offset, f"type '{target}' does not support field selection")
                result = types.DYN
        return optional_of(result) if optional or is_optional else result

    def _object_field(self, offset: int, type: Type, field: str) -> Type:
        object = self._declarations.find_object(type)
        if object is None:
            return self._report(offset, f"unexpected failed resolution of '{type.name}'")
        found = object.fields.get(field)
        return self._report(offset, f"undefined field '{field}'") if found is None else found.type

    # Calls

    def _call(self, node: Call) -> Type:
        if node.function == "_?._":
            return self._optional_select(node)
        for argument in node.arguments:
            self.check(argument)
        if node.target is None:
            function = self._declarations.find_function(node.function)
            if function is None:
                return self._undeclared(node.offset, node.function)
            return self._resolve(node, function, None)
        prefix = _qualified_name(node.target)
        if prefix is not None:
            function = self._declarations.find_function(f"{prefix}.{node.function}")
            if function is not None:
                return self._resolve(node, function, None)
        self.check(node.target)
        function = self._declarations.find_function(node.function)
        if function is None:
            return self._undeclared(node.offset, node.function)
        return self._resolve(node, function, node.target)

    def _optional_select(self, node: Call) -> Type:
        if self._declarations.find_function(node.function) is None:
            return self._report(node.offset, "unsupported syntax '.?'")
        operand, field = node.arguments
        assert isinstance(field, Literal)
        result = self._field(node, operand, field.value, optional=True)
        self.found.types[field] = types.STRING
        self.found.meanings[node] = Meaning(node.function, ("select_optional_field",))
        return self.bindings.substitute(result)

    def _resolve(self, node: Call, function: Function, target: Expression | None) -> Type:
        nodes = [*node.arguments] if target is None else [target, *node.arguments]
        given = [self.found.types[each] for each in nodes]
        if function.name in ("_&&_", "_||_"):
            return self._logical(node, function, given)
        result: Type | None = None
        ids: list[str] = []
        for overload in function.overloads:
            if overload.id in self._disabled or overload.member != (target is not None):
                continue
            parameters = self._instantiated((*overload.arguments, overload.result))
            if not self.bindings.all_assignable(given, parameters[:-1]):
                continue
            ids.append(overload.id)
            this = self.bindings.substitute(parameters[-1])
            if result is None:
                result = this
            elif result.kind is not Kind.DYN and this != result:
                result = types.DYN
        if result is None:
            shown = [str(self.bindings.substitute(each, to_dyn=True)) for each in given]
            signature = f"{shown.pop(0)}.({', '.join(shown)})" if target is not None else f"({', '.join(shown)})"
            return self._report(
                node.offset, f"found no matching overload for '{function.name}' applied to '{signature}'"
            )
        namespaced = node.target is not None and target is None
        self.found.meanings[node] = Meaning(function.name, tuple(ids), namespaced)
        return result

    def _logical(self, node: Call, function: Function, given: Sequence[Type]) -> Type:
        fits = True
        for argument, type in zip(node.arguments, given, strict=True):
            if not self.bindings.assignable(type, types.BOOL):
                self._mismatch(argument.offset, types.BOOL, type)
                fits = False
        if not fits:
            return types.ERROR
        self.found.meanings[node] = Meaning(function.name, (function.overloads[0].id,))
        return types.BOOL

    def _instantiated(self, parameters: Sequence[Type]) -> list[Type]:
        """The same types with type parameters that nothing else uses."""
        fresh: dict[str, Type] = {}
        return [self._fresh_in(each, fresh) for each in parameters]

    def _fresh_in(self, type: Type, fresh: dict[str, Type]) -> Type:
        if type.kind is Kind.TYPE_PARAMETER:
            if type.name not in fresh:
                fresh[type.name] = self._new_parameter()
            return fresh[type.name]
        if not type.parameters:
            return type
        return Type(type.kind, type.name, tuple([self._fresh_in(each, fresh) for each in type.parameters]))

    # Literals of composed values

    def _joined(self, node: Expression, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        if self.bindings.assignable(previous, current):
            return most_general(previous, current)
        return types.DYN

    def _given(self, node: Expression, *, optional: bool) -> Type:
        """The type of an element, or of what it holds if it was marked as optional."""
        type = self.check(node)
        if not optional:
            return type
        held, is_optional = unwrap_optional(type)
        if not is_optional and held.kind is not Kind.DYN:
            self._mismatch(node.offset, optional_of(held), held)
        return held

    def _list(self, node: CreateList) -> Type:
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            joined = self._joined(element, joined, self._given(element, optional=index in node.optional))
        return list_of(self._new_parameter() if joined is None else joined)

    def _map(self, node: CreateMap) -> Type:
        keys: Type | None = None
        values: Type | None = None
        for entry in node.entries:
            keys = self._joined(entry.key, keys, self.check(entry.key))
            values = self._joined(entry.value, values, self._given(entry.value, optional=entry.optional))
        if keys is None or values is None:
            return map_of(self._new_parameter(), self._new_parameter())
        return map_of(keys, values)

    def _object(self, node: CreateObject) -> Type:
        found = self._declarations.find_type(node.type_name)
        if found is None:
            return self._undeclared(node.offset, node.type_name)
        name, result = found
        self.found.meanings[node] = Meaning(name, value=result)
        if result.kind is not Kind.OBJECT:
            result = self._report(node.offset, f"'{name}' is not a message type")
        for entry in node.entries:
            given = self._given(entry.value, optional=entry.optional)
            wanted = self._object_field(entry.offset, result, entry.field) if result.kind is Kind.OBJECT else result
            if not self.bindings.assignable(wanted, given):
                self._report(
                    entry.offset,
                    f"expected type of field '{entry.field}' is '{wanted}' but provided type is '{given}'",
                )
        return result

    def _comprehension(self, node: Comprehension) -> Type:
        range_type = self.bindings.substitute(self.check(node.range))
        accumulated = self.check(node.initial)
        self._scopes.append({node.accumulator: accumulated})
        self._scopes.append(self._variables(node, range_type))
        self._expect(node.condition, types.BOOL)
        self._expect(node.step, accumulated)
        self._scopes.pop()
        result = self.check(node.result)
        self._scopes.pop()
        return self.bindings.substitute(result)

    def _variables(self, node: Comprehension, range_type: Type) -> dict[str, Type]:
        match range_type.kind:
            case Kind.LIST:
                first, second = types.INT, range_type.parameters[0]
            case Kind.MAP:
                first, second = range_type.parameters
            case Kind.DYN | Kind.ERROR | Kind.TYPE_PARAMETER:
                self.bindings.assignable(types.DYN, range_type)
                first = second = types.DYN
            case _:
                first = second = self._report(
                    node.range.offset,
                    f"expression of type '{range_type}' cannot be range of a comprehension"
                    " (must be list, map, or dynamic)",
                )
        if node.variable2:
            return {node.variable: first, node.variable2: second}
        return {node.variable: second if range_type.kind is Kind.LIST else first}

    def _expect(self, node: Expression, wanted: Type) -> None:
        given = self.check(node)
        if not self.bindings.assignable(wanted, given):
            self._mismatch(node.offset, wanted, given)


def _qualified_name(node: Expression) -> str | None:
    """The dotted name that an expression may be, if it is nothing else."""
    names: list[str] = []
    while isinstance(node, Select) and not node.test_only:
        names.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    names.append(node.name)
    return ".".join(reversed(names))
