"""ImagePolicyWebhook: somebody else says which images may run.

Source: k8s.io/kubernetes/plugin/pkg/admission/imagepolicy.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.kubeconfigs import KubeconfigWebhook
from hyperkube_machinery import meta
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.kubeconfig import KubeconfigError
from hyperkube_machinery.remembering import Latest
from hyperkube_machinery.tls import CertificateError

__all__ = ["ImagePolicyWebhook"]

log = logging.getLogger(__name__)

_NOTES = "imagepolicywebhook.image-policy.k8s.io/"
_PASSED_ON = ".image-policy.k8s.io/"
_FAILED_OPEN = "alpha.image-policy.k8s.io/failed-open"
_REMEMBERED = 1024
_TIMEOUT_SECONDS = 30.0
_CONTAINERS = {"": ("containers", "initContainers"), "ephemeralcontainers": ("ephemeralContainers",)}
_OFF, _DEFAULT = -1, 0

Tree = dict[str, Any]


class ImagePolicyWebhook(Plugin):
    """Pods run what a webhook allows; what it said is remembered for a while."""

    operations = CREATE | UPDATE
    about = ("pods", "pods/ephemeralcontainers")

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        told = settings.configurations.get("ImagePolicyWebhook")
        policy = told.get("imagePolicy") if isinstance(told, dict) else None
        if not isinstance(policy, dict):
            raise ConfigurationError("ImagePolicyWebhook: no config specified: it needs an imagePolicy")
        pause = _duration(policy, "retryBackoff", scale=0.001, least=1e-9, most=300.0, default=0.5)
        self._allowed_seconds = _duration(policy, "allowTTL", scale=1.0, least=1.0, most=1800.0, default=300.0)
        self._denied_seconds = _duration(policy, "denyTTL", scale=1.0, least=1.0, most=1800.0, default=30.0)
        self._fails_open = policy.get("defaultAllow") is True
        self._answers: Latest[bytes, tuple[float, Tree]] = Latest(_REMEMBERED)
        path = Path(str(policy.get("kubeConfigFile") or ""))
        try:
            self._webhook = KubeconfigWebhook.read(
                path, cluster.clock, timeout_seconds=_TIMEOUT_SECONDS, first_pause_seconds=pause
            )
        except (KubeconfigError, CertificateError) as exc:
            raise ConfigurationError(f"ImagePolicyWebhook: imagePolicy.kubeConfigFile: {exc}") from exc

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a pod with an image that is not allowed, or that nobody can tell of."""
        pod = attributes.obj
        assert pod is not None
        spec = pod.get("spec") or {}
        fields = _CONTAINERS[attributes.subresource]
        passed_on = {key: value for key, value in meta.annotations_of(pod).items() if _PASSED_ON in key}
        asked: Tree = {
            "containers": [{"image": one.get("image") or ""} for field in fields for one in spec.get(field) or ()],
            **({"annotations": passed_on} if passed_on else {}),
            "namespace": attributes.namespace,
        }
        known = self._answers.get(key := encode(asked))
        if known is not None and self.cluster.clock.monotonic() < known[0]:
            self._heed(attributes, known[1])
            return None
        return self._ask(attributes, asked, key)

    async def _ask(self, attributes: Attributes, spec: Tree, key: bytes) -> None:
        review = {"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "metadata": {}, "spec": spec}
        try:
            answer = await self._webhook.ask(review)
        except CallFailed as exc:
            if not self._fails_open:
                raise forbidden(attributes, str(exc)) from exc
            log.warning("images of a pod are let pass unseen: %s", exc)
            attributes.annotate(f"{_NOTES}failed-open", "true")
            # As upstream, although the pod is otherwise complete by now: what looks at pods finds it there.
            assert attributes.obj is not None
            meta.ensure_meta(attributes.obj).setdefault("annotations", {})[_FAILED_OPEN] = "true"
            return
        status = answer.get("status") or {}
        seconds = self._allowed_seconds if status.get("allowed") else self._denied_seconds
        self._answers.put(key, (self.cluster.clock.monotonic() + seconds, status))
        self._heed(attributes, status)

    def _heed(self, attributes: Attributes, status: Mapping[str, Any]) -> None:
        for key, value in (status.get("auditAnnotations") or {}).items():
            attributes.annotate(f"{_NOTES}{key}", str(value))
        if status.get("allowed"):
            return
        reason = status.get("reason")
        why = f"image policy webhook backend denied one or more images: {reason}"
        raise forbidden(attributes, why if reason else "one or more images rejected by webhook backend")


def _duration(policy: Tree, field: str, *, scale: float, least: float, most: float, default: float) -> float:
    """Seconds, of a field in units of `scale` seconds. Raises ConfigurationError."""
    value = policy.get(field) or _DEFAULT
    if not isinstance(value, int):
        raise ConfigurationError(f"ImagePolicyWebhook: imagePolicy.{field}: must be a number")
    if value in (_OFF, _DEFAULT):
        return 0.0 if value == _OFF else default
    if not least <= value * scale <= most:
        told = f"valid value is between {least:g} s and {most:g} s, got {value * scale:g} s"
        raise ConfigurationError(f"ImagePolicyWebhook: imagePolicy.{field}: {told}")
    return value * scale
