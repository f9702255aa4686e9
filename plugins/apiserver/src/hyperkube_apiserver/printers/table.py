"""Server-side tables: what `kubectl get` shows. Source: k8s.io/apiserver/pkg/endpoints/handlers (asTable)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.printers import (
    admission,
    autoscaling,
    bindings,
    cluster,
    core,
    devices,
    networking,
    storage,
    workloads,
)
from hyperkube_apiserver.printers.including import SORTED_KINDS, IncludeObject
from hyperkube_apiserver.printers.metadata import ListMeta
from hyperkube_apiserver.printers.pods import pod
from hyperkube_apiserver.printers.rows import definitions, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hyperkube_apiserver.kinds import Kind
    from hyperkube_apiserver.printers.cells import Printer, Tree

__all__ = ["rows", "table"]

_ADMISSION = "admissionregistration.k8s.io"
_DEVICES = "resource.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_PRINTERS: Mapping[tuple[str, str], Printer] = {
    ("", "ComponentStatus"): core.component_status,
    ("", "ConfigMap"): core.config_map,
    ("", "Endpoints"): core.endpoints,
    ("", "Event"): core.event,
    ("", "Namespace"): core.namespace,
    ("", "Node"): core.node,
    ("", "PersistentVolume"): core.persistent_volume,
    ("", "PersistentVolumeClaim"): core.persistent_volume_claim,
    ("", "Pod"): pod,
    ("", "PodTemplate"): core.pod_template,
    ("", "ReplicationController"): workloads.replication_controller,
    ("", "ResourceQuota"): core.resource_quota,
    ("", "Secret"): core.secret,
    ("", "Service"): core.service,
    ("", "ServiceAccount"): core.service_account,
    (_ADMISSION, "MutatingAdmissionPolicy"): admission.mutating_policy,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): admission.policy_binding,
    (_ADMISSION, "MutatingWebhookConfiguration"): admission.webhooks,
    (_ADMISSION, "ValidatingAdmissionPolicy"): admission.validating_policy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): admission.policy_binding,
    (_ADMISSION, "ValidatingWebhookConfiguration"): admission.webhooks,
    ("apiregistration.k8s.io", "APIService"): cluster.api_service,
    ("apps", "ControllerRevision"): workloads.controller_revision,
    ("apps", "DaemonSet"): workloads.daemon_set,
    ("apps", "Deployment"): workloads.deployment,
    ("apps", "ReplicaSet"): workloads.replica_set,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaling.horizontal_pod_autoscaler,
    ("autoscaling", "Scale"): workloads.scale,
    ("batch", "CronJob"): workloads.cron_job,
    ("batch", "Job"): workloads.job,
    ("certificates.k8s.io", "CertificateSigningRequest"): cluster.certificate_signing_request,
    ("coordination.k8s.io", "Lease"): core.lease,
    ("discovery.k8s.io", "EndpointSlice"): networking.endpoint_slice,
    ("events.k8s.io", "Event"): core.event,
    ("networking.k8s.io", "IPAddress"): networking.ip_address,
    ("networking.k8s.io", "Ingress"): networking.ingress,
    ("networking.k8s.io", "IngressClass"): networking.ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): networking.network_policy,
    ("networking.k8s.io", "ServiceCIDR"): networking.service_cidr,
    ("policy", "PodDisruptionBudget"): networking.pod_disruption_budget,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): cluster.flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): cluster.priority_level_configuration,
    ("node.k8s.io", "RuntimeClass"): cluster.runtime_class,
    ("scheduling.k8s.io", "PriorityClass"): cluster.priority_class,
    (_RBAC, "ClusterRoleBinding"): bindings.binding,
    (_RBAC, "RoleBinding"): bindings.binding,
    ("storage.k8s.io", "CSIDriver"): storage.csi_driver,
    ("storage.k8s.io", "CSINode"): storage.csi_node,
    ("storage.k8s.io", "StorageClass"): storage.storage_class,
    ("storage.k8s.io", "VolumeAttachment"): storage.volume_attachment,
    ("storage.k8s.io", "VolumeAttributesClass"): storage.volume_attributes_class,
    (_DEVICES, "DeviceClass"): devices.aged,
    (_DEVICES, "ResourceClaim"): devices.resource_claim,
    (_DEVICES, "ResourceClaimTemplate"): devices.aged,
    (_DEVICES, "ResourceSlice"): devices.resource_slice,
}


def rows(kind: Kind, objects: Iterable[Tree], *, now: float) -> Iterator[list[Any]]:
    """The cells of each object, in the order of `kind.columns`; `now` is in seconds since the epoch."""
    printer = _PRINTERS.get((kind.resource.group, kind.resource.kind), bindings.plain)
    return (printer(obj, now) for obj in objects)


def table(
    kind: Kind,
    objects: Iterable[Tree],
    meta: ListMeta,
    *,
    now: float,
    include: IncludeObject = IncludeObject.METADATA,
    version: str = "v1",
    headers: bool = True,
    shown: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """`objects` as a Table of meta.k8s.io/`version`.

    Of one object, or one watch event, `meta` carries the object's resource version. Column definitions go with the
    first event of a watch alone (`headers`). The table shares the objects' metadata: encode it before they change.
    Rows that carry whole objects carry what `shown` makes of them.
    """
    objects = sorted(objects, key=cluster.precedence) if kind.resource.kind in SORTED_KINDS else list(objects)
    listed = [
        row(kind, obj, cells, include, version, shown)
        for obj, cells in zip(objects, rows(kind, objects, now=now), strict=True)
    ]
    has_printer = (kind.resource.group, kind.resource.kind) in _PRINTERS
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta.tree(),
        "columnDefinitions": definitions(kind.columns) if headers else None,
        "rows": listed if listed or has_printer else None,
    }
