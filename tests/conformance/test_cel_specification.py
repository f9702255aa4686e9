"""The Common Expression Language's own conformance cases.

They come with the sources of the package cel-python, of which nothing else is used. What Kubernetes' API servers don't
offer is left out: protobuf messages, which are most of some files, and the evaluation of what wasn't checked.
"""

from __future__ import annotations

import _tools
import pytest
from _celcases import Case, NotOffered, cases, try_case

PACKAGE = ("cel_python", "0.5.0")

LEFT_OUT = {
    "block_ext": "cel.@block is what optimisers write",
    "enums": "protobuf messages",
    "network_ext": "Kubernetes has its own functions of these names",
    "proto2": "protobuf messages",
    "proto2_ext": "protobuf messages",
    "proto3": "protobuf messages",
    "unknowns": "unknown values",
    "wrappers": "protobuf messages",
}
MESSAGES = ("TestAllTypes", "cel.expr.conformance", "google.protobuf.", "NullValue")

EXCEPTIONS = {
    **dict.fromkeys(
        (
            f"fields/quoted_map_fields/{name}"
            for name in (
                "field_access_slash",
                "field_access_dash",
                "field_access_dot",
                "has_field_slash",
                "has_field_dash",
                "has_field_dot",
            )
        ),
        "names in backquotes are a syntax that Kubernetes doesn't enable",
    ),
    "fields/qualified_identifier_resolution/map_value_repeat_key": "cel-go takes the last of equal keys",
    "fields/qualified_identifier_resolution/map_value_repeat_key_heterogeneous": "cel-go takes the last of equal keys",
    "optionals/optionals/map_null_entry_no_such_key": "Kubernetes doesn't enable errors of presence tests",
    "optionals/optionals/map_present_key_invalid_field": "Kubernetes doesn't enable errors of presence tests",
    "string_ext/format/map support (all key types)": "a map of both true and 1, which Python takes for equal keys",
    "string_ext/value_errors/indexof_out_of_range": "cel-go gives -1",
    "string_ext/value_errors/lastindexof_out_of_range": "cel-go gives -1",
    "timestamps/duration_converters/get_milliseconds": "cel-go counts all of a duration's milliseconds",
    "type_deductions/legacy_nullable_types/null_assignable_to_abstract_parameter_candidate": "cel-go deduces null",
}


@pytest.fixture(scope="module")
def specification() -> list[Case]:
    """The cases that are tried."""
    found: list[Case] = []
    for path in sorted(_tools.sdist(*PACKAGE).rglob("*.textproto")):
        if path.stem not in LEFT_OUT:
            found += cases(path.read_text())
    return [case for case in found if not any(word in _without_times(case.expression) for word in MESSAGES)]


def _without_times(expression: str) -> str:
    return expression.replace("google.protobuf.Timestamp", "").replace("google.protobuf.Duration", "")


def test_every_case_of_what_is_offered_passes_but_for_those_with_a_reason(specification: list[Case]) -> None:
    tried = 0
    wrong: dict[str, str] = {}
    for case in specification:
        try:
            problem = try_case(case)
        except NotOffered:
            continue
        tried += 1
        if problem is not None:
            wrong[case.name] = f"{case.expression}: {problem}"
    assert tried > 1400
    unexpected = {name: problem for name, problem in wrong.items() if name not in EXCEPTIONS}
    assert not unexpected
    assert set(wrong) == set(EXCEPTIONS), "an exception passes by now"
    assert len(EXCEPTIONS) < 0.02 * tried
