"""Which types fit, what an expression's type is, and what is said when it has none.

Most messages are facts of cel-go v0.26: checker/checker_test.go and cel/validator_test.go.
"""

from __future__ import annotations

import pytest

from hyperkube_machinery.cel.environment import Environment, Settings
from hyperkube_machinery.cel.errors import CompileError
from hyperkube_machinery.cel.libraries.comprehensions import TWO_VARIABLE_COMPREHENSIONS
from hyperkube_machinery.cel.libraries.lists import LISTS
from hyperkube_machinery.cel.libraries.math import MATH
from hyperkube_machinery.cel.libraries.optionals import OPTIONALS
from hyperkube_machinery.cel.libraries.strings import strings
from hyperkube_machinery.cel.library import Constant, Function, Library, Overload
from hyperkube_machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
    opaque,
    optional_of,
    wrapper_of,
)

INNER = ObjectType("Inner", {"count": Field(INT)})
OUTER = ObjectType(
    "Outer",
    {
        "count": Field(INT),
        "ratio": Field(DOUBLE),
        "when": Field(TIMESTAMP),
        "inner": Field(INNER),
        "counts": Field(list_of(INT)),
        "labels": Field(map_of(STRING, STRING)),
        "maybe": Field(wrapper_of(INT)),
    },
)
TYPES = {"Inner": INNER, "Outer": OUTER, "space.Inner": ObjectType("space.Inner", {"count": Field(INT)})}
VARIABLES = {
    "x": OUTER,
    "y": list_of(INT),
    "m": map_of(STRING, OUTER),
    "d": DYN,
    "b": BOOL,
    "i": INT,
    "os": optional_of(STRING),
    "a.b.c": INT,
}
LIBRARIES = (OPTIONALS, TWO_VARIABLE_COMPREHENSIONS, LISTS, MATH, strings(2))
NO_RANGE = "cannot be range of a comprehension (must be list, map, or dynamic)"
FORMATTING = "error during formatting"
NO_TEXT = (
    "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and"
    " timestamps"
)
NO_OVERLOAD = "found no matching overload for"
ENVIRONMENT = Environment(variables=VARIABLES, types=TYPES, libraries=LIBRARIES)

OF_TYPE: list[tuple[str, str]] = [
    ("'A'", "string"),
    ("12", "int"),
    ("12u", "uint"),
    ("-1.5", "double"),
    ("b'ABC'", "bytes"),
    ("null", "null"),
    ("[]", "list(dyn)"),
    ("[1]", "list(int)"),
    ("[dyn(1), dyn('a')]", "list(dyn)"),
    ("{}", "map(dyn, dyn)"),
    ("{1: 'a'}", "map(int, string)"),
    ("Outer{count: 1}", "Outer"),
    ("x.inner.count", "int"),
    ("m['a'].inner", "Inner"),
    ("m.a.inner", "Inner"),
    ("d.a.b", "dyn"),
    ("x.counts.map(i, i * 2)", "list(int)"),
    ("x.counts.filter(i, i > 2)", "list(int)"),
    ("x.labels.map(k, k.size())", "list(int)"),
    ("x.counts.all(i, i > 2)", "bool"),
    ("x.counts.exists_one(i, i > 2)", "bool"),
    ("d.map(i, i.x)", "list(dyn)"),
    ("x.?inner.?count", "optional_type(int)"),
    ("x.?labels['a'].orValue('')", "string"),
    ("os.optMap(s, s.size())", "optional_type(int)"),
    ("y[?0]", "optional_type(int)"),
    ("[?os, 'a']", "list(string)"),
    ("{?'a': os}", "map(string, string)"),
    ("type(1)", "type(int)"),
    ("int", "type(int)"),
    ("Outer", "type(Outer)"),
    ("i > 0 ? 1 : d", "dyn"),
    ("x.maybe == null || x.maybe > 1", "bool"),
    ("x.inner == null", "bool"),
    ("x.maybe", "wrapper(int)"),
    ("1 < 1.5 && 1u < 2", "bool"),
    ("a.b.c + 1", "int"),
    ("timestamp('2000-01-01T00:00:00Z') - timestamp('1999-01-01T00:00:00Z')", "duration"),
    ("x.labels.transformMap(k, v, v.size())", "map(string, int)"),
    ("y.transformList(at, v, at + v)", "list(int)"),
    ("y.sortBy(v, -v)", "list(int)"),
    ("[[1], [2]].flatten()", "list(int)"),
    ("math.greatest(1, 2.0)", "dyn"),
    ("math.greatest(1, 2, 3)", "int"),
    ("'%s %s'.format([1, 'a'])", "string"),
    ("optional.none()", "optional_type(dyn)"),
    ("optional.of(1).or(optional.none())", "optional_type(int)"),
]


