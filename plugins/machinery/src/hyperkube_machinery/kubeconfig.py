"""Kubeconfig files: writing one, and reading what a client needs to reach its cluster.

Source: k8s.io/client-go/tools/clientcmd/api/v1/types.go
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperkube_machinery import tls
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.files import write_durably

__all__ = ["Access", "KubeconfigError", "read", "write"]


class KubeconfigError(Exception):
    """A kubeconfig can't be used; the message names the file and what is wrong in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a cluster is, and who the client is there."""

    server: str  # https://127.0.0.1:6443
    ca_pem: bytes | None = None  # None: the system's authorities
    insecure: bool = False  # take any certificate the server shows
    server_name: str = ""  # to expect in that certificate, rather than the one in `server`
    certificate_pem: bytes = b""
    key_pem: bytes = b""
    token: str = ""
    namespace: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """Raises CertificateError."""
        context = tls.client_context(ca_pem=self.ca_pem, certificate_pem=self.certificate_pem, key_pem=self.key_pem)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def write(path: Path, access: Access, *, cluster: str, user: str) -> None:
    """Write a kubeconfig with one context, everything in it, for its owner alone."""
    cluster_entry: dict[str, Any] = {"server": access.server}
    if access.ca_pem is not None:
        cluster_entry["certificate-authority-data"] = _encoded(access.ca_pem)
    if access.insecure:
        cluster_entry["insecure-skip-tls-verify"] = True
    if access.server_name:
        cluster_entry["tls-server-name"] = access.server_name
    user_entry: dict[str, Any] = {}
    if access.certificate_pem:
        user_entry["client-certificate-data"] = _encoded(access.certificate_pem)
        user_entry["client-key-data"] = _encoded(access.key_pem)
    if access.token:
        user_entry["token"] = access.token
    context: dict[str, Any] = {"cluster": cluster, "user": user}
    if access.namespace:
        context["namespace"] = access.namespace
    name = f"{user}@{cluster}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": cluster_entry}],
        "users": [{"name": user, "user": user_entry}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
        "preferences": {},
    }
    write_durably(path, ("\n".join(_yaml_lines(document)) + "\n").encode())


def _yaml_lines(value: Any) -> Iterator[str]:
    """Mappings and lists in YAML's block style, all else as JSON, which is YAML.

    Every start writes a kubeconfig, and importing yaml for that took a tenth of it.
    """
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            lines = list(_yaml_lines(inner))
            if isinstance(inner, dict) and inner:
                yield f"{key}:"
                yield from (f"  {line}" for line in lines)
            elif isinstance(inner, list) and inner:
                yield f"{key}:"
                yield from lines
            else:
                yield f"{key}: {lines[0]}"
    elif isinstance(value, list) and value:
        for item in value:
            first, *others = _yaml_lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield encode(value).decode()


def read(path: Path, *, context: str = "") -> Access:
    """What `context`, or the current one, says. Raises KubeconfigError."""
    return _Reader(path).access(context)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        import yaml  # takes a tenth of a server's start, and not every server reads one

        try:
            document = yaml.safe_load(path.read_bytes())
        except OSError as exc:
            raise self._error(f"cannot be read ({exc.strerror})") from exc
        except yaml.YAMLError as exc:
            raise self._error(f"is not YAML ({exc})") from exc
        if not isinstance(document, dict) or document.get("kind") not in ("Config", None):
            raise self._error("is not a kubeconfig")
        self._document = document

    def access(self, name: str) -> Access:
        name = name or self._text(self._document, "current-context")
        if not name:
            raise self._error("has no current-context; name one")
        context = self._entry("contexts", "context", name)
        cluster = self._entry("clusters", "cluster", self._text(context, "cluster"))
        user_name = self._text(context, "user")
        user = self._entry("users", "user", user_name) if user_name else {}
        for unsupported in ("exec", "auth-provider", "username"):
            if user.get(unsupported):
                raise self._error(
                    f"user {user_name!r} has {unsupported}, which is not supported; use a certificate or token"
                )
        server = self._text(cluster, "server")
        if not server:
            raise self._error(f"cluster {self._text(context, 'cluster')!r} has no server")
        return Access(
            server=server,
            ca_pem=self._data(cluster, "certificate-authority"),
            insecure=cluster.get("insecure-skip-tls-verify") is True,
            server_name=self._text(cluster, "tls-server-name"),
            certificate_pem=self._data(user, "client-certificate") or b"",
            key_pem=self._data(user, "client-key") or b"",
            token=self._token(user),
            namespace=self._text(context, "namespace"),
        )

    def _entry(self, plural: str, singular: str, name: str) -> Mapping[str, Any]:
        entries = self._document.get(plural) or []
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("name") == name:
                found = entry.get(singular) or {}
                if isinstance(found, dict):
                    return found
        raise self._error(f"has no {singular} {name!r}")

    def _data(self, entry: Mapping[str, Any], key: str) -> bytes | None:
        """Inline data, which goes before a file's."""
        if inline := self._text(entry, f"{key}-data"):
            try:
                return base64.b64decode(inline, validate=True)
            except binascii.Error as exc:
                raise self._error(f"{key}-data is not base64 ({exc})") from exc
        if named := self._text(entry, key):
            return self._file(named, key)
        return None

    def _token(self, user: Mapping[str, Any]) -> str:
        """The file's, which goes before the inline one, since it is renewed."""
        if named := self._text(user, "tokenFile"):
            return self._file(named, "tokenFile").decode("utf-8", "replace").strip()
        return self._text(user, "token")

    def _file(self, named: str, key: str) -> bytes:
        file = self._path.parent / named  # as it is where `named` is absolute
        try:
            return file.read_bytes()
        except OSError as exc:
            raise self._error(f"{key}: cannot read {file} ({exc.strerror})") from exc

    def _text(self, entry: Mapping[str, Any], key: str) -> str:
        value = entry.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._error(f"{key} must be a string, not {value!r}")
        return value

    def _error(self, message: str) -> KubeconfigError:
        return KubeconfigError(f"{self._path}: {message}")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
