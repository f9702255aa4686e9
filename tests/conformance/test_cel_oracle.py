"""Expressions made at random mean the same here and in Google's implementation in C++."""

from __future__ import annotations

import math
import platform
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hyperkube_machinery.cel.environment import Environment, Settings
from hyperkube_machinery.cel.errors import CompileError, EvaluationError
from hyperkube_machinery.cel.types import BOOL, BYTES, DOUBLE, DYN, INT, STRING, UINT, list_of, map_of
from hyperkube_machinery.cel.values import UInt

if platform.system() != "Linux" or platform.machine() != "x86_64":
    pytest.skip("cel-expr-python has no wheel for this machine", allow_module_level=True)

from cel_expr_python import cel  # type: ignore[import-untyped]

HERE = Environment(
    variables={
        "b": BOOL,
        "i": INT,
        "u": UINT,
        "f": DOUBLE,
        "s": STRING,
        "raw": BYTES,
        "l": list_of(INT),
        "ls": list_of(STRING),
        "m": map_of(STRING, INT),
        "d": DYN,
    },
    settings=Settings(
        homogeneous_literals=False, check_literals=False, cross_type_numeric_comparisons=False, evaluate_constants=False
    ),
)
_T = cel.Type
THERE = cel.NewEnv(
    variables={
        "b": _T.BOOL,
        "i": _T.INT,
        "u": _T.UINT,
        "f": _T.DOUBLE,
        "s": _T.STRING,
        "raw": _T.BYTES,
        "l": _T.List(_T.INT),
        "ls": _T.List(_T.STRING),
        "m": _T.Map(_T.STRING, _T.INT),
        "d": _T.DYN,
    }
)
VALUES: dict[str, Any] = {
    "b": True,
    "i": 7,
    "u": 3,
    "f": 2.5,
    "s": "hello wörld",
    "raw": b"ab\xff",
    "l": [1, 2, 3],
    "ls": ["a", "bc", ""],
    "m": {"a": 1, "b": 2},
    "d": {"n": 1, "t": "x", "l": [1, "a", True, None, 1.5], "o": {"k": False}},
}


def joined(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda given: template.format(*given))


TEXT = st.sampled_from(["''", "'a'", "'hello'", "'ö'", "'b\\n'", "s", "ls[0]", "d.t"])
INTEGER = st.sampled_from(
    ["0", "1", "-1", "2", "10", "9223372036854775807", "-9223372036854775808", "i", "l[1]", "m.a"]
)
NUMBER = st.sampled_from(["0.0", "1.0", "-2.5", "1e30", "f"])  # NaN is ordered in C++, and an error in Go
UNSIGNED = st.sampled_from(["0u", "1u", "18446744073709551615u", "u"])
TRUTH = st.sampled_from(["true", "false", "b", "d.o.k"])
LIST = st.sampled_from(["[1, 2]", "l", "[i, 0]"])
TEXTS = st.sampled_from(["['a', 'b']", "ls"])
DYNAMIC = st.sampled_from(
    [
        "d",
        "d.n",
        "d.t",
        "d.l",
        "d.l[0]",
        "d.l[3]",
        "d.missing",
        "dyn(1)",
        "dyn('a')",
        "dyn(null)",
        "dyn([1])",
        "dyn(1.0)",
    ]
)
MAP = st.sampled_from(["m", "{'a': 1}", "{'b': i, 'c': 2}"])


