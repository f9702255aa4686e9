"""PodSecurity: pods keep to the level of the Pod Security Standards that their namespace's labels ask for.

Source: k8s.io/pod-security-admission/admission, k8s.io/kubernetes/plugin/pkg/admission/security/podsecurity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.following import Readings
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.admission.podsecurity.counting import Counting
from hyperkube_apiserver.admission.podsecurity.levels import (
    MODES,
    PREFIX,
    PRIVILEGED,
    LevelVersion,
    PodSecurityConfiguration,
    Policy,
    policy_of,
)
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError, aggregated
from hyperkube_machinery.resources import Resource

if TYPE_CHECKING:
    from hyperkube_apiserver.admission.podsecurity.parts import Violation

__all__ = ["PodSecurity"]

_PODS, _NAMESPACES = "pods", "namespaces"
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "replicationcontrollers": ("spec", "template"),
    "podtemplates": ("template",),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
"""Where what makes pods says of which kind."""

_OTHER_SUBRESOURCES = frozenset(("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"))
"""Those of pods that say nothing of what a pod does; any other is looked at, those to come included."""

_ENFORCED = f"{PREFIX}enforce-policy"
_PRIVILEGED = str(PRIVILEGED)

_MOST_PODS = 3000
_SECONDS = 1.0
"""So many pods of a namespace are looked at, and for so long, when its labels change."""
_AT_ONCE = 50
"""After so many the others get their turn."""

Tree = dict[str, Any]


class PodSecurity(Plugin):
    """Refuses pods, warns of them and of what would make them, and notes for auditors what they do."""

    operations = CREATE | UPDATE
    about = (_PODS, _NAMESPACES, *_TEMPLATES)

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        configuration = _read(settings.configurations.get("PodSecurity"))
        self._defaults = configuration.defaults
        self._exempt = configuration.exemptions
        self._counting = cluster.instruments(Counting)
        self._policies = Readings(self._policy_of)

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Of subresources, those of pods that can change what one does."""
        if operation not in self.operations or resource.qualified not in self.about:
            return False
        return not subresource or (resource.qualified == _PODS and subresource not in _OTHER_SUBRESOURCES)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a pod that is not allowed, 422 for labels that mean nothing."""
        resource = attributes.kind.resource.qualified
        if resource == _NAMESPACES:
            return self._check_namespace(attributes)
        if reason := self._exemption(attributes):
            self._counting.exempted(attributes)
            attributes.annotate(f"{PREFIX}exempt", reason)
        elif resource == _PODS:
            self._check_pod(attributes)
        else:
            self._check_template(attributes, _TEMPLATES[resource])
        return None

    def _exemption(self, attributes: Attributes) -> str:
        """Why nothing is looked at, "" if there is no reason."""
        if attributes.namespace in self._exempt.namespaces:
            return "namespace"
        return "user" if attributes.identity.name in self._exempt.usernames else ""

    def _policy_of(self, namespace: Item) -> tuple[Policy, list[FieldError], bool]:
        """What the labels of a namespace come to, what is wrong with them, and whether everything is allowed."""
        policy, errors = policy_of(namespace.labels, self._defaults)
        return policy, errors, not errors and policy.is_privileged

    # pods, and what makes them

    def _check_pod(self, attributes: Attributes) -> None:
        namespace = self.cluster.item(_NAMESPACES, attributes.namespace)
        if namespace is None:
            why = f'failed to lookup namespace "{attributes.namespace}"'
            attributes.annotate(f"{PREFIX}error", f'{why}: namespaces "{attributes.namespace}" not found')
            self._counting.failed(attributes, fatal=True)
            raise APIError.internal(why)
        policy, errors, allows_all = self._policies.of(namespace)
        if allows_all:
            attributes.annotate(_ENFORCED, _PRIVILEGED)
            self._counting.evaluated(attributes, policy.enforce, "enforce", allowed=True)
            return
        pod, old = attributes.obj, attributes.old
        assert pod is not None
        if attributes.operation is Operation.UPDATE and old is not None and not _brings_images(pod, old):
            return
        self._evaluate(attributes, policy, errors, pod, enforce=True)

    def _check_template(self, attributes: Attributes, path: Iterable[str]) -> None:
        namespace = self.cluster.item(_NAMESPACES, attributes.namespace)
        if namespace is None:
            name = attributes.namespace
            why = f'failed to lookup namespace "{name}": namespaces "{name}" not found'
            attributes.annotate(f"{PREFIX}error", why)
            self._counting.failed(attributes, fatal=True)
            return
        policy, errors, _ = self._policies.of(namespace)
        if not errors and policy.warn.is_privileged and policy.audit.is_privileged:
            return
        template: Tree | None = attributes.obj
        for field in path:
            template = (template or {}).get(field)
        if template is not None:
            self._evaluate(attributes, policy, errors, template, enforce=False)

    def _evaluate(
        self, attributes: Attributes, policy: Policy, errors: list[FieldError], pod: Tree, *, enforce: bool
    ) -> None:
        """Refuse a pod if it is to be enforced, warn of it, and note for auditors what it does."""
        metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
        if (spec.get("runtimeClassName") or "") in self._exempt.runtime_classes:
            attributes.annotate(f"{PREFIX}exempt", "runtimeClass")
            self._counting.exempted(attributes)
            return
        if errors:
            attributes.annotate(f"{PREFIX}error", f"Failed to parse policy: {aggregated(map(str, errors))}")
            self._counting.failed(attributes, fatal=False)
        from hyperkube_apiserver.admission.podsecurity.standard import violations  # most namespaces ask for nothing

        found: dict[LevelVersion, list[Violation]] = {}
        for level in (policy.audit, policy.warn, *((policy.enforce,) if enforce else ())):
            if level not in found:
                found[level] = violations(level, metadata, spec)
        if enforce:
            attributes.annotate(_ENFORCED, str(policy.enforce))
            self._counting.evaluated(attributes, policy.enforce, "enforce", allowed=not found[policy.enforce])
        if noted := found[policy.audit]:
            self._counting.evaluated(attributes, policy.audit, "audit", allowed=False)
            attributes.annotate(f"{PREFIX}audit-violations", f"would {_violating(policy.audit, noted)}")
        if enforce and (wrong := found[policy.enforce]):
            raise forbidden(attributes, _violating(policy.enforce, wrong).replace("violate", "violates", 1))
        if warned := found[policy.warn]:
            self._counting.evaluated(attributes, policy.warn, "warn", allowed=False)
            attributes.warn(f"would {_violating(policy.warn, warned)}")

    # namespaces

    def _check_namespace(self, attributes: Attributes) -> Waiting:
        namespace = attributes.obj
        assert namespace is not None
        labels = meta.labels_of(namespace)
        policy, errors = policy_of(labels, self._defaults)
        is_exempt = attributes.namespace in self._exempt.namespaces
        if attributes.operation is Operation.CREATE:
            self._refuse_labels(attributes, errors)
            if is_exempt:
                self._warn_of_exemption(attributes, policy, labels)
            return None
        before, errors_before = policy_of(meta.labels_of(attributes.old or {}), self._defaults)
        if errors != errors_before:
            self._refuse_labels(attributes, errors)
        now, then = policy.enforce, before.enforce
        if now == then or now.is_privileged or (now.minor == then.minor and now.strictness <= then.strictness):
            return None
        if is_exempt:
            self._warn_of_exemption(attributes, policy, labels)
            return None
        return self._warn_of_pods(attributes, meta.name(namespace), now)

    def _refuse_labels(self, attributes: Attributes, errors: list[FieldError]) -> None:
        if errors:
            resource = attributes.kind.resource
            raise APIError.invalid(resource.group, resource.kind, attributes.name, errors)

    def _warn_of_exemption(self, attributes: Attributes, policy: Policy, labels: Mapping[str, str]) -> None:
        if policy.is_privileged or policy.equals(self._defaults):
            return
        told = ", ".join(
            f"{mode}={policy.of(mode)}"
            for mode in MODES
            if not policy.of(mode).is_privileged
            and (f"{PREFIX}{mode}" in labels or f"{PREFIX}{mode}-version" in labels)
        )
        name = meta.name(attributes.obj or {})
        attributes.warn(f'namespace "{name}" is exempt from Pod Security, and the policy ({told}) will be ignored')

    async def _warn_of_pods(self, attributes: Attributes, namespace: str, level: LevelVersion) -> None:
        """Warn of the pods that would no longer be allowed."""
        from hyperkube_apiserver.admission.podsecurity.standard import violations

        clock = self.cluster.clock
        end = clock.monotonic() + _SECONDS
        pods = self._in_order(list(self.cluster.listed(_PODS, namespace)))
        checked = 0
        violating: dict[str, list[str]] = {}
        for pod in pods[:_MOST_PODS]:
            if found := violations(level, pod["metadata"], pod.get("spec") or {}):
                violating.setdefault(", ".join(one.reason for one in found), []).append(meta.name(pod))
            checked += 1
            if checked % _AT_ONCE == 0:
                if clock.monotonic() > end:
                    break
                await asyncio.sleep(0)
        if checked < len(pods):
            told = f"the first {checked} of {len(pods)} existing pods"
            attributes.warn(f"new PodSecurity enforce level only checked against {told}")
        if violating:
            told = f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{level}"'
            attributes.warn(told)
        for text in sorted(f"{_told(names)}: {why}" for why, names in violating.items()):
            attributes.warn(text)

    def _in_order(self, pods: Iterable[Tree]) -> list[Tree]:
        """The pods that are looked at: one of each controller before others of the same."""
        first, others = [], []
        seen = set()
        for pod in pods:
            if ((pod.get("spec") or {}).get("runtimeClassName") or "") in self._exempt.runtime_classes:
                continue
            owner = meta.controller_of(pod)
            uid = owner.get("uid") if owner is not None else None
            if uid is not None and uid in seen:
                others.append(pod)
            else:
                first.append(pod)
                seen.add(uid)
        return first + others


def _read(told: Any) -> PodSecurityConfiguration:
    if told is None:
        return PodSecurityConfiguration()
    from hyperkube_apiserver.admission.podsecurity.configuration import read_configuration

    return read_configuration(told)


def _violating(level: LevelVersion, found: Iterable[Violation]) -> str:
    return f'violate PodSecurity "{level}": {", ".join(map(str, found))}'


def _told(names: list[str]) -> str:
    more = len(names) - 1
    if not more:
        return names[0]
    return f"{min(names)} (and {more} other pod{'s' if more > 1 else ''})"


def _brings_images(pod: Tree, old: Tree) -> bool:
    """Whether a pod's update changes what it runs: containers, or images of them."""
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers"):
        images, were = ([one.get("image") for one in part.get(field) or ()] for part in (spec, before))
        if images != were:
            return True
    known = {one.get("name"): one.get("image") for one in before.get("ephemeralContainers") or ()}
    return any(
        one.get("name") not in known or known[one.get("name")] != one.get("image")
        for one in spec.get("ephemeralContainers") or ()
    )
