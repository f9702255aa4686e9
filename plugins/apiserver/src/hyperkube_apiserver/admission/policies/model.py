"""Policies and their bindings, as the plugins keep them. Source: k8s.io/apiserver/pkg/admission/plugin/policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.rules import Rule, Target, matching, read_rules
from hyperkube_apiserver.admission.selectors import Selectors
from hyperkube_apiserver.offering import Offering
from hyperkube_apiserver.registry.attributes import Attributes

if TYPE_CHECKING:
    from hyperkube_apiserver.admission.policies.programs import Programs

__all__ = ["Binding", "Constraints", "ParamKind", "Policy", "Sorted", "bound_policies"]

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sorted:
    """What constraints say of one sort of request."""

    matched: Sequence[tuple[Rule, Target]]
    excluded: Sequence[tuple[Rule, Target]]

    def target(self, name: str) -> Target | None:
        """What a request about the object called `name` is taken for; None if it is not meant."""
        if any(rule.names_one(name) for rule, _ in self.excluded):
            return None
        return next((target for rule, target in self.matched if rule.names_one(name)), None)


class Constraints:
    """MatchResources: which requests a policy is about, or a binding narrows it to."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.selectors = Selectors.of(tree)
        self._rules = read_rules(tree.get("resourceRules"))
        self._excluded = read_rules(tree.get("excludeResourceRules"))
        self._exact = tree.get("matchPolicy") != "Equivalent"

    def sorted(self, attributes: Attributes, offering: Offering) -> Sorted | None:
        """What they say of such requests; None if these are not meant, whatever the object is."""
        sort = (attributes.kind, attributes.subresource, attributes.operation)
        matched = matching(self._rules or _ANY, offering, *sort, exact=self._exact or not self._rules)
        if not matched:
            return None
        excluded = matching(self._excluded, offering, *sort, exact=self._exact)
        return None if any(not rule.names for rule, _ in excluded) else Sorted(matched, excluded)

    def target(self, attributes: Attributes, cluster: Cluster) -> Target | None:
        """What a request is taken for; None if it is not meant. Raises APIError where its namespace is not there."""
        found = self.sorted(attributes, cluster.offering)
        target = found.target(attributes.name) if found is not None else None
        return target if target is not None and self.selectors.match(attributes, cluster) else None


_ANYTHING = frozenset("*")
_ANY = (Rule(_ANYTHING, _ANYTHING, _ANYTHING, (("*", "*"),), "*", frozenset()),)
"""Whoever has no rules is about everything."""


@dataclass(frozen=True, slots=True)
class ParamKind:
    """What parameters a policy takes."""

    api_version: str
    kind: str

    @property
    def group_version(self) -> tuple[str, str]:
        group, slash, version = self.api_version.rpartition("/")
        return (group, version) if slash else ("", self.api_version)


class Binding:
    """Puts a policy into force, for what it selects and with the parameters that it names."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        spec = tree.get("spec") or {}
        self.name: str = tree["metadata"]["name"]
        self.policy: str = spec.get("policyName") or ""
        self.param_ref: Mapping[str, Any] | None = spec.get("paramRef")
        self.actions: tuple[str, ...] = tuple(spec.get("validationActions") or ())
        resources = spec.get("matchResources")
        self.constraints = Constraints(resources) if resources is not None else None


class Policy:
    """A policy with the bindings that put it into force. Its expressions are compiled when they are first needed."""

    def __init__(self, tree: Mapping[str, Any], bindings: Sequence[Binding]) -> None:
        spec: Tree = tree.get("spec") or {}
        self.name: str = tree["metadata"]["name"]
        self.spec = spec
        self.bindings = bindings
        self.constraints = Constraints(spec.get("matchConstraints") or {})
        self.ignores_failures = spec.get("failurePolicy") == "Ignore"
        self.has_conditions = bool(spec.get("matchConditions"))
        self.mutations = len(spec.get("mutations") or ())
        self.is_reinvoked = spec.get("reinvocationPolicy") == "IfNeeded"
        param_kind = spec.get("paramKind")
        self.param_kind = ParamKind(param_kind["apiVersion"], param_kind["kind"]) if param_kind is not None else None

    @cached_property
    def programs(self) -> Programs:
        """Its expressions, compiled. Raises TakesLong if it has to be prompt and can't."""
        from hyperkube_apiserver.admission.policies.programs import Programs  # the language takes long to load

        return Programs(self.spec)


def bound_policies(policies: Sequence[Tree], bindings: Sequence[Tree]) -> Iterator[Policy]:
    """The policies that are in force."""
    by_policy: dict[str, list[Binding]] = {}
    for tree in bindings:
        binding = Binding(tree)
        by_policy.setdefault(binding.policy, []).append(binding)
    for tree in policies:
        found = by_policy.get(tree["metadata"]["name"])
        if found:
            yield Policy(tree, found)
