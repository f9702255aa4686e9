"""Which questions a webhook is asked: CEL expressions about the review that it would be sent.

Source: k8s.io/apiserver/pkg/authorization/cel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.cel.environment import Environment
from hyperkube_machinery.cel.errors import CELError, CompileError
from hyperkube_machinery.cel.kubernetes.environments import base_environment
from hyperkube_machinery.cel.types import BOOL, STRING, Field, ObjectType, list_of, map_of
from hyperkube_machinery.errors import aggregated

if TYPE_CHECKING:
    from hyperkube_apiserver.authz.webhook import Matches

__all__ = ["BadCondition", "compile_conditions"]

Tree = dict[str, Any]

_TEXTS = ("namespace", "verb", "group", "version", "resource", "subresource", "name")


class BadCondition(ValueError):
    """An expression can't be used; `index` tells which."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


@cache
def _environment() -> Environment:
    texts = list_of(STRING)
    requirement = ObjectType(
        "kubernetes.SelectorRequirement",
        {"key": Field(STRING), "operator": Field(STRING), "values": Field(texts)},
    )
    selector = {"rawSelector": Field(STRING), "requirements": Field(list_of(requirement))}
    resource = ObjectType(
        "kubernetes.ResourceAttributes",
        {
            **{name: Field(STRING) for name in _TEXTS},
            "fieldSelector": Field(ObjectType("kubernetes.FieldSelectorAttributes", selector)),
            "labelSelector": Field(ObjectType("kubernetes.LabelSelectorAttributes", selector)),
        },
    )
    path = ObjectType("kubernetes.NonResourceAttributes", {"path": Field(STRING), "verb": Field(STRING)})
    request = ObjectType(
        "kubernetes.SubjectAccessReviewSpec",
        {
            "resourceAttributes": Field(resource),
            "nonResourceAttributes": Field(path),
            "user": Field(STRING),
            "groups": Field(texts),
            "extra": Field(map_of(STRING, texts)),
            "uid": Field(STRING),
        },
    )
    return base_environment().extend(variables={"request": request})


def compile_conditions(texts: Sequence[str]) -> Matches:
    """What tells whether all of the expressions are true of a review. Raises BadCondition."""
    environment = _environment()
    programs = []
    for index, text in enumerate(texts):
        try:
            checked = environment.compile(text)
        except CompileError as exc:
            raise BadCondition(index, f"compilation failed: {exc}") from exc
        if checked.type != BOOL:
            raise BadCondition(index, f"must evaluate to bool but got {checked.type}")
        programs.append((text, environment.program(checked)))

    def matches(review: Tree) -> bool:
        request = _filled(review["spec"])
        errors = []
        for text, program in programs:
            try:
                if program.evaluate({"request": request}).value is not True:
                    return False
            except CELError as exc:
                errors.append(f"cel evaluation error: expression '{text}' resulted in error: {exc}")
        if errors:
            raise ValueError(aggregated(errors))
        return True

    return matches


def _filled(spec: Tree) -> Tree:
    """The spec with all of its texts, also the empty ones: an expression need not ask whether they are there."""
    request = {"user": "", "groups": [], "uid": "", "extra": {}, **spec}
    if (resource := spec.get("resourceAttributes")) is not None:
        request["resourceAttributes"] = {**dict.fromkeys(_TEXTS, ""), **resource}
    if (path := spec.get("nonResourceAttributes")) is not None:
        request["nonResourceAttributes"] = {"path": "", "verb": "", **path}
    return request
