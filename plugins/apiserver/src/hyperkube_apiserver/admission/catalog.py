"""Which plugin is behind each name, and the chain of those that are on."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from hyperkube_apiserver.admission.chain import Chain
from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.plugin import AdmissionSettings, Plugin
from hyperkube_apiserver.admission.plugins.always import AlwaysAdmit, AlwaysDeny
from hyperkube_apiserver.admission.plugins.antiaffinity import LimitPodHardAntiAffinityTopology
from hyperkube_apiserver.admission.plugins.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from hyperkube_apiserver.admission.plugins.defaultclasses import DefaultIngressClass, DefaultStorageClass
from hyperkube_apiserver.admission.plugins.eventrates import EventRateLimit
from hyperkube_apiserver.admission.plugins.externaladdresses import DenyServiceExternalIPs
from hyperkube_apiserver.admission.plugins.inuse import StorageObjectInUseProtection
from hyperkube_apiserver.admission.plugins.namespaces import (
    NamespaceAutoProvision,
    NamespaceExists,
    NamespaceLifecycle,
)
from hyperkube_apiserver.admission.plugins.noderestriction import NodeRestriction
from hyperkube_apiserver.admission.plugins.nodeselector import PodNodeSelector
from hyperkube_apiserver.admission.plugins.nodetaint import TaintNodesByCondition
from hyperkube_apiserver.admission.plugins.ownerpermissions import OwnerReferencesPermissionEnforcement
from hyperkube_apiserver.admission.plugins.priority import Priority
from hyperkube_apiserver.admission.plugins.pullimages import AlwaysPullImages
from hyperkube_apiserver.admission.plugins.resize import PersistentVolumeClaimResize
from hyperkube_apiserver.admission.plugins.resizing import NodeDeclaredFeatureValidator, PodResizeValidator
from hyperkube_apiserver.admission.plugins.runtimeclass import RuntimeClass
from hyperkube_apiserver.admission.plugins.serviceaccount import ServiceAccount
from hyperkube_apiserver.admission.plugins.tolerationrestriction import PodTolerationRestriction
from hyperkube_apiserver.admission.plugins.tolerations import DefaultTolerationSeconds, ExtendedResourceToleration
from hyperkube_apiserver.admission.plugins.topologylabels import PodTopologyLabels

__all__ = ["PLUGINS", "build_chain"]

log = logging.getLogger(__name__)

_CLASSES: tuple[type[Plugin], ...] = (
    *(AlwaysAdmit, AlwaysDeny, AlwaysPullImages, CertificateApproval, CertificateSigning),
    *(CertificateSubjectRestriction, DefaultIngressClass, DefaultStorageClass, DefaultTolerationSeconds),
    *(DenyServiceExternalIPs, EventRateLimit, ExtendedResourceToleration, LimitPodHardAntiAffinityTopology),
    *(NamespaceAutoProvision, NamespaceExists, NamespaceLifecycle, NodeDeclaredFeatureValidator, NodeRestriction),
    *(OwnerReferencesPermissionEnforcement, PersistentVolumeClaimResize, PodNodeSelector, PodResizeValidator),
    *(PodTolerationRestriction, PodTopologyLabels, Priority, RuntimeClass, ServiceAccount),
    *(StorageObjectInUseProtection, TaintNodesByCondition),
)
PLUGINS: Mapping[str, type[Plugin]] = {one.__name__: one for one in _CLASSES}
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
