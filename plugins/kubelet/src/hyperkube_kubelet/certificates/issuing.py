"""Asking for a certificate: a request to the API server, which others approve and sign.

Source: k8s.io/client-go/util/certificate/csr.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hyperkube_machinery import meta
from hyperkube_machinery.builtin import CERTIFICATE_SIGNING_REQUESTS
from hyperkube_machinery.certificaterequests import BadRequest, made_request, read_request
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import NODES
from hyperkube_machinery.tls import PrivateKey

__all__ = ["NotIssued", "Wanted", "issued"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_AGAIN_SECONDS = 1.0


class NotIssued(Exception):
    """No certificate will come of the request; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a certificate is to say, and whose signature it needs."""

    node: str
    signer: str
    usage: str  # client auth, server auth
    names: tuple[str, ...] = ()  # DNS names and IP addresses

    @property
    def common_name(self) -> str:
        return f"system:node:{self.node}"

    def usages(self, key: PrivateKey) -> Sequence[str]:
        encipherment = ["key encipherment"] if isinstance(key, rsa.RSAPrivateKey) else []
        return ["digital signature", *encipherment, self.usage]


async def issued(
    client: Client, clock: Clock, wanted: Wanted, key: PrivateKey, *, again: bool = False, seconds: float
) -> bytes:
    """The certificate (PEM) for `key`, once it is issued.

    `again`: whether a request for this key may have been made before, so that it is found by its name. Raises
    NotIssued, TimeoutError after so many seconds, APIError and ClientError.
    """
    csr = await _requested(client, wanted, key, name=_digest(wanted, key) if again else "")
    log.info("the certificate request %s waits for approval and signature", meta.name(csr))
    return await within(clock, seconds, _certificate(client, clock, meta.name(csr), meta.uid(csr)))


async def _requested(client: Client, wanted: Wanted, key: PrivateKey, *, name: str) -> Tree:
    pem = made_request(key, wanted.common_name, (NODES,), wanted.names)
    csr = {
        "apiVersion": CERTIFICATE_SIGNING_REQUESTS.api_version,
        "kind": CERTIFICATE_SIGNING_REQUESTS.kind,
        "metadata": {"name": name} if name else {"generateName": "csr-"},
        "spec": {
            "request": base64.b64encode(pem).decode("ascii"),
            "signerName": wanted.signer,
            "usages": list(wanted.usages(key)),
        },
    }
    try:
        return await client.create(CERTIFICATE_SIGNING_REQUESTS, csr)
    except APIError as exc:
        if exc.reason != "AlreadyExists" or not name:
            raise
    there = await client.get(CERTIFICATE_SIGNING_REQUESTS, name)
    if not _is_for(there, wanted, key):
        raise NotIssued(f"there is a certificate request {name} already, for something else")
    return there


def _is_for(csr: Tree, wanted: Wanted, key: PrivateKey) -> bool:
    try:
        asked = read_request(base64.b64decode(csr["spec"].get("request") or ""))
    except (BadRequest, ValueError):
        return False
    same_key = asked.request.public_key() == key.public_key()
    return same_key and asked.common_name == wanted.common_name and csr["spec"].get("signerName") == wanted.signer


def _digest(wanted: Wanted, key: PrivateKey) -> str:
    """The name of the request for this key, whoever asks. Source: digestedName in pkg/kubelet/certificate/bootstrap"""
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.new("sha512_256")
    for part in (public, wanted.common_name.encode(), NODES.encode(), *map(str.encode, wanted.usages(key))):
        digest.update(_base64url(part) + b"|")
    return f"node-csr-{_base64url(digest.digest()).decode('ascii')}"


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


async def _certificate(client: Client, clock: Clock, name: str, uid: str) -> bytes:
    """Follow a request until its certificate is there."""
    while True:
        try:
            # From no version in particular, so that what is there comes first.
            async for event in client.watch(CERTIFICATE_SIGNING_REQUESTS, fields=f"metadata.name={name}"):
                if event.type == "DELETED":
                    raise NotIssued(f"the certificate request {name} was deleted")
                if event.type in ("ADDED", "MODIFIED") and (pem := _outcome(event.object, name, uid)):
                    return pem
        except (APIError, ClientError) as exc:
            if isinstance(exc, APIError) and exc.code == 401:
                raise  # whoever asks is nobody any more
            log.info("the certificate request %s can't be followed just now: %s", name, exc)
        await clock.sleep(_AGAIN_SECONDS)


def _outcome(csr: Tree, name: str, uid: str) -> bytes:
    """The certificate, empty before there is one. Raises NotIssued."""
    if meta.uid(csr) != uid:
        raise NotIssued(f"the certificate request {name} was replaced by another")
    status = csr.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    for kind, verb in (("Denied", "is denied"), ("Failed", "failed")):
        if (one := conditions.get(kind)) is not None:
            why = f"reason: {one.get('reason') or ''}, message: {one.get('message') or ''}"
            raise NotIssued(f"certificate signing request {verb}, {why}")
    return base64.b64decode(status.get("certificate") or "") if "Approved" in conditions else b""
