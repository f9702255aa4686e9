"""CertificateSigningRequests: who asks for a certificate is the requester, who approves it writes /approval.

What was allowed to be stored once stays allowed. Source: k8s.io/kubernetes/pkg/{registry,apis}/certificates.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hyperkube_apiserver.registry.differences import line_difference
from hyperkube_apiserver.registry.pemblocks import pem_blocks
from hyperkube_apiserver.registry.signernames import validate_signer_name
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, keep
from hyperkube_machinery.errors import FieldError

__all__ = ["CertificateSigningRequests"]

_USAGES = (
    *("any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment"),
    *("decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel"),
    *("ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime"),
    *("server auth", "signing", "timestamping"),
)
_SHORTEST_SECONDS = 600
_DECISIONS = ("Approved", "Denied")
_FINAL = (*_DECISIONS, "Failed")
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_CONDITION_FIELDS = ("Type", "Status", "Reason", "Message", "LastUpdateTime", "LastTransitionTime")

Conditions = Sequence[Mapping[str, Any]]


class CertificateSigningRequests(Strategy):
    revalidates_meta = True

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        return []

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        spec, user = obj["spec"], context.identity
        said: Tree = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
        said["extra"] = {key: list(values) for key, values in user.extra.items()}
        for field, value in said.items():
            if value:
                spec[field] = value
            else:
                spec.pop(field, None)
        obj["status"] = {}

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        keep(obj, old, "spec")
        if not context.subresource:
            keep(obj, old, "status")
            return
        status, before = obj.setdefault("status", {}), old.get("status") or {}
        if context.subresource == "status":
            for decision in _DECISIONS:
                _keep_conditions(status, before, decision)
        _set_times(status, before, context.now)
        if context.subresource == "approval":
            conditions = status.get("conditions")
            obj["status"] = {field: value for field, value in before.items() if field != "conditions"}
            if conditions:
                obj["status"]["conditions"] = conditions

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return _validate_request(obj, {})

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self._validate_change(obj, old, "")

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_meta(obj) + self._validate_change(obj, old, "status")

    def validate_subresource_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        return self.validate_meta(obj) + self._validate_change(obj, old, subresource)

    def _validate_change(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        errors = _validate_request(obj, old)
        errors += _validate_decisions(_conditions(obj), _conditions(old), may_decide=subresource == "approval")
        certificate, before = (tree.get("status", {}).get("certificate") or "" for tree in (obj, old))
        if before and certificate != before:
            text = "updates may not modify existing certificate content"
            errors.append(FieldError.forbidden("status.certificate", text))
        return errors


def _conditions(obj: Tree, kind: str = "") -> list[Tree]:
    conditions: list[Tree] = (obj.get("status") or {}).get("conditions") or []
    return [one for one in conditions if one.get("type") == kind] if kind else conditions


def _keep_conditions(status: Tree, before: Tree, kind: str) -> None:
    """Put back what was said of a decision; whoever signs does not decide."""
    new, old = (
        [index for index, one in enumerate(tree.get("conditions") or ()) if one.get("type") == kind]
        for tree in (status, before)
    )
    if len(new) == len(old):
        for index, former in zip(new, old, strict=True):
            status["conditions"][index] = dict(before["conditions"][former])


def _set_times(status: Tree, before: Tree, now: str) -> None:
    """Fill in when conditions were updated and when they came to be as they are."""
    for condition in status.get("conditions") or ():
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = (
                old["lastTransitionTime"]
                for old in before.get("conditions") or ()
                if old.get("lastTransitionTime")
                and all(old.get(field) == condition.get(field) for field in ("type", "status"))
            )
            condition["lastTransitionTime"] = next(same, now)


def _validate_request(obj: Tree, old: Tree) -> list[FieldError]:
    """What is wrong with `obj`; what is wrong with `old` too is let pass."""
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    errors: list[FieldError] = []
    request = spec.get("request")
    if wrong := _wrong_request(base64.b64decode(request or "")):
        errors.append(FieldError.invalid("spec.request", request, wrong))
    errors += _validate_usages(spec.get("usages") or (), before.get("usages") or ())
    signer = spec.get("signerName") or ""
    if signer == _LEGACY_SIGNER and before.get("signerName") != _LEGACY_SIGNER:
        text = "the legacy signerName is not allowed via this API version"
        errors.append(FieldError.invalid("spec.signerName", signer, text))
    else:
        errors += validate_signer_name(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_SECONDS:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(FieldError.invalid("spec.expirationSeconds", seconds, text))
    errors += _validate_conditions(_conditions(obj), _conditions(old))
    certificate, former = (base64.b64decode((tree.get("status") or {}).get("certificate") or "") for tree in (obj, old))
    checked = certificate != former and not _wrong_certificate(former)
    if checked and (wrong := _wrong_certificate(certificate)):
        errors.append(FieldError.invalid("status.certificate", "<certificate data>", wrong))
    return errors


def _validate_usages(usages: Sequence[str], before: Sequence[str]) -> list[FieldError]:
    errors = [] if usages else [FieldError.required("spec.usages")]
    if all(usage in _USAGES for usage in before):
        errors += [
            FieldError.not_supported(f"spec.usages[{index}]", usage, _USAGES)
            for index, usage in enumerate(usages)
            if usage not in _USAGES
        ]
    if len(set(before)) == len(before):
        errors += [
            FieldError.duplicate(f"spec.usages[{index}]", usage)
            for index, usage in enumerate(usages)
            if usage in usages[:index]
        ]
    return errors


def _wrong_request(text: bytes) -> str:
    blocks = pem_blocks(text)
    if not blocks or blocks[0].kind != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        request = x509.load_der_x509_csr(blocks[0].data)
        if request.is_signature_valid:
            return ""
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate request"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "x509: ECDSA verification failure"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "x509: Ed25519 verification failure"
    return "crypto/rsa: verification error"


def _wrong_certificate(text: bytes) -> str:
    if not text:
        return ""
    blocks = pem_blocks(text)
    for block in blocks:
        if block.kind != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{block.kind}"'
        if block.has_headers:
            return "no PEM block headers are permitted"
        if not block.data:
            return "found CERTIFICATE PEM block containing 0 certificates"
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError:
            return "x509: malformed certificate"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


def _validate_conditions(conditions: Conditions, before: Conditions) -> list[FieldError]:
    path = "status.conditions"
    errors: list[FieldError] = []
    types, former = ([one.get("type") or "" for one in those] for those in (conditions, before))
    may_be_empty, may_repeat = "" in former, len(set(former)) < len(former)
    may_be_both = set(_DECISIONS) <= set(former)
    for index, (condition, kind) in enumerate(zip(conditions, types, strict=True)):
        if not kind and not may_be_empty:
            errors.append(FieldError.required(f"{path}[{index}].type"))
        allowed = ("True",) if kind in _FINAL else ("False", "True", "Unknown")
        status = condition.get("status") or ""
        if not status:
            errors.append(FieldError.required(f"{path}[{index}].status"))
        elif status not in allowed:
            errors.append(FieldError.not_supported(f"{path}[{index}].status", status, allowed))
        other = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if other in types[:index] and not may_be_both:
            text = "Approved and Denied conditions are mutually exclusive"
            errors.append(FieldError.invalid(path, kind, text))
        if kind in types[:index] and not may_repeat:
            errors.append(FieldError.duplicate(f"{path}[{index}].type", kind))
    return errors


def _validate_decisions(conditions: Conditions, before: Conditions, *, may_decide: bool) -> list[FieldError]:
    """What was decided stays; only approvers decide."""
    path = "status.conditions"
    errors: list[FieldError] = []
    new, old = (
        {kind: [one for one in those if one.get("type") == kind] for kind in _FINAL} for those in (conditions, before)
    )
    for kind in _FINAL:
        if len(new[kind]) < len(old[kind]):
            errors.append(FieldError.forbidden(path, f'updates may not remove a condition of type "{kind}"'))
    for kind in () if may_decide else _DECISIONS:
        if len(new[kind]) > len(old[kind]):
            errors.append(FieldError.forbidden(path, f'updates may not add a condition of type "{kind}"'))
        elif len(new[kind]) == len(old[kind]) and new[kind] != old[kind]:
            changed = line_difference(_as_told(old[kind]), _as_told(new[kind]))
            text = f'updates may not modify a condition of type "{kind}"\n{changed}'
            errors.append(FieldError.forbidden(path, text))
    return errors


def _as_told(conditions: Conditions) -> list[Tree]:
    """Conditions as upstream's internal type has them, which has no names for JSON."""
    return [
        {
            field: one.get(field[0].lower() + field[1:]) or (None if field.endswith("Time") else "")
            for field in _CONDITION_FIELDS
        }
        for one in conditions
    ]
