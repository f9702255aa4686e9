"""The names of the admission plugins, their order, and which of them are on.

Upstream's flags name plugins; the order in which they are asked is one of the server's, whatever the flags say.
Source: k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go, k8s.io/apiserver/pkg/server/options/admission.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["DEFAULT_ON", "IDLE", "ORDER", "check_names", "chosen"]

ORDER = (
    "AlwaysAdmit",
    "NamespaceAutoProvision",
    "NamespaceLifecycle",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "AlwaysPullImages",
    "ImagePolicyWebhook",
    "PodSecurity",
    "PodNodeSelector",
    "Priority",
    "DefaultTolerationSeconds",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PodGroupProtection",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DenyServiceExternalIPs",
    "PodTopologyLabels",
    "PodGroupWorkloadExists",
    "NodeDeclaredFeatureValidator",
    "JobValidation",
    "PodResizeValidator",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
    "AlwaysDeny",
)
"""Every plugin of kube-apiserver 1.36, in the order in which they are asked."""

DEFAULT_ON = frozenset(ORDER) - {
    *("AlwaysAdmit", "AlwaysDeny", "AlwaysPullImages", "DenyServiceExternalIPs", "EventRateLimit"),
    *("ExtendedResourceToleration", "ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology"),
    *("NamespaceAutoProvision", "NamespaceExists", "NodeRestriction", "OwnerReferencesPermissionEnforcement"),
    *("PodNodeSelector", "PodTolerationRestriction"),
}
"""Those that are on unless a flag says otherwise."""

IDLE = frozenset(("ClusterTrustBundleAttest", "JobValidation", "PodGroupProtection", "PodGroupWorkloadExists"))
"""Those that have nothing to do: what they are about is behind feature gates that are off in 1.36."""


def check_names(flag: str, names: Iterable[str]) -> None:
    """Raise ValueError for a name of no plugin."""
    for name in names:
        if name not in ORDER:
            raise ValueError(f'{flag} plugin "{name}" is unknown')


def chosen(
    *, enable: Collection[str] = (), disable: Collection[str] = (), only: Collection[str] = ()
) -> tuple[str, ...]:
    """The plugins to ask, in order; `only`, where given, are all that are on."""
    on = frozenset(only) if only else (DEFAULT_ON - frozenset(disable)) | frozenset(enable)
    return tuple(name for name in ORDER if name in on and name not in IDLE)
