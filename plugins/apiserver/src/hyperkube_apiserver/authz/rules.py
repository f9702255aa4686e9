"""Policy rules: parsed, matched and compiled into tables.

Source: k8s.io/kubernetes/pkg/apis/rbac/v1 (evaluation helpers), k8s.io/api/rbac/v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hyperkube_apiserver.authz.forbidden import quote_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Rule", "Table"]

# A rule of three long lists is kept as it is: spelled out it would fill memory, and whoever may write a role could ask
# for that. The longest rule of a fresh server has some hundred combinations.
_MOST_COMBINATIONS = 4096
_ALL_NAMES: tuple[str | None, ...] = (None,)

KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role, about resources or about paths."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # () for all
    paths: tuple[str, ...] = ()

    @classmethod
    def parse(cls, rule: Mapping[str, Any]) -> Rule:
        """The rule that stands in a role."""
        fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(rule.get(field) or ()) for field in fields))

    def tree(self) -> dict[str, list[str]]:
        """As it stands in a role."""
        fields = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {field: list(values) for field, values in fields.items() if values or field == "verbs"}

    def describe(self) -> str:
        """As refusals show it."""
        fields = {
            "APIGroups": self.groups,
            "Resources": self.resources,
            "NonResourceURLs": self.paths,
            "ResourceNames": self.names,
            "Verbs": self.verbs,
        }
        return "{" + ", ".join(f"{field}:{quote_all(values)}" for field, values in fields.items() if values) + "}"

    def allows(self, verb: str, group: str, resource: str, subresource: str, name: str | None) -> bool:
        """Whether it allows `verb` on the resource called `name`: "" where a request names none, None for all names."""
        combined = f"{resource}/{subresource}" if subresource else resource
        return (
            (verb in self.verbs or "*" in self.verbs)
            and (group in self.groups or "*" in self.groups)
            and (
                combined in self.resources
                or "*" in self.resources
                or (subresource != "" and f"*/{subresource}" in self.resources)
            )
            and (not self.names or name in self.names)
        )

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether it allows `verb` on `path`."""
        return (verb in self.verbs or "*" in self.verbs) and any(
            path == pattern or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))
            for pattern in self.paths
        )


class Table:
    """Many rules, compiled so that a question costs a few look-ups, however many there are.

    A rule may be added and removed at any time, which takes as long as it is itself; one that was added twice must be
    removed twice.
    """

    __slots__ = ("_paths", "_prefixes", "_verbs", "_wide")

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        # verb -> group -> resource -> name -> how many rules say so; None for all names
        self._verbs: dict[str, dict[str, dict[str, dict[str | None, int]]]] = {}
        self._paths: dict[str, dict[str, int]] = {}
        self._prefixes: dict[str, tuple[str, ...]] = {}
        self._wide: list[Rule] = []
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        """Allow what `rule` allows as well."""
        self._change(rule, 1)

    def remove(self, rule: Rule) -> None:
        """Allow it no longer, unless another rule does."""
        self._change(rule, -1)

    def _change(self, rule: Rule, by: int) -> None:
        if rule.paths:
            self._change_paths(rule, by)
        if len(rule.verbs) * len(rule.groups) * len(rule.resources) > _MOST_COMBINATIONS:
            if by > 0:
                self._wide.append(rule)
            else:
                self._wide.remove(rule)
            return
        names = rule.names or _ALL_NAMES
        for verb in rule.verbs:
            for group in rule.groups:
                resources = self._verbs.setdefault(verb, {}).setdefault(group, {})
                for resource in rule.resources:
                    counts = resources.setdefault(resource, {})
                    for name in names:
                        _count(counts, name, by)
                    if not counts:
                        del resources[resource]
                if not resources:
                    del self._verbs[verb][group]
            if verb in self._verbs and not self._verbs[verb]:
                del self._verbs[verb]

    def _change_paths(self, rule: Rule, by: int) -> None:
        for verb in rule.verbs:
            paths = self._paths.setdefault(verb, {})
            for path in rule.paths:
                _count(paths, path, by)
            self._prefixes[verb] = tuple({path.rstrip("*") for path in paths if path.endswith("*")})
            if not paths:
                del self._paths[verb], self._prefixes[verb]

    def allows(self, verb: str, group: str, resource: str, subresource: str, name: str | None) -> bool:
        """Whether one rule allows `verb` on the resource called `name`; see `Rule.allows`."""
        keys = (f"{resource}/{subresource}", "*", f"*/{subresource}") if subresource else (resource, "*")
        verbs = self._verbs
        for groups in (verbs.get(verb), verbs.get("*")):
            if groups is None:
                continue
            for resources in (groups.get(group), groups.get("*")):
                if resources is None:
                    continue
                for key in keys:
                    names = resources.get(key)
                    if names is not None and (None in names or name in names):
                        return True
        if self._wide:
            return any(rule.allows(verb, group, resource, subresource, name) for rule in self._wide)
        return False

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether one rule allows `verb` on `path`."""
        for each in (verb, "*"):
            if path in self._paths.get(each, ()) or path.startswith(self._prefixes.get(each, ())):
                return True
        return False


def _count(counts: dict[KeyT, int], key: KeyT, by: int) -> None:
    """One more, or one less, of `key`; what there is none of any more is forgotten."""
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]
