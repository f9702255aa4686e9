"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may have certificates made.

Source: k8s.io/kubernetes/plugin/pkg/admission/certificates, k8s.io/kubernetes/pkg/apis/certificates/authorization.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.certificaterequests import BadCertificateRequest, read_request
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, Plugin, Waiting
from hyperkube_apiserver.authz import PromptAuthorizer, ResourceAttributes
from hyperkube_apiserver.authz.forbidden import quote
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.identity import MASTERS

__all__ = ["CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction"]

_GROUP = "certificates.k8s.io"
_REQUESTS = f"certificatesigningrequests.{_GROUP}"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"

Tree = dict[str, Any]


def _require(plugin: Plugin, attributes: Attributes, verb: str) -> Waiting:
    """Raise 403 unless the user may do that for the signer of a request, or for all of its domain."""
    signer = _signer(attributes.old)
    questions = [
        ResourceAttributes(verb=verb, group=_GROUP, resource="signers", name=name)
        for name in (signer, signer.partition("/")[0] + "/*")
    ]

    def check(authorizer: PromptAuthorizer) -> None:
        if not any(authorizer.authorize(attributes.identity, question).allowed for question in questions):
            raise forbidden(attributes, f"user not permitted to {verb} requests with signerName {quote(signer)}")

    return plugin.cluster.deciding(check)


def _signer(obj: Tree | None) -> str:
    return str(((obj or {}).get("spec") or {}).get("signerName") or "")


class CertificateApproval(Plugin):
    """Requests are approved by those who may approve for their signer."""

    operations = UPDATE
    about = (f"{_REQUESTS}/approval",)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for others."""
        return _require(self, attributes, "approve")


class CertificateSigning(Plugin):
    """Certificates are put into requests by those who may sign as their signer."""

    operations = UPDATE
    about = (f"{_REQUESTS}/status",)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for others that change the certificate or the conditions."""
        now, before = ((one or {}).get("status") or {} for one in (attributes.obj, attributes.old))
        if all((now.get(field) or None) == (before.get(field) or None) for field in ("certificate", "conditions")):
            return None
        return _require(self, attributes, "sign")


class CertificateSubjectRestriction(Plugin):
    """Nobody asks for a client certificate that makes its owner a member of system:masters."""

    operations = CREATE
    about = (_REQUESTS,)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for such a request."""
        if _signer(attributes.obj) != _CLIENT_SIGNER:
            return None
        assert attributes.obj is not None
        try:
            request = read_request(attributes.obj["spec"].get("request") or "")
        except BadCertificateRequest as exc:
            raise forbidden(attributes, f"failed to parse CSR: {exc}") from exc
        if MASTERS in request.organizations:
            why = f"use of {_CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
            raise forbidden(attributes, why)
        return None
