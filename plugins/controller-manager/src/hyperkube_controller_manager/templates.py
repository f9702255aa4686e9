"""Pod templates: their hash, whether two are alike, and the pods made from them.

Source: k8s.io/kubernetes/pkg/controller/controller_utils.go and pkg/controller/deployment/util.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import orjson

from hyperkube_machinery import names
from hyperkube_machinery.meta import labels_of, name, uid

__all__ = ["alike", "controller_reference", "pod_from", "safe_hash", "template_hash"]

# No vowels and no digits that look like one, so that no hash spells a word. Source: k8s.io/apimachinery/pkg/util/rand.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# Maps of strings, where empty means the same as absent. Elsewhere `{}` says something (`emptyDir: {}`).
_MAPS = frozenset({"annotations", "labels", "limits", "nodeSelector", "requests"})

Template = Mapping[str, Any]


def template_hash(template: Template, collisions: int | None = None) -> str:
    """A short name for the template; `collisions` (the owner's collisionCount) picks another for the same template.

    Which hash it is is free, as no controller compares hashes: they only have to be the same for the same template.
    """
    return safe_hash(
        orjson.dumps(_normal(template), option=orjson.OPT_SORT_KEYS)
        + (b"" if collisions is None else str(collisions).encode())
    )


def safe_hash(data: bytes) -> str:
    """FNV-1a (32 bits) of `data`, spelled in letters that suit names and labels."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(value))


def alike(one: Template, other: Template, *, ignoring: str = "") -> bool:
    """Whether two templates make the same pods, but for the label `ignoring`."""
    return _normal(_without_label(one, ignoring)) == _normal(_without_label(other, ignoring))  # type: ignore[no-any-return]


def _without_label(template: Template, label: str) -> Template:
    if label not in labels_of(template):
        return template
    labels = {key: value for key, value in labels_of(template).items() if key != label}
    return {**template, "metadata": {**template["metadata"], "labels": labels}}


def _normal(value: Any, key: str = "") -> Any:
    """The value without what says nothing."""
    if isinstance(value, Mapping):
        members = ((name, _normal(member, name)) for name, member in value.items())
        return {name: member for name, member in members if not _says_nothing(name, member)}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return value


def _says_nothing(key: str, value: Any) -> bool:
    return value is None or value == "" or value == [] or (value == {} and key in _MAPS | {"metadata"})


def controller_reference(owner: Mapping[str, Any], api_version: str, kind: str) -> dict[str, Any]:
    """The reference by which what `owner` makes tells that `owner` manages it."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_from(template: Template, owner: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """A new pod as the template has it, managed by `owner`. The template is copied, and may be changed freely after."""
    template = copy.deepcopy(template)
    given = template.get("metadata") or {}
    meta: dict[str, Any] = {"generateName": name_prefix(name(owner)), "ownerReferences": [dict(reference)]}
    meta.update({key: given[key] for key in ("labels", "annotations", "finalizers") if given.get(key)})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template.get("spec") or {}}


def name_prefix(owner_name: str) -> str:
    """What the names of the owner's pods start with: its name and a dash, where that leaves a valid name."""
    prefix = f"{owner_name}-"
    return owner_name if names.dns1123_subdomain(names.mask_trailing_dash(prefix)) else prefix
