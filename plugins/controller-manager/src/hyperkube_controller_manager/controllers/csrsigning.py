"""Certificate signing: the four signers of Kubernetes' own, each with its authority.

The files of an authority are read for each request, so that a renewed one counts from then on.
Source: k8s.io/kubernetes/pkg/controller/certificates/signer.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.options import Options
from hyperkube_controller_manager.signingrequests import (
    APPROVED,
    DENIED,
    FAILED,
    certificate_of,
    is_decided,
    request_of,
    with_condition,
)
from hyperkube_core import SettingsError
from hyperkube_machinery import meta, tls
from hyperkube_machinery.builtin import CERTIFICATE_SIGNING_REQUESTS
from hyperkube_machinery.certificaterequests import (
    KUBELET_CLIENT,
    KUBELET_SERVING,
    BadRequest,
    CertificateRequest,
    read_request,
    sign,
)
from hyperkube_machinery.controller import Controller

__all__ = ["run", "seconds_granted"]

Tree = Mapping[str, Any]

CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"
_LEAST_SECONDS = 600.0


def _check_client(_: CertificateRequest, usages: Collection[str]) -> None:
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            raise BadRequest(f"invalid usage for client certificate: {usage}")
    if "client auth" not in usages:
        raise BadRequest("missing required usage for client certificate: client auth")


_CHECKS: Mapping[str, Callable[[CertificateRequest, Collection[str]], None]] = {
    KUBELET_SERVING: CertificateRequest.check_kubelet_serving,
    KUBELET_CLIENT: CertificateRequest.check_kubelet_client,
    CLIENT: _check_client,
    LEGACY: lambda asked, usages: None,
}


def seconds_granted(asked: int | None, most: float) -> float:
    """How long a certificate is good, if its requester asks for so long."""
    return most if asked is None else max(min(float(asked), most), min(_LEAST_SECONDS, most))


async def run(context: ControllerContext) -> None:
    """Serve until cancelled. Raises SettingsError for authorities that can't be used."""
    options, clock = context.options, context.clock
    authorities = {signer: files for signer, files in _authorities(options).items() if files is not None}
    for certificate, key in authorities.values():
        await asyncio.to_thread(_loaded, certificate, key)
    if not authorities:
        await context.synced()
        await asyncio.get_running_loop().create_future()  # there is nothing to sign with
    requests = context.informers.of(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(name: str) -> None:
        csr = requests.get(name)
        if csr is None or not is_decided(csr, APPROVED) or is_decided(csr, DENIED, FAILED) or certificate_of(csr):
            return
        spec = csr["spec"]
        files = authorities.get(spec.get("signerName") or "")
        if files is None:
            return
        asked, usages = read_request(request_of(csr)), spec.get("usages") or ()
        try:
            _CHECKS[spec["signerName"]](asked, usages)
        except BadRequest as exc:
            failed = with_condition(csr, FAILED, "SignerValidationFailure", str(exc))
            await context.client.replace(CERTIFICATE_SIGNING_REQUESTS, failed, subresource="status")
            return
        ca = await asyncio.to_thread(tls.load, *files)
        granted = seconds_granted(spec.get("expirationSeconds"), options.cluster_signing_duration)
        pem = sign(ca, asked, usages, seconds=granted, now=clock.now())
        encoded = base64.b64encode(pem).decode("ascii")
        signed = {**csr, "status": {**(csr.get("status") or {}), "certificate": encoded}}
        await context.client.replace(CERTIFICATE_SIGNING_REQUESTS, signed, subresource="status")

    controller = Controller(context.name, reconcile, clock=clock, workers=5, metrics=context.metrics)
    requests.on_change(lambda _, new: controller.queue.add(meta.name(new)) if new is not None else None)
    await context.synced()
    await controller.run()


def _authorities(options: Options) -> Mapping[str, tuple[Path, Path] | None]:
    """Certificate and key of each signer's authority; None where it has none."""
    own = {
        KUBELET_SERVING: (
            options.cluster_signing_kubelet_serving_cert_file,
            options.cluster_signing_kubelet_serving_key_file,
        ),
        KUBELET_CLIENT: (
            options.cluster_signing_kubelet_client_cert_file,
            options.cluster_signing_kubelet_client_key_file,
        ),
        CLIENT: (
            options.cluster_signing_kube_apiserver_client_cert_file,
            options.cluster_signing_kube_apiserver_client_key_file,
        ),
        LEGACY: (
            options.cluster_signing_legacy_unknown_cert_file,
            options.cluster_signing_legacy_unknown_key_file,
        ),
    }
    shared = options.cluster_signing_cert_file, options.cluster_signing_key_file
    return {signer: _pair(*(shared if shared[0] is not None else files)) for signer, files in own.items()}


def _pair(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    return (certificate, key) if certificate is not None and key is not None else None


def _loaded(certificate: Path, key: Path) -> None:
    try:
        tls.load(certificate, key)
    except tls.CertificateError as exc:
        name = "cluster-signing-cert-file"
        raise SettingsError(name, "flags --cluster-signing-*-file", str(exc)) from exc
