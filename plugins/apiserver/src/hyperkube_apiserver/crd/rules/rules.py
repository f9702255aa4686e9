"""The rules of one schema, asked of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_machinery.errors import FieldError

__all__ = ["BUDGET", "Rules", "compile_rules"]

Tree = Mapping[str, Any]

BUDGET = 10_000_000  # units of cost that the rules of one object may use up in one request


class Rules:
    """The rules in one structural schema. Expressions are compiled when they are first asked for."""

    def validate(
        self,
        value: Any,
        old: Any = None,
        *,
        path: str = "",
        budget: int = BUDGET,
        warn: Callable[[str], None] | None = None,
    ) -> list[FieldError]:
        """What the rules say of `value`, which takes the place of `old` (None if it is new).

        `value` is the whole object: pruned, with defaults, valid by its schema otherwise (upstream asks the rules
        only where `is_blocked` says that it may). `path` is where it stands. With `warn`, rules that fail on what is as
        it was before are told there (as the texts of warnings) rather than returned, as they are in updates; without,
        every failure is returned.
        """
        raise NotImplementedError


def compile_rules(schema: Tree, *, is_resource: bool = True) -> Rules | None:
    """The rules in a structural schema (a tree of JSONSchemaProps), None if it has none.

    `is_resource`: whether it is that of a resource, where `apiVersion`, `kind` and names are known to rules.
    """
    raise NotImplementedError