@pytest.mark.parametrize(("expression", "type"), OF_TYPE)
def test_an_expression_is_of_a_type(expression: str, type: str) -> None:
    assert str(ENVIRONMENT.compile(expression).type) == type


WRONG: list[tuple[str, list[tuple[int, str]]]] = [
    ("foo", [(1, "undeclared reference to 'foo' (in container '')")]),
    ("1 + foo", [(5, "undeclared reference to 'foo' (in container '')")]),
    ("fun()", [(4, "undeclared reference to 'fun' (in container '')")]),
    ("'string'.fun()", [(13, "undeclared reference to 'fun' (in container '')")]),
    ("Msg{}", [(4, "undeclared reference to 'Msg' (in container '')")]),
    ("int{}", [(4, "'int' is not a message type")]),
    ("Outer{count: 1u}", [(12, "expected type of field 'count' is 'int' but provided type is 'uint'")]),
    ("Outer{count: 1, other: 2}", [(22, "undefined field 'other'")]),
    ("x.inner.other == x.other", [(8, "undefined field 'other'"), (19, "undefined field 'other'")]),
    ("has(x.other)", [(4, "undefined field 'other'")]),
    ("[x] + y", [(5, f"{NO_OVERLOAD} '_+_' applied to '(list(Outer), list(int))'")]),
    ("y[1u]", [(2, f"{NO_OVERLOAD} '_[_]' applied to '(list(int), uint)'")]),
    ("m[2].count == 23", [(2, f"{NO_OVERLOAD} '_[_]' applied to '(map(string, Outer), int)'")]),
    ("x.count != null", [(9, f"{NO_OVERLOAD} '_!=_' applied to '(int, null)'")]),
    ("i.startsWith('a')", [(13, f"{NO_OVERLOAD} 'startsWith' applied to 'int.(string)'")]),
    ("size(1, 2)", [(5, f"{NO_OVERLOAD} 'size' applied to '(int, int)'")]),
    ("1 + 'a'", [(3, f"{NO_OVERLOAD} '_+_' applied to '(int, string)'")]),
    ("!1", [(1, f"{NO_OVERLOAD} '!_' applied to '(int)'")]),
    ("1 && true", [(1, "expected type 'bool' but found 'int'")]),
    ("1 ? 2 : 3", [(3, f"{NO_OVERLOAD} '_?_:_' applied to '(int, int, int)'")]),
    ("b ? 2 : 'a'", [(3, f"{NO_OVERLOAD} '_?_:_' applied to '(bool, int, string)'")]),
    (
        "b.all(e, e)",
        [(1, f"expression of type 'bool' {NO_RANGE}")],
    ),
    (
        "x.all(e, 0)",
        [
            (1, f"expression of type 'Outer' {NO_RANGE}"),
            (10, "expected type 'bool' but found 'int'"),
        ],
    ),
    ("y.exists(z, z > 10) && z < 5", [(24, "undeclared reference to 'z' (in container '')")]),
    (
        "[].map(x, [].map(y, x in y && y in x))",
        [(33, f"{NO_OVERLOAD} '@in' applied to '(list(dyn), dyn)'")],
    ),
    ("[].length", [(3, "type 'list(_var0)' does not support field selection")]),
    ("i.a", [(2, "type 'int' does not support field selection")]),
    ("{?'key': 'hi'}", [(10, "expected type 'optional_type(string)' but found 'string'")]),
    ("[?'value']", [(3, "expected type 'optional_type(string)' but found 'string'")]),
    ("[1, 'a']", [(5, "expected type 'int' but found 'string'")]),
    (
        "{1: 'a', 'b': 2}",
        [(10, "expected type 'int' but found 'string'"), (15, "expected type 'string' but found 'int'")],
    ),
    ("[dyn(1), 'a']", [(10, "expected type 'dyn' but found 'string'")]),
    (
        "'%d'.format(['a'])",
        [(14, "error during formatting: decimal clause can only be used on integers, was given string")],
    ),
    ("'%s'.format([x])", [(14, f"{FORMATTING}: {NO_TEXT}, was given Outer")]),
    ("'%s %s'.format(['a'])", [(15, "index 1 out of range")]),
    ("'%s'.format(['a', 'b'])", [(12, "too many arguments supplied to string.format (expected 1, got 2)")]),
    ("'%z'.format(['a'])", [(12, 'could not parse formatting clause: unrecognized formatting clause "z"')]),
    ("duration('1 hour')", [(10, "invalid duration argument")]),
    ("timestamp('yesterday')", [(11, "invalid timestamp argument")]),
    ("'a'.matches('(')", [(13, "invalid matches argument")]),
    ("matches('(', 'a')", [(9, "invalid matches argument")]),
    ("y.all(x.y, true)", [(8, "argument must be a simple name")]),
    ("y.map(1, true)", [(7, "argument is not an identifier")]),
    ("y.transformList(v, v, v)", [(20, "duplicate variable name: v")]),
    ("os.optMap(1, true)", [(11, "optMap() variable name must be a simple identifier")]),
    ("math.least()", [(1, "math.least() requires at least one argument")]),
    ("math.least('a')", [(12, "math.least() invalid single argument value")]),
    ("math.least(1, 'a')", [(15, "math.least() simple literal arguments must be numeric")]),
]


