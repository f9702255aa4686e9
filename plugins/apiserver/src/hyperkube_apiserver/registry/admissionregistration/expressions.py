"""What is wrong with the expressions of webhooks and policies: they are compiled before they are stored.

Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from hyperkube_machinery.errors import FieldError

if TYPE_CHECKING:
    from hyperkube_machinery.cel.kubernetes.admission.compiling import Compiled, Compiler

__all__ = ["Expressions"]


class Expressions:
    """Compiles the expressions of one object. The language is loaded when there is one."""

    def __init__(self, *, params: bool) -> None:
        """`params`: whether there are parameters."""
        self._params = params

    def validate_condition(self, text: str, path: str) -> list[FieldError]:
        """One of the matchConditions, which can't mention variables."""
        from hyperkube_machinery.cel.kubernetes.admission.compiling import Compiler
        from hyperkube_machinery.cel.types import BOOL

        return _told(Compiler(params=self._params).compile(text, (BOOL,)), text, path)

    def validate_variable(self, name: str, text: str, path: str) -> list[FieldError]:
        """What a variable stands for, that later expressions may mention."""
        return _told(self._compiler.declare(name, text), text, path)

    def validate_validation(self, text: str, path: str) -> list[FieldError]:
        from hyperkube_machinery.cel.types import BOOL

        return _told(self._compiler.compile(text, (BOOL,)), text, path)

    def validate_message(self, text: str, path: str) -> list[FieldError]:
        from hyperkube_machinery.cel.types import STRING

        return _told(self._compiler.compile(text, (STRING,), authorizer=False), text, path)

    def validate_annotation(self, text: str, path: str) -> list[FieldError]:
        from hyperkube_machinery.cel.types import NULL, STRING

        return _told(self._compiler.compile(text.strip(), (STRING, NULL)), text, path)

    def validate_mutation(self, text: str, path: str, *, is_json_patch: bool) -> list[FieldError]:
        from hyperkube_machinery.cel.kubernetes.admission.patchtypes import JSON_PATCH, OBJECT
        from hyperkube_machinery.cel.types import list_of

        returns = list_of(JSON_PATCH) if is_json_patch else OBJECT
        return _told(self._compiler.compile(text.strip(), (returns,), patches=True), text.strip(), path)

    @cached_property
    def _compiler(self) -> Compiler:
        from hyperkube_machinery.cel.kubernetes.admission.compiling import Compiler  # takes long to load

        return Compiler(params=self._params)


def _told(compiled: Compiled, text: str, path: str) -> list[FieldError]:
    if not compiled.error:
        return []
    if compiled.is_internal:
        return [FieldError.internal(path, compiled.error)]
    return [FieldError.invalid(path, text, compiled.error)]
