"""What each way of writing an object leaves as it was: fields that nobody comes to own who is sent there.

The object's own path keeps the status, and the path of the status all but that. These are the exceptions.
Source: GetResetFields of the strategies in k8s.io/kubernetes/pkg/registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hyperkube_apiserver.kinds import Kind
from hyperkube_machinery.fields import LEAF, FieldSet, set_of

__all__ = ["reset_fields"]

_SPEC, _STATUS, _METADATA = ("f:spec",), ("f:status",), ("f:metadata",)

# Whose metadata a write of the status can't change.
_KEEPING_METADATA = frozenset(
    (
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("apiregistration.k8s.io", "apiservices"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("internal.apiserver.k8s.io", "storageversions"),
        ("networking.k8s.io", "servicecidrs"),
        ("resource.k8s.io", "devicetaintrules"),
        ("resource.k8s.io", "resourceclaims"),
        ("resource.k8s.io", "resourcepoolstatusrequests"),
        ("scheduling.k8s.io", "podgroups"),
        ("storage.k8s.io", "volumeattachments"),
        ("storagemigration.k8s.io", "storageversionmigrations"),
    )
)
_REQUESTS = ("certificates.k8s.io", "certificatesigningrequests")
_EXCEPTIONS: Mapping[tuple[str, str, str], tuple[tuple[str, ...], ...]] = {
    ("", "namespaces", "finalize"): (_STATUS,),
    ("", "pods", "status"): (
        _SPEC,
        ("f:metadata", "f:deletionTimestamp"),
        ("f:metadata", "f:ownerReferences"),
    ),
    ("apps", "deployments", "status"): (_SPEC, ("f:metadata", "f:labels")),
    ("certificates.k8s.io", "podcertificaterequests", ""): (),
    (*_REQUESTS, ""): (_SPEC, _STATUS),
    (*_REQUESTS, "status"): (_SPEC, ("f:status", "f:conditions")),
    (*_REQUESTS, "approval"): (_SPEC, ("f:status", "f:certificate")),
}


def reset_fields(kind: Kind, subresource: str) -> FieldSet:
    """The fields that a write of an object of `kind`, or through a subresource of it, does not change."""
    resource = kind.resource
    return _reset_fields(resource.group, resource.resource, subresource, kind.subresource("status") is not None)


@cache
def _reset_fields(group: str, resource: str, subresource: str, has_status: bool) -> FieldSet:
    exception = _EXCEPTIONS.get((group, resource, subresource))
    if exception is not None:
        return set_of(*exception)
    if not subresource:
        return set_of(_STATUS) if has_status else LEAF
    if subresource != "status":
        return LEAF
    return set_of(_SPEC, _METADATA) if (group, resource) in _KEEPING_METADATA else set_of(_SPEC)
