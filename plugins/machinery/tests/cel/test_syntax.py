"""What is said of text that is no expression.

The messages and places are facts of cel-go v0.26: parser/parser_test.go.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.cel.environment import Environment, Settings
from hyperkube_machinery.cel.errors import CompileError
from hyperkube_machinery.cel.libraries.optionals import OPTIONALS

ANY = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"

ENTRY = (
    "{'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING,"
    " BYTES, IDENTIFIER}"
)

WRONG: list[tuple[str, list[tuple[int, int, str]]]] = [
    ("0xFFFFFFFFFFFFFFFFF", [(1, 1, "invalid int literal")]),
    ("0xFFFFFFFFFFFFFFFFFu", [(1, 1, "invalid uint literal")]),
    ("1.99e90000009", [(1, 1, "invalid double literal")]),
    (
        "*@a | b",
        [
            (1, 1, f"Syntax error: extraneous input '*' expecting {ANY}"),
            (1, 2, "Syntax error: token recognition error at: '@'"),
            (1, 5, "Syntax error: token recognition error at: '| '"),
            (1, 7, "Syntax error: extraneous input 'b' expecting <EOF>"),
        ],
    ),
    (
        "a | b",
        [
            (1, 3, "Syntax error: token recognition error at: '| '"),
            (1, 5, "Syntax error: extraneous input 'b' expecting <EOF>"),
        ],
    ),
    ("has(m)", [(1, 5, "invalid argument to has() macro")]),
    ("[].existsOne(__result__, __result__)", [(1, 14, "iteration variable overwrites accumulator variable")]),
    ("m.map(__result__, __result__)", [(1, 7, "iteration variable overwrites accumulator variable")]),
    ("m.filter(__result__, false)", [(1, 10, "iteration variable overwrites accumulator variable")]),
    ("m.filter(a.b, false)", [(1, 11, "argument is not an identifier")]),
    (
        "{",
        [
            (
                1,
                2,
                f"Syntax error: mismatched input '<EOF>' expecting {ENTRY}",
            )
        ],
    ),
    ("TestAllTypes(){}", [(1, 15, "Syntax error: mismatched input '{' expecting <EOF>")]),
    ("TestAllTypes{}()", [(1, 15, "Syntax error: mismatched input '(' expecting <EOF>")]),
    (
        "1 + $",
        [
            (1, 5, "Syntax error: token recognition error at: '$'"),
            (1, 6, f"Syntax error: mismatched input '<EOF>' expecting {ANY}"),
        ],
    ),
    ("1 + 2\n3 +", [(2, 1, "Syntax error: mismatched input '3' expecting <EOF>")]),
    ("1.all(2, 3)", [(1, 7, "argument must be a simple name")]),
    (
        "1 + +",
        [
            (1, 5, f"Syntax error: mismatched input '+' expecting {ANY}"),
            (1, 6, f"Syntax error: mismatched input '<EOF>' expecting {ANY}"),
        ],
    ),
    ('{"a": 1}."a"', [(1, 10, "Syntax error: no viable alternative at input '.\"a\"'")]),
    (
        '"\\xFh"',
        [
            (1, 1, "Syntax error: token recognition error at: '\"\\xFh'"),
            (1, 6, "Syntax error: token recognition error at: '\"'"),
            (1, 7, f"Syntax error: mismatched input '<EOF>' expecting {ANY}"),
        ],
    ),
    (
        '"\\a\\b\\f\\n\\r\\t\\v\\\'\\"\\\\\\? Illegal escape \\>"',
        [
            (
                1,
                1,
                "Syntax error: token recognition error at: '\"\\a\\b\\f\\n\\r\\t\\v\\'\\\"\\\\\\? Illegal escape \\>'",
            ),
            (1, 42, "Syntax error: token recognition error at: '\"'"),
            (1, 43, f"Syntax error: mismatched input '<EOF>' expecting {ANY}"),
        ],
    ),
    (
        "      '😁' in ['😁', '😑', '😦']\n\t\t\t&& in.😁",
        [
            (2, 7, f"Syntax error: extraneous input 'in' expecting {ANY}"),
            (2, 10, "Syntax error: token recognition error at: '😁'"),
            (2, 11, "Syntax error: no viable alternative at input '.'"),
        ],
    ),
    ("as", [(1, 1, "reserved identifier: as")]),
    ("for", [(1, 1, "reserved identifier: for")]),
    (
        "in",
        [
            (1, 1, f"Syntax error: mismatched input 'in' expecting {ANY}"),
            (1, 3, f"Syntax error: mismatched input '<EOF>' expecting {ANY}"),
        ],
    ),
    (
        "[1, 2, 3].map(var, var * var)",
        [
            (1, 15, "reserved identifier: var"),
            (1, 15, "argument is not an identifier"),
            (1, 20, "reserved identifier: var"),
            (1, 26, "reserved identifier: var"),
        ],
    ),
    (
        "func{{a}}",
        [
            (1, 6, "Syntax error: extraneous input '{' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"),
            (1, 8, "Syntax error: mismatched input '}' expecting ':'"),
            (1, 9, "Syntax error: extraneous input '}' expecting <EOF>"),
        ],
    ),
    (
        "msg{:a}",
        [
            (1, 5, "Syntax error: extraneous input ':' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"),
            (1, 7, "Syntax error: mismatched input '}' expecting ':'"),
        ],
    ),
    ("{a}", [(1, 3, "Syntax error: mismatched input '}' expecting ':'")]),
    (
        "{:a}",
        [
            (
                1,
                2,
                f"Syntax error: extraneous input ':' expecting {ENTRY}",
            ),
            (1, 4, "Syntax error: mismatched input '}' expecting ':'"),
        ],
    ),
    ("ind[a{b}]", [(1, 8, "Syntax error: mismatched input '}' expecting ':'")]),
    (
        "--",
        [
            (1, 3, "Syntax error: no viable alternative at input '-'"),
            (1, 3, f"Syntax error: mismatched input '<EOF>' expecting {ANY}"),
        ],
    ),
    (
        "?",
        [
            (1, 1, f"Syntax error: mismatched input '?' expecting {ANY}"),
            (1, 2, f"Syntax error: mismatched input '<EOF>' expecting {ANY}"),
        ],
    ),
    ("self.true == 1", [(1, 6, "Syntax error: mismatched input 'true' expecting IDENTIFIER")]),
    ("`b-c`", [(1, 1, f"Syntax error: mismatched input '`b-c`' expecting {ANY}")]),
    (
        "`b-c`()",
        [
            (1, 1, f"Syntax error: extraneous input '`b-c`' expecting {ANY}"),
            (1, 7, f"Syntax error: mismatched input ')' expecting {ANY}"),
        ],
    ),
    (
        "a.`$b`",
        [
            (1, 3, "Syntax error: token recognition error at: '`$'"),
            (1, 6, "Syntax error: token recognition error at: '`'"),
        ],
    ),
    ("a.`b.c`()", [(1, 8, "Syntax error: mismatched input '(' expecting <EOF>")]),
    ("a.`b-c`", [(1, 3, "unsupported syntax: '`'")]),
    ("a.`b.c`", [(1, 3, "unsupported syntax: '`'")]),
    ("a.`in`", [(1, 3, "unsupported syntax: '`'")]),
    ("a.`/foo`", [(1, 3, "unsupported syntax: '`'")]),
    ("Message{`in`: true}", [(1, 9, "unsupported syntax: '`'")]),
    ("x{.", [(1, 3, "Syntax error: mismatched input '.' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}")]),
    ("'\\udead' == '\\ufffd'", [(1, 1, "invalid unicode code point")]),
]

ENVIRONMENT = Environment(libraries=[OPTIONALS])


def issues(expression: str, environment: Environment = ENVIRONMENT) -> list[tuple[int, int, str]]:
    with pytest.raises(CompileError) as caught:
        environment.compile(expression)
    return [(issue.line, issue.column + 1, issue.message) for issue in caught.value.issues]


@pytest.mark.parametrize(("expression", "expected"), WRONG)
def test_what_is_no_expression_is_told_in_cel_go_s_words(expression: str, expected: list[tuple[int, int, str]]) -> None:
    assert issues(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("[" * 33 + "]" * 33, "expression recursion limit exceeded: 32"),
        ("(" * 33 + "1" + ")" * 33, "expression recursion limit exceeded: 32"),
        ("(" * 1000, "expression recursion limit exceeded: 32"),
        (" + ".join(map(str, range(34))), "max recursion depth exceeded"),
        ("a" + ".b" * 33, "max recursion depth exceeded"),
        ("a" + "[1]" * 33, "max recursion depth exceeded"),
        ("a" + " < 1" * 33, "max recursion depth exceeded"),
        ("a" + ".b()" * 33, "max recursion depth exceeded"),
    ],
)
def test_an_expression_may_nest_only_so_deeply(expression: str, message: str) -> None:
    environment = Environment(settings=Settings(depth_limit=32))
    assert issues(expression, environment) == [(-1, 0, message)]


def test_an_expression_may_nest_as_deeply_as_its_limit_says() -> None:
    for expression in (
        "[" * 250 + "]" * 250,
        "(1 + " * 249 + "1" + ")" * 249,
        "+".join("1" * 251),
        "!" * 5000 + "true",
    ):
        program = ENVIRONMENT.program(ENVIRONMENT.compile(expression))
        program.evaluate({})


def test_an_expression_may_be_only_so_long() -> None:
    assert issues("1" * 100_001) == [(-1, 0, "expression code point size exceeds limit: size: 100001, limit 100000")]


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("true &&\n\t'é' == x")
    assert str(caught.value) == (
        "ERROR: <input>:2:9: undeclared reference to 'x' (in container '')\n |  'é' == x\n | ..\uff0e.....^"
    )


def test_problems_beyond_a_hundred_are_counted() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(" && ".join(["a"] * 103))
    assert str(caught.value).endswith("\n3 more errors were truncated")


@given(st.text(alphabet=st.sampled_from("ab1.'\"\\?:[](){},+-*/%!<>=&|`rbxu0in \n\t\u00e9\U0001f431"), max_size=40))
def test_any_text_is_an_expression_or_a_compile_error(text: str) -> None:
    try:
        ENVIRONMENT.compile(text)
    except CompileError as exc:
        assert exc.issues  # noqa: PT017


def test_macros_that_hold_each_other_make_only_so_many_copies() -> None:
    ENVIRONMENT.compile("optional.of(1)" + ".optMap(x, x)" * 6)
    ((_, _, message), *_rest) = issues("optional.of(1)" + ".optMap(x, x)" * 30)
    assert message == "macros that hold each other make more than 20000 copies"
