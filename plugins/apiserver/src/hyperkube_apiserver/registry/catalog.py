"""Which strategy each kind has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry import apps, rbac
from hyperkube_apiserver.registry.admissionregistration.policies import MutatingPolicies, ValidatingPolicies
from hyperkube_apiserver.registry.admissionregistration.policybindings import (
    MutatingPolicyBindings,
    ValidatingPolicyBindings,
)
from hyperkube_apiserver.registry.admissionregistration.webhooks import MutatingWebhooks, ValidatingWebhooks
from hyperkube_apiserver.registry.allocation import Network
from hyperkube_apiserver.registry.apiextensions.definitions import Definitions
from hyperkube_apiserver.registry.apiservices import APIServices
from hyperkube_apiserver.registry.autoscalers import HorizontalPodAutoscalers
from hyperkube_apiserver.registry.certificates import CertificateSigningRequests
from hyperkube_apiserver.registry.coordination import Leases
from hyperkube_apiserver.registry.core.accounts import ServiceAccounts
from hyperkube_apiserver.registry.core.claims import PersistentVolumeClaims
from hyperkube_apiserver.registry.core.configmaps import ConfigMaps, Secrets
from hyperkube_apiserver.registry.core.controllers import PodTemplates, ReplicationControllers
from hyperkube_apiserver.registry.core.endpoints import Endpoints
from hyperkube_apiserver.registry.core.events import Events, EventsV1
from hyperkube_apiserver.registry.core.namespaces import Namespaces
from hyperkube_apiserver.registry.core.nodes import Nodes
from hyperkube_apiserver.registry.core.pods import Pods
from hyperkube_apiserver.registry.core.quotas import LimitRanges, ResourceQuotas
from hyperkube_apiserver.registry.core.services import Services
from hyperkube_apiserver.registry.core.volumes import PersistentVolumes
from hyperkube_apiserver.registry.cronjobs import CronJobs
from hyperkube_apiserver.registry.discovery import EndpointSlices
from hyperkube_apiserver.registry.dynamicresources.claims import Claims, ClaimTemplates
from hyperkube_apiserver.registry.dynamicresources.classes import DeviceClasses
from hyperkube_apiserver.registry.dynamicresources.slices import Slices
from hyperkube_apiserver.registry.flowcontrol import FlowSchemas, PriorityLevelConfigurations
from hyperkube_apiserver.registry.jobs import Jobs
from hyperkube_apiserver.registry.networking.ingresses import IngressClasses, Ingresses
from hyperkube_apiserver.registry.networking.policies import NetworkPolicies
from hyperkube_apiserver.registry.networking.servicecidrs import IPAddresses, ServiceCIDRs
from hyperkube_apiserver.registry.policy import PodDisruptionBudgets
from hyperkube_apiserver.registry.runtimeclasses import RuntimeClasses
from hyperkube_apiserver.registry.scheduling import PriorityClasses
from hyperkube_apiserver.registry.statefulsets import StatefulSets
from hyperkube_apiserver.registry.storage.attachments import VolumeAttachments
from hyperkube_apiserver.registry.storage.classes import StorageClasses, VolumeAttributesClasses
from hyperkube_apiserver.registry.storage.csi import CSIDrivers, CSINodes, CSIStorageCapacities
from hyperkube_apiserver.registry.strategy import DEFAULT_POLICY, Policy, Strategy

__all__ = ["strategies"]

Key = tuple[str, str, str]

_ADMISSION = "admissionregistration.k8s.io"
_DEVICES = "resource.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_CLASSES: Mapping[tuple[str, str], type[Strategy]] = {
    ("", "configmaps"): ConfigMaps,
    ("", "endpoints"): Endpoints,
    ("", "events"): Events,
    ("", "limitranges"): LimitRanges,
    ("", "namespaces"): Namespaces,
    ("", "nodes"): Nodes,
    ("", "persistentvolumeclaims"): PersistentVolumeClaims,
    ("", "persistentvolumes"): PersistentVolumes,
    ("", "pods"): Pods,
    ("", "podtemplates"): PodTemplates,
    ("", "replicationcontrollers"): ReplicationControllers,
    ("", "resourcequotas"): ResourceQuotas,
    ("", "secrets"): Secrets,
    ("", "serviceaccounts"): ServiceAccounts,
    (_ADMISSION, "mutatingadmissionpolicies"): MutatingPolicies,
    (_ADMISSION, "mutatingadmissionpolicybindings"): MutatingPolicyBindings,
    (_ADMISSION, "mutatingwebhookconfigurations"): MutatingWebhooks,
    (_ADMISSION, "validatingadmissionpolicies"): ValidatingPolicies,
    (_ADMISSION, "validatingadmissionpolicybindings"): ValidatingPolicyBindings,
    (_ADMISSION, "validatingwebhookconfigurations"): ValidatingWebhooks,
    ("apiextensions.k8s.io", "customresourcedefinitions"): Definitions,
    ("apps", "controllerrevisions"): apps.ControllerRevisions,
    ("apps", "daemonsets"): apps.DaemonSets,
    ("apps", "deployments"): apps.Deployments,
    ("apps", "replicasets"): apps.ReplicaSets,
    ("apps", "statefulsets"): StatefulSets,
    ("autoscaling", "horizontalpodautoscalers"): HorizontalPodAutoscalers,
    ("batch", "cronjobs"): CronJobs,
    ("batch", "jobs"): Jobs,
    ("coordination.k8s.io", "leases"): Leases,
    ("discovery.k8s.io", "endpointslices"): EndpointSlices,
    ("networking.k8s.io", "ingressclasses"): IngressClasses,
    ("networking.k8s.io", "ingresses"): Ingresses,
    ("networking.k8s.io", "ipaddresses"): IPAddresses,
    ("networking.k8s.io", "networkpolicies"): NetworkPolicies,
    ("networking.k8s.io", "servicecidrs"): ServiceCIDRs,
    ("policy", "poddisruptionbudgets"): PodDisruptionBudgets,
    ("storage.k8s.io", "csidrivers"): CSIDrivers,
    ("storage.k8s.io", "csinodes"): CSINodes,
    ("storage.k8s.io", "csistoragecapacities"): CSIStorageCapacities,
    ("storage.k8s.io", "storageclasses"): StorageClasses,
    ("storage.k8s.io", "volumeattachments"): VolumeAttachments,
    ("storage.k8s.io", "volumeattributesclasses"): VolumeAttributesClasses,
    ("events.k8s.io", "events"): EventsV1,
    ("apiregistration.k8s.io", "apiservices"): APIServices,
    ("certificates.k8s.io", "certificatesigningrequests"): CertificateSigningRequests,
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): FlowSchemas,
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): PriorityLevelConfigurations,
    ("node.k8s.io", "runtimeclasses"): RuntimeClasses,
    ("scheduling.k8s.io", "priorityclasses"): PriorityClasses,
    (_RBAC, "clusterrolebindings"): rbac.Bindings,
    (_RBAC, "clusterroles"): rbac.ClusterRoles,
    (_RBAC, "rolebindings"): rbac.Bindings,
    (_RBAC, "roles"): rbac.Roles,
    (_DEVICES, "deviceclasses"): DeviceClasses,
    (_DEVICES, "resourceclaims"): Claims,
    (_DEVICES, "resourceclaimtemplates"): ClaimTemplates,
    (_DEVICES, "resourceslices"): Slices,
}


def strategies(
    kinds: Mapping[Key, Kind],
    *,
    policy: Policy = DEFAULT_POLICY,
    service_networks: Sequence[Network] = (IPv4Network("10.0.0.0/24"),),
    node_ports: range = range(30000, 32768),
) -> dict[Key, Strategy]:
    """A strategy for each of `kinds`, by (group, version, plural); kinds without one of their own behave as all do.

    The defaults are those of --service-cluster-ip-range and --service-node-port-range.
    """
    made: dict[Key, Strategy] = {}
    for key, kind in kinds.items():
        if (key[0], key[2]) == ("", "services"):
            made[key] = Services(kind, policy, service_networks, node_ports)
        else:
            made[key] = _CLASSES.get((key[0], key[2]), Strategy)(kind, policy)
    return made
