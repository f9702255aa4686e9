"""CEL expressions that make users of claims, and that check them.

Source: k8s.io/apiserver/pkg/authentication/cel, k8s.io/apiserver/plugin/pkg/authenticator/token/oidc.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hyperkube_apiserver.authn.jwt import TokenError
from hyperkube_machinery.cel.ast import Call, Expression, Ident, Literal, Select, walk
from hyperkube_machinery.cel.environment import Checked, Environment, Program
from hyperkube_machinery.cel.errors import CELError, CompileError
from hyperkube_machinery.cel.kubernetes.environments import base_environment
from hyperkube_machinery.cel.types import ANY, BOOL, STRING, Field, ObjectType, Type, list_of, map_of
from hyperkube_machinery.identity import Identity

__all__ = [
    "BadExpression",
    "Compiled",
    "Expressions",
    "ExtraExpression",
    "Rule",
    "compile_claims",
    "compile_user",
    "uses_claim",
]

Claims = Mapping[str, Any]


class BadExpression(ValueError):
    """An expression can't be used; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression, and what evaluates it."""

    checked: Checked
    program: Program


@dataclass(frozen=True, slots=True)
class Rule:
    """What must be true, and what is told where it isn't."""

    condition: Compiled
    message: str = ""


@dataclass(frozen=True, slots=True)
class ExtraExpression:
    """What makes the values of one extra key."""

    key: str
    values: Compiled


@cache
def _environment(variable: str) -> Environment:
    texts = list_of(STRING)
    user = ObjectType(
        "kubernetes.UserInfo",
        {
            "username": Field(STRING),
            "uid": Field(STRING),
            "groups": Field(texts),
            "extra": Field(map_of(STRING, texts)),
        },
    )
    types: dict[str, Type] = {"claims": map_of(STRING, ANY), "user": user}
    return base_environment().extend(variables={variable: types[variable]})


def compile_claims(text: str, *, condition: bool = False) -> Compiled:
    """An expression about `claims`; a `condition` must be true or false. Raises BadExpression."""
    return _compiled("claims", text, condition=condition)


def compile_user(text: str) -> Compiled:
    """A condition about `user`. Raises BadExpression."""
    return _compiled("user", text, condition=True)


def _compiled(variable: str, text: str, *, condition: bool) -> Compiled:
    environment = _environment(variable)
    try:
        checked = environment.compile(text)
    except CompileError as exc:
        raise BadExpression(f"compilation failed: {exc}") from exc
    if condition and checked.type != BOOL:
        raise BadExpression("must evaluate to bool")
    return Compiled(checked, environment.program(checked))


def uses_claim(compiled: Compiled, claim: str) -> bool:
    """Whether an expression mentions `claims.NAME`, or `claims.?NAME`."""

    def is_claims(node: Expression) -> bool:
        return isinstance(node, Ident) and node.name == "claims"

    for node in walk(compiled.checked.expression):
        if isinstance(node, Select) and node.field == claim and is_claims(node.operand):
            return True
        if isinstance(node, Call) and node.function == "_?._" and len(node.arguments) == 2:
            operand, name = node.arguments
            if is_claims(operand) and isinstance(name, Literal) and name.value == claim:
                return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expressions:
    """What an issuer's configuration says in CEL."""

    name: Compiled | None = None
    group_names: Compiled | None = None
    user_id: Compiled | None = None
    extras: Sequence[ExtraExpression] = ()
    claim_rules: Sequence[Rule] = ()
    user_rules: Sequence[Rule] = ()

    def username(self, claims: Claims) -> str:
        """Raises TokenError."""
        assert self.name is not None
        found = _evaluated(self.name, {"claims": claims}, "username claim expression")
        if not isinstance(found, str):
            raise _wrong("username claim expression", "username claim expression must return a string")
        if not found:
            raise TokenError("oidc: empty username via CEL expression is not allowed")
        return found

    def groups(self, claims: Claims) -> tuple[str, ...]:
        """Raises TokenError."""
        if self.group_names is None:
            return ()
        return _texts(
            _evaluated(self.group_names, {"claims": claims}, "group claim expression"), "group claim expression"
        )

    def uid(self, claims: Claims) -> str:
        """Raises TokenError."""
        if self.user_id is None:
            return ""
        found = _evaluated(self.user_id, {"claims": claims}, "uid claim expression")
        if not isinstance(found, str):
            raise _wrong("uid claim expression", "uid claim expression must return a string")
        return found

    def extra(self, claims: Claims) -> dict[str, tuple[str, ...]]:
        """Raises TokenError."""
        found = {}
        for one in self.extras:
            what = f"extra claim expression: {one.values.checked.text}"
            values = _texts(_evaluated(one.values, {"claims": claims}, "extra claim expression"), what)
            if values:
                found[one.key] = values
        return found

    def validate(self, claims: Claims, user: Identity) -> None:
        """Raises TokenError where a rule does not hold."""
        _check(self.claim_rules, {"claims": claims}, "claim validation expression")
        if self.user_rules:
            extra = {key: list(values) for key, values in user.extra.items()}
            told = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
            _check(self.user_rules, {"user": told}, "user info validation rule")


def _check(rules: Iterable[Rule], variables: Mapping[str, Any], what: str) -> None:
    for rule in rules:
        if _evaluated(rule.condition, variables, what) is not True:
            text = rule.condition.checked.text
            raise _wrong(what, f"validation expression '{text}' failed: {rule.message}")


def _evaluated(compiled: Compiled, variables: Mapping[str, Any], what: str) -> Any:
    try:
        return compiled.program.evaluate(variables).value
    except CELError as exc:
        raise _wrong(what, f"expression '{compiled.checked.text}' resulted in error: {exc}") from exc


def _texts(value: Any, what: str) -> tuple[str, ...]:
    """A string, or strings, without the empty ones. Source: convertCELValueToStringList."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(each for each in value if each)
    raise _wrong(what, "expression must return a string or a list of strings")


def _wrong(what: str, why: str) -> TokenError:
    return TokenError(f"oidc: error evaluating {what}: {why}")
