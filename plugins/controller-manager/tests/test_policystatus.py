"""What the expressions of a policy are checked for."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.controllers.policystatus import kinds_of

pytestmark = pytest.mark.anyio


class Served:
    """Every resource but those that begin with `no`."""

    async def kind_of(self, group: str, version: str, resource: str) -> str:
        return "" if resource.startswith("no") else resource.removesuffix("s").title()


def rule(*resources: str) -> dict[str, Any]:
    return {"apiGroups": [""], "apiVersions": ["v1"], "resources": list(resources)}


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([rule("pods", "nopes"), rule("pods", "maps")], ["Pod", "Map"]),
        ([rule(f"a{number}s") for number in range(12)], [f"A{number}" for number in range(12)]),
        ([rule(*(f"{letter}s" for letter in "abcdefghijkl")), rule("pods")], list("ABCDEFGHIJ")),
        ([rule(*(f"{letter}s" for letter in "abcdefghi"), "nopes"), rule("pods")], [*"ABCDEFGHI", "Pod"]),
        ([rule("*", "pods/status")], []),
    ],
)
async def test_a_policy_is_checked_for_what_its_rules_name(rules: list[Any], found: list[str]) -> None:
    spec = {"matchConstraints": {"resourceRules": rules}}
    assert list(await kinds_of(spec, Served())) == [("", "v1", kind) for kind in found]
