"""What expressions come to, and what is said when they come to nothing.

Errors are worded as cel-go words them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.cel.environment import Environment, Settings
from hyperkube_machinery.cel.errors import CostExceeded, EvaluationError
from hyperkube_machinery.cel.libraries.bindings import BINDINGS
from hyperkube_machinery.cel.libraries.comprehensions import TWO_VARIABLE_COMPREHENSIONS
from hyperkube_machinery.cel.libraries.encoders import ENCODERS
from hyperkube_machinery.cel.libraries.lists import LISTS
from hyperkube_machinery.cel.libraries.math import MATH
from hyperkube_machinery.cel.libraries.optionals import OPTIONALS
from hyperkube_machinery.cel.libraries.sets import SETS
from hyperkube_machinery.cel.libraries.strings import strings
from hyperkube_machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    list_of,
    map_of,
)
from hyperkube_machinery.cel.values import Duration, Optional, Timestamp, UInt

SECOND = 1_000_000_000
PART = ObjectType("Part", {"name": Field(STRING), "size": Field(INT)})
THING = ObjectType(
    "Thing",
    {
        "count": Field(INT),
        "ratio": Field(DOUBLE),
        "ratios": Field(list_of(DOUBLE)),
        "when": Field(TIMESTAMP),
        "times": Field(list_of(TIMESTAMP)),
        "lasting": Field(DURATION),
        "data": Field(BYTES),
        "parts": Field(list_of(PART)),
        "labels": Field(map_of(STRING, STRING)),
        "__in__": Field(STRING, key="in"),
        "on": Field(BOOL),
    },
)
VALUE: dict[str, Any] = {
    "count": 3,
    "ratio": 2,
    "ratios": [1, 2.5],
    "when": "2023-12-25T12:30:15.5Z",
    "times": ["2023-01-01T00:00:00Z"],
    "lasting": "1h30m",
    "data": "aGk=",
    "parts": [{"name": "a", "size": 1}, {"name": "b", "size": 2}],
    "labels": {"app": "web"},
    "in": "inside",
    "on": True,
}
LIBRARIES = (
    BINDINGS,
    ENCODERS,
    LISTS,
    MATH,
    OPTIONALS,
    SETS,
    TWO_VARIABLE_COMPREHENSIONS,
    strings(4),
)
ENVIRONMENT = Environment(
    variables={"x": THING, "d": DYN, "n": INT},
    types={"Thing": THING, "Part": PART},
    libraries=LIBRARIES,
    settings=Settings(check_literals=False),
)
DYNAMIC = {"a": 1, "t": "text", "none": None, "l": [1, "x", True, 2.5], "o": {"k": {"deep": 1}}, "yes": True}


def evaluate(expression: str) -> Any:
    program = ENVIRONMENT.program(ENVIRONMENT.compile(expression))
    return program.evaluate({"x": VALUE, "d": DYNAMIC, "n": 2}).value


COMES_TO: list[tuple[str, Any]] = [
    # fields, in the types that are declared for them
    ("x.ratio", 2.0),
    ("x.ratio / 4.0", 0.5),
    ("x.ratios.map(r, r * 2.0)", [2.0, 5.0]),
    ("x.ratios[0]", 1.0),
    ("x.when", Timestamp(1703507415_500000000)),
    ("x.when.getMilliseconds()", 500),
    ("x.times[0].getFullYear()", 2023),
    ("x.times == [timestamp('2023-01-01T01:00:00+01:00')]", True),
    ("x.lasting", Duration(5400 * SECOND)),
    ("x.lasting.getMinutes()", 90),
    ("x.data", b"hi"),
    ("x.__in__", "inside"),
    ("has(x.__in__)", True),
    ("x.?__in__.orValue('')", "inside"),
    ("Thing{count: 1, __in__: 'a'}", {"count": 1, "in": "a"}),
    ("Thing{?count: optional.none(), on: true}", {"on": True}),
    ("has(Thing{count: 1}.on)", False),
    ("x.labels.app", "web"),
    ("x.labels['app'] == 'web' && 'app' in x.labels && !('b' in x.labels)", True),
    ("x.parts.filter(p, p.size > 1).map(p, p.name)", ["b"]),
    ("x.parts == x.parts", True),
    # dynamic values
    ("d.a + 1", 2),
    ("d.o.k.deep", 1),
    ("d.l[1]", "x"),
    ("d.l[3] > 2", True),
    ("has(d.o.k) && !has(d.o.z) && !has(d.t.z)", True),
    ("d.none == null", True),
    ("d.yes == 1", False),
    ("1 in d.l && true in d.l && !(false in d.l)", True),
    ("d.l[1.0]", "x"),
    ("d.a == 1.0 && d.a == 1u", True),
    ("type(d.a) == int && type(d.t) == string && type(d.none) == null_type", True),
    ("type(d.l) == list && type(d.o) == type({})", True),
    ("dyn([1, 2]) == [1.0, 2.0]", True),
    ("{'a': dyn(1)} == {'a': 1.0}", True),
    # logic absorbs errors
    ("1 / 0 > 1 || true", True),
    ("true || 1 / 0 > 1", True),
    ("1 / 0 > 1 && false", False),
    ("d.a.b || true", True),
    ("[1, 0].exists(i, 1 / i == 1)", True),
    ("[0, 1].exists(i, 1 / i == 1)", True),
    ("[0, 1].all(i, 1 / i == 2)", False),
    ("false ? 1 / 0 : 1", 1),
    # comprehensions
    ("[1, 2, 3].map(i, i % 2 == 1, i * i)", [1, 9]),
    ("[1, 2, 3].exists_one(i, i > 2)", True),
    ("{'a': 1, 'b': 2}.map(k, k)", ["a", "b"]),
    ("['a', 'b'].all(i, v, i < 2 && v != 'c')", True),
    ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", True),
    ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2)", {"b": 4}),
    ("['a', 'b'].transformMapEntry(i, v, {v: i})", {"a": 0, "b": 1}),
    ("[1, 2].transformList(i, v, i + v)", [1, 3]),
    ("[[1, 2], [3]].map(l, l.map(i, i + l.size()))", [[3, 4], [4]]),
    ("[1].map(i, [2].map(i, i * 2)[0] + i)", [5]),
    ("cel.bind(v, n * 2, v + v)", 8),
    # optionals
    ("x.?count", Optional(3)),
    ("d.?z.?y.orValue('none')", "none"),
    ("d.?o.k.deep.value()", 1),
    ("d.o[?'k'].hasValue()", True),
    ("[1, 2][?5].or(optional.of(7)).value()", 7),
    ("optional.of(2).optMap(v, v * v).value()", 4),
    ("optional.of([1]).optFlatMap(v, v[?0]).value()", 1),
    ("optional.ofNonZeroValue('').hasValue()", False),
    ("[?optional.none(), 1, ?optional.of(2)]", [1, 2]),
    ("{?'a': optional.none(), 'b': 1}", {"b": 1}),
    ("[optional.of(1), optional.none()].unwrapOpt()", [1]),
    ("[1, 2].first().value() + [1, 2].last().value()", 3),
    ("optional.none() == optional.none() && optional.of(1) == optional.of(1)", True),
    # numbers
    ("-7 / 2", -3),
    ("-7 % 2", -1),
    ("7u / 2u", UInt(3)),
    ("1.0 / 0.0", math.inf),
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775808", -(2**63)),
    ("dyn(9223372036854775807) == 9223372036854775807.0", True),
    ("string(1e6) + string(0.1) + string(-0.0)", "1e+060.1-0"),
    ("int(-1.9)", -1),
    ("double('1e3') + double('-inf')", -math.inf),
    ("math.least([3, 1, 2]) + math.greatest(1, 2)", 3),
    ("math.round(-1.5)", -2.0),
    ("math.bitShiftRight(-1024, 3)", 2305843009213693824),
    ("math.bitNot(1u)", UInt(18446744073709551614)),
    # times
    ("timestamp('2009-02-13T23:31:30+05:00')", Timestamp(1234549890 * SECOND)),
    ("string(timestamp('2009-02-13T23:31:30.010+05:00'))", "2009-02-13T23:31:30.01+05:00"),
    ("timestamp(1234567890).getDayOfWeek('Australia/Sydney')", 6),
    ("timestamp('2009-02-13T02:00:00Z').getDate('-03:30')", 12),
    ("timestamp('0001-01-01T00:00:00Z').getDayOfYear()", 0),
    ("string(duration('1h30m') + duration('0.25s'))", "5400.25s"),
    ("duration('-1.5s').getSeconds()", -1),
    ("timestamp('2000-01-01T00:00:00Z') + duration('24h')", Timestamp(946771200 * SECOND)),
    ("timestamp('2000-01-01T00:00:01Z') - timestamp('2000-01-01T00:00:00Z') == duration('1s')", True),
    # strings and bytes
    ("'hé🐱'.size() == 3 && b'hé'.size() == 3", True),
    ("'tacocat'.charAt(3) + 'tacocat'.charAt(7)", "o"),
    ("'hello mellow'.indexOf('ello', 2)", 7),
    ("'hello mellow'.lastIndexOf('ello', 6)", 1),
    ("'TacoCÆt'.lowerAscii() + 'TacoCÆt'.upperAscii()", "tacocÆtTACOCÆT"),
    ("'hello hello'.replace('he', 'we', 1)", "wello hello"),
    ("'ab'.replace('', '_')", "_a_b_"),
    ("'a b c'.split(' ', 2)", ["a", "b c"]),
    ("'abc'.split('')", ["a", "b", "c"]),
    ("'abc'.split(',', 0)", []),
    ("'tacocat'.substring(0, 4) + 'x'.substring(1)", "taco"),
    ("' \\u2003 trim\\n '.trim()", "trim"),
    ("['a', 'b'].join('-') + ['c'].join()", "a-bc"),
    ("strings.quote('a\\n\"b\"')", '"a\\n\\"b\\""'),
    ("'abc'.reverse()", "cba"),
    ("'%s %d %.2f %x %b %e'.format(['a', 1, 2.0, 255, 5, 1052.5])", "a 1 2.00 ff 101 1.052500e+03"),
    ("base64.encode(b'hello') + string(base64.decode('aGk'))", "aGVsbG8=hi"),
    ("'a' < 'b' && 'ä' > 'z' && b'\\xff' > b'a'", True),
    ("string(b'hi') + string(true)", "hitrue"),
    # lists and sets
    ("[1, 2, 3, 4].slice(1, 3)", [2, 3]),
    ("[[1], [2, [3]]].flatten()", [1, 2, [3]]),
    ("[[1, [2, [3]]]].flatten(2)", [1, 2, [3]]),
    ("[3, 1, 2].sort() + [3.0, 1.0].sort().map(v, int(v))", [1, 2, 3, 1, 3]),
    ("['bb', 'a'].sortBy(v, v.size())", ["a", "bb"]),
    ("lists.range(3).reverse()", [2, 1, 0]),
    ("[1, 2, 1, 2u, 1.0].distinct()", [1, 2]),
    ("sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && !sets.intersects([1], [2])", True),
]


@pytest.mark.parametrize(("expression", "value"), COMES_TO)
def test_an_expression_comes_to_a_value(expression: str, value: Any) -> None:
    result = evaluate(expression)
    if isinstance(value, Optional):
        assert isinstance(result, Optional)
        assert (result.present, result.value) == (value.present, value.value)
    else:
        assert result == value
        assert type(result) is type(value)


FAILS: list[tuple[str, str]] = [
    ("1 / 0", "division by zero"),
    ("1 % 0", "modulus by zero"),
    ("9223372036854775807 + 1", "integer overflow"),
    ("-9223372036854775808 - 1", "integer overflow"),
    ("-(-9223372036854775808)", "integer overflow"),
    ("9223372036854775807 * 2", "integer overflow"),
    ("-9223372036854775808 / -1", "integer overflow"),
    ("1u - 2u", "unsigned integer overflow"),
    ("uint(-1)", "unsigned integer overflow"),
    ("int(1e19)", "integer overflow"),
    ("int('x')", "type conversion error from 'string' to 'int'"),
    ("timestamp('never')", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
    ("timestamp(253402300800)", "timestamp overflow"),
    ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
    ("timestamp(0).getHours('Nowhere')", "unknown time zone Nowhere"),
    ("x.labels.other", "no such key: other"),
    ("x.labels['other']", "no such key: other"),
    ("Thing{}.count", "no such key: count"),
    ("d.o.z.y", "no such key: z"),
    ("d.none.a", "no such key: a"),
    ("x.parts[2]", "index out of bounds: 2"),
    ("x.parts[-1].name", "index out of bounds: -1"),
    ("d.l['a']", "unsupported index type 'string' in list"),
    ("{1: 'a'}[2]", "no such key: 2"),
    ("dyn(1) + dyn('a')", "no such overload"),
    ("dyn(true) + dyn(1)", "no such overload: _\\+_"),
    ("dyn(null) < dyn(1)", "no such overload: _<_"),
    ("!d.a", "no such overload"),
    ("d.a && true", "no such overload"),
    ("d.a ? 1 : 2", "no such overload"),
    ("d.a.startsWith('a')", "no such overload"),
    ("size(d.a)", "no such overload: size"),
    ("d.t.all(c, true)", "got 'types.String', expected iterable type"),
    ("0.0 / 0.0 < 1.0", "NaN values cannot be ordered"),
    ("[1, 0].map(i, 1 / i)", "division by zero"),
    ("[0, 'a'].filter(i, 1 / i > dyn(0))", "no such overload: _/_|no such overload"),
    ("string(b'\\xff')", "invalid UTF-8 in bytes, cannot convert to string"),
    ("optional.none().value()", "optional.none\\(\\) dereference"),
    ("[?d.a]", "cannot initialize optional list element from non-optional value 1"),
    ("'abc'.charAt(4)", "index out of range: 4"),
    ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
    ("[1].slice(0, 2)", "cannot slice\\(0, 2\\), list is length 1"),
    ("[1].flatten(-1)", "level must be non-negative"),
    ("[d.a, d.t].sort()", "list elements must have the same type"),
    ("{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k})", "insert failed: key 1 already exists"),
    ("math.bitShiftLeft(1, -1)", "math.bitShiftLeft\\(\\) negative offset: -1"),
    ("'%d'.format([d.t])", "error during formatting: decimal clause can only be used on integers, was given string"),
    ("'%s %s'.format(['a'])", "index 1 out of range"),
    ("d.t.matches(d.t + '(')", "error parsing regexp: missing closing \\): `text\\(`"),
]


@pytest.mark.parametrize(("expression", "error"), FAILS)
def test_an_expression_fails_in_cel_go_s_words(expression: str, error: str) -> None:
    with pytest.raises(EvaluationError, match=f"^(?:{error})$"):
        evaluate(expression)


def test_data_that_are_not_of_their_declared_types_fail_and_break_nothing() -> None:
    environment = Environment(variables={"x": THING})
    program = environment.program(environment.compile("x.count + 1 > 3 || x.labels.all(k, k.size() > 0)"))
    for broken in ({"count": "3", "labels": []}, {"count": None, "labels": None}, {"count": [], "labels": "a"}, {}):
        try:
            program.evaluate({"x": broken})
        except EvaluationError as exc:
            assert exc.cost > 0  # noqa: PT017
    with pytest.raises(EvaluationError, match="no such overload"):
        environment.program(environment.compile("x.parts[0].name.startsWith('a')")).evaluate(
            {"x": {"parts": [{"name": 5}]}}
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
    lambda held: (
        st.lists(held, max_size=3) | st.dictionaries(st.sampled_from(["name", "size", "app", "a"]), held, max_size=3)
    ),
    max_leaves=8,
)
WELL_TYPED = [expression for expression, _ in COMES_TO] + [expression for expression, _ in FAILS]
FLOWING = ["([] + d.l).map(i, i.hasValue())", "([] + d.l).map(i, i.getHours())", "([] + d.l).map(i, i.split(','))"]


@given(st.sampled_from([*WELL_TYPED, *FLOWING]), st.dictionaries(st.sampled_from(sorted(VALUE)), JSON), JSON)
def test_no_data_make_anything_but_a_value_or_an_error_of_the_language(expression: str, x: Any, d: Any) -> None:
    try:
        program = ENVIRONMENT.program(ENVIRONMENT.compile(expression), cost_limit=100_000)
        program.evaluate({"x": {**VALUE, **x}, "d": d, "n": 1})
    except (EvaluationError, CostExceeded) as exc:
        assert str(exc)  # noqa: PT017


def test_a_variable_that_is_missing_fails_only_where_it_is_asked_for() -> None:
    program = ENVIRONMENT.program(ENVIRONMENT.compile("n > 1 || d.a"))
    assert program.evaluate({"n": 2}).value is True
    with pytest.raises(EvaluationError, match=r"no such attribute\(s\): d"):
        program.evaluate({"n": 1})
    assert program.evaluate({"n": 1, "d": {"a": True}}).value is True


class Lazy(Mapping[str, Any]):
    """Values that are made when they are asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, key: str) -> Any:
        if key not in ("name", "size"):
            raise KeyError(key)
        self.asked.append(key)
        return f"the {key}"

    def __iter__(self) -> Iterator[str]:
        return iter(("name", "size"))

    def __len__(self) -> int:
        return 2


