from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.selectors import EVERYTHING, NOTHING, label_selector, parse_fields, parse_labels

KEYS = st.sampled_from(["a", "b", "example.com/c", "in", "notin"])
VALUES = st.sampled_from(["", "x", "y", "5", "12", "in"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)


@st.composite
def requirements(draw: Any) -> tuple[str, Any]:
    """A requirement's text, and a plain function that says which labels meet it."""
    key = draw(KEYS)
    values = draw(st.lists(VALUES, min_size=1, max_size=3))
    space = draw(st.sampled_from(["", " ", "  "]))
    number = draw(st.integers(0, 20))
    listed = f"({space.join(['', ','.join(values), ''])})"
    choices = [
        (f"{key}={space}{values[0]}", lambda labels: labels.get(key) == values[0]),
        (f"{key}=={values[0]}", lambda labels: labels.get(key) == values[0]),
        (f"{key}{space}!={values[0]}", lambda labels: labels.get(key) != values[0]),
        (f"{key} in {listed}", lambda labels: labels.get(key) in values),
        (f"{key} notin{space}{listed}", lambda labels: labels.get(key) not in values),
        (f"{space}{key}", lambda labels: key in labels),
        (f"!{space}{key}", lambda labels: key not in labels),
        (f"{key}>{number}", lambda labels: _number(labels.get(key)) is not None and _number(labels[key]) > number),
        (f"{key}<{number}", lambda labels: _number(labels.get(key)) is not None and _number(labels[key]) < number),
    ]
    chosen: tuple[str, Any] = draw(st.sampled_from(choices))
    return chosen


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]+", text) else None


@given(st.lists(requirements(), max_size=4), LABELS)
def test_a_selector_matches_what_each_of_its_requirements_matches(wanted: list[Any], labels: dict[str, str]) -> None:
    selector = parse_labels(",".join(text for text, _ in wanted))
    assert selector.matches(labels) == all(meets(labels) for _, meets in wanted)
    assert selector.empty == (not wanted)


@given(st.lists(requirements(), max_size=4), LABELS)
def test_the_text_of_a_selector_means_the_same_selector(wanted: list[Any], labels: dict[str, str]) -> None:
    selector = parse_labels(",".join(text for text, _ in wanted))
    again = parse_labels(str(selector))
    assert again.matches(labels) == selector.matches(labels)
    assert str(again) == str(selector)


@given(st.text(alphabet="ab=!(),<> in\t\0/-.é", max_size=25))
def test_any_text_is_a_selector_or_a_bad_request(text: str) -> None:
    def code() -> int:
        try:
            parse_labels(text)
        except APIError as refused:
            return refused.code
        return 200

    assert code() in (200, 400)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=prod", "found '=', expected: !, identifier, or 'end of string'"),
        ("env=prod,", "found '', expected: identifier after ','"),
        ("!!", "unable to parse requirement: found '!', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        (
            "n>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "a=-b",
            'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be an empty string or '
            "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ],
)
def test_a_text_that_is_no_selector_is_answered_in_the_api_servers_words(text: str, message: str) -> None:
    with pytest.raises(APIError) as refused:
        parse_labels(text)
    assert (refused.value.code, str(refused.value)) == (400, message)


def test_an_empty_list_of_values_means_the_empty_value() -> None:
    selector = parse_labels("env in ()")
    assert [selector.matches(labels) for labels in ({"env": ""}, {"env": "x"}, {})] == [True, False, False]


def test_numbers_beyond_64_bits_are_no_numbers() -> None:
    with pytest.raises(APIError, match="must be an integer"):
        parse_labels(f"a>{1 << 63}")
    assert not parse_labels("a>1").matches({"a": str(1 << 63)})


def test_the_selector_of_an_object_joins_labels_and_expressions() -> None:
    tree = {
        "matchLabels": {"a": "x"},
        "matchExpressions": [
            {"key": "b", "operator": "In", "values": ["1", "2"]},
            {"key": "c", "operator": "DoesNotExist"},
        ],
    }
    selector = label_selector(tree)
    assert selector.matches({"a": "x", "b": "2"})
    assert not selector.matches({"a": "x", "b": "3"})
    assert not selector.matches({"a": "x", "b": "2", "c": ""})


def test_no_selector_matches_nothing_and_an_empty_one_everything() -> None:
    assert label_selector(None) == NOTHING
    assert label_selector({}) == EVERYTHING
    assert not NOTHING.matches({})
    assert not NOTHING.empty
    assert EVERYTHING.matches({"a": "b"})


def test_a_selector_with_an_operator_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r'^"Near" is not a valid label selector operator$'):
        label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


FIELDS = st.sampled_from(["metadata.name", "spec.nodeName", "status.phase"])
FIELD_VALUES = st.text(alphabet="ab,=\\!é", max_size=6)


@given(st.lists(st.tuples(FIELDS, st.sampled_from(["=", "==", "!="]), FIELD_VALUES), max_size=3), st.data())
def test_field_selectors_compare_what_was_escaped(wanted: list[tuple[str, str, str]], data: Any) -> None:
    escaped = [(name, sign, re.sub(r"([\\,=])", r"\\\1", value)) for name, sign, value in wanted]
    selector = parse_fields(",".join("".join(term) for term in escaped))
    values = data.draw(st.dictionaries(FIELDS, st.sampled_from([value for *_, value in wanted] or [""]), max_size=3))
    expected = all((values.get(name, "") == value) == (sign != "!=") for name, sign, value in wanted)
    assert selector.matches(values) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_a_text_that_is_no_field_selector_is_answered_in_the_same_way(text: str, message: str) -> None:
    with pytest.raises(APIError) as refused:
        parse_fields(text)
    assert (refused.value.code, str(refused.value)) == (400, message)


def test_the_one_value_a_field_must_have_is_known() -> None:
    selector = parse_fields("spec.nodeName=n1,status.phase!=Running")
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("status.phase") is None
