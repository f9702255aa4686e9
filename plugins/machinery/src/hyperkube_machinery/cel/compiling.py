"""From checked expressions to closures, priced as cel-go prices its own steps.

Source: cel-go's interpreter/planner.go, attributes.go, decorators.go (what it makes constant beforehand costs
nothing) and runtimecost.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_machinery.cel import access, costs, folds, operators
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
from hyperkube_machinery.cel.calls import call
from hyperkube_machinery.cel.checking import Findings
from hyperkube_machinery.cel.code import VARIABLES, WORK_LIMIT, Code, Frame, Run, charge, charged
from hyperkube_machinery.cel.costs import LIST_COST, MAP_COST, OBJECT_COST
from hyperkube_machinery.cel.creation import create_list, create_map, create_object
from hyperkube_machinery.cel.declarations import Declarations
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.folds import Loop
from hyperkube_machinery.cel.jsonvalues import reader_of
from hyperkube_machinery.cel.library import Function, Overload
from hyperkube_machinery.cel.membership import in_constant
from hyperkube_machinery.cel.models import CallCost, CostModel
from hyperkube_machinery.cel.reading import read_field, read_index, read_variable, test_field, test_optional_field
from hyperkube_machinery.cel.shapes import Form, shape_of
from hyperkube_machinery.cel.types import Kind, ObjectType, Type
from hyperkube_machinery.cel.values import Optional
from hyperkube_machinery.patterns import PatternError, compile_pattern

__all__ = ["Compiler"]

_CONVERSIONS = frozenset(("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"))


class Compiler:
    """Compiles one expression. `slots` says which variable is where in the frame; `size` how long frames are."""

    def __init__(
        self,
        findings: Findings,
        declarations: Declarations,
        model: CostModel | None,
        *,
        presence_cost: int,
        constants: bool,
        missing: frozenset[str] = frozenset(),
    ) -> None:
        self._types = findings.types
        self._meanings = findings.meanings
        self._declarations = declarations
        self._model = model
        self._presence_cost = presence_cost
        self._constants = constants  # whether what is constant is evaluated now
        self._missing = missing  # variables that the activation lacks
        self.slots: dict[str, int] = {}
        names = {each.name for each in findings.meanings.values() if each.is_variable and not each.local}
        for name in sorted(names - missing):
            self.slots[name] = VARIABLES + len(self.slots)
        self.size = VARIABLES + len(self.slots)
        self._locals: dict[str, list[Code]] = {}

    def compile(self, node: Expression) -> Code:
        match node:
            case Literal():
                return Code.of(node.value)
            case Ident():
                return self._decoded(node, self._ident(node))
            case Select():
                return self._decoded(node, self._select(node))
            case Call():
                return self._call(node)
            case CreateList():
                return self._list(node)
            case CreateMap():
                return self._map(node)
            case CreateObject():
                return self._object(node)
            case Comprehension():
                return self._comprehension(node)
        raise TypeError(f"no expression: {node!r}")

    def _decoded(self, node: Expression, code: Code) -> Code:
        """The access, of values of its declared type."""
        read = None if code.constant else reader_of(self._types[node])
        if read is None:
            return code
        run = code.run
        return Code(lambda frame: read(run(frame)), code.cost, code.base, code.access)

    # Access

    def _ident(self, node: Ident) -> Code:
        meaning = self._meanings[node]
        if meaning.local:
            return self._locals[meaning.name][-1]
        return self._named(node)

    def _named(self, node: Expression) -> Code:
        meaning = self._meanings[node]
        if meaning.known:
            return Code.of(meaning.value)
        if meaning.name in self._missing:
            name = meaning.name

            def fail(_: Frame) -> Any:
                raise EvaluationError(f"no such attribute(s): {name}")

            return Code(fail, 1, 1, access=True)
        return read_variable(self.slots[meaning.name])

    def _select(self, node: Select) -> Code:
        if node in self._meanings:
            return self._named(node)
        operand = self.compile(node.operand)
        type = self._types[node.operand]
        key = self._key(type, node.field)
        if node.test_only and type.is_optional:
            return test_optional_field(operand, key, self._presence_cost)
        if node.test_only:
            return test_field(operand, key, self._presence_cost)
        if type.is_optional:
            return self._optional_access(operand, key)
        return read_field(operand, key)

    def _key(self, type: Type, field: str) -> str:
        """The key under which an object of the type has the field."""
        held = type.parameters[0] if type.is_optional else type
        object = self._declarations.find_object(held) if held.kind is Kind.OBJECT else None
        found = object.fields.get(field) if isinstance(object, ObjectType) else None
        return field if found is None or found.key is None else access.RenamedKey.of(found.key, field)

    def _optional_access(self, operand: Code, key: str) -> Code:
        return self._optional(operand, Code.of(key))

    def _optional(self, operand: Code, key: Code) -> Code:
        """`operand.?key` or `operand[?key]`: what is absent costs nothing."""
        run, run_key = operand.run, key.run
        find = access.find

        def found(frame: Frame) -> Optional:
            held = find(run(frame), run_key(frame))
            if held.present:
                charge(frame, 1)
            return held

        base = operand.base if operand.access else 1
        cost = operand.cost + (0 if operand.access else 1) + _index_cost(key)
        return Code(found, cost, base, access=True)

    # Calls

    def _call(self, node: Call) -> Code:
        match node.function:
            case "_&&_" | "_||_":
                return self._logical(node)
            case "_?:_" | "_?_:_":
                return operators.conditional(*map(self.compile, node.arguments))
            case "_?._":
                type = self._types[node.arguments[0]]
                field = node.arguments[1]
                assert isinstance(field, Literal)
                key = Code.of(self._key(type, field.value))
                return self._optional(self.compile(node.arguments[0]), key)
            case "_[?_]":
                return self._optional(*map(self.compile, node.arguments))
            case "_[_]":
                return self._decoded(node, self._index(node))
        return self._function(node)

    def _logical(self, node: Call) -> Code:
        terms: list[Expression] = []
        stack: list[Expression] = [node]
        while stack:
            term = stack.pop()
            if isinstance(term, Call) and term.function == node.function:
                stack.extend(reversed(term.arguments))
            else:
                terms.append(term)
        return operators.logical([self.compile(term) for term in terms], decisive=node.function == "_||_")

    def _index(self, node: Call) -> Code:
        operand, key = map(self.compile, node.arguments)
        type = self._types[node.arguments[0]]
        if type.is_optional:
            return self._optional(operand, key)
        return read_index(operand, key, type, _index_cost(key) + 1)

    def _function(self, node: Call) -> Code:
        meaning = self._meanings[node]
        nodes = [*node.arguments]
        if node.target is not None and not meaning.namespaced:
            nodes.insert(0, node.target)
        codes = [self.compile(each) for each in nodes]
        types = [self._types[each] for each in nodes]
        function = self._declarations.functions[meaning.name]
        overload = self._overload(function, meaning.overloads)
        id = "" if overload is None else overload.id
        if id in ("optional_or_optional", "optional_orValue_value"):
            return _or_else(codes, unwrap=id == "optional_orValue_value")
        if self._constants and id == "in_list" and codes[1].constant:
            quick = in_constant(codes[0], types[0], codes[1].value)
            if quick is not None:
                return quick
        price = self._price(function.name, overload)
        code = self._general(function, overload, types, codes, price)
        if self._constants and function.name in _CONVERSIONS and len(codes) == 1 and codes[0].constant:
            return Code.of(code.run([0, float("inf"), WORK_LIMIT, None]))
        return code

    def _general(
        self,
        function: Function,
        overload: Overload | None,
        types: Sequence[Type],
        codes: Sequence[Code],
        price: CallCost | None,
    ) -> Code:
        if function.name in ("_==_", "_!=_"):
            return operators.compare_equal(types, codes, negate=function.name == "_!=_")
        if overload is not None:
            quick = operators.specialised(function.name, types, codes)
            if quick is not None:
                return quick
            if price is costs.first and len(codes) == 2 and {type.kind for type in types} == {Kind.STRING}:
                return operators.affix_test(overload.implementation, codes)
            if function.name == "matches" and codes[1].constant:
                return _matching(codes, overload, price)
        return call(function, overload, types, codes, price)

    def _overload(self, function: Function, ids: Sequence[str]) -> Overload | None:
        if len(ids) != 1:
            return None
        return next(overload for overload in function.overloads if overload.id == ids[0])

    def _price(self, function: str, overload: Overload | None) -> CallCost | None:
        if self._model is not None:
            price = self._model.call_cost(function, "" if overload is None else overload.id)
            if price is not None:
                return price
        return None if overload is None else overload.cost

    # Composed values

    def _list(self, node: CreateList) -> Code:
        codes = [self.compile(element) for element in node.elements]
        run = create_list(codes, node.optional)
        if self._constants and all(code.constant for code in codes):
            return Code.of(run([]))
        return Code(run, self._list_cost(*codes))

    def _map(self, node: CreateMap) -> Code:
        keys = [self.compile(entry.key) for entry in node.entries]
        values = [self.compile(entry.value) for entry in node.entries]
        run = create_map(keys, values, [entry.optional for entry in node.entries])
        if self._constants and all(code.constant for code in (*keys, *values)):
            return Code.of(run([]))
        return Code(run, MAP_COST + sum(code.cost for code in (*keys, *values)))

    def _object(self, node: CreateObject) -> Code:
        type = self._declarations.find_object(self._types[node])
        assert type is not None
        codes = [self.compile(entry.value) for entry in node.entries]
        fields = [(self._key(type, entry.field), entry.optional) for entry in node.entries]
        return Code(create_object(type, fields, codes), OBJECT_COST + sum(code.cost for code in codes))

    # Comprehensions

    def _slot(self) -> int:
        self.size += 1
        return self.size - 1

    def _comprehension(self, node: Comprehension) -> Code:
        shape = shape_of(node)
        if shape.form is Form.BIND:
            return self._bind(node)
        values = self.compile(node.range)
        loop = Loop(values.run, self._slot(), self._slot() if node.variable2 else None)
        if shape.form is Form.OTHER:
            return self._fold(node, values, loop)
        self._enter(node, loop)
        predicate, item, key = (
            None if part is None else self.compile(part) for part in (shape.predicate, shape.item, shape.key)
        )
        self._leave(node)
        run: Run
        match shape.form, predicate, item:
            case Form.ALL, Code(), _:
                run = folds.all_of(loop, predicate)
            case Form.EXISTS, Code(), _:
                run = folds.exists(loop, predicate)
            case Form.COUNT_ONE, Code(), _:
                return Code(folds.count_one(loop, predicate), values.cost + 2)
            case Form.LIST, _, Code():
                run = folds.grow_list(loop, item, predicate, cost=self._list_cost(item))
            case Form.MAP, _, Code() if key is not None:
                run = folds.grow_map(loop, key, item, predicate)
            case _, _, Code():
                run = folds.merge_maps(loop, item, predicate)
        return Code(run, values.cost + self.compile(node.initial).cost + 1)

    def _list_cost(self, *items: Code) -> int:
        """What making a list of the items costs."""
        if self._constants and all(item.constant for item in items):
            return 0
        return LIST_COST + sum(item.cost for item in items)

    def _enter(self, node: Comprehension, loop: Loop) -> None:
        self._locals.setdefault(node.variable, []).append(read_variable(loop.slot))
        if loop.slot2 is not None:
            self._locals.setdefault(node.variable2, []).append(read_variable(loop.slot2))

    def _leave(self, node: Comprehension) -> None:
        self._locals[node.variable].pop()
        if node.variable2:
            self._locals[node.variable2].pop()

    def _bind(self, node: Comprehension) -> Code:
        value = self.compile(node.initial)
        slot = self._slot()
        name = Code(folds.bound(slot, value), 1, 1, access=True)
        self._locals.setdefault(node.accumulator, []).append(name)
        result = self.compile(node.result)
        self._locals[node.accumulator].pop()
        return Code(folds.bind(slot, result), result.cost)

    def _fold(self, node: Comprehension, values: Code, loop: Loop) -> Code:
        initial = self.compile(node.initial)
        slot = self._slot()
        self._locals.setdefault(node.accumulator, []).append(read_variable(slot))
        self._enter(node, loop)
        condition, step = self.compile(node.condition), self.compile(node.step)
        self._leave(node)
        result = self.compile(node.result)
        self._locals[node.accumulator].pop()
        run = folds.fold(loop, slot, initial, condition, step, result)
        return Code(run, values.cost + initial.cost + result.cost)


def _index_cost(key: Code) -> int:
    """What evaluating an index costs, beyond the access itself."""
    if key.constant:
        return 0
    return key.cost - key.base if key.access else key.cost + 1


def _or_else(codes: Sequence[Code], *, unwrap: bool) -> Code:
    """`or` and `orValue`: the second is evaluated if the first is absent."""
    run, other = codes[0].run, charged(codes[1])

    def chosen(frame: Frame) -> Any:
        held = run(frame)
        if not isinstance(held, Optional):
            return held
        if held.present:
            return held.value if unwrap else held
        return other(frame)

    return Code(chosen, codes[0].cost)


def _matching(codes: Sequence[Code], overload: Overload, price: CallCost | None) -> Code:
    """`matches` with a pattern known beforehand. Raises EvaluationError if it is none."""
    pattern = codes[1].value
    try:
        search = compile_pattern(pattern).search
    except PatternError as exc:
        raise EvaluationError(str(exc)) from None
    run = codes[0].run
    if price is None:
        return Code(lambda frame: search(run(frame)) is not None, codes[0].cost + 1)

    def matched(frame: Frame) -> bool:
        text = run(frame)
        charge(frame, price((text, pattern), None))
        return search(text) is not None

    return Code(matched, codes[0].cost)
