"""The environments of Kubernetes' expressions: language and libraries as the API servers of this release have them.

Expressions that are stored and new ones are read alike: what upstream keeps from new ones until every server of a
cluster knows it has been known to the release before this one.
Source: k8s.io/apiserver/pkg/cel/environment/base.go.
"""

from __future__ import annotations

from functools import cache

from hyperkube_machinery.cel.ast import Call, Literal, walk
from hyperkube_machinery.cel.environment import Checked, Environment, Program
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kubernetes.authorization import AUTHORIZATION, SELECTORS
from hyperkube_machinery.cel.kubernetes.costs import COSTS
from hyperkube_machinery.cel.kubernetes.formats import FORMATS
from hyperkube_machinery.cel.kubernetes.jsonpatches import JSON_PATCHES
from hyperkube_machinery.cel.kubernetes.limits import CALL_LIMIT
from hyperkube_machinery.cel.kubernetes.lists import LISTS
from hyperkube_machinery.cel.kubernetes.networks import CIDRS, IPS
from hyperkube_machinery.cel.kubernetes.quantities import QUANTITIES
from hyperkube_machinery.cel.kubernetes.regexes import REGEXES
from hyperkube_machinery.cel.kubernetes.urls import URLS
from hyperkube_machinery.cel.kubernetes.versions import VERSIONS
from hyperkube_machinery.cel.libraries.comprehensions import TWO_VARIABLE_COMPREHENSIONS
from hyperkube_machinery.cel.libraries.lists import LISTS as LIST_EXTENSIONS
from hyperkube_machinery.cel.libraries.optionals import OPTIONALS
from hyperkube_machinery.cel.libraries.sets import SETS
from hyperkube_machinery.cel.libraries.strings import strings
from hyperkube_machinery.patterns import PatternError, compile_pattern

__all__ = ["base_environment", "mutation_environment", "program_of"]


@cache
def base_environment() -> Environment:
    """What every expression may use; it has no variables."""
    return Environment(
        libraries=(
            *(URLS, REGEXES, LISTS, AUTHORIZATION, QUANTITIES, IPS, CIDRS, FORMATS, SELECTORS, VERSIONS),
            *(OPTIONALS, strings(version=2), SETS, TWO_VARIABLE_COMPREHENSIONS, LIST_EXTENSIONS),
        ),
        costs=COSTS,
    )


@cache
def mutation_environment() -> Environment:
    """That, and what patches need."""
    return base_environment().extend(libraries=(JSON_PATCHES,))


def program_of(environment: Environment, checked: Checked) -> Program:
    """What evaluates an expression, at the cost that one evaluation may have.

    Raises EvaluationError for what is known beforehand to fail, among that patterns that are none.
    """
    for node in walk(checked.expression):
        if isinstance(node, Call) and node.function in ("find", "findAll") and len(node.arguments) > 0:
            pattern = node.arguments[0]
            if isinstance(pattern, Literal) and isinstance(pattern.value, str):
                _check_pattern(pattern.value)
    return environment.program(checked, cost_limit=CALL_LIMIT)


def _check_pattern(pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except PatternError as exc:
        raise EvaluationError(str(exc)) from None
