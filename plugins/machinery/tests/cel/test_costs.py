"""What evaluations cost, and what they are estimated to cost.

The figures are facts of cel-go v0.26: interpreter/runtimecost_test.go and checker/cost_test.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from hyperkube_machinery.cel.bounds import UNBOUNDED, CallEstimate, Cost, Size
from hyperkube_machinery.cel.environment import Environment, Settings, SizedNode
from hyperkube_machinery.cel.errors import CostExceeded
from hyperkube_machinery.cel.estimation import estimate
from hyperkube_machinery.cel.libraries.optionals import OPTIONALS
from hyperkube_machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
)
from hyperkube_machinery.cel.values import Timestamp

THING = ObjectType("Thing", {"number": Field(INT), "ratio": Field(DOUBLE), "text": Field(STRING)})
THINGS = list_of(THING)
BY_NAME = map_of(STRING, THING)
NESTED = map_of(STRING, BY_NAME)
LONG = "x" * 500
NOW = Timestamp(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000)


@dataclass(frozen=True)
class Run:
    """An expression, the values of its variables, and what evaluating it costs."""

    expression: str
    cost: int
    variables: dict[str, Type] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    presence: int = 1


def stepwise(variables: dict[str, Type], *, presence: int = 1) -> Environment:
    """An environment that evaluates every step, and prices has()."""
    settings = Settings(presence_test_cost=presence, evaluate_constants=False)
    return Environment(variables=variables, types={"Thing": THING}, settings=settings)


TEXTS = {"input": STRING, "other": STRING}
BOOLS = {"a": BOOL, "b": BOOL, "c": BOOL, "d": BOOL}

RUNS = [
    Run('"Hello World!"', 0),
    Run("input", 1, {"input": list_of(INT)}, {"input": [1, 2]}),
    Run("input['key']", 2, {"input": map_of(STRING, STRING)}, {"input": {"key": "v"}}),
    Run("input.number", 2, {"input": THING}, {"input": {"number": 1}}),
    Run("has(input.number)", 2, {"input": THING}, {"input": {}}),
    Run("has(input.a.number)", 3, {"input": NESTED}, {"input": {"a": {"number": {}}}}),
    Run("has(input.a.number)", 2, {"input": NESTED}, {"input": {"a": {"number": {}}}}, presence=0),
    Run("input.getFullYear()", 2, {"input": TIMESTAMP}, {"input": NOW}),
    Run("[1, 2, 3]", 10),
    Run("Thing{number: 1, ratio: 3.14, text: 'str'}", 40),
    Run('{"a": 1, "b": 2, "c": 3}', 30),
    Run("input.all(x, true)", 2, {"input": THINGS}, {"input": []}),
    Run("input.all(x, x.all(y, true))", 2, {"input": list_of(THINGS)}, {"input": []}),
    Run("[1, 2, 3].all(x, true)", 20),
    Run("input.matches('[0-9]')", 103, TEXTS, {"input": LONG}),
    Run("'123'.matches('[0-9]')", 2),
    Run("false || false", 0),
    Run("true || false", 0),
    Run("a || b || c || d", 4, BOOLS, dict.fromkeys("abcd", False)),
    Run("true && false", 0),
    Run("a && b && c && d", 4, BOOLS, dict.fromkeys("abcd", True)),
    *(Run(f"1 {operator} 2", 1) for operator in ("<", "<=", "==", ">", ">=", "+", "-", "/", "*", "%")),
    Run("2 in [1, 2, 3]", 13),
    Run("true ? 1 : 2", 0),
    Run('size("123")', 1),
    Run("'12345678901234567890' == '123456789012345678901234567890'", 2),
    Run("string(input)", 51, {"input": BYTES}, {"input": LONG.encode()}),
    Run("bytes(input)", 51, {"input": STRING}, {"input": LONG}),
    Run("string(1)", 1),
    Run("input.contains(other)", 2502, TEXTS, {"input": LONG, "other": LONG}),
    Run(r"input.matches('\\d+a\\d+b')", 103, TEXTS, {"input": LONG}),
    Run("input.startsWith(other)", 3, TEXTS, {"input": "idc", "other": LONG}),
    Run("input.endsWith(other)", 3, TEXTS, {"input": "idc", "other": LONG}),
    Run("input.size()", 2, TEXTS, {"input": "500"}),
    Run("size(input)", 2, TEXTS, {"input": "500"}),
    Run(
        "(x > 2 ? one : two).all(y, true)",
        6,
        {"x": INT, "one": THINGS, "two": THINGS},
        {"x": 1, "one": [{}], "two": [{}]},
    ),
    Run("true ? false : 1 > 3", 0),
    Run("false ? false : 1 > 3", 1),
    Run("input.all(k, input[k].number > 3)", 9, {"input": BY_NAME}, {"input": {"val": {"number": 0}}}),
    Run("input.all(k, k.contains(k))", 2, {"input": NESTED}, {"input": {}}),
    Run("(one + two).all(x, true)", 4, {"one": list_of(INT), "two": list_of(INT)}, {"one": [], "two": []}),
    Run('"abcdefg".contains(one + two)', 6, {"one": STRING, "two": STRING}, {"one": "val1", "two": "val2222222"}),
    Run("(1 > 2 ? 5 : 3) > 1", 2),
    Run("(1 > 2 || 2 > 1) == true", 3),
    Run("[{'k1': 1}, {'k2': 2}].all(x, true)", 77),
    Run("[1,2,3,4,5].filter(x, x % 2 == 0)", 62),
    Run("[1,2,3,4,5].map(x, x)", 86),
    Run("[1,2,3,4,5].map(x, x).filter(x, x % 2 == 0)", 138),
    Run("[1,2,3,4,5].map(x, x).exists(x, x == 5) == true", 118),
    Run("[1,2,3,4,5].map(x, x).map(x, x)", 162),
    Run("[1,2,3,4,5].map(x, [x, x]).filter(z, z.size() == 2)", 232),
    Run("[1,2,3,4,5].map(x, [x, x]).all(y, y.all(y, y == 1))", 171),
    Run("[1,2,3,4,5].map(x, x).map(x, x) + [1]", 173),
    Run("[1,2,3].all(i, i in [1,2,3].map(j, j + j))", 86),
]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.expression)
def test_an_evaluation_costs_what_it_costs_in_cel_go(run: Run) -> None:
    environment = stepwise(run.variables, presence=run.presence)
    program = environment.program(environment.compile(run.expression))
    assert program.evaluate(run.values).cost == run.cost


CONSTANT = [  # as Kubernetes evaluates: what is constant costs nothing
    ("[1, 2, 3]", 0),
    ("{'a': [1]}", 0),
    ("2 in [1, 2, 3]", 0),
    ("x in [1, 2, 3]", 1),
    ("x in [1, 2, x]", 15),
    ("x in []", 0),
    ("int('1') + x", 2),
    ("duration('1h') < duration('2h')", 1),
    ("[1,2,3].map(i, i)", 40),
    ("[1,2,3].map(i, 0)", 7),
    ("[1, 2, 3][0]", 2),
    ("[x, 2, 3][0]", 13),
    ("x > 0 ? x : 0", 2),
    ("{'a': x}.a", 33),
    ("[x].exists_one(i, i == 1)", 17),
    ("['a'].all(i, i == 'b')", 6),
    ("['a', 'c'].all(i, i == 'b')", 8),
    ("['b', 'c'].exists(i, i == 'b')", 10),
]


OPTIONAL = [  # a step that finds nothing costs nothing
    ("m.?a", 2),
    ("m.?z", 1),
    ("m.?a.b", 3),
    ("m.?a.z.y", 2),
    ("m[?'a'][?'b']", 3),
    ("has(m.?a.b)", 2),
    ("has(m.?a.z)", 1),
    ("has(m.?z.b)", 0),
    ("m.?z.orValue({})", 1),
    ("m.?a.orValue(m.z)", 2),
    ("m.?z.orValue(m.a)", 3),
]


@pytest.mark.parametrize(("expression", "cost"), OPTIONAL)
def test_what_is_absent_costs_nothing(expression: str, cost: int) -> None:
    environment = Environment(
        variables={"m": map_of(STRING, map_of(STRING, map_of(STRING, INT)))}, libraries=[OPTIONALS]
    )
    program = environment.program(environment.compile(expression))
    assert program.evaluate({"m": {"a": {"b": {}}}}).cost == cost


@pytest.mark.parametrize(("expression", "cost"), CONSTANT)
def test_what_is_known_beforehand_costs_nothing(expression: str, cost: int) -> None:
    environment = Environment(variables={"x": INT})
    assert environment.program(environment.compile(expression)).evaluate({"x": 1}).cost == cost


def test_an_evaluation_may_cost_its_limit_and_no_more() -> None:
    environment = Environment(variables={"one": STRING, "two": STRING})
    checked = environment.compile('"abcdefg".contains(one + two)')
    values = {"one": "val1", "two": "val2222222"}
    assert environment.program(checked, cost_limit=6).evaluate(values).cost == 6
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        environment.program(checked, cost_limit=5).evaluate(values)


def test_a_loop_ends_where_its_limit_is_reached_and_nothing_absorbs_that() -> None:
    environment = Environment(variables={"items": list_of(INT)})
    checked = environment.compile("items.all(i, items.all(j, j >= 0)) || true")
    with pytest.raises(CostExceeded) as caught:
        environment.program(checked, cost_limit=1000).evaluate({"items": [0] * 100_000})
    assert caught.value.cost < 1100


@dataclass(frozen=True)
class Guess:
    """An expression, how large its variables may be, and what evaluating it may cost."""

    expression: str
    min: int
    max: int
    variables: dict[str, Type] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    presence: int = 1


LISTS = {"one": list_of(INT), "two": list_of(INT)}
TIMES = {"one": TIMESTAMP, "two": TIMESTAMP}

GUESSES = [
    Guess('"Hello World!"', 0, 0),
    Guess("input", 1, 1, {"input": list_of(INT)}),
    Guess("input['key']", 2, 2, {"input": map_of(STRING, STRING)}),
    Guess("input.number", 2, 2, {"input": THING}),
    Guess("has(input.number)", 1, 1, {"input": THING}, presence=0),
    Guess("has(input.number)", 2, 2, {"input": THING}),
    Guess("has(input.a.number)", 3, 3, {"input": NESTED}),
    Guess("has(input.a.number)", 2, 2, {"input": NESTED}, presence=0),
    Guess("[1, 2, 3]", 10, 10),
    Guess("Thing{number: 1, ratio: 3.14, text: 'str'}", 40, 40),
    Guess('{"a": 1, "b": 2, "c": 3}', 30, 30),
    Guess("input.all(x, true)", 2, 302, {"input": THINGS}, {"input": 100}),
    Guess("input.all(x, x.all(y, true))", 2, 1752, {"input": list_of(THINGS)}, {"input": 50, "input.@items": 10}),
    Guess("[1, 2, 3].all(x, true)", 20, 20),
    Guess("input.matches('[0-9]')", 3, 103, TEXTS, {"input": 500}),
    Guess("'123'.matches('[0-9]')", 2, 2),
    Guess("true || false", 0, 0),
    Guess("a || b || c || d", 1, 4, BOOLS),
    Guess("a && b && c && d", 1, 4, BOOLS),
    *(Guess(f"1 {operator} 2", 1, 1) for operator in ("<", "<=", "==", ">", ">=", "+", "-", "/", "*", "%")),
    Guess("2 in [1, 2, 3]", 13, 13),
    Guess("true ? 1 : 2", 0, 0),
    Guess('size("123")', 1, 1),
    Guess('size(b"123")', 1, 1),
    Guess("string(input)", 1, 51, {"input": BYTES}, {"input": 500}),
    Guess("string(input) == string(input)", 3, 152, {"input": BYTES}, {"input": 500}),
    Guess("bytes(input)", 1, 51, TEXTS, {"input": 500}),
    Guess("bytes(input) == bytes(input)", 3, 302, TEXTS, {"input": 500}),
    Guess("string(1)", 1, 1),
    Guess("input.contains(other)", 2, 2502, TEXTS, {"input": 500, "other": 500}),
    Guess(r"input.matches('\\d+a\\d+b')", 3, 103, TEXTS, {"input": 500}),
    Guess("input.startsWith(other)", 2, 52, TEXTS, {"other": 500}),
    Guess("input.endsWith(other)", 2, 52, TEXTS, {"other": 500}),
    Guess("input.size()", 2, 2, TEXTS),
    Guess("size(input)", 2, 2, TEXTS),
    Guess(
        "(x > 2 ? one : two).all(y, true)",
        4,
        7,
        {"x": INT, "one": THINGS, "two": THINGS},
        {"one": 1, "two": 1},
    ),
    Guess("input.all(k, input[k].number > 3)", 2, 82, {"input": BY_NAME}, {"input": 10}),
    Guess("input.all(k, input[k].all(x, true))", 2, 187, {"input": NESTED}, {"input": 5, "input.@values": 10}),
    Guess("input.all(k, k.contains(k))", 2, 32, {"input": NESTED}, {"input": 5, "input.@keys": 10}),
    Guess(
        "input.all(k, input[k].all(k, true) && k.contains(k))",
        2,
        34,
        {"input": NESTED},
        {"input": 2, "input.@values": 2, "input.@keys": 5},
    ),
    Guess("(one + two).all(x, true)", 4, 64, LISTS, {"one": 10, "two": 10}),
    Guess('"abcdefg".contains(one + two)', 2, 6, {"one": STRING, "two": STRING}, {"one": 10, "two": 10}),
    Guess("one.size() == two.size()", 5, 5, LISTS),
    Guess("x > y ? one.size() : two.size()", 5, 5, {"x": INT, "y": INT, **LISTS}),
    Guess("([x, y] + one + two).size()", 17, 17, {"x": INT, "y": INT, **LISTS}, {"one": 10, "two": 20}),
    Guess(
        "[one, two].exists(l, l.exists(v, v.startsWith('hi')))",
        21,
        265,
        {"one": list_of(STRING), "two": list_of(STRING)},
        {"one": 10, "one.@items": 64, "two": 20, "two.@items": 128},
    ),
    Guess('input.endsWith("abcdefghijklmnopqrstuvwxyz") == other.endsWith("abcdefghijklmnopqrstuvwxyz")', 9, 9, TEXTS),
    Guess("((5 != 6) == (1 == 2)) == ((3 <= 4) == (9 != 9))", 7, 7),
    Guess("string(one) == string(two)", 5, 1844674407370955268, TIMES),
    Guess("one == two", 3, 3, TIMES),
    Guess("one != two", 3, 3, {"one": DURATION, "two": DURATION}),
    Guess("[1,2,3,4,5].filter(x, x % 2 == 0)", 41, 101),
    Guess("[1,2,3,4,5].map(x, x)", 86, 86),
    Guess("[1,2,3,4,5].map(x, x).filter(x, x % 2 == 0)", 117, 177),
    Guess("[1,2,3,4,5].map(x, x).exists(x, x == 5) == true", 108, 118),
    Guess("[1,2,3,4,5].map(x, x).map(x, x)", 162, 162),
    Guess("[1,2,3,4,5].map(x, x)[4]", 87, 87),
    Guess("[[1,2],[1,2],[1,2],[1,2],[1,2]][4]", 61, 61),
    Guess("{'a': [1,2], 'b': [1,2], 'c': [1,2], 'd': [1,2], 'e': [1,2]}.b", 81, 81),
    Guess("[[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]].all(y, y.all(y, y == 1))", 76, 136),
    Guess("[1,2,3,4,5].map(x, [x, x]).all(y, y.all(y, y == 1))", 157, 217),
    Guess('["a", "ab", "abc", "abcd", "abcde"].map(x, [x, x]).all(y, y.all(y, y.startsWith(\'a\')))', 157, 217),
    Guess(
        "input.map(x, [x, x]).all(y, y.all(y, y.startsWith('a')))",
        13,
        208,
        {"input": list_of(STRING)},
        {"input": 5, "input.@items": 10},
    ),
    Guess("[1,2,3,4,5].map(x, x).map(x, x) + [1]", 173, 173),
    Guess("[1,2,3].all(i, i in [1,2,3].map(j, j + j))", 20, 230),
    Guess("dyn([1,2,3]).all(i, i in dyn([1,2,3]).map(j, j + j))", 21, 234),
    Guess("{'hello': 'hi'}['hello'] != {'hello': 'bye'}['hello']", 63, 63),
    Guess("['hello', 'hi'][0] != ['hello', 'bye'][1]", 23, 23),
    Guess("type(1)", 1, 1),
    Guess("type(self.a)", 3, 3, {"self": map_of(STRING, INT)}),
    Guess("type(self.a) == int", 5, 1844674407370955268, {"self": map_of(STRING, INT)}),
    Guess("type(1) == int", 3, 1844674407370955266),
    Guess("self.a == 1.0", 2, 2, {"self.a": DOUBLE}),
    Guess("self.a == 1.0", 3, 3, {"self": map_of(STRING, DOUBLE)}),
    Guess(
        "self.a == timestamp('2011-08-18T00:00:00.000+01:00') + duration('19h3m37s10ms')",
        6,
        6,
        {"self": map_of(STRING, TIMESTAMP)},
    ),
    Guess(
        "timestamp(self.a) == timestamp('2011-08-18T00:00:00.000+01:00') + duration('19h3m37s10ms')",
        7,
        7,
        {"self": map_of(STRING, TIMESTAMP)},
    ),
    Guess("self.a != self.b", 5, 5, {"self": map_of(STRING, BOOL)}),
    Guess("self.a != true", 3, 3, {"self": map_of(STRING, BOOL)}),
]


@pytest.mark.parametrize("guess", GUESSES, ids=lambda guess: guess.expression)
def test_an_expression_is_estimated_to_cost_what_it_is_in_cel_go(guess: Guess) -> None:
    environment = stepwise(guess.variables, presence=guess.presence)

    def sizes(node: SizedNode) -> Size | None:
        known = guess.sizes.get(".".join(node.path))
        return None if known is None else Size(0, known)

    checked = environment.compile(guess.expression)
    assert estimate(environment, checked, sizes) == Cost(guess.min, guess.max)


class Model:
    """Prices `contains` at a fifth of a code point, in place of a tenth."""

    def call_cost(self, function: str, overload: str) -> Any:
        return (lambda arguments, _: 7) if overload == "contains_string" else None

    def estimate_call(self, function: str, overload: str, target: Any, arguments: Any) -> CallEstimate | None:
        return CallEstimate(Cost(7, 9)) if overload == "contains_string" else None


def test_an_environment_may_price_calls_itself() -> None:
    environment = Environment(variables={"s": STRING}, costs=Model())
    checked = environment.compile("s.contains('x')")
    assert environment.program(checked).evaluate({"s": "abc"}).cost == 8
    assert estimate(environment, checked) == Cost(8, 10)


def test_what_nobody_knows_is_unbounded() -> None:
    environment = Environment(variables={"s": list_of(list_of(STRING))})
    assert estimate(environment, environment.compile("s.all(x, x.all(y, y == 'a'))")).max == UNBOUNDED
