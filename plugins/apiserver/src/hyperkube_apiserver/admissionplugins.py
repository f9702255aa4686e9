"""The names of the admission plugins, their order, and which of them are on.

Upstream's flags name plugins; the order in which they are asked is one of the server's, whatever the flags say.
Source: k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go, k8s.io/apiserver/pkg/server/options/admission.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["DEFAULT_ON", "IDLE", "MISSING", "ORDER", "check_names", "chosen", "wanted"]

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

MISSING = frozenset({"ImagePolicyWebhook"})
"""Those that upstream has and this server has not yet."""


def check_names(flag: str, names: Iterable[str], *, enables: bool) -> None:
    """Raise ValueError for a name of no plugin and, where the flag `enables`, of one that would check nothing here."""
    for name in names:
        if name not in ORDER:
            raise ValueError(f'{flag} plugin "{name}" is unknown')
        if enables and name in MISSING:
            raise ValueError(f"the plugin {name} is refused: it is not there yet, and would check nothing")


def wanted(
    *, enable: Collection[str] = (), disable: Collection[str] = (), only: Collection[str] = ()
) -> frozenset[str]:
    """The plugins that kube-apiserver would ask; `only`, where given, are all that are on."""
    return frozenset(only) if only else (DEFAULT_ON - frozenset(disable)) | frozenset(enable)


def chosen(
    *, enable: Collection[str] = (), disable: Collection[str] = (), only: Collection[str] = ()
) -> tuple[str, ...]:
    """The plugins to ask here, in order."""
    left_out = MISSING | IDLE
    on = wanted(enable=enable, disable=disable, only=only)
    return tuple(name for name in ORDER if name in on and name not in left_out)
