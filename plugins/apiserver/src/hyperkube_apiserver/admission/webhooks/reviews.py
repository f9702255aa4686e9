"""What a webhook is asked, and what its answer says.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook/{request,errors}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_apiserver.admission.requests import request_tree
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.admission.webhooks.decoding import check_types, decoded
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.errors import APIError, failure

__all__ = ["JSON_PATCH", "Answer", "BadAnswer", "read_answer", "refusal", "review", "review_version"]

Tree = dict[str, Any]

_GROUP = "admission.k8s.io"
_KIND = "AdmissionReview"
_VERSIONS = ("v1", "v1beta1")
_LOWEST_CODE = 400
JSON_PATCH = "JSONPatch"


class BadAnswer(Exception):
    """An answer is no review of the right version; the text is upstream's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A webhook's verdict."""

    allowed: bool
    status: Tree | None = None
    patch: bytes = b""
    patch_type: str = ""
    warnings: Sequence[str] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def review_version(versions: Sequence[str]) -> str:
    """The version of the review that a webhook is sent, the first it names that there is. Raises BadAnswer."""
    for version in versions:
        if version in _VERSIONS:
            return version
    raise BadAnswer("webhook does not accept known AdmissionReview versions (v1, v1beta1)")


def review(attributes: Attributes, target: Target, version: str, uid: str, obj: Tree | None, old: Tree | None) -> Tree:
    """The question: `obj` and `old` are of the version of `target`."""
    request = {"uid": uid, **request_tree(attributes, target), "object": obj, "oldObject": old}
    return {"kind": _KIND, "apiVersion": f"{_GROUP}/{version}", "request": request}


def read_answer(tree: Tree, version: str, uid: str, *, mutating: bool) -> Answer:
    """What is answered to a review. Raises BadAnswer, and Undecodable for what is of wrong types."""
    check_types(tree, version)
    response = tree.get("response")
    if response is None:
        raise BadAnswer("webhook response was absent")
    patch, patch_type = decoded(response.get("patch") or ""), response.get("patchType")
    if version == "v1":
        _check(tree, response, uid)
        _check_patch(patch, patch_type, mutating=mutating)
    elif mutating:
        patch_type = JSON_PATCH
    return Answer(
        allowed=bool(response.get("allowed")),
        status=response.get("status"),
        patch=patch if mutating else b"",
        patch_type=patch_type or "",
        warnings=response.get("warnings") or (),
        annotations=response.get("auditAnnotations") or {},
    )


def _check(tree: Tree, response: Tree, uid: str) -> None:
    found = response.get("uid") or ""
    if found != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{found}"')
    kind, api_version = tree.get("kind") or "", tree.get("apiVersion") or ""
    if (kind, api_version) != (_KIND, f"{_GROUP}/v1"):
        group, _, version = api_version.rpartition("/")
        wanted = f"{_GROUP}/v1, Kind={_KIND}"
        raise BadAnswer(f"expected webhook response of {wanted}, got {group}/{version}, Kind={kind}")


def _check_patch(patch: bytes, patch_type: str | None, *, mutating: bool) -> None:
    if not mutating:
        if patch:
            raise BadAnswer("validating webhook may not return response.patch")
        if patch_type is not None:
            raise BadAnswer("validating webhook may not return response.patchType")
        return
    if patch and patch_type is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if not patch and patch_type is not None:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    if patch_type == "":
        raise BadAnswer('webhook returned invalid response.patchType of ""')


def refusal(name: str, status: Tree | None) -> APIError:
    """What a client is told where the webhook called `name` says no."""
    told = dict(status or {})
    denied = f'admission webhook "{name}" denied the request'
    why = told.get("message") or told.get("reason")
    code = told.get("code") or 0
    made = failure(
        code if code >= _LOWEST_CODE else _LOWEST_CODE,
        told.get("reason") or "",
        f"{denied}: {why}" if why else f"{denied} without explanation",
        told.get("details"),
    )
    if told.get("metadata"):
        made["metadata"] = told["metadata"]
    return APIError(made)
