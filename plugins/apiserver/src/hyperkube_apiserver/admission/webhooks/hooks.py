"""What configurations say of their webhooks. Source: k8s.io/apiserver/pkg/admission/plugin/webhook/accessors.go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.admission.rules import Rule, read_rules
from hyperkube_apiserver.admission.selectors import Selectors

__all__ = ["Hook", "read_hooks"]

Tree = dict[str, Any]

_DEFAULT_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Hook:
    """One webhook of a configuration."""

    name: str
    configuration: str
    client_config: Tree
    rules: Sequence[Rule]
    selectors: Selectors
    conditions: Sequence[Mapping[str, str]]  # each with a name and an expression
    exact: bool  # its rules name the very versions that it takes
    ignores_failures: bool
    harmless: bool  # it has no side effects, or none in a trial
    timeout_seconds: int
    versions: Sequence[str]  # of AdmissionReview, that it takes
    is_reinvoked: bool  # after others changed what it had seen


def read_hooks(configurations: Sequence[Tree]) -> Iterator[Hook]:
    """The webhooks of all configurations, in order."""
    for configuration in configurations:
        for tree in configuration.get("webhooks") or ():
            yield _hook(tree, configuration["metadata"]["name"])


def _hook(tree: Mapping[str, Any], configuration: str) -> Hook:
    return Hook(
        name=tree.get("name") or "",
        configuration=configuration,
        client_config=tree.get("clientConfig") or {},
        rules=read_rules(tree.get("rules")),
        selectors=Selectors.of(tree),
        conditions=tuple(tree.get("matchConditions") or ()),
        exact=tree.get("matchPolicy") != "Equivalent",
        ignores_failures=tree.get("failurePolicy") == "Ignore",
        harmless=tree.get("sideEffects") in ("None", "NoneOnDryRun"),
        timeout_seconds=tree.get("timeoutSeconds") or _DEFAULT_SECONDS,
        versions=tuple(tree.get("admissionReviewVersions") or ()),
        is_reinvoked=tree.get("reinvocationPolicy") == "IfNeeded",
    )