def test_an_object_may_be_any_mapping_whose_values_are_made_when_asked_for() -> None:
    environment = Environment(variables={"v": ObjectType("V", {"name": Field(STRING), "other": Field(STRING)})})
    lazy = Lazy()
    program = environment.program(environment.compile("v.name == 'the name' && !has(v.other)"))
    assert program.evaluate({"v": lazy}).value is True
    assert lazy.asked == ["name"]
    with pytest.raises(EvaluationError, match="no such key: other"):
        environment.program(environment.compile("v.other")).evaluate({"v": lazy})


class Undecided(Exception):
    """What a library raises to stop an evaluation that must wait."""


def test_what_is_no_error_of_the_language_is_not_absorbed() -> None:
    class Waiting(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise Undecided

        def __iter__(self) -> Iterator[str]:
            return iter(())

        def __len__(self) -> int:
            return 0

    environment = Environment(variables={"v": ObjectType("V", {"name": Field(BOOL)})})
    with pytest.raises(Undecided):
        environment.program(environment.compile("v.name || true")).evaluate({"v": Waiting()})


@pytest.mark.parametrize(
    "expression",
    [
        "lists.range(1000000000)",
        "big.map(i, big + big)",
        "s.replace('', s).replace('', s).replace('', s).size() > 0",
        "big.map(i, s).join('')",
        "big.map(i, [i]).distinct()",
        "sets.contains(big, big)",
        "'%s%s%s'.format([lots, lots, lots])",
        "lots.map(i, lots).flatten().map(i, lots).flatten()",
        "big.all(i, [big, big] == [big, big])",
    ],
)
def test_an_expression_can_not_make_far_more_than_it_is_given(expression: str) -> None:
    variables = {"big": list_of(INT), "s": STRING, "lots": list_of(STRING)}
    environment = Environment(variables=variables, libraries=LIBRARIES)
    values = {"big": list(range(10_000)), "s": "x" * 5000, "lots": ["y" * 5000] * 1000}
    with pytest.raises(CostExceeded):
        environment.program(environment.compile(expression)).evaluate(values)


def test_data_are_never_changed() -> None:
    before = repr(VALUE)
    evaluate("x.parts + x.parts == x.parts || x.parts.map(p, p).sortBy(p, -p.size).size() > 5")
    assert repr(VALUE) == before


def test_a_program_is_evaluated_as_often_as_one_likes() -> None:
    program = ENVIRONMENT.program(ENVIRONMENT.compile("x.parts.map(p, p.size + n)"))
    assert [program.evaluate({"x": VALUE, "n": n}).value for n in range(3)] == [[1, 2], [2, 3], [3, 4]]


def test_the_older_format_writes_numbers_as_us_english() -> None:
    environment = Environment(libraries=[strings(2)], settings=Settings(check_literals=False))
    for expression, text in (
        ("'%.2f'.format([1234567.891])", "1,234,567.89"),
        ("'%e'.format([1052.032911275])", "1.052033\u00d710⁰³"),
        ("'%s'.format([[1.5, 'a', b'b', null]])", '[1.500000, "a", b"b", null]'),
        ("'%s'.format([{'b': 1, 'a': timestamp(0)}])", '{"a":timestamp("1970-01-01T00:00:00Z"), "b":1}'),
        ("'%f'.format([double('inf')])", "∞"),
    ):
        assert environment.program(environment.compile(expression)).evaluate({}).value == text
