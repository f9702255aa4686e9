"""Where the API server is, and who the kubelet is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperkube_core import flag

__all__ = ["ServerOptions"]


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where the API server is, and who the kubelet is there."""

    kubeconfig: Path | None = flag(
        None,
        section="API server",
        metavar="file",
        help="A kubeconfig that says where the API server is, and who this is. Without it the kubelet runs the pods of"
        " --pod-manifest-path alone.",
    )
    master: str = flag(
        "",
        section="API server",
        metavar="url",
        help="The address of the API server, in place of the one in the kubeconfig. hk's own flag.",
    )
    bootstrap_kubeconfig: Path | None = flag(
        None,
        section="API server",
        metavar="file",
        help="A kubeconfig to ask for a client certificate with where --kubeconfig is not there or its certificate has"
        " ended; --kubeconfig is written then, and names the certificate, which is in --cert-dir.",
    )
    cert_dir: Path | None = flag(
        None,
        section="API server",
        metavar="folder",
        help="The folder of certificates that are asked for or made. Without it that is pki under --root-dir.",
    )
    rotate_certificates: bool = flag(
        False,
        section="API server",
        help="Ask for another client certificate before the one in --cert-dir ends.",
    )
    kube_api_qps: float = flag(50.0, section="API server", help="How many requests a second the API server is sent.")
    kube_api_burst: int = flag(100, section="API server", minimum=0, help="How many it may be sent at once.")
    event_qps: float = flag(
        50.0, section="API server", minimum=0, help="How many events a second are created; 0 for any number."
    )
    event_burst: int = flag(100, section="API server", minimum=0, help="How many events may be created at once.")
