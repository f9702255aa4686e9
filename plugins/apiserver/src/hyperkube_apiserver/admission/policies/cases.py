"""Which bindings of a policy a request concerns, and with which parameters.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.policies.model import Binding, Policy, Sorted
from hyperkube_apiserver.admission.policies.params import Misconfigured, collect_params, param_resource
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.admission.selectors import namespace_of
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.errors import APIError

__all__ = ["Case", "cases"]

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A binding that is concerned, with what its policy is to be evaluated with, or what is wrong with it."""

    policy: Policy
    binding: Binding | None
    target: Target | None = None  # None where something is wrong
    params: Sequence[Tree | None] = ()
    wrong: str = ""

    @property
    def bound(self) -> str:
        """The name of the binding."""
        return self.binding.name if self.binding is not None else ""


async def cases(policy: Policy, found: Sorted, attributes: Attributes, cluster: Cluster) -> list[Case]:
    """What is to be evaluated of a policy, which is about such requests, for this one."""
    try:
        target = found.target(attributes.name)
        if target is None or not policy.constraints.selectors.match(attributes, cluster):
            return []
        if policy.param_kind is not None:
            param_resource(policy.param_kind, cluster)
    except (Misconfigured, APIError) as exc:
        return [Case(policy, None, wrong=f"failed to configure policy: {exc}")]
    concerned = []
    for binding in policy.bindings:
        try:
            if binding.constraints is not None and binding.constraints.target(attributes, cluster) is None:
                continue
            params = await collect_params(policy, binding, namespace_of(attributes), cluster)
        except (Misconfigured, APIError) as exc:
            concerned.append(Case(policy, binding, wrong=f"failed to configure binding: {exc}"))
            continue
        if params:
            concerned.append(Case(policy, binding, target, params))
    return concerned
