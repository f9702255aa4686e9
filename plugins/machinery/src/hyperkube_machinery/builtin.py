"""The built-in resources that servers, controllers and tests talk of by name.

Of a resource with several versions it is the one that is stored. Source: the discovery of Kubernetes 1.36.
"""

from __future__ import annotations

from hyperkube_machinery.resources import Resource

__all__ = [
    "CERTIFICATE_SIGNING_REQUESTS",
    "CLUSTER_ROLES",
    "CLUSTER_ROLE_BINDINGS",
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "CRON_JOBS",
    "CSI_NODES",
    "CUSTOM_RESOURCE_DEFINITIONS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "ENDPOINTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "JOBS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PERSISTENT_VOLUME_CLAIMS",
    "PODS",
    "POD_DISRUPTION_BUDGETS",
    "PRIORITY_CLASSES",
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "RESOURCE_QUOTAS",
    "ROLES",
    "ROLE_BINDINGS",
    "RUNTIME_CLASSES",
    "SCHEDULING_EVENTS",
    "SECRETS",
    "SELF_SUBJECT_ACCESS_REVIEWS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "SERVICE_CIDRS",
    "STATEFUL_SETS",
    "STORAGE_CLASSES",
    "SUBJECT_ACCESS_REVIEWS",
    "TOKEN_REVIEWS",
    "VALIDATING_ADMISSION_POLICIES",
]

_STORED = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_ASKED = ("create",)


def _kind(
    group: str, version: str, resource: str, kind: str, *, namespaced: bool = True, verbs: tuple[str, ...] = _STORED
) -> Resource:
    return Resource(
        group=group,
        version=version,
        resource=resource,
        kind=kind,
        singular=kind.lower(),
        namespaced=namespaced,
        verbs=verbs,
    )


PODS = _kind("", "v1", "pods", "Pod")
NODES = _kind("", "v1", "nodes", "Node", namespaced=False)
SERVICES = _kind("", "v1", "services", "Service")
ENDPOINTS = _kind("", "v1", "endpoints", "Endpoints")
NAMESPACES = _kind("", "v1", "namespaces", "Namespace", namespaced=False)
EVENTS = _kind("", "v1", "events", "Event")
SERVICE_ACCOUNTS = _kind("", "v1", "serviceaccounts", "ServiceAccount")
SECRETS = _kind("", "v1", "secrets", "Secret")
CONFIG_MAPS = _kind("", "v1", "configmaps", "ConfigMap")
PERSISTENT_VOLUME_CLAIMS = _kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PERSISTENT_VOLUMES = _kind("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
RESOURCE_QUOTAS = _kind("", "v1", "resourcequotas", "ResourceQuota")
REPLICATION_CONTROLLERS = _kind("", "v1", "replicationcontrollers", "ReplicationController")
DEPLOYMENTS = _kind("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = _kind("apps", "v1", "replicasets", "ReplicaSet")
DAEMON_SETS = _kind("apps", "v1", "daemonsets", "DaemonSet")
STATEFUL_SETS = _kind("apps", "v1", "statefulsets", "StatefulSet")
CONTROLLER_REVISIONS = _kind("apps", "v1", "controllerrevisions", "ControllerRevision")
JOBS = _kind("batch", "v1", "jobs", "Job")
CRON_JOBS = _kind("batch", "v1", "cronjobs", "CronJob")
ENDPOINT_SLICES = _kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = _kind("coordination.k8s.io", "v1", "leases", "Lease")
SCHEDULING_EVENTS = _kind("events.k8s.io", "v1", "events", "Event")
PRIORITY_CLASSES = _kind("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
RUNTIME_CLASSES = _kind("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)
CSI_NODES = _kind("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False)
STORAGE_CLASSES = _kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
POD_DISRUPTION_BUDGETS = _kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
TOKEN_REVIEWS = _kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False, verbs=_ASKED)
SUBJECT_ACCESS_REVIEWS = _kind(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False, verbs=_ASKED
)
SELF_SUBJECT_ACCESS_REVIEWS = _kind(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False, verbs=_ASKED
)
SERVICE_CIDRS = _kind("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False)
CERTIFICATE_SIGNING_REQUESTS = _kind(
    "certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", namespaced=False
)
CUSTOM_RESOURCE_DEFINITIONS = _kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
CLUSTER_ROLES = _kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = _kind(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
ROLES = _kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = _kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
VALIDATING_ADMISSION_POLICIES = _kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
)