@pytest.mark.parametrize(("expression", "expected"), WRONG)
def test_what_does_not_fit_is_told_where_it_is(expression: str, expected: list[tuple[int, str]]) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(expression)
    assert [(issue.column + 1, issue.message) for issue in caught.value.issues] == expected


def test_an_environment_may_do_without_comparing_numbers_of_different_types() -> None:
    environment = Environment(settings=Settings(cross_type_numeric_comparisons=False))
    environment.compile("1 <= 2 && 1u <= 2u && 1.0 <= 2.0")
    for one, other, types in (("1", "1.0", "int, double"), ("1u", "1", "uint, int"), ("1.0", "1u", "double, uint")):
        with pytest.raises(CompileError, match=f"'_<=_' applied to '\\({types}\\)'"):
            environment.compile(f"{one} <= {other}")


def test_an_environment_may_let_literals_hold_what_they_like() -> None:
    environment = Environment(settings=Settings(homogeneous_literals=False, check_literals=False))
    assert str(environment.compile("[1, 'a']").type) == "list(dyn)"
    assert str(environment.compile("{1: 'a', 'b': 2}").type) == "map(dyn, dyn)"


def test_names_are_looked_up_from_the_container_outwards() -> None:
    environment = Environment(
        variables={"space.inner.v": STRING, "space.v": INT, "v": BOOL}, types=TYPES, container="space.inner"
    )
    assert str(environment.compile("v").type) == "string"
    assert str(environment.compile(".v").type) == "bool"
    assert str(environment.compile(".space.v").type) == "int"
    assert str(environment.compile("Inner{count: 1}").type) == "space.Inner"
    with pytest.raises(CompileError, match=r"undeclared reference to 'w' \(in container 'space.inner'\)"):
        environment.compile("w")


def test_a_comprehension_s_variable_hides_those_of_the_environment() -> None:
    environment = Environment(variables={"x": STRING, "y.z": INT}, types=TYPES)
    assert str(environment.compile("[1].map(x, x)").type) == "list(int)"
    assert str(environment.compile("[{'z': true}].all(y, y.z)").type) == "bool"


def test_the_variables_that_an_expression_mentions_are_known() -> None:
    assert ENVIRONMENT.compile("x.count > i && y.all(m, m > 0)").variables == {"x", "i", "y"}
    assert ENVIRONMENT.compile("int(1) == 1").variables == frozenset()


URL = opaque("net.URL")


class Url:
    cel_type: Type = URL

    def __init__(self, text: str) -> None:
        self.text = text


URLS = Library(
    name="urls",
    functions=(
        Function("url", Overload("string_to_url", (STRING,), URL, Url)),
        Function("host", Overload("url_host", (URL,), STRING, lambda url: url.text.partition("/")[0], member=True)),
        Function("net.any", Overload("net_any", (), URL, lambda: Url("any"))),
    ),
    constants={"net.PORT": Constant(INT, 80)},
    types={"net.URL": URL},
)


def test_a_library_brings_types_functions_and_constants() -> None:
    environment = ENVIRONMENT.extend(libraries=[URLS])
    for expression, type, value in (
        ("url('a/b').host()", "string", "a"),
        ("net.any().host()", "string", "any"),
        ("net.PORT + 1", "int", 81),
        ("type(url('a')) == net.URL", "bool", True),
        ("[url('a')].map(u, u.host())", "list(string)", ["a"]),
        ("dyn(url('a')).host()", "string", "a"),
    ):
        checked = environment.compile(expression)
        assert str(checked.type) == type
        assert environment.program(checked).evaluate({}).value == value
    with pytest.raises(CompileError, match="undeclared reference to 'url'"):
        ENVIRONMENT.compile("url('a')")
    with pytest.raises(CompileError, match="found no matching overload for 'host' applied to 'string"):
        environment.compile("'a'.host()")


def test_an_extended_environment_asks_its_own_types_first() -> None:
    environment = ENVIRONMENT.extend(
        variables={"z": BYTES}, types={"Inner": ObjectType("Inner", {"text": Field(STRING)})}
    )
    assert str(environment.compile("Inner{text: 'a'}.text").type) == "string"
    assert str(environment.compile("Outer{count: 1}").type) == "Outer"
    assert str(environment.compile("z").type) == "bytes"
