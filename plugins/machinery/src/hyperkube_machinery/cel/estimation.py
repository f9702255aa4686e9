"""What evaluating an expression may cost, before it is evaluated.

Sizes flow from literals and from the one who knows the data through operators and comprehensions to the calls that
cost by them. Source: cel-go's checker/cost.go, which this follows in what it counts and in what it overlooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

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
from hyperkube_machinery.cel.bounds import UNBOUNDED, CallEstimate, Cost, Size
from hyperkube_machinery.cel.costs import LIST_COST, MAP_COST, OBJECT_COST
from hyperkube_machinery.cel.depth import deep_calls, is_deep
from hyperkube_machinery.cel.environment import Checked, Environment
from hyperkube_machinery.cel.expansion import ACCUMULATOR
from hyperkube_machinery.cel.models import Sizes
from hyperkube_machinery.cel.types import Kind, Type

__all__ = ["Sizes", "estimate"]

_FIXED_SIZE = frozenset((Kind.BOOL, Kind.DOUBLE, Kind.DURATION, Kind.INT, Kind.TIMESTAMP, Kind.UINT))
_ONE = Cost(1, 1)
_NOTHING = Cost(0, 0)


def estimate(environment: Environment, checked: Checked, sizes: Sizes | None = None) -> Cost:
    """The range of what evaluating `checked` may cost."""
    with deep_calls(needed=is_deep(checked.expression)):
        return _Estimator(environment, checked, sizes).cost(checked.expression)


@dataclass(frozen=True, slots=True)
class _Entries:
    """How large the keys and the values of a list or map may be."""

    is_list: bool
    key: Size
    value: Size

    def __or__(self, other: _Entries) -> _Entries:
        return _Entries(self.is_list, self.key | other.key, self.value | other.value)


@dataclass(frozen=True, slots=True)
class _Local:
    path: tuple[str, ...]
    size: Size | None
    entries: _Entries | None


@dataclass(frozen=True, slots=True)
class _Node:
    path: tuple[str, ...]
    type: Type
    expression: Expression
    size: Size | None
    sizes: Sizes | None = None

    @property
    def element(self) -> _Node | None:
        if not self.type.parameters:
            return None
        path = (*self.path, "@items") if self.path else ()
        item = _Node(path, self.type.parameters[0], self.expression, None, self.sizes)
        return item if self.sizes is None else replace(item, size=self.sizes(item))


class _Estimator:
    def __init__(self, environment: Environment, checked: Checked, sizes: Sizes | None) -> None:
        self._functions = environment.declarations.functions
        self._model = environment.costs
        self._presence = Cost.exactly(environment.settings.presence_test_cost)
        self._types = checked.findings.types
        self._meanings = checked.findings.meanings
        self._ask_size = sizes
        self._paths: dict[Expression, tuple[str, ...]] = {}
        self._locals: dict[str, list[_Local]] = {}
        self._sizes: dict[Expression, Size] = {}
        self._entries: dict[Expression, _Entries] = {}

    def cost(self, node: Expression) -> Cost:
        match node:
            case Ident():
                local = self._local(node.name)
                self._paths[node] = (self._name(node),) if local is None else local.path
                return _ONE
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case CreateList():
                return self._list(node)
            case CreateMap():
                return self._map(node)
            case CreateObject():
                return self._total([entry.value for entry in node.entries]) + Cost.exactly(OBJECT_COST)
            case Comprehension():
                return self._bind(node) if _is_bind(node) else self._comprehension(node)
        return _NOTHING

    def _total(self, nodes: Sequence[Expression]) -> Cost:
        return reduce(add, map(self.cost, nodes), _NOTHING)

    # What is known of nodes

    def _local(self, name: str) -> _Local | None:
        scopes = self._locals.get(name)
        return scopes[-1] if scopes else None

    def _name(self, node: Ident) -> str:
        meaning = self._meanings.get(node)
        return node.name if meaning is None else meaning.name

    def _path(self, node: Expression) -> tuple[str, ...]:
        if isinstance(node, Ident):
            local = self._local(node.name)
            if local is not None:
                return local.path
        return self._paths.get(node, ())

    def _seen(self, node: Expression) -> _Node:
        path = self._path(node)
        if path and path[0] == ACCUMULATOR:
            path = ()
        return _Node(path, self._types[node], node, self._size(node), self._ask_size)

    def _size(self, node: Expression) -> Size | None:
        known = self._sizes.get(node) or _literal_size(node)
        if known is not None:
            return known
        type = self._types[node]
        if self._ask_size is not None:
            told = self._ask_size(_Node(self._path(node), type, node, None))
            if told is not None:
                self._sizes[node] = told
                return told
        if _has_fixed_size(type):
            return Size.exactly(1)
        local = self._local(node.name) if isinstance(node, Ident) else None
        return None if local is None else local.size

    def _size_or_unknown(self, node: Expression) -> Size:
        return self._size(node) or Size.unknown()

    def _entries_of(self, node: Expression) -> _Entries | None:
        if node in self._entries:
            return self._entries[node]
        local = self._local(node.name) if isinstance(node, Ident) else None
        return None if local is None else local.entries

    # Nodes

    def _select(self, node: Select) -> Cost:
        if node in self._meanings:  # a dotted name
            self._paths[node] = (self._meanings[node].name,)
            return _ONE
        operand = self.cost(node.operand)
        if node.test_only:
            return self._presence + operand
        self._paths[node] = (*self._path(node.operand), node.field)
        type = self._types[node.operand]
        return operand + (_ONE if type.kind in (Kind.MAP, Kind.OBJECT, Kind.TYPE_PARAMETER) else _NOTHING)

    def _list(self, node: CreateList) -> Cost:
        total = self._total(node.elements)
        items = Size(UNBOUNDED if node.elements else 0, 0)
        for element in node.elements:
            items |= self._size_or_unknown(element)
        self._entries[node] = _Entries(True, Size.exactly(1), items)
        return total + Cost.exactly(LIST_COST)

    def _map(self, node: CreateMap) -> Cost:
        total = _NOTHING
        keys = values = Size(UNBOUNDED if node.entries else 0, 0)
        for entry in node.entries:
            total += self.cost(entry.key) + self.cost(entry.value)
            keys |= self._size_or_unknown(entry.key)
            values |= self._size_or_unknown(entry.value)
        self._entries[node] = _Entries(False, keys, values)
        return total + Cost.exactly(MAP_COST)

    # Calls

    def _call(self, node: Call) -> Cost:
        if node.function == "dyn":
            argument = node.arguments[0]
            cost = self.cost(argument) + _ONE
            self._copy_sizes(node, argument)
            return cost
        costs = [self.cost(argument) for argument in node.arguments]
        arguments = [self._seen(argument) for argument in node.arguments]
        meaning = self._meanings[node]
        total = _NOTHING
        target: _Node | None = None
        if node.target is not None and not meaning.namespaced:
            total = self.cost(node.target)
            target = self._seen(node.target)
        cost = Cost(UNBOUNDED, 0)
        size: Size | None = None
        for overload in meaning.overloads:
            estimated = self._overload(node, meaning.name, overload, target, arguments, costs)
            cost |= estimated.cost
            if estimated.result is not None:
                size = estimated.result if size is None else size | estimated.result
            if overload in ("index_list", "index_map"):
                entries = self._entries_of(node.arguments[0])
                size = None if entries is None else entries.value
                step = "@items" if overload == "index_list" else "@values"
                self._paths[node] = (*self._path(node.arguments[0]), step)
            if size is None:
                size = self._size(node)
        if size is not None:
            self._sizes[node] = size
        return total + cost

    def _overload(
        self,
        node: Call,
        function: str,
        overload: str,
        target: _Node | None,
        arguments: Sequence[_Node],
        costs: Sequence[Cost],
    ) -> CallEstimate:
        before = reduce(add, costs, _NOTHING)
        estimated = self._estimated(function, overload, target, arguments)
        if estimated is not None:
            if overload in ("add_string", "add_bytes"):
                self._join_entries(node, arguments)
            return CallEstimate(estimated.cost + before, estimated.result)
        match overload:
            case "logical_or" | "logical_and":
                return CallEstimate(Cost(costs[0].min, (costs[0] + costs[1]).max))
            case "conditional":
                return self._conditional(node, arguments, costs)
            case "add_list":
                self._join_entries(node, arguments)
                sizes = [argument.size or Size.unknown() for argument in arguments]
                return CallEstimate(_ONE + before, sizes[0] + sizes[1])
        return CallEstimate(_ONE + before)

    def _estimated(
        self, function: str, overload: str, target: _Node | None, arguments: Sequence[_Node]
    ) -> CallEstimate | None:
        if self._model is not None:
            estimated = self._model.estimate_call(function, overload, target, arguments)
            if estimated is not None:
                return estimated
        declared = self._functions.get(function)
        for each in declared.overloads if declared is not None else ():
            if each.id == overload and each.estimate is not None:
                return each.estimate(target, arguments)
        return None

    def _conditional(self, node: Call, arguments: Sequence[_Node], costs: Sequence[Cost]) -> CallEstimate:
        chosen, otherwise = (argument.size or Size.unknown() for argument in arguments[1:])
        entries = [self._entries_of(argument) for argument in node.arguments[1:]]
        if entries[0] is not None and entries[1] is not None:
            self._entries[node] = entries[0] | entries[1]
        return CallEstimate(costs[0] + (costs[1] | costs[2]), chosen | otherwise)

    def _join_entries(self, node: Call, arguments: Sequence[_Node]) -> None:
        entries = [self._entries_of(argument.expression) for argument in arguments]
        if entries[0] is not None and entries[1] is not None:
            self._entries[node] = entries[0] | entries[1]

    # Comprehensions

    def _comprehension(self, node: Comprehension) -> Cost:
        total = self.cost(node.range) + self.cost(node.initial)
        accumulated = _Local(self._path(node.initial), self._size(node.initial), self._entries_of(node.initial))
        self._locals.setdefault(node.accumulator, []).append(accumulated)
        self._enter(node)
        each = self.cost(node.condition)
        each = self.cost(node.step) + each
        self._locals[node.variable].pop()
        if node.variable2:
            self._locals[node.variable2].pop()
        total += self.cost(node.result)
        self._locals[node.accumulator].pop()
        rounds = self._size_or_unknown(node.range)
        if isinstance(node.initial, Literal):
            size = self._size(node.initial)
            if size is not None:
                self._sizes[node] = size
        elif isinstance(node.initial, CreateList | CreateMap):
            self._sizes[node] = rounds
            entries = self._entries_of(node.step)
            if entries is not None:
                self._entries[node] = entries
        return total + rounds.times(each)

    def _enter(self, node: Comprehension) -> None:
        entries = self._entries_of(node.range)
        is_list = self._types[node.range].kind is Kind.LIST if entries is None else entries.is_list
        keys = None if entries is None else entries.key
        values = None if entries is None else entries.value
        path = self._path(node.range)
        first = _Local((*path, "@indices" if is_list else "@keys"), keys, None)
        second = _Local((*path, "@items" if is_list else "@values"), values, None)
        if node.variable2:
            self._locals.setdefault(node.variable, []).append(first)
            self._locals.setdefault(node.variable2, []).append(second)
        else:
            self._locals.setdefault(node.variable, []).append(second if is_list else first)

    def _bind(self, node: Comprehension) -> Cost:
        total = self.cost(node.range) + self.cost(node.initial)
        bound = _Local(self._path(node.initial), self._size(node.initial), self._entries_of(node.initial))
        self._locals.setdefault(node.accumulator, []).append(bound)
        total += self.cost(node.result)
        self._locals[node.accumulator].pop()
        self._copy_sizes(node, node.result)
        return total

    def _copy_sizes(self, node: Expression, source: Expression) -> None:
        size = self._size(source)
        if size is not None:
            self._sizes[node] = size
        entries = self._entries_of(source)
        if entries is not None:
            self._entries[node] = entries


def _literal_size(node: Expression) -> Size | None:
    match node:
        case Literal():
            return Size.exactly(len(node.value) if isinstance(node.value, str | bytes) else 1)
        case CreateList():
            return Size.exactly(len(node.elements))
        case CreateMap():
            return Size.exactly(len(node.entries))
    return None


def _has_fixed_size(type: Type) -> bool:
    if type.kind is Kind.WRAPPER:
        return _has_fixed_size(type.parameters[0])
    return _has_fixed_size(type.parameters[0]) if type.is_optional else type.kind in _FIXED_SIZE


def _is_bind(node: Comprehension) -> bool:
    return (
        isinstance(node.range, CreateList)
        and not node.range.elements
        and isinstance(node.condition, Literal)
        and node.condition.value is False
    )
