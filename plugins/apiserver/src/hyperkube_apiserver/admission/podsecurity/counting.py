"""What is counted of evaluations. Source: k8s.io/pod-security-admission/metrics."""

from __future__ import annotations

from hyperkube_apiserver.admission.podsecurity.levels import LATEST, LevelVersion
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.release import KUBERNETES
from hyperkube_machinery.serving.metrics import Counter, Registry

__all__ = ["Counting"]

_THIS_MINOR = int(KUBERNETES.split(".")[1])
_REQUEST = ("request_operation", "resource", "subresource")


class Counting:
    """Counts what came of looking at pods and at what makes them."""

    def __init__(self, registry: Registry) -> None:
        self._evaluations = registry.counter(
            "pod_security_evaluations_total",
            "[ALPHA] Pods, and what makes them, that were held against a level.",
            ("decision", "policy_level", "policy_version", "mode", *_REQUEST),
        )
        self._exemptions = registry.counter(
            "pod_security_exemptions_total", "[ALPHA] Requests that were not looked at.", _REQUEST
        )
        self._errors = registry.counter(
            "pod_security_errors_total",
            "[ALPHA] Requests that could not be looked at as their namespace wants it.",
            ("fatal", *_REQUEST),
        )
        self._counters: dict[tuple[object, ...], Counter] = {}  # finding one by its labels takes three times as long

    def evaluated(self, attributes: Attributes, policy: LevelVersion, mode: str, *, allowed: bool) -> None:
        """Count what a level says."""
        resource = attributes.kind.resource.qualified
        key = policy.level, policy.minor, mode, allowed, attributes.operation, resource, attributes.subresource
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._counter(attributes, policy, mode, allowed=allowed)
        counter.value += 1

    def _counter(self, attributes: Attributes, policy: LevelVersion, mode: str, *, allowed: bool) -> Counter:
        """The versions that are told are bounded."""
        version = "latest" if policy.minor == LATEST or policy.is_privileged else f"v1.{policy.minor}"
        if LATEST > policy.minor > _THIS_MINOR and not policy.is_privileged:
            version = "future"
        decision = "allow" if allowed else "deny"
        return self._evaluations.labels(decision, policy.level, version, mode, *_labels(attributes))

    def exempted(self, attributes: Attributes) -> None:
        self._exemptions.labels(*_labels(attributes)).value += 1

    def failed(self, attributes: Attributes, *, fatal: bool) -> None:
        """Count a request: `fatal` if nothing could be said of it."""
        self._errors.labels("true" if fatal else "false", *_labels(attributes)).value += 1


def _labels(attributes: Attributes) -> tuple[str, str, str]:
    resource = "pod" if attributes.kind.resource.qualified == "pods" else "controller"
    return attributes.operation.value.lower(), resource, attributes.subresource
