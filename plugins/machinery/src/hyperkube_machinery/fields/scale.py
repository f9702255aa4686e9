"""Who owns a workload's number of replicas, as entries of its scale, and back.

Source: k8s.io/apimachinery/pkg/util/managedfields (scalehandler.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hyperkube_machinery.fields.entries import APPLY, Entry, Key, Owners, entry_of, owners_of, sorted_entries
from hyperkube_machinery.fields.sets import difference, has, set_of

__all__ = ["SCALE_VERSION", "ReplicasPaths", "to_scale", "to_workload"]

SCALE_VERSION = "autoscaling/v1"
_REPLICAS = ("f:spec", "f:replicas")
_ONLY_REPLICAS = set_of(_REPLICAS)

ReplicasPaths = Mapping[str, Sequence[str] | None]
"""Where a workload has its replicas, by version; None where one has none. Entries in other versions don't count."""


def to_scale(entries: Sequence[Entry] | None, paths: ReplicasPaths) -> list[Entry]:
    """The entries of the scale of a workload that has `entries`."""
    found: Owners = {}
    for key, entry in owners_of(entries).items():
        path = paths.get(entry["apiVersion"])
        if path is not None and has(entry["fieldsV1"], path):
            found[key] = entry_of(key, SCALE_VERSION, _ONLY_REPLICAS, entry.get("time"))
    return sorted_entries(found)


def to_workload(
    entries: Sequence[Entry] | None, scale_entries: Sequence[Entry] | None, paths: ReplicasPaths, version: str
) -> list[Entry]:
    """The entries of a workload, written in `version`, whose scale came to have `scale_entries`.

    Who no longer owns the replicas of the scale loses those of the workload. Who updated them is not the same to both,
    for the versions differ, and so its time is lost.
    """
    before, scale = owners_of(entries), owners_of(scale_entries)
    found: dict[Key, Entry] = {}
    for key, entry in before.items():
        if entry["apiVersion"] not in paths:
            continue
        fields, path = entry["fieldsV1"], paths[entry["apiVersion"]]
        if path is None or not has(fields, path):
            found[key] = entry
        elif key in scale:
            found[key] = entry
            del scale[key]
        elif rest := difference(fields, set_of(path)):
            found[key] = entry_of(key, entry["apiVersion"], rest, entry.get("time"))
    own = paths[version]
    for key, entry in scale.items():
        if own is not None and has(entry["fieldsV1"], _REPLICAS):
            time = before[key].get("time") if key.operation == APPLY and key in before else None
            found[key] = entry_of(key, version, set_of(own), time)
    return sorted_entries(found)
