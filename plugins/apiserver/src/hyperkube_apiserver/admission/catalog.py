"""Which plugin is behind each name, and the chain of those that are on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from importlib import import_module

from hyperkube_apiserver.admission.chain import Chain
from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.plugin import AdmissionSettings, Plugin

__all__ = ["PLUGINS", "build_chain"]

log = logging.getLogger(__name__)

_CLASSES: Mapping[str, tuple[str, ...]] = {
    "always": ("AlwaysAdmit", "AlwaysDeny"),
    "antiaffinity": ("LimitPodHardAntiAffinityTopology",),
    "certificates": ("CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction"),
    "defaultclasses": ("DefaultIngressClass", "DefaultStorageClass"),
    "eventrates": ("EventRateLimit",),
    "externaladdresses": ("DenyServiceExternalIPs",),
    "imagepolicy": ("ImagePolicyWebhook",),
    "inuse": ("StorageObjectInUseProtection",),
    "limitranger": ("LimitRanger",),
    "namespaces": ("NamespaceAutoProvision", "NamespaceExists", "NamespaceLifecycle"),
    "noderestriction": ("NodeRestriction",),
    "nodeselector": ("PodNodeSelector",),
    "nodetaint": ("TaintNodesByCondition",),
    "ownerpermissions": ("OwnerReferencesPermissionEnforcement",),
    "podsecurity": ("PodSecurity",),
    "policies": ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"),
    "priority": ("Priority",),
    "pullimages": ("AlwaysPullImages",),
    "resize": ("PersistentVolumeClaimResize",),
    "resourcequota": ("ResourceQuota",),
    "resizing": ("NodeDeclaredFeatureValidator", "PodResizeValidator"),
    "runtimeclass": ("RuntimeClass",),
    "serviceaccount": ("ServiceAccount",),
    "tolerationrestriction": ("PodTolerationRestriction",),
    "tolerations": ("DefaultTolerationSeconds", "ExtendedResourceToleration"),
    "topologylabels": ("PodTopologyLabels",),
    "webhooks": ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"),
}
"""The classes, which are called as flags call the plugins, by the modules of `plugins` that they are in."""


class _Plugins(Mapping[str, type[Plugin]]):
    """Imports the module of a plugin when that is asked for: a third of them are off."""

    def __init__(self) -> None:
        self._modules = {name: module for module, names in _CLASSES.items() for name in names}

    def __getitem__(self, name: str) -> type[Plugin]:
        module = import_module(f"hyperkube_apiserver.admission.plugins.{self._modules[name]}")
        found: type[Plugin] = getattr(module, name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


PLUGINS: Mapping[str, type[Plugin]] = _Plugins()
"""The plugins by the names that flags give them."""

_DEPRECATED = ("AlwaysAdmit", "AlwaysDeny")


def build_chain(cluster: Cluster, settings: AdmissionSettings) -> Chain:
    """The chain of the plugins that `settings` names, in their order."""
    for name in _DEPRECATED:
        if name in settings.plugins:
            log.warning(
                "%s admission controller is deprecated. Please remove this controller from your configuration files "
                "and scripts.",
                name,
            )
    return Chain(PLUGINS[name](cluster, settings) for name in settings.plugins)
