"""What a fresh server holds before anybody asks: namespaces, roles and bindings, its own service and where that leads.

At each start what is missing is made again, and roles and bindings that lost something get it back; nothing is taken
away, and what is annotated with `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone.
Source: k8s.io/kubernetes/pkg/registry/rbac/rest, k8s.io/component-helpers/auth/rbac/reconciliation,
k8s.io/kubernetes/pkg/controlplane; the objects are those of kube-apiserver 1.36.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from hyperkube_apiserver.authz.bindings import GROUP
from hyperkube_apiserver.authz.escalation import missing_rules
from hyperkube_apiserver.authz.rules import Rule
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.packaged import read_packaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "AUTHENTICATION",
    "NAMESPACES",
    "SERVICE_RANGE",
    "Action",
    "Key",
    "TrustedProxies",
    "Write",
    "node_rules",
    "objects",
    "ready",
    "reconcile",
    "with_authorities",
]

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_NODE_ROLE = "system:node"
_KINDS = {
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
    "roles": "Role",
    "rolebindings": "RoleBinding",
}

Tree = dict[str, Any]


class Key(NamedTuple):
    """Which object of which resource."""

    group: str
    resource: str  # plural
    namespace: str  # "" for what is cluster-wide
    name: str


AUTHENTICATION = Key("", "configmaps", "kube-system", "extension-apiserver-authentication")
"""What servers beside this one read to know the cluster's users."""
SERVICE_RANGE = Key("networking.k8s.io", "servicecidrs", "", "kubernetes")


