"""Cluster roles that gather the rules of others."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.authz import aggregate

Tree = dict[str, Any]


def role(name: str, *verbs: str, labels: dict[str, str] | None = None, gathers: list[Tree] | None = None) -> Tree:
    made: Tree = {
        "metadata": {"name": name, "labels": labels or {}},
        "rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]} for verb in verbs],
    }
    if gathers is not None:
        made["aggregationRule"] = {"clusterRoleSelectors": gathers}
    return made


def verbs(rules: list[Tree]) -> list[str]:
    return [rule["verbs"][0] for rule in rules]


TO_A = {"matchLabels": {"to": "a"}}


def test_rules_are_gathered_in_the_order_of_names_once_each() -> None:
    found = aggregate(
        [
            role("a", gathers=[TO_A]),
            role("z", "get", "list", labels={"to": "a"}),
            role("b", "list", "watch", labels={"to": "a"}),
            role("other", "delete"),
        ]
    )
    assert {name: verbs(rules) for name, rules in found.items()} == {"a": ["list", "watch", "get"]}


def test_what_is_right_already_is_not_told() -> None:
    assert aggregate([role("a", "get", gathers=[TO_A]), role("b", "get", labels={"to": "a"})]) == {}


def test_rules_that_nobody_gives_any_more_go_away() -> None:
    assert aggregate([role("a", "get", gathers=[TO_A])]) == {"a": []}


def test_a_role_gathers_from_roles_that_gather() -> None:
    to_b = {"matchExpressions": [{"key": "to", "operator": "In", "values": ["b"]}]}
    found = aggregate(
        [
            role("a", gathers=[TO_A]),
            role("b", gathers=[to_b], labels={"to": "a"}),
            role("c", "get", labels={"to": "b"}),
        ]
    )
    assert {name: verbs(rules) for name, rules in found.items()} == {"a": ["get"], "b": ["get"]}


def test_a_role_does_not_gather_from_itself_and_rings_come_to_rest() -> None:
    ring = [
        role("a", labels={"to": "a"}, gathers=[TO_A]),
        role("b", labels={"to": "a"}, gathers=[TO_A]),
        role("c", "get", labels={"to": "a"}),
    ]
    assert {name: verbs(rules) for name, rules in aggregate(ring).items()} == {"a": ["get"], "b": ["get"]}


def test_a_selector_that_cannot_be_read_selects_nothing() -> None:
    bad = {"matchExpressions": [{"key": "to", "operator": "Bad"}]}
    assert aggregate([role("a", gathers=[bad]), role("b", "get", labels={"to": "a"})]) == {}
