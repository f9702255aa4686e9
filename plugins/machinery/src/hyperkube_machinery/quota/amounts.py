"""Lists of resources, calculated with. Source: k8s.io/apiserver/pkg/quota/v1 (resources.go)."""

from __future__ import annotations

from collections.abc import Container, Mapping

from hyperkube_machinery.quantity import Quantity

__all__ = ["ONE", "ZERO", "Amounts", "added", "exceeding", "only", "raised", "read", "reduced", "shown", "written"]

Amounts = Mapping[str, Quantity]

ZERO = Quantity(0)
ONE = Quantity.parse("1")


def read(listed: Mapping[str, str] | None) -> dict[str, Quantity]:
    """A list as objects have it."""
    return {name: Quantity.parse(text) for name, text in (listed or {}).items()}


def written(amounts: Amounts) -> dict[str, str]:
    """The list for an object, sorted."""
    return {name: str(amounts[name]) for name in sorted(amounts)}


def shown(amounts: Amounts) -> str:
    """The list as refusals tell of it: `cpu=1,pods=2`."""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))


def added(some: Amounts, more: Amounts) -> dict[str, Quantity]:
    """Both together."""
    total = dict(some)
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount
    return total


def raised(some: Amounts, other: Amounts) -> dict[str, Quantity]:
    """The more of both, resource by resource."""
    most = dict(some)
    for name, amount in other.items():
        if name not in most or most[name] < amount:
            most[name] = amount
    return most


def reduced(some: Amounts, less: Amounts) -> dict[str, Quantity]:
    """`some` without `less`; never below zero."""
    rest = {}
    for name in {**some, **less}:
        left = some.get(name, ZERO) - less.get(name, ZERO)
        rest[name] = left if left > ZERO else ZERO
    return rest


def only(amounts: Amounts, names: Container[str]) -> dict[str, Quantity]:
    """Those with one of these names."""
    return {name: amount for name, amount in amounts.items() if name in names}


def exceeding(amounts: Amounts, bounds: Amounts) -> list[str]:
    """The names of the resources of which there is more than `bounds` allow."""
    return sorted(name for name, bound in bounds.items() if name in amounts and amounts[name] > bound)
