"""Who owns a workload's number of replicas, as entries of its scale, and back.

Source: k8s.io/apimachinery/pkg/util/managedfields (scalehandler.go).
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_machinery.fields.entries import APPLY, Entry, Key, Owners, entry_of, owners_of, sorted_entries
from hyperkube_machinery.fields.sets import difference, has, set_of

__all__ = ["SCALE_VERSION", "to_scale", "to_workload"]

SCALE_VERSION = "autoscaling/v1"
_REPLICAS = ("f:spec", "f:replicas")
_ONLY_REPLICAS = set_of(_REPLICAS)


def to_scale(entries: Sequence[Entry] | None, version: str) -> list[Entry]:
    """The entries of the scale of a workload that has `entries`, of which those in `version` count."""
    found: Owners = {}
    for key, entry in owners_of(entries).items():
        if entry["apiVersion"] == version and has(entry["fieldsV1"], _REPLICAS):
            found[key] = entry_of(key, SCALE_VERSION, _ONLY_REPLICAS, entry.get("time"))
    return sorted_entries(found)


def to_workload(entries: Sequence[Entry] | None, scale_entries: Sequence[Entry] | None, version: str) -> list[Entry]:
    """The entries of a workload in `version` whose scale came to have `scale_entries`.

    Who no longer owns the replicas of the scale loses those of the workload. Who updated them is not the same to both,
    for the versions differ, and so its time is lost.
    """
    before, scale = owners_of(entries), owners_of(scale_entries)
    found: dict[Key, Entry] = {}
    for key, entry in before.items():
        if entry["apiVersion"] != version:
            continue
        fields = entry["fieldsV1"]
        if not has(fields, _REPLICAS):
            found[key] = entry
        elif key in scale:
            found[key] = entry
            del scale[key]
        elif rest := difference(fields, _ONLY_REPLICAS):
            found[key] = entry_of(key, entry["apiVersion"], rest, entry.get("time"))
    for key, entry in scale.items():
        if has(entry["fieldsV1"], _REPLICAS):
            time = before[key].get("time") if key.operation == APPLY and key in before else None
            found[key] = entry_of(key, version, _ONLY_REPLICAS, time)
    return sorted_entries(found)
