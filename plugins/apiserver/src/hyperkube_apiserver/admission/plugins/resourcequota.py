"""ResourceQuota: what is made in a namespace keeps within its quotas.

Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.configuration import ConfigurationError, check_fields
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.resources import Resource

if TYPE_CHECKING:
    from hyperkube_apiserver.admission.quotabatches import QuotaBatches
    from hyperkube_apiserver.admission.quotacharges import LimitedResource
    from hyperkube_machinery.quota import Evaluators

__all__ = ["ResourceQuota"]

_KINDS = {
    "apiserver.config.k8s.io/v1": "ResourceQuotaConfiguration",
    "resourcequota.admission.k8s.io/v1beta1": "Configuration",
    "resourcequota.admission.k8s.io/v1alpha1": "Configuration",
}
_FIELDS = ("apiGroup", "resource", "matchContains", "matchScopes")

Tree = Mapping[str, Any]


class ResourceQuota(Plugin):
    """Charges what is made, or grows, to the quotas that count it; asked last, for nobody refuses it after that.

    Who counts is imported where there is a quota to count for, which most clusters don't have.
    """

    operations = CREATE | UPDATE

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        self._limited = _read(settings.configurations.get("ResourceQuota"))

    @cached_property
    def _evaluators(self) -> Evaluators:
        from hyperkube_machinery.quota import Evaluators

        return Evaluators(_Stored(self.cluster), self.cluster.clock.now)

    @cached_property
    def _batches(self) -> QuotaBatches:
        from hyperkube_apiserver.admission.quotabatches import QuotaBatches

        return QuotaBatches(self.cluster, self._limited)

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Whatever is in a namespace."""
        return super().handles(resource, operation, subresource) and resource.namespaced

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for what is too much."""
        if not self._limited and not self.cluster.count("resourcequotas", attributes.namespace):
            return None
        resource = attributes.kind.resource
        evaluator = self._evaluators.of(resource.group, resource.resource)
        if evaluator is None:
            return None
        assert attributes.obj is not None
        if not evaluator.handles(attributes.operation.value, attributes.subresource, attributes.obj, attributes.old):
            return None
        return self._batches.ask(attributes, evaluator)


class _Stored:
    """What device claims are held against, as it is stored."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def device_classes(self) -> Iterable[Tree]:
        return self._cluster.having("deviceclasses", b'"extendedResourceName"', group="resource.k8s.io")

    def pod(self, namespace: str, name: str) -> Tree | None:
        return self._cluster.find("pods", name, namespace)

    def claims(self, namespace: str) -> Iterable[Tree]:
        return self._cluster.listed("resourceclaims", namespace, group="resource.k8s.io")


def _read(told: Any) -> list[LimitedResource]:
    """The resources that a configuration has be used under quotas alone. Raises ConfigurationError."""
    if told is None:
        return []
    if not isinstance(told, dict) or _KINDS.get(told.get("apiVersion") or "") != told.get("kind"):
        known = " or ".join(f"{kind} of {version}" for version, kind in _KINDS.items())
        raise ConfigurationError(f"ResourceQuota: its configuration is no {known}")
    check_fields("ResourceQuota", told, ("kind", "apiVersion", "limitedResources"))
    return [_limited(f"limitedResources[{index}]", one) for index, one in enumerate(told.get("limitedResources") or ())]


def _limited(path: str, told: Any) -> LimitedResource:
    from hyperkube_apiserver.admission.quotacharges import LimitedResource
    from hyperkube_machinery.quota import Requirement

    if not isinstance(told, dict):
        raise ConfigurationError(f"ResourceQuota: {path}: must be an object")
    check_fields(f"ResourceQuota: {path}", told, _FIELDS)
    if not told.get("resource"):
        raise ConfigurationError(f"ResourceQuota: {path}.resource: Required value")
    return LimitedResource(
        group=told.get("apiGroup") or "",
        resource=told["resource"],
        contains=tuple(told.get("matchContains") or ()),
        scopes=tuple(Requirement.of(one) for one in told.get("matchScopes") or ()),
    )
