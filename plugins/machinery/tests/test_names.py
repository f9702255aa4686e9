from __future__ import annotations

from collections.abc import Callable

import pytest

from hyperkube_machinery import names

_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        (names.dns1123_label, "my-name", []),
        (names.dns1123_label, "a.b", ["must not contain dots"]),
        (names.dns1123_label, "-a", [_LABEL]),
        (names.dns1123_label, "a\n", [_LABEL]),
        (names.dns1123_label, "a" * 64, ["must be no more than 63 characters"]),
        (names.dns1123_subdomain, "a.b-c.d", []),
        (names.dns1123_subdomain, "a..b", [_SUBDOMAIN]),
        (names.dns1123_subdomain, "A", [_SUBDOMAIN]),
        (names.dns1123_subdomain, "a" * 254, ["must be no more than 253 characters"]),
        (names.dns1123_subdomain_with_underscore, "_srv.example", []),
        (names.dns1123_subdomain_caseless, "Example.COM", []),
        (names.wildcard_dns1123_subdomain, "*.example.com", []),
        (names.dns1035_label, "a1", []),
        (names.qualified_name, "example.com/My_Name.1", []),
        (names.qualified_name, "/a", ["prefix part must be non-empty"]),
        (names.qualified_name, "bad key", [_KEY]),
        (names.qualified_name, "", ["name part must be non-empty", _KEY]),
        (names.qualified_name, "UPPER/a", [f"prefix part {_SUBDOMAIN}"]),
        (names.qualified_name, "a" * 64, ["name part must be no more than 63 bytes"]),
        (names.label_value, "", []),
        (names.label_value, "a" * 64, ["must be no more than 63 bytes"]),
        (names.path_segment, "system:node", []),
        (names.path_segment, "..", ["may not be '..'"]),
        (names.path_segment, "a/b%", ["may not contain '/'", "may not contain '%'"]),
        (names.c_identifier, "_a1", []),
        (names.env_var_name, "my.env-name", []),
        (names.env_var_name, "..", ["must not be '..'"]),
        (names.relaxed_env_var_name, "a b:c", []),
        (names.relaxed_env_var_name, "", ["environment variable name must be non-empty"]),
        (names.config_map_key, "..data", ["must not start with '..'"]),
        (names.port_name, "http-2", []),
        (names.port_name, "80", ["must contain at least one letter (a-z)"]),
        (names.port_name, "a--b", ["must not contain consecutive hyphens"]),
        (names.port_name, "-a", ["must not begin or end with a hyphen"]),
        (names.port_name, "a" * 16, ["must be no more than 15 characters"]),
        (names.percent, "25%", []),
        (names.http_header_name, "X-Custom", []),
    ],
)
def test_texts_are_judged_in_the_api_servers_words(
    check: Callable[[str], list[str]], text: str, expected: list[str]
) -> None:
    assert check(text) == expected


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (names.dns1035_label, "1a"),
        (names.c_identifier, "1a"),
        (names.env_var_name, "1a"),
        (names.relaxed_env_var_name, "a=b"),
        (names.relaxed_env_var_name, "é"),
        (names.config_map_key, "a b"),
        (names.label_value, "-a"),
        (names.percent, "25"),
        (names.http_header_name, "X Y"),
        (names.wildcard_dns1123_subdomain, "example.com"),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(check: Callable[[str], list[str]], text: str) -> None:
    assert len(check(text)) == 1


def test_sizes_are_counted_in_bytes() -> None:
    assert "must be no more than 63 bytes" in names.label_value("é" * 32)


def test_ranges_include_both_ends() -> None:
    assert names.port_number(1) == names.port_number(65535) == []
    assert names.port_number(0) == ["must be between 1 and 65535, inclusive"]


def test_a_prefix_is_checked_as_if_a_letter_followed_its_dash() -> None:
    assert names.dns1123_label(names.mask_trailing_dash("web-")) == []
    assert names.mask_trailing_dash("-") == "-"
