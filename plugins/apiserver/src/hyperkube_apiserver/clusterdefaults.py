"""What every cluster has that no namespace holds: classes of priority, flow control, and this server's API services.

At each start what is missing is made again. The specs of flow control that are mandatory are kept as they are here,
the suggested ones until somebody changes them, or says so in `apf.kubernetes.io/autoupdate-spec`.
Source: k8s.io/kubernetes/pkg/registry/{scheduling/rest,flowcontrol/ensurer}, k8s.io/kube-aggregator/pkg/controllers/
autoregister; the objects are those of kube-apiserver 1.36.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import orjson

from hyperkube_apiserver.bootstrap import Action, Key, Write
from hyperkube_apiserver.kinds import Kind
from hyperkube_machinery.packaged import read_packaged

__all__ = ["FLOW_CONTROL", "cluster_objects", "flow_control_objects", "mandatory_specs", "revisions"]

FLOW_CONTROL = "flowcontrol.apiserver.k8s.io"

_MANDATORY = ("exempt", "catch-all")
_API_SERVICES = "apiregistration.k8s.io"
_AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
_MANAGED = "kube-aggregator.kubernetes.io/automanaged"
_FLOW_KINDS = {"prioritylevelconfigurations": "PriorityLevelConfiguration", "flowschemas": "FlowSchema"}
# By group: its own priority, and those of its versions where they are not 15.
_PRIORITIES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "": (18000, {"v1": 1}),
    "apps": (17800, {}),
    "events.k8s.io": (17750, {}),
    "authentication.k8s.io": (17700, {}),
    "authorization.k8s.io": (17600, {}),
    "autoscaling": (17500, {"v2": 30}),
    "batch": (17400, {}),
    "certificates.k8s.io": (17300, {}),
    "networking.k8s.io": (17200, {}),
    "policy": (17100, {}),
    "rbac.authorization.k8s.io": (17000, {}),
    "storage.k8s.io": (16800, {}),
    "apiextensions.k8s.io": (16700, {}),
    "admissionregistration.k8s.io": (16700, {}),
    "scheduling.k8s.io": (16600, {}),
    "coordination.k8s.io": (16500, {}),
    "node.k8s.io": (16300, {}),
    "discovery.k8s.io": (16200, {}),
    "resource.k8s.io": (16200, {"v1": 21}),
    FLOW_CONTROL: (16100, {"v1": 21}),
}
_VERSION_PRIORITY = 15

Tree = dict[str, Any]


@cache
def _table() -> Mapping[str, list[Tree]]:
    data = read_packaged("hyperkube_apiserver", "clusterdefaults.json")
    table: Mapping[str, list[Tree]] = orjson.loads(data)
    return table


def mandatory_specs(resource: str) -> Mapping[str, Tree]:
    """The specs that some objects of flow control have on every server, by name."""
    return {entry["name"]: entry["spec"] for entry in _table()[resource] if entry["name"] in _MANDATORY}


def cluster_objects(kinds: Iterable[Kind]) -> Iterator[tuple[Key, Tree]]:
    """All of it; `kinds` are those served. Every tree is new."""
    for entry in _table()["priorityclasses"]:
        key = Key("scheduling.k8s.io", "priorityclasses", "", entry["name"])
        said = {field: entry[field] for field in ("value", "description")}
        yield key, _object(key, "scheduling.k8s.io/v1", "PriorityClass", said)
    yield from flow_control_objects()
    for group, version in dict.fromkeys((kind.resource.group, kind.resource.version) for kind in kinds):
        if group in _PRIORITIES:
            yield _api_service(group, version)


def flow_control_objects() -> Iterator[tuple[Key, Tree]]:
    """The part of it that is kept at all times; levels before the schemas that name them."""
    for resource, kind in _FLOW_KINDS.items():
        for entry in _table()[resource]:
            key = Key(FLOW_CONTROL, resource, "", entry["name"])
            obj = _object(key, f"{FLOW_CONTROL}/v1", kind, {"spec": deepcopy(entry["spec"])})
            obj["metadata"]["annotations"] = {_AUTOUPDATE: "true"}
            yield key, obj


def _api_service(group: str, version: str) -> tuple[Key, Tree]:
    minimum, versions = _PRIORITIES[group]
    spec = {
        "version": version,
        "groupPriorityMinimum": minimum,
        "versionPriority": versions.get(version, _VERSION_PRIORITY),
    }
    key = Key(_API_SERVICES, "apiservices", "", f"{version}.{group}")
    obj = _object(key, f"{_API_SERVICES}/v1", "APIService", {"spec": {"group": group, **spec} if group else spec})
    obj["metadata"]["labels"] = {_MANAGED: "onstart"}
    return key, obj


def _object(key: Key, api_version: str, kind: str, said: Tree) -> Tree:
    return {"kind": kind, "apiVersion": api_version, "metadata": {"name": key.name}, **said}


def revisions(existing: Mapping[Key, Tree], wanted: Iterable[tuple[Key, Tree]]) -> Iterator[Write]:
    """The updates that give objects of `wanted` that exist what they should have; changes neither."""
    for key, obj in wanted:
        found = existing.get(key)
        if found is None:
            continue
        if key.group == FLOW_CONTROL:
            revised = _revised(key, found, obj)
        elif key.group == _API_SERVICES and _is_managed(found) and found["spec"] != obj["spec"]:
            revised = {**found, "spec": obj["spec"]}
        else:
            continue
        if revised != found:
            yield Write(Action.UPDATE, key, revised)


def _revised(key: Key, found: Tree, wanted: Tree) -> Tree:
    metadata = found["metadata"]
    annotations = metadata.get("annotations") or {}
    follows = key.name in _MANDATORY or _follows(annotations.get(_AUTOUPDATE), metadata.get("generation"))
    spec = wanted["spec"] if follows else found["spec"]
    if key == Key(FLOW_CONTROL, "prioritylevelconfigurations", "", "exempt"):
        spec = {**spec, "exempt": found["spec"].get("exempt", spec["exempt"])}  # the one part that may be changed
    if _truth(annotations.get(_AUTOUPDATE)) is not follows:
        annotations = {**annotations, _AUTOUPDATE: "true" if follows else "false"}
    return {**found, "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def _follows(said: str | None, generation: int | None) -> bool:
    """Whether a suggested object is to be kept as suggested: as it says, else unless it was ever changed."""
    truth = _truth(said)
    return generation == 1 if truth is None else truth


def _truth(text: str | None) -> bool | None:
    """A boolean as Go reads it (strconv.ParseBool)."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    return False if text in ("0", "f", "F", "FALSE", "false", "False") else None


def _is_managed(found: Tree) -> bool:
    return (found["metadata"].get("labels") or {}).get(_MANAGED) in ("onstart", "true")