class Action(Enum):
    """What to do with an object."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"  # delete and create: a binding can't be changed to mean another role


@dataclass(frozen=True, slots=True)
class Write:
    """A write that brings the store to what is wanted."""

    action: Action
    key: Key
    obj: Tree  # an update carries the resource version of what it was made from, where that had one


def objects(
    *, service_range: str, service_ip: str, secure_port: int, address: str | None
) -> Iterator[tuple[Key, Tree]]:
    """What a fresh server holds, in the order in which to make it; every tree is new.

    `service_ip` is the first address of the service range, `secure_port` where this server listens, and `address`
    where others reach it, None where nobody knows that: then nothing tells of it.
    """
    for name in NAMESPACES:
        # Label, finalizer and phase are given to every namespace where it is created.
        yield Key("", "namespaces", "", name), {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
    for resource, entries in _table().items():
        for entry in entries:
            yield Key(GROUP, resource, entry.get("namespace", ""), entry["name"]), _access(resource, entry)
    yield SERVICE_RANGE, _service_range(service_range)
    yield Key("", "services", "default", "kubernetes"), _service(service_ip, secure_port)
    if address is not None:
        ports = [{"name": "https", "port": secure_port, "protocol": "TCP"}]
        yield Key("", "endpoints", "default", "kubernetes"), _endpoints(address, ports)
        yield Key("discovery.k8s.io", "endpointslices", "default", "kubernetes"), _slice(address, ports)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedProxies:
    """Proxies that may say of users who they are, as servers beside this one have to know them."""

    pem: str  # their authorities
    allowed_names: tuple[str, ...] = ()
    user_headers: tuple[str, ...] = ("X-Remote-User",)
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ("X-Remote-Group",)
    extra_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)


def with_authorities(existing: Tree | None, pem: str, proxies: TrustedProxies | None = None) -> Tree | None:
    """The config map that tells of the authorities in `pem`, and of `proxies`, as well; None if it does already."""
    known = (existing or {}).get("data") or {}
    data = {**known, _CLIENT_CA: _with_certificates(known.get(_CLIENT_CA) or "", pem)}
    if proxies is not None:
        data[f"{_PROXY}client-ca-file"] = _with_certificates(known.get(f"{_PROXY}client-ca-file") or "", proxies.pem)
        lists = {
            "allowed-names": proxies.allowed_names,
            "extra-headers-prefix": proxies.extra_prefixes,
            "group-headers": proxies.group_headers,
            "uid-headers": proxies.uid_headers,
            "username-headers": proxies.user_headers,
        }
        for name, values in lists.items():
            if values or name != "uid-headers":
                data[_PROXY + name] = _with_values(known.get(_PROXY + name) or "", values)
    if data == known:
        return None
    if existing is None:
        metadata = {"name": AUTHENTICATION.name, "namespace": AUTHENTICATION.namespace}
        return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}
    return {**existing, "data": data}


def _with_certificates(known: str, pem: str) -> str:
    missing = [certificate for certificate in _CERTIFICATE.findall(pem) if certificate not in known]
    return known + "".join(f"{certificate}\n" for certificate in missing)


def _with_values(known: str, values: Iterable[str]) -> str:
    """A JSON list with `values` as well; what is none is replaced."""
    try:
        told = orjson.loads(known) if known else []
    except orjson.JSONDecodeError:
        told = []
    if not isinstance(told, list):
        told = []
    return encode(list(dict.fromkeys([*(one for one in told if isinstance(one, str)), *values]))).decode()


_PROXY = "requestheader-"
_CLIENT_CA = "client-ca-file"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def _table() -> Mapping[str, list[Tree]]:
    """Read anew each time, which is faster than to copy what objects are made of, and leaves nothing behind."""
    table: Mapping[str, list[Tree]] = orjson.loads(read_packaged("hyperkube_apiserver", "bootstrap.json"))
    return table


def node_rules() -> tuple[Rule, ...]:
    """What every node may do: the rules of the role system:node, which by itself is bound to nobody."""
    role = next(entry for entry in _table()["clusterroles"] if entry["name"] == _NODE_ROLE)
    return tuple(map(Rule.parse, role["rules"]))


def _access(resource: str, entry: Tree) -> Tree:
    """A role or binding; the table leaves out what all of them have."""
    metadata: Tree = {"name": entry["name"]}
    if "namespace" in entry:
        metadata["namespace"] = entry["namespace"]
    metadata["labels"] = {**_LABELS, **entry.get("labels", {})}
    metadata["annotations"] = {_AUTOUPDATE: "true"}
    obj: Tree = {"kind": _KINDS[resource], "apiVersion": f"{GROUP}/v1", "metadata": metadata}
    for field in ("aggregationRule", "rules", "roleRef", "subjects"):
        if field in entry:
            obj[field] = entry[field]
    return obj


def _service(service_ip: str, secure_port: int) -> Tree:
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": service_ip,
            "clusterIPs": [service_ip],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": secure_port}],
        },
    }


def _service_range(text: str) -> Tree:
    """Where cluster IPs come from; that it is ready stands in its status, see `ready`."""
    return {
        "kind": "ServiceCIDR",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": SERVICE_RANGE.name},
        "spec": {"cidrs": text.split(",")},
    }


def ready(service_range: Tree, wanted: str, *, now: str) -> Tree | None:
    """The range with a status that says it is ready; None where somebody has said, or it is not the `wanted` one."""
    conditions = (service_range.get("status") or {}).get("conditions") or []
    told = any(one.get("type") == "Ready" and one.get("status") != "Unknown" for one in conditions)
    other = service_range["spec"].get("cidrs") != wanted.split(",")
    if told or other or service_range["metadata"].get("deletionTimestamp"):
        return None
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": now,
    }
    others = [one for one in conditions if one.get("type") != "Ready"]
    return {**service_range, "status": {**(service_range.get("status") or {}), "conditions": [*others, condition]}}


def _endpoints(address: str, ports: list[Tree]) -> Tree:
    return {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": address}], "ports": deepcopy(ports)}],
    }


def _slice(address: str, ports: list[Tree]) -> Tree:
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": deepcopy(ports),
    }


_TOLD = {"endpoints": ("subsets",), "endpointslices": ("endpoints", "ports")}
"""What says where this server is, of what is found from an earlier start."""


def reconcile(existing: Mapping[Key, Tree], wanted: Iterable[tuple[Key, Tree]]) -> list[Write]:
    """The writes that bring `existing` to `wanted`, in the order of `wanted`; none where all is well.

    Changes neither; `existing` may hold more than `wanted`.
    """
    writes = []
    for key, obj in wanted:
        found = existing.get(key)
        if found is None:
            writes.append(Write(Action.CREATE, key, obj))
        elif key.group == GROUP:
            writes.extend(_restored(key, found, obj))
        elif key.resource == "services" and found["spec"].get("ports") != obj["spec"]["ports"]:
            moved = {**found, "spec": {**found["spec"], "ports": obj["spec"]["ports"]}}
            writes.append(Write(Action.UPDATE, key, moved))
        elif key.resource in _TOLD and found.get("addressType") != obj.get("addressType"):
            writes.append(Write(Action.REPLACE, key, obj))
        elif any(found.get(field) != obj[field] for field in _TOLD.get(key.resource, ())):
            writes.append(Write(Action.UPDATE, key, {**found, **{field: obj[field] for field in _TOLD[key.resource]}}))
    return writes


def _restored(key: Key, found: Tree, wanted: Tree) -> Iterator[Write]:
    """The write that gives a role or binding back what it lost."""
    metadata = found["metadata"]
    if (metadata.get("annotations") or {}).get(_AUTOUPDATE) == "false":
        return
    if found.get("roleRef") != wanted.get("roleRef"):
        yield Write(Action.REPLACE, key, wanted)
        return
    restored = {**found, "metadata": dict(metadata)}
    for field in ("labels", "annotations"):
        restored["metadata"][field] = {**wanted["metadata"][field], **(metadata.get(field) or {})}
    if key.resource in ("clusterroles", "roles"):
        _restore_rules(restored, wanted)
    else:
        subjects = found.get("subjects") or []
        lost = [subject for subject in wanted.get("subjects") or () if subject not in subjects]
        if lost:
            restored["subjects"] = [*subjects, *lost]
    if restored != found:
        yield Write(Action.UPDATE, key, restored)


def _restore_rules(role: Tree, wanted: Tree) -> None:
    rules = role.get("rules") or []
    lost = missing_rules(map(Rule.parse, rules), map(Rule.parse, wanted.get("rules") or ()))
    if lost:
        role["rules"] = [*rules, *(rule.tree() for rule in lost)]
    if "aggregationRule" not in wanted:
        role.pop("aggregationRule", None)
        return
    aggregation = role.get("aggregationRule") or {}
    selectors = aggregation.get("clusterRoleSelectors") or []
    added = [each for each in wanted["aggregationRule"]["clusterRoleSelectors"] if each not in selectors]
    if added:
        role["aggregationRule"] = {**aggregation, "clusterRoleSelectors": [*selectors, *added]}
