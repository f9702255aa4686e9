"""What is asked of each kind of object. Source: k8s.io/apiserver/pkg/quota/v1 (interfaces.go), /generic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.quantity import Quantity

__all__ = ["Evaluator", "Requirement", "Tree", "count_name", "requirements_of"]

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What an object must be for a quota to count it: `scope` says in which respect."""

    scope: str
    operator: str  # In, NotIn, Exists, DoesNotExist
    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, tree: Tree) -> Requirement:
        """One as quotas and configurations write it."""
        return cls(tree.get("scopeName") or "", tree.get("operator") or "", tuple(tree.get("values") or ()))

    def fits(self, value: str) -> bool:
        """Whether `value`, which may be "" for none, is one that is asked for."""
        match self.operator:
            case "In":
                return bool(value) and value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return bool(value)
            case "DoesNotExist":
                return not value
        return False

    def __str__(self) -> str:
        return f"{{{self.scope} {self.operator} [{' '.join(self.values)}]}}"


def requirements_of(quota: Tree) -> list[Requirement]:
    """All that a quota asks of the objects that it counts."""
    spec = quota.get("spec") or {}
    plain = [Requirement(scope, "Exists") for scope in spec.get("scopes") or ()]
    selected = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return plain + [Requirement.of(one) for one in selected]


def count_name(group: str, resource: str) -> str:
    """The name under which the objects of a resource are counted: `count/deployments.apps`."""
    return f"count/{resource}.{group}" if group else f"count/{resource}"


class Evaluator:
    """How the objects of one resource are measured; this one counts them."""

    knows_scopes = False

    def __init__(self, group: str, resource: str, alias: str = "") -> None:
        """`alias` is another name for the count, from before there was a general one."""
        self.group = group
        self.resource = resource
        self._names = (count_name(group, resource), alias) if alias else (count_name(group, resource),)

    def handles(self, operation: str, subresource: str, obj: Tree, old: Tree | None) -> bool:
        """Whether such a request can change what is used."""
        return operation == "CREATE" and not subresource

    def counted(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that objects of this kind use, sorted."""
        return sorted(set(names) & set(self._names))

    def is_in(self, requirement: Requirement, obj: Tree) -> bool:
        """Whether an object is what is required. Objects without scopes are never."""
        return False

    def matching(self, requirements: Iterable[Requirement], obj: Tree) -> list[Requirement]:
        """The requirements that an object meets, where its kind knows scopes."""
        return [one for one in requirements if self.is_in(one, obj)] if self.knows_scopes else []

    def uncovered(self, limited: Sequence[Requirement], matched: Sequence[Requirement]) -> list[Requirement]:
        """Those of `limited` of whose scope there is none in `matched`."""
        scopes = {one.scope for one in matched}
        return [one for one in limited if one.scope not in scopes] if self.knows_scopes else []

    def lacking(self, required: Iterable[str], obj: Tree) -> str:
        """What an object must say of the resources `required` and doesn't; "" if there is nothing."""
        return ""

    def usage(self, obj: Tree) -> dict[str, Quantity]:
        """What an object uses."""
        return dict.fromkeys(self._names, Quantity.parse("1"))

    def is_counted_by(self, quota: Tree, obj: Tree) -> bool:
        """Whether a quota, by what its status bounds, has to do with an object."""
        hard = (quota.get("status") or {}).get("hard") or {}
        return bool(self.counted(hard)) and all(self.is_in(one, obj) for one in requirements_of(quota))

    def has_freed(self, old: Tree, new: Tree) -> bool:
        """Whether a change of an object may have changed what it uses, so that quotas are to be counted anew."""
        return False
