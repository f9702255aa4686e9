"""Expressions that select devices: compiled before they are stored.

Source: k8s.io/dynamic-resource-allocation/cel, validateCELSelector in k8s.io/kubernetes/pkg/apis/resource/validation.
"""

from __future__ import annotations

from functools import cache

from hyperkube_machinery.cel import types
from hyperkube_machinery.cel.bounds import Size
from hyperkube_machinery.cel.environment import Environment
from hyperkube_machinery.cel.errors import CompileError, EvaluationError
from hyperkube_machinery.cel.estimation import estimate
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.kubernetes.declared import Declared
from hyperkube_machinery.cel.kubernetes.environments import base_environment
from hyperkube_machinery.cel.libraries.bindings import BINDINGS
from hyperkube_machinery.cel.models import SizedNode
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_expression"]

_MOST_COST = 1_000_000
_MOST_ENTRIES = 32  # attributes and capacities of a device
_DOMAIN_SIZE, _IDENTIFIER_SIZE, _DRIVER_SIZE, _VALUE_SIZE = 63, 32, 63, 64


def validate_expression(text: str, path: str) -> list[FieldError]:
    """What is wrong with an expression that is to say whether a device will do."""
    environment = _environment()
    try:
        checked = environment.compile(text)
    except CompileError as exc:
        return [FieldError.invalid(path, text, f"compilation failed: {exc}")]
    if checked.type not in (types.BOOL, types.ANY):
        why = f"must evaluate to bool or the unknown type, not {checked.type}"
        return [FieldError.invalid(path, text, why)]
    try:
        environment.program(checked, cost_limit=_MOST_COST)
    except EvaluationError as exc:
        return [FieldError.internal(path, f"program instantiation failed: {exc}")]
    if estimate(environment, checked, _size).max > _MOST_COST:
        return [FieldError.forbidden(path, "too complex, exceeds cost limit")]
    return []


@cache
def _device() -> Declared:
    value = Declared(simple=types.ANY, most=_VALUE_SIZE)
    capacity = Declared(simple=typenames.QUANTITY)
    return Declared(
        fields={
            "driver": ("driver", Declared(simple=types.STRING, most=_DRIVER_SIZE)),
            "allowMultipleAllocations": ("allowMultipleAllocations", Declared(simple=types.BOOL, most=1)),
            "attributes": ("attributes", _by_name(value)),
            "capacity": ("capacity", _by_name(capacity)),
        }
    )


def _by_name(value: Declared) -> Declared:
    """Values by domain, and in it by identifier."""
    inner = Declared(element=value, is_map=True, most=_MOST_ENTRIES)
    return Declared(element=inner, is_map=True, most=_MOST_ENTRIES)


@cache
def _environment() -> Environment:
    return base_environment().extend(
        libraries=(BINDINGS,), variables={"device": _device().named("kubernetes.DRADevice")}
    )


def _size(node: SizedNode) -> Size | None:
    """How large what stands at a path below `device` may be."""
    if not node.path or node.path[0] != "device":
        return None
    steps = list(node.path[1:])
    if len(steps) > 1 and steps[-1] == "@keys":
        return Size(0, _DOMAIN_SIZE if len(steps) == 2 else _IDENTIFIER_SIZE)
    if len(steps) > 2 and steps[0] in ("attributes", "capacity"):
        steps[2] = "@values"  # whichever of them it is, all may be as large
    found = _device().at(steps)
    return None if found is None else Size(0, found.most)
