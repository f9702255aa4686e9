"""MutatingAdmissionPolicy and ValidatingAdmissionPolicy: expressions that are stored say what may be written.

Source: k8s.io/apiserver/pkg/admission/plugin/policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.configuration import ConfigurationError, check_fields, check_static_manifests
from hyperkube_apiserver.admission.following import BySort, Following
from hyperkube_apiserver.admission.plugin import AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.resources import Resource

if TYPE_CHECKING:
    from hyperkube_apiserver.admission.policies.model import Policy, Sorted
    from hyperkube_apiserver.admission.policies.mutating import MutatingDispatcher
    from hyperkube_apiserver.admission.policies.validating import ValidatingDispatcher

__all__ = ["MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"]

_GROUP = "admissionregistration.k8s.io"
_EXCLUDED = frozenset(
    {
        # Nobody could put right a policy that refuses policies.
        (_GROUP, "mutatingadmissionpolicies"),
        (_GROUP, "mutatingadmissionpolicybindings"),
        (_GROUP, "validatingadmissionpolicies"),
        (_GROUP, "validatingadmissionpolicybindings"),
        # Without these the cluster would not work. Source: k8s.io/kubernetes/pkg/kubeapiserver/admission/exclusion.
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)


def _bound(policies: Sequence[dict[str, Any]], bindings: Sequence[dict[str, Any]]) -> Iterable[Policy]:
    from hyperkube_apiserver.admission.policies.model import bound_policies  # most servers have none

    return bound_policies(policies, bindings)


class Policies(Plugin):
    """What both have alike. The language is loaded when there is a policy to be evaluated."""

    kind: ClassVar[str]

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        self._check_configuration()
        resources = (f"{self.kind}admissionpolicies", f"{self.kind}admissionpolicybindings")
        policies = Following(cluster, _GROUP, resources, _bound)
        self._by_sort = BySort(policies, lambda: cluster.offering, self._sorted)

    def _check_configuration(self) -> None:
        """Raise ConfigurationError for one that would have anything done: there is nothing that it may say."""
        name = type(self).__name__
        told = self.settings.configurations.get(name)
        if told is None:
            return
        kind, version = f"{name}Configuration", "apiserver.config.k8s.io/v1"
        if not isinstance(told, dict) or (told.get("kind"), told.get("apiVersion")) != (kind, version):
            raise ConfigurationError(f"{name}: its configuration is no {kind} of {version}")
        check_fields(name, told, ("kind", "apiVersion", "staticManifestsDir"))
        check_static_manifests(name, told)

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Everything but what must work whatever policies say."""
        return (resource.group, resource.resource) not in _EXCLUDED

    def _sorted(self, policy: Policy, attributes: Attributes) -> Sorted | None:
        return policy.constraints.sorted(attributes, self.cluster.offering)

    def _asked(self, attributes: Attributes) -> Sequence[tuple[int, Policy, Sorted]]:
        return self._by_sort.of(attributes)


class MutatingAdmissionPolicy(Policies):
    """Policies that change what is written, one after the other."""

    kind = "mutating"

    def admit(self, attributes: Attributes) -> Waiting:
        """Carry them out; raises what a client is told where one fails."""
        asked = self._asked(attributes)
        return self._dispatcher.mutate(attributes, asked) if asked else None

    @cached_property
    def _dispatcher(self) -> MutatingDispatcher:
        from hyperkube_apiserver.admission.policies.mutating import MutatingDispatcher

        return MutatingDispatcher(self.cluster)


class ValidatingAdmissionPolicy(Policies):
    """Policies that refuse what is written, warn of it, or have it noted."""

    kind = "validating"

    def validate(self, attributes: Attributes) -> Waiting:
        """Evaluate them; raises what a client is told of the first denial."""
        asked = self._asked(attributes)
        return self._dispatcher.validate(attributes, asked) if asked else None

    @cached_property
    def _dispatcher(self) -> ValidatingDispatcher:
        from hyperkube_apiserver.admission.policies.validating import ValidatingDispatcher

        return ValidatingDispatcher(self.cluster)
