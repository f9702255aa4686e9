"""Whether an answer's fields are of their types: what is not is told as Go's encoding/json tells it.

Source: k8s.io/api/admission/{v1,v1beta1} (AdmissionResponse), k8s.io/apimachinery/pkg/apis/meta/v1 (Status).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.schema.exact import json_type

__all__ = ["Undecodable", "check_types", "decoded"]

_RESPONSE: Mapping[str, tuple[type, str]] = {
    "uid": (str, "types.UID"),
    "allowed": (bool, "bool"),
    "status": (dict, "v1.Status"),
    "patch": (str, "[]uint8"),
    "patchType": (str, "{version}.PatchType"),
    "auditAnnotations": (dict, "map[string]string"),
    "warnings": (list, "[]string"),
}
_STATUS: Mapping[str, tuple[type, str]] = {
    "metadata": (dict, "v1.ListMeta"),
    "status": (str, "string"),
    "message": (str, "string"),
    "reason": (str, "v1.StatusReason"),
    "details": (dict, "v1.StatusDetails"),
    "code": (int, "int32"),
}
_not_base64_re = re.compile(r"[^A-Za-z0-9+/]")


class Undecodable(Exception):
    """A field is of a wrong type."""


def check_types(review: Mapping[str, Any], version: str) -> None:
    """Raise Undecodable for the first field of a review's response that is not of its type."""
    response = review.get("response")
    if response is None:
        return
    _check(response, dict, "AdmissionReview.response", f"{version}.AdmissionResponse")
    _check_fields(response, _RESPONSE, "AdmissionResponse.response", version)
    for text in response.get("warnings") or ():
        _check(text, str, "AdmissionResponse.response.warnings", "string")
    for text in (response.get("auditAnnotations") or {}).values():
        _check(text, str, "AdmissionResponse.response.auditAnnotations", "string")
    _check_fields(response.get("status") or {}, _STATUS, "Status.response.status", version)


def _check_fields(tree: Mapping[str, Any], fields: Mapping[str, tuple[type, str]], path: str, version: str) -> None:
    for field, (wanted, name) in fields.items():
        _check(tree.get(field), wanted, f"{path}.{field}", name.format(version=version))


def _check(value: Any, wanted: type, path: str, name: str) -> None:
    fits = value is None or (isinstance(value, wanted) and (wanted is not int or not isinstance(value, bool)))
    if not fits:
        raise Undecodable(f"json: cannot unmarshal {json_type(value)} into Go struct field {path} of type {name}")


def decoded(patch: str) -> bytes:
    """The bytes of a patch, which is in base64. Raises Undecodable."""
    text = patch.replace("\r", "").replace("\n", "")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        wrong = _not_base64_re.search(text)
        raise Undecodable(f"illegal base64 data at input byte {wrong.start() if wrong else len(text)}") from exc
