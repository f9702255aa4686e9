"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others are asked what they make of a request.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook/{generic,mutating,validating}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.configuration import ConfigurationError, check_fields, check_static_manifests
from hyperkube_apiserver.admission.following import BySort, Following
from hyperkube_apiserver.admission.plugin import AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.resources import Resource

if TYPE_CHECKING:
    from hyperkube_apiserver.admission.rules import Target
    from hyperkube_apiserver.admission.webhooks.dispatch import Dispatcher
    from hyperkube_apiserver.admission.webhooks.hooks import Hook
    from hyperkube_apiserver.webhooks.identities import Identities

__all__ = ["GROUP", "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"]

GROUP = "admissionregistration.k8s.io"
_KINDS = ("WebhookAdmissionConfiguration", "WebhookAdmission")  # the second one of v1alpha1


def _hooks(configurations: Sequence[dict[str, Any]]) -> Iterable[Hook]:
    from hyperkube_apiserver.admission.webhooks.hooks import read_hooks

    return read_hooks(configurations)


class Webhooks(Plugin):
    """What both have alike. Nothing that calls anybody is imported before there is somebody to call."""

    configurations: ClassVar[str]

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        self._hooks = Following(cluster, GROUP, (self.configurations,), _hooks)
        self._by_sort = BySort(self._hooks, lambda: cluster.offering, self._matched)
        self._identities = self._read_identities()

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Everything but what says who is asked: nobody could put right what refuses to be changed."""
        return resource.group != GROUP

    def _matched(self, hook: Hook, attributes: Attributes) -> Target | None:
        from hyperkube_apiserver.admission.rules import matching

        found = matching(
            hook.rules,
            self.cluster.offering,
            attributes.kind,
            attributes.subresource,
            attributes.operation,
            exact=hook.exact,
        )
        return found[0][1] if found else None

    def _asked(self, attributes: Attributes) -> Sequence[tuple[int, Hook, Target]]:
        """Who is asked about such requests, with their places in the order of all."""
        return self._by_sort.of(attributes)

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        from hyperkube_apiserver.admission.webhooks.dispatch import Dispatcher

        cluster, identities = self.cluster, self._identities
        return Dispatcher(cluster, cluster.webhooks if identities is None else cluster.caller(identities))

    def _read_identities(self) -> Identities | None:
        """As whom webhooks are called. Raises ConfigurationError."""
        name = type(self).__name__
        told = self.settings.configurations.get(name)
        if told is None:
            return None
        if not isinstance(told, dict) or told.get("kind") not in _KINDS:
            raise ConfigurationError(f"{name}: its configuration is no {_KINDS[0]}")
        check_fields(name, told, ("kind", "apiVersion", "kubeConfigFile", "staticManifestsDir"))
        check_static_manifests(name, told)
        file = told.get("kubeConfigFile") or ""
        if not file:
            return None
        from hyperkube_apiserver.webhooks.identities import Identities  # few have some
        from hyperkube_machinery.kubeconfig import KubeconfigError

        try:
            return Identities.read(Path(file), self.cluster.clock)
        except KubeconfigError as exc:
            raise ConfigurationError(f"{name}: kubeConfigFile: {exc}") from exc


class MutatingAdmissionWebhook(Webhooks):
    """Those that change what is written, one after the other."""

    configurations = "mutatingwebhookconfigurations"

    def admit(self, attributes: Attributes) -> Waiting:
        """Ask them; raises what a client is told of a refusal, or of a failure that isn't ignored."""
        asked = self._asked(attributes)
        return self._dispatcher.mutate(attributes, asked) if asked else None


class ValidatingAdmissionWebhook(Webhooks):
    """Those that refuse, all at once."""

    configurations = "validatingwebhookconfigurations"

    def validate(self, attributes: Attributes) -> Waiting:
        """Ask them; raises what a client is told of the first refusal, or failure that isn't ignored."""
        asked = self._asked(attributes)
        return self._dispatcher.validate(attributes, asked) if asked else None
