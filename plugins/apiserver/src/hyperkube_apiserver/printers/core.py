"""The rows of the core group's kinds, pods apart. Source: k8s.io/kubernetes/pkg/printers/internalversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.printers.cells import NONE, UNSET, Tree, age, containers, labels, name
from hyperkube_machinery.ages import since

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "component_status",
    "config_map",
    "endpoints",
    "event",
    "lease",
    "namespace",
    "node",
    "persistent_volume",
    "persistent_volume_claim",
    "pod_template",
    "resource_quota",
    "secret",
    "service",
    "service_account",
]

_MOST_ENDPOINTS = 3
_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE = "kubernetes.io/role"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _spec(obj: Tree) -> Tree:
    return obj.get("spec") or {}


def _status(obj: Tree) -> Tree:
    return obj.get("status") or {}


def component_status(obj: Tree, now: float) -> list[Any]:
    """Name, Status, Message, Error."""
    for condition in obj.get("conditions") or ():
        if condition.get("type") == "Healthy":
            status = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            return [name(obj), status, condition.get("message", ""), condition.get("error", "")]
    return [name(obj), "Unknown", "", ""]


def config_map(obj: Tree, now: float) -> list[Any]:
    """Name, Data, Age."""
    return [name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def endpoints(obj: Tree, now: float) -> list[Any]:
    """Name, Endpoints, Age."""
    return [name(obj), _addresses(obj.get("subsets") or ()), age(obj, now)]


def _addresses(subsets: Iterable[Tree]) -> str:
    subsets = list(subsets)
    if not subsets:
        return NONE
    listed: list[str] = []
    for subset in subsets:
        ips = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            listed += ips
        for port in ports:
            number = port.get("port") or 0
            listed += (f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}" for ip in ips)
    shown = ",".join(listed[:_MOST_ENDPOINTS])
    more = len(listed) - _MOST_ENDPOINTS
    return f"{shown} + {more} more..." if more > 0 else shown


def event(obj: Tree, now: float) -> list[Any]:
    """Last Seen, Type, Reason, Object, Subobject, Source, Message, First Seen, Count, Name; of both groups' events."""
    series = obj.get("series")
    first = since(obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now)
    latest = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    last = since(latest, now) if latest else first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series is not None:
        last = since(series.get("lastObservedTime"), now)
        count = series.get("count") or 0
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    kind = (about.get("kind") or "").lower()
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    instance = source.get("host") or obj.get("reportingInstance") or ""
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath", ""),
        f"{component}, {instance}" if instance else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        first,
        count,
        name(obj),
    ]


def lease(obj: Tree, now: float) -> list[Any]:
    """Name, Holder, Age."""
    return [name(obj), _spec(obj).get("holderIdentity") or "", age(obj, now)]


def namespace(obj: Tree, now: float) -> list[Any]:
    """Name, Status, Age."""
    return [name(obj), _status(obj).get("phase", ""), age(obj, now)]


def node(obj: Tree, now: float) -> list[Any]:
    """Name, Status, Roles, Age, Version, Internal-IP, External-IP, OS-Image, Kernel-Version, Container-Runtime."""
    status = _status(obj)
    info = status.get("nodeInfo") or {}
    ready = {one.get("type"): one.get("status") for one in status.get("conditions") or ()}.get("Ready")
    states = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if _spec(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    kernel = info.get("kernelVersion") or "<unknown>"
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    addresses = {one.get("type"): one.get("address", "") for one in reversed(status.get("addresses") or ())}
    return [
        name(obj),
        ",".join(states),
        ",".join(sorted(_roles(obj["metadata"].get("labels") or {}))) or NONE,
        age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _roles(node_labels: Mapping[str, str]) -> set[str]:
    roles = {key.removeprefix(_ROLE_PREFIX) for key in node_labels if key.startswith(_ROLE_PREFIX)}
    return (roles | {node_labels.get(_ROLE, "")}) - {""}


def persistent_volume(obj: Tree, now: float) -> list[Any]:
    """Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, …Class, Reason, Age, VolumeMode."""
    spec = _spec(obj)
    claim = spec.get("claimRef")
    return [
        name(obj),
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim is not None else "",
        _storage_class(obj),
        _given(spec, "volumeAttributesClassName"),
        _status(obj).get("reason", ""),
        age(obj, now),
        _given(spec, "volumeMode"),
    ]


def persistent_volume_claim(obj: Tree, now: float) -> list[Any]:
    """Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode."""
    spec, status = _spec(obj), _status(obj)
    bound = spec.get("volumeName") or ""
    return [
        name(obj),
        _phase(obj),
        bound,
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status.get("accessModes") or ()) if bound else "",
        _storage_class(obj),
        _given(spec, "volumeAttributesClassName"),
        age(obj, now),
        _given(spec, "volumeMode"),
    ]


def _phase(obj: Tree) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str(_status(obj).get("phase", ""))


def _modes(modes: Iterable[str]) -> str:
    given = set(modes)
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _storage_class(obj: Tree) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get(_BETA_CLASS, _spec(obj).get("storageClassName") or ""))


def _given(tree: Tree, field: str) -> str:
    value = tree.get(field)
    return UNSET if value is None else str(value)


def pod_template(obj: Tree, now: float) -> list[Any]:
    """Name, Containers, Images, Pod Labels."""
    template = obj.get("template") or {}
    return [name(obj), *containers(template), labels((template.get("metadata") or {}).get("labels"))]


def resource_quota(obj: Tree, now: float) -> list[Any]:
    """Name, Request, Limit, Age."""
    status = _status(obj)
    used = status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for resource, hard in sorted((status.get("hard") or {}).items()):
        listed = limits if resource.startswith("limits.") else requests
        listed.append(f"{resource}: {used.get(resource, '0')}/{hard}")
    return [name(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def secret(obj: Tree, now: float) -> list[Any]:
    """Name, Type, Data, Age."""
    return [name(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def service(obj: Tree, now: float) -> list[Any]:
    """Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector."""
    spec = _spec(obj)
    ports = ",".join(map(_port, spec.get("ports") or ()))
    return [
        name(obj),
        spec.get("type", ""),
        (spec.get("clusterIPs") or (NONE,))[0],
        _external(obj),
        ports or NONE,
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _port(port: Tree) -> str:
    number, protocol = port.get("port") or 0, port.get("protocol", "")
    return f"{number}:{port['nodePort']}/{protocol}" if port.get("nodePort") else f"{number}/{protocol}"


def _external(obj: Tree) -> str:
    spec = _spec(obj)
    own = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(own) or NONE
        case "LoadBalancer":
            ingress = (_status(obj).get("loadBalancer") or {}).get("ingress") or ()
            balanced = sorted({one.get("ip") or one.get("hostname") or "" for one in ingress} - {""})
            return ",".join((*balanced, *own)) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return "<unknown>"


def service_account(obj: Tree, now: float) -> list[Any]:
    """Name, Age."""
    return [name(obj), age(obj, now)]
