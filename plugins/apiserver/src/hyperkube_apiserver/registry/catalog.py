"""Which strategy each kind has.

The modules of strategies are imported when the first object of their kind is looked at: together they take as long to
import, and as much room, as all else that is known of kinds, and hardly a process ever meets more than half of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from ipaddress import IPv4Network

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.allocation import Network
from hyperkube_apiserver.registry.strategy import DEFAULT_POLICY, Policy, Strategy

__all__ = ["strategies"]

Key = tuple[str, str, str]

_ADMISSION = "admissionregistration.k8s.io"
_DEVICES = "resource.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_CLASSES: Mapping[tuple[str, str], str] = {
    ("", "configmaps"): "core.configmaps:ConfigMaps",
    ("", "endpoints"): "core.endpoints:Endpoints",
    ("", "events"): "core.events:Events",
    ("", "limitranges"): "core.quotas:LimitRanges",
    ("", "namespaces"): "core.namespaces:Namespaces",
    ("", "nodes"): "core.nodes:Nodes",
    ("", "persistentvolumeclaims"): "core.claims:PersistentVolumeClaims",
    ("", "persistentvolumes"): "core.volumes:PersistentVolumes",
    ("", "pods"): "core.pods:Pods",
    ("", "podtemplates"): "core.controllers:PodTemplates",
    ("", "replicationcontrollers"): "core.controllers:ReplicationControllers",
    ("", "resourcequotas"): "core.quotas:ResourceQuotas",
    ("", "secrets"): "core.configmaps:Secrets",
    ("", "serviceaccounts"): "core.accounts:ServiceAccounts",
    ("", "services"): "core.services:Services",
    (_ADMISSION, "mutatingadmissionpolicies"): "admissionregistration.policies:MutatingPolicies",
    (_ADMISSION, "mutatingadmissionpolicybindings"): "admissionregistration.policybindings:MutatingPolicyBindings",
    (_ADMISSION, "mutatingwebhookconfigurations"): "admissionregistration.webhooks:MutatingWebhooks",
    (_ADMISSION, "validatingadmissionpolicies"): "admissionregistration.policies:ValidatingPolicies",
    (_ADMISSION, "validatingadmissionpolicybindings"): "admissionregistration.policybindings:ValidatingPolicyBindings",
    (_ADMISSION, "validatingwebhookconfigurations"): "admissionregistration.webhooks:ValidatingWebhooks",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.definitions:Definitions",
    ("apps", "controllerrevisions"): "apps:ControllerRevisions",
    ("apps", "daemonsets"): "apps:DaemonSets",
    ("apps", "deployments"): "apps:Deployments",
    ("apps", "replicasets"): "apps:ReplicaSets",
    ("apps", "statefulsets"): "statefulsets:StatefulSets",
    ("autoscaling", "horizontalpodautoscalers"): "autoscalers:HorizontalPodAutoscalers",
    ("batch", "cronjobs"): "cronjobs:CronJobs",
    ("batch", "jobs"): "jobs:Jobs",
    ("coordination.k8s.io", "leases"): "coordination:Leases",
    ("discovery.k8s.io", "endpointslices"): "discovery:EndpointSlices",
    ("networking.k8s.io", "ingressclasses"): "networking.ingresses:IngressClasses",
    ("networking.k8s.io", "ingresses"): "networking.ingresses:Ingresses",
    ("networking.k8s.io", "ipaddresses"): "networking.servicecidrs:IPAddresses",
    ("networking.k8s.io", "networkpolicies"): "networking.policies:NetworkPolicies",
    ("networking.k8s.io", "servicecidrs"): "networking.servicecidrs:ServiceCIDRs",
    ("policy", "poddisruptionbudgets"): "policy:PodDisruptionBudgets",
    ("storage.k8s.io", "csidrivers"): "storage.csi:CSIDrivers",
    ("storage.k8s.io", "csinodes"): "storage.csi:CSINodes",
    ("storage.k8s.io", "csistoragecapacities"): "storage.csi:CSIStorageCapacities",
    ("storage.k8s.io", "storageclasses"): "storage.classes:StorageClasses",
    ("storage.k8s.io", "volumeattachments"): "storage.attachments:VolumeAttachments",
    ("storage.k8s.io", "volumeattributesclasses"): "storage.classes:VolumeAttributesClasses",
    ("events.k8s.io", "events"): "core.events:EventsV1",
    ("apiregistration.k8s.io", "apiservices"): "apiservices:APIServices",
    ("certificates.k8s.io", "certificatesigningrequests"): "certificates:CertificateSigningRequests",
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): "flowcontrol:FlowSchemas",
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): "flowcontrol:PriorityLevelConfigurations",
    ("node.k8s.io", "runtimeclasses"): "runtimeclasses:RuntimeClasses",
    ("scheduling.k8s.io", "priorityclasses"): "scheduling:PriorityClasses",
    (_RBAC, "clusterrolebindings"): "rbac:Bindings",
    (_RBAC, "clusterroles"): "rbac:ClusterRoles",
    (_RBAC, "rolebindings"): "rbac:Bindings",
    (_RBAC, "roles"): "rbac:Roles",
    (_DEVICES, "deviceclasses"): "dynamicresources.classes:DeviceClasses",
    (_DEVICES, "resourceclaims"): "dynamicresources.claims:Claims",
    (_DEVICES, "resourceclaimtemplates"): "dynamicresources.claims:ClaimTemplates",
    (_DEVICES, "resourceslices"): "dynamicresources.slices:Slices",
}
"""`module:class`, where the module is one of this package."""


class _Strategies(Mapping[Key, Strategy]):
    """Makes each strategy when it is first asked for."""

    def __init__(self, kinds: Mapping[Key, Kind], policy: Policy, special: Mapping[Key, tuple[object, ...]]) -> None:
        """`special` are further arguments, by kind."""
        self._kinds = kinds
        self._policy = policy
        self._special = special
        self._made: dict[Key, Strategy] = {}

    def __getitem__(self, key: Key) -> Strategy:
        found = self._made.get(key)
        if found is None:
            made = _class_of(key)(self._kinds[key], self._policy, *self._special.get(key, ()))
            found = self._made[key] = made
        return found

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


def strategies(
    kinds: Mapping[Key, Kind],
    *,
    policy: Policy = DEFAULT_POLICY,
    service_networks: Sequence[Network] = (IPv4Network("10.0.0.0/24"),),
    node_ports: range = range(30000, 32768),
) -> Mapping[Key, Strategy]:
    """A strategy for each of `kinds`, by (group, version, plural); kinds without one of their own behave as all do.

    The defaults are those of --service-cluster-ip-range and --service-node-port-range.
    """
    return _Strategies(kinds, policy, {("", "v1", "services"): (service_networks, node_ports)})


def _class_of(key: Key) -> type[Strategy]:
    module, _, name = _CLASSES.get((key[0], key[2]), "strategy:Strategy").partition(":")
    found: type[Strategy] = getattr(import_module(f"hyperkube_apiserver.registry.{module}"), name)
    return found
