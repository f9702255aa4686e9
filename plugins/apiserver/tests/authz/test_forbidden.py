"""The words of a refusal, as recorded and at their edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import ResourceAttributes, forbidden
from hyperkube_apiserver.authz.forbidden import quote, quote_all

RECORDED = json.loads((Path(__file__).parent / "data" / "forbidden.json").read_text())
JOE = Identity("joe")


@pytest.mark.parametrize("case", RECORDED, ids=[f"{case['info']['verb']} {case['info']['path']}" for case in RECORDED])
def test_refusals_are_as_recorded(case: dict[str, Any]) -> None:
    refusal = forbidden(Identity(case["user"]), ResourceAttributes(**case["info"]))
    assert refusal.status == case["status"]


def test_the_authorizers_reason_follows() -> None:
    asked = ResourceAttributes(verb="get", resource="pods", namespace="ns", name="p")
    assert str(forbidden(JOE, asked, "RBAC: x")) == (
        'pods "p" is forbidden: User "joe" cannot get resource "pods" in API group "" in the namespace "ns": RBAC: x'
    )


def test_markup_does_not_reach_a_browser() -> None:
    asked = ResourceAttributes(verb="get", resource="", is_resource=False, path="/<b>&")
    assert str(forbidden(Identity("<i>"), asked)) == ('forbidden: User "&lt;i&gt;" cannot get path "/&lt;b&gt;&amp;"')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [x]~", '"plain [x]~"'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("a\nb\tc\x01\x7f", r'"a\nb\tc\x01\x7f"'),
        ("ä😀", '"ä😀"'),
        ("\u200b\U000e0001", r'"\u200b\U000e0001"'),
    ],
)
def test_texts_are_quoted_as_go_quotes_them(text: str, shown: str) -> None:
    assert quote(text) == shown


def test_lists_are_quoted_as_go_quotes_them() -> None:
    assert quote_all(["a", ""]) == '["a" ""]'
    assert quote_all([]) == "[]"
