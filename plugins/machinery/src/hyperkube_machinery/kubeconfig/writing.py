"""Writing a kubeconfig."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from hyperkube_machinery.encoding import encode_indented
from hyperkube_machinery.files import write_durably
from hyperkube_machinery.kubeconfig.access import Access

__all__ = ["write"]


def write(path: Path, access: Access, *, cluster: str, user: str, context: str = "") -> None:
    """Write a kubeconfig with one context for its owner alone; what `access` holds is in it, files are named.

    The context is called USER@CLUSTER unless it is told.

    It is JSON, which is YAML too: every server reads its own at its start, and importing yaml for that took a tenth of
    it.
    """
    name = context or f"{user}@{cluster}"
    told: dict[str, Any] = {"cluster": cluster, "user": user}
    if access.namespace:
        told["namespace"] = access.namespace
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": _cluster(access)}],
        "users": [{"name": user, "user": _user(access)}],
        "contexts": [{"name": name, "context": told}],
        "current-context": name,
        "preferences": {},
    }
    write_durably(path, encode_indented(document) + b"\n")


def _cluster(access: Access) -> dict[str, Any]:
    entry: dict[str, Any] = {"server": access.server}
    if access.ca_pem is not None:
        entry["certificate-authority-data"] = _encoded(access.ca_pem)
    if access.insecure:
        entry["insecure-skip-tls-verify"] = True
    if access.server_name:
        entry["tls-server-name"] = access.server_name
    return entry


def _user(access: Access) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if access.certificate_file is not None and access.key_file is not None:
        entry["client-certificate"] = str(access.certificate_file)
        entry["client-key"] = str(access.key_file)
    elif access.certificate_pem:
        entry["client-certificate-data"] = _encoded(access.certificate_pem)
        entry["client-key-data"] = _encoded(access.key_pem)
    if access.token_file is not None:
        entry["tokenFile"] = str(access.token_file)
    elif access.token:
        entry["token"] = access.token
    if access.username:
        entry |= {"username": access.username, "password": access.password}
    if access.command is not None:
        command = access.command
        entry["exec"] = {
            "apiVersion": command.api_version,
            "command": command.command,
            "args": list(command.args),
            "env": [{"name": name, "value": value} for name, value in command.env.items()],
            "installHint": command.install_hint,
            "interactiveMode": "Never",
            "provideClusterInfo": command.cluster is not None,
        }
    if access.impersonation is not None:
        whom = access.impersonation
        entry |= {"as": whom.user, "as-uid": whom.uid, "as-groups": list(whom.groups)}
        entry["as-user-extra"] = {name: list(values) for name, values in whom.extra.items()}
    return entry


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
