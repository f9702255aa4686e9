"""What a client needs to reach its cluster."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperkube_machinery import tls

__all__ = ["Access", "ExecCommand", "Impersonation", "KubeconfigError"]


class KubeconfigError(Exception):
    """A kubeconfig can't be used; the message names the file and what is wrong in it, and holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecCommand:
    """A command that tells credentials. Source: k8s.io/client-go/tools/clientcmd/api/v1, ExecConfig"""

    api_version: str  # client.authentication.k8s.io/v1 or …/v1beta1
    command: str  # an absolute path, or a name to be looked for
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # beside the process's own
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None  # to be told to it, as `spec.cluster`


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """Whom to act as."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a cluster is, and who the client is there.

    Files that are named here are read again by and by, for their content is renewed; what is beside them is what they
    held at first.
    """

    server: str  # https://127.0.0.1:6443
    ca_pem: bytes | None = None  # None: the system's authorities
    insecure: bool = False  # take any certificate the server shows
    server_name: str = ""  # to expect in that certificate, rather than the one in `server`
    certificate_pem: bytes = b""
    key_pem: bytes = field(default=b"", repr=False)
    certificate_file: Path | None = None
    key_file: Path | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    command: ExecCommand | None = None
    impersonation: Impersonation | None = None
    namespace: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """Raises CertificateError."""
        return tls.client_context(
            ca_pem=self.ca_pem,
            certificate_pem=self.certificate_pem,
            key_pem=self.key_pem,
            trusts_anybody=self.insecure,
        )
