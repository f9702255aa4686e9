"""What can go wrong with an expression.

    CELError
    ├── CompileError      it is no expression, or of the wrong types; `issues` say where
    ├── EvaluationError   it failed on these values; `||`, `&&` and `all` may still decide without it
    └── CostExceeded      evaluating it costs more than it may; nothing absorbs it

Every text is cel-go's, which is what Kubernetes' clients see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CELError", "CompileError", "CostExceeded", "EvaluationError", "Issue"]


class CELError(Exception):
    """An expression cannot be compiled or evaluated."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong with an expression."""

    message: str
    line: int  # from 1; -1 if it is about the expression as a whole
    column: int  # from 0, in code points; -1 likewise


class CompileError(CELError):
    """The text is no expression, or its types don't fit. Its text is every issue with the line and a caret."""

    def __init__(self, text: str, issues: Sequence[Issue]) -> None:
        super().__init__(text)
        self.issues = tuple(issues)


class EvaluationError(CELError):
    """An expression failed on the values it was given: `no such key: x`, `division by zero` …

    Functions of libraries raise it. `cost` is what was spent until then, set by the program.
    """

    cost: int = 0


class CostExceeded(CELError):
    """An evaluation was stopped because it cost more than its limit."""

    cost: int = 0

    def __init__(self, message: str = "operation cancelled: actual cost limit exceeded") -> None:
        super().__init__(message)
