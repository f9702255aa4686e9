"""Field ownership: metadata.managedFields, and server-side apply.

    ownership = Ownership("io.k8s.api.apps.v1.Deployment", "apps/v1", "Deployment")
    entries = ownership.updated(old, new, Writer(manager="kubectl-edit", now="2026-01-01T00:00:00Z"))
    tree = ownership.applied(live, config, writer, force=False)

A set of fields is the tree of FieldsV1 itself (`sets`), so nothing is parsed on the way from one write to the next.
`compare` is what every write pays; `merge`, `prune` and `typed` are what an apply does.
"""

from __future__ import annotations

from hyperkube_machinery.fields.entries import BadEntries, Entry, read_owners, same_but_times, sorted_entries
from hyperkube_machinery.fields.ownership import Ownership, Writer
from hyperkube_machinery.fields.scale import SCALE_VERSION, ReplicasPaths, to_scale, to_workload
from hyperkube_machinery.fields.sets import LEAF, FieldSet, in_order, set_of
from hyperkube_machinery.fields.typings import Typing

__all__ = [
    "LEAF",
    "SCALE_VERSION",
    "BadEntries",
    "Entry",
    "FieldSet",
    "Ownership",
    "ReplicasPaths",
    "Typing",
    "Writer",
    "in_order",
    "read_owners",
    "same_but_times",
    "set_of",
    "sorted_entries",
    "to_scale",
    "to_workload",
]
