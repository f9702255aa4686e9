"""Trees as the API server's own types hold them, which its messages show: Go's names and order, nothing left out.

What a message shows has no JSON names where upstream's internal types have none. Names, order and zero values follow
from the definitions of v1; where the internal types differ from those stands here.
Source: k8s.io/kubernetes/pkg/apis/core/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery.schema.table import Field, Type, load_table

__all__ = ["as_internal"]

Tree = Mapping[str, Any]

_CORE = "io.k8s.api.core.v1."
_INITIALS = frozenset(
    {
        *("api", "aws", "csi", "dns", "fc", "fs", "gce", "gmsa", "grpc", "http", "ip", "iqn", "iscsi", "nfs", "os"),
        *("pd", "rbd", "ssl", "tcp", "tty", "uid"),
    }
)
_NAMES = {
    "cephfs": "CephFS",
    "storageos": "StorageOS",
    "wwids": "WWIDs",
    "seLinuxOptions": "SELinuxOptions",
    "seLinuxChangePolicy": "SELinuxChangePolicy",
    "chapAuthDiscovery": "DiscoveryCHAPAuth",
    "chapAuthSession": "SessionCHAPAuth",
    "diskURI": "DataDiskURI",
    "pdID": "PdID",
}
# By the beginning of the definition's name.
_NAMES_OF = {
    "RBD": {"monitors": "CephMonitors", "image": "RBDImage", "pool": "RBDPool", "user": "RadosUser"},
    "Glusterfs": {"endpoints": "EndpointsName"},
}
# Fields that stand behind others than in v1.
_BEHIND = {
    "PodSpec": {"setHostnameAsFQDN": "subdomain", "preemptionPolicy": "priority", "overhead": "runtimeClassName"},
    "PodSecurityContext": {"fsGroupChangePolicy": "fsGroup"},
    "Volume": {"quobyte": "rbd"},
    "PersistentVolumeSpec": {"quobyte": "rbd", "flexVolume": "iscsi"},
}
# Fields of a pod that its security context holds, ahead of its own.
_HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")


def as_internal(
    tree: Tree, definition: str, only: Iterable[str] | None = None, *, package: str = _CORE
) -> dict[str, Any]:
    """`tree`, of the type called `definition` in `package`, as Go shows it; with `only`, these fields of it alone."""
    shown: dict[str, Any] = {}
    for field in _in_order(package, definition):
        if only is not None and field.name not in only:
            continue
        if field.name == "metadata":  # embedded
            shown.update(_as_json(tree.get("metadata") or {}, field.type))
        elif definition == "PodSpec" and field.name == "securityContext":
            shown["SecurityContext"] = _security_context(tree)
        elif definition != "PodSpec" or field.name not in (*_HOST_FIELDS, "serviceAccount"):
            shown[_called(definition, field.name)] = _value(tree.get(field.name), field.type, package)
    return shown


def _in_order(package: str, definition: str) -> list[Field]:
    fields = list(load_table().fields(package + definition))
    for name, before in _BEHIND.get(definition, {}).items():
        moved = fields.pop(_position(fields, name))
        fields.insert(_position(fields, before) + 1, moved)
    return fields


def _position(fields: Iterable[Field], name: str) -> int:
    return next(index for index, field in enumerate(fields) if field.name == name)


def _called(definition: str, name: str) -> str:
    for start, names in _NAMES_OF.items():
        if definition.startswith(start) and name in names:
            return names[name]
    if name in _NAMES:
        return _NAMES[name]
    first = next((name[:index] for index, letter in enumerate(name) if letter.isupper()), name)
    return (first.upper() if first in _INITIALS else first.capitalize()) + name[len(first) :]


def _security_context(spec: Tree) -> dict[str, Any]:
    types = load_table().fields_by_name(f"{_CORE}PodSpec")
    host = {_called("PodSpec", name): _value(spec.get(name), types[name].type) for name in _HOST_FIELDS}
    return host | as_internal(spec.get("securityContext") or {}, "PodSecurityContext")


def _value(value: Any, type_: Type, package: str = _CORE) -> Any:
    if type_.kind == "struct":
        if value is None and type_.pointer:
            return None
        if not type_.definition.startswith(package):
            return _as_json(value or {}, type_)
        return as_internal(value or {}, type_.definition.removeprefix(package), package=package)
    if value is None:
        return None if type_.pointer else _ZEROS.get(type_.kind)
    if type_.kind == "list" and type_.element is not None:
        return [_value(item, type_.element, package) for item in value]
    if type_.kind == "map" and type_.element is not None:
        return {key: _value(value[key], type_.element, package) for key in sorted(value)}
    return value


_ZEROS: Mapping[str, Any] = {
    "string": "",
    "bool": False,
    "int32": 0,
    "int64": 0,
    "float64": 0,
    "quantity": "0",
    "intorstring": 0,
}


def _as_json(value: Any, type_: Type) -> Any:
    """What has JSON names even there: only what is said, in the order of the fields and of the keys."""
    if type_.kind == "struct" and type_.definition:
        fields = load_table().fields(type_.definition)
        return {field.name: _as_json(value[field.name], field.type) for field in fields if value.get(field.name)}
    if type_.kind == "map":
        return dict(sorted(value.items()))
    if type_.kind == "list" and type_.element is not None:
        return [_as_json(item, type_.element) for item in value]
    return value
