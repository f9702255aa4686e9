"""CertificateSigningRequests: where they stand, and when they are of no more use. Pure.

Source: k8s.io/kubernetes/pkg/controller/certificates, cleaner/cleaner.go.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509

from hyperkube_machinery import meta, timestamps

__all__ = ["APPROVED", "DENIED", "FAILED", "certificate_of", "is_decided", "outlived", "request_of", "with_condition"]

Tree = Mapping[str, Any]

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"

_DONE_SECONDS = 3600.0
_PENDING_SECONDS = 24 * 3600.0


def request_of(csr: Tree) -> bytes:
    """What is asked for, in PEM."""
    return base64.b64decode(csr["spec"].get("request") or "")


def certificate_of(csr: Tree) -> bytes:
    """What was issued, in PEM; empty before."""
    return base64.b64decode((csr.get("status") or {}).get("certificate") or "")


def conditions(csr: Tree, *kinds: str) -> Sequence[Tree]:
    listed = (csr.get("status") or {}).get("conditions") or ()
    return [one for one in listed if not kinds or one.get("type") in kinds]


def is_decided(csr: Tree, *kinds: str) -> bool:
    """Whether one of the conditions is there."""
    return bool(conditions(csr, *kinds))


def with_condition(csr: Tree, kind: str, reason: str, message: str) -> dict[str, Any]:
    """The request with one condition more."""
    status = dict(csr.get("status") or {})
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {**csr, "status": {**status, "conditions": [*(status.get("conditions") or ()), condition]}}


def outlived(csr: Tree, now: float) -> str:
    """Why a request may go; "" while it is of use."""
    issued = certificate_of(csr)
    if issued and any(_older(one, now, _DONE_SECONDS) for one in conditions(csr, APPROVED)):
        return "its certificate was issued more than an hour ago"
    if any(_older(one, now, _DONE_SECONDS) for one in conditions(csr, DENIED, FAILED)):
        return "it was denied or failed more than an hour ago"
    if not conditions(csr) and now - timestamps.parse(str(meta.metadata(csr)["creationTimestamp"])) > _PENDING_SECONDS:
        return "nobody has decided on it for more than a day"
    if not issued and any(_older(one, now, _PENDING_SECONDS) for one in conditions(csr, APPROVED)):
        return "nobody has signed it for more than a day"
    if issued and is_decided(csr, APPROVED) and _expired(issued, now):
        return "its certificate has expired"
    return ""


def _older(condition: Tree, now: float, seconds: float) -> bool:
    updated: str = condition.get("lastUpdateTime") or ""
    return bool(updated) and now - timestamps.parse(updated) > seconds


def _expired(pem: bytes, now: float) -> bool:
    try:
        return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc.timestamp() < now
    except ValueError:
        return False  # somebody else's format
