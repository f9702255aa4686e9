"""What custom resources may be called, and groups that need an approval.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation, k8s.io/apiextensions-apiserver/pkg/apihelpers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1035_label

__all__ = ["APPROVED", "PULL", "approval_of", "is_protected", "validate_approval", "validate_names"]

Tree = Mapping[str, Any]

APPROVED = "api-approved.kubernetes.io"
_PROTECTED = ("k8s.io", "kubernetes.io")
PULL = "see https://github.com/kubernetes/enhancements/pull/1111"


def validate_names(names: Tree, path: str) -> list[FieldError]:
    """What is wrong with the names that are given."""
    errors: list[FieldError] = []
    for field in ("plural", "singular"):
        errors += _label(names.get(field) or "", f"{path}.{field}")
    for field in ("kind", "listKind"):
        name = names.get(field) or ""
        if name and (wrong := dns1035_label(name.lower())):
            text = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
            errors.append(FieldError.invalid(f"{path}.{field}", name, text))
    for index, name in enumerate(names.get("shortNames") or ()):
        errors += _label(name, f"{path}.shortNames[{index}]", empty=False)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        text = "kind and listKind may not be the same"
        errors.append(FieldError.invalid(f"{path}.listKind", names["listKind"], text))
    for index, name in enumerate(names.get("categories") or ()):
        errors += _label(name, f"{path}.categories[{index}]", empty=False)
    return errors


def _label(name: str, path: str, *, empty: bool = True) -> list[FieldError]:
    if empty and not name:
        return []
    wrong = dns1035_label(name)
    return [FieldError.invalid(path, name, ",".join(wrong))] if wrong else []


def validate_approval(obj: Tree, old: Tree | None) -> list[FieldError]:
    """The groups of Kubernetes itself are for what its reviewers have seen."""
    group = (obj.get("spec") or {}).get("group") or ""
    if not is_protected(group):
        return []
    text = (meta.metadata(obj).get("annotations") or {}).get(APPROVED) or ""
    state = approval_of(text)
    if old is not None and approval_of((meta.metadata(old).get("annotations") or {}).get(APPROVED) or "") == state:
        return []
    path = f"metadata.annotations[{APPROVED}]"
    needed = f'protected groups must have approval annotation "{APPROVED}"'
    if state == "missing":
        return [FieldError.required(path, f"{needed}, {PULL}")]
    if state == "invalid":
        why = f'{needed} with either a URL or a reason starting with "unapproved", {PULL}'
        return [FieldError.invalid(path, text, why)]
    return []


def is_protected(group: str) -> bool:
    """Whether a group is of Kubernetes itself."""
    return any(group == one or group.endswith(f".{one}") for one in _PROTECTED)


def approval_of(text: str) -> str:
    """What the annotation says: missing, bypassed, approved or invalid."""
    if not text:
        return "missing"
    if text.startswith("unapproved"):
        return "bypassed"
    from hyperkube_machinery.gourls import URLError, parse_url  # few definitions need it, and a start doesn't

    try:
        url = parse_url(text)
    except URLError:
        return "invalid"
    return "approved" if url.host and url.scheme else "invalid"
