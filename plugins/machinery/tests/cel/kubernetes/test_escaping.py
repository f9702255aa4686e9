"""Names of fields as identifiers."""

from __future__ import annotations

import pytest

from hyperkube_machinery.cel.kubernetes.escaping import escape, unescape

ESCAPED = [
    ("a", "a"),
    ("a_b", "a_b"),
    ("_a", "_a"),
    ("a__b", "a__underscores__b"),
    ("a.b", "a__dot__b"),
    ("a-b", "a__dash__b"),
    ("a/b", "a__slash__b"),
    ("__a__.-/", "__underscores__a__underscores____dot____dash____slash__"),
    ("namespace", "__namespace__"),
    ("in", "__in__"),
    ("namespaces", "namespaces"),
    ("___", "__underscores___"),
]


@pytest.mark.parametrize(("name", "identifier"), ESCAPED)
def test_a_name_becomes_an_identifier_and_a_name_again(name: str, identifier: str) -> None:
    assert escape(name) == identifier
    assert unescape(identifier) == name


@pytest.mark.parametrize("name", ["", "1a", "a b", "a$", "ä", "a\n"])
def test_some_names_have_no_identifier(name: str) -> None:
    assert escape(name) is None


@pytest.mark.parametrize("identifier", ["__what__", "a__in__", "__in____dot__"])
def test_some_identifiers_stand_for_no_name(identifier: str) -> None:
    assert unescape(identifier) is None