def grow(children: dict[str, st.SearchStrategy[str]]) -> dict[str, st.SearchStrategy[str]]:
    """Expressions of each type, made of those that there are."""
    b, i, f, u = children["b"], children["i"], children["f"], children["u"]
    s, li, ls, d = children["s"], children["l"], children["ls"], children["d"]
    comparison = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    return {
        "b": st.one_of(
            joined("({} && {})", b, b),
            joined("({} || {})", b, b),
            joined("!{}", b),
            joined("({} {} {})", i, comparison, i),
            joined("({} {} {})", s, comparison, s),
            joined("({} {} {})", f, comparison, f),
            joined("({} {} {})", i, comparison, f),
            joined("({} {} {})", u, comparison, i),
            joined("({} == {})", d, d),
            joined("({} < {})", d, d),
            joined("({} == {})", li, li),
            joined("({} in {})", i, li),
            joined("({} in {})", s, ls),
            joined("({} in {})", s, MAP),
            joined("({} in d.l)", d),
            joined("({} in d.o)", s),
            joined("{}.all(x, x {} {})", li, comparison, i),
            joined("{}.exists(x, {} / x > 1)", li, i),
            joined("{}.exists_one(x, x {} {})", li, comparison, i),
            joined("{}.all(k, {}.contains(k))", MAP, s),
            joined("{}.startsWith({})", s, s),
            joined("{}.endsWith({})", s, s),
            joined("{}.contains({})", s, s),
            joined("{}.matches('^[a-h]+')", s),
            joined("({} ? {} : {})", b, b, b),
            joined("has(d.{})", st.sampled_from(["n", "missing", "o.k", "o.missing", "missing.k"])),
            joined("(type({}) == type({}))", d, d),
        ),
        "i": st.one_of(
            *(joined(f"({{}} {operator} {{}})", i, i) for operator in ("+", "-", "*", "/", "%")),
            joined("-({})", i),
            joined("size({})", s),
            joined("{}.size()", li),
            joined("{}[{}]", li, i),
            joined("{}[{}]", MAP, s),
            joined("int({})", f),
            joined("int({})", u),
            joined("int({})", s),
            joined("({} ? {} : {})", b, i, i),
        ),
        "f": st.one_of(
            *(joined(f"({{}} {operator} {{}})", f, f) for operator in ("+", "-", "*")),
            joined("double({})", i),
            joined("({} ? {} : {})", b, f, f),
        ),
        "u": st.one_of(*(joined(f"({{}} {operator} {{}})", u, u) for operator in ("+", "-", "*", "/", "%"))),
        "s": st.one_of(
            joined("({} + {})", s, s),
            joined("string({})", i),
            joined("string({})", b),
            joined("({} ? {} : {})", b, s, s),
            joined("{}[{}]", ls, i),
        ),
        "l": st.one_of(
            joined("({} + {})", li, li),
            joined("{}.map(x, x * {})", li, i),
            joined("{}.filter(x, x {} {})", li, comparison, i),
            joined("{}.map(x, x {} {}, x + 1)", li, comparison, i),
            joined("[{}, {}]", i, i),
            joined("{}.map(x, size(x))", ls),
        ),
        "ls": st.one_of(joined("{}.filter(x, x {} {})", ls, comparison, s), joined("[{}, {}]", s, s)),
        "d": st.one_of(
            joined("({} + {})", d, d),
            joined("({} - {})", d, d),
            joined("{}[{}]", d, d),
            joined("dyn({})", i),
            joined("dyn({})", s),
            joined("dyn({})", li),
            joined("({} ? {} : {})", b, d, d),
        ),
    }


def expressions(levels: int) -> st.SearchStrategy[str]:
    known = {"b": TRUTH, "i": INTEGER, "f": NUMBER, "u": UNSIGNED, "s": TEXT, "l": LIST, "ls": TEXTS, "d": DYNAMIC}
    for _ in range(levels):
        grown = grow(known)
        known = {kind: st.one_of(known[kind], grown[kind]) for kind in known}
    return st.one_of(*known.values())


class Failed:
    """What an expression comes to that can't be evaluated."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"an error ({self.text})"


def evaluated_here(expression: str) -> Any:
    try:
        return HERE.program(HERE.compile(expression)).evaluate(VALUES).value
    except EvaluationError as exc:
        return Failed(str(exc))


def evaluated_there(compiled: Any) -> Any:
    result = compiled.eval(data=VALUES)
    if result.type().name() == "*error*" or str(result.type()) == "ERROR":
        return Failed(result.plain_value())
    value = result.plain_value()
    return UInt(value) if str(result.type()) == "UINT" else value


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Failed) or isinstance(other, Failed):
        return isinstance(one, Failed) and isinstance(other, Failed)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return isinstance(one, bool) == isinstance(other, bool) and isinstance(one, type(other)) and bool(one == other)


def first_complaint(text: str) -> str:
    """Without the types: what a type parameter is taken for depends on the order of overloads."""
    return text.split("\n", 1)[0].partition(" applied to ")[0]


@settings(max_examples=400, deadline=None)
@given(expressions(3))
@example("([] + d.l).filter(x, x == 1)")
def test_an_expression_comes_to_the_same_value_or_fails_in_both(expression: str) -> None:
    try:
        compiled = THERE.compile(expression)
    except RuntimeError as exc:
        complaint = first_complaint(str(exc).removeprefix("INVALID_ARGUMENT: "))
    else:
        here, there = evaluated_here(expression), evaluated_there(compiled)
        assert same(here, there), f"{expression} is {here!r} here and {there!r} there"
        return
    with pytest.raises(CompileError) as caught:
        HERE.compile(expression)
    assert complaint == first_complaint(str(caught.value))
