"""What one rule says, as a schema has it.

Source: ValidationRule in k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RuleSpec", "rules_of"]


@dataclass(frozen=True, slots=True)
class RuleSpec:
    expression: str
    message: str = ""
    message_expression: str = ""
    reason: str | None = None
    field_path: str = ""
    optional_old: bool | None = None

    @property
    def is_empty(self) -> bool:
        return not self.expression.strip()

    @property
    def label(self) -> str:
        """What the rule is called when it fails to be evaluated."""
        return (self.message or self.expression).strip()

    @property
    def default_message(self) -> str:
        """What is said when it does not hold, unless a messageExpression says something better."""
        return self.message.strip() if self.message else f"failed rule: {self.label}"


def rules_of(schema: Mapping[str, Any]) -> tuple[RuleSpec, ...]:
    """The rules of a schema itself, none of what it holds."""
    return tuple(
        RuleSpec(
            expression=rule.get("rule") or "",
            message=rule.get("message") or "",
            message_expression=rule.get("messageExpression") or "",
            reason=rule.get("reason"),
            field_path=rule.get("fieldPath") or "",
            optional_old=rule.get("optionalOldSelf"),
        )
        for rule in schema.get("x-kubernetes-validations") or ()
    )
