"""Credentials of registries, as `docker login` writes them and secrets hold them, and which of them fit an image.

Source: k8s.io/kubernetes/pkg/credentialprovider (config.go, keyring.go) and its secrets package.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hyperkube_kubelet.runtime.values import Credentials

__all__ = [
    "Account",
    "Credential",
    "Entry",
    "Keyring",
    "Secret",
    "matches",
    "node_entries",
    "read_entries",
    "secret_entries",
]

_DEFAULT_HOST = "index.docker.io"
_MOST_BYTES = 10 << 20
DOCKER_CONFIG_JSON, DOCKERCFG = "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"


@dataclass(frozen=True, slots=True)
class Secret:
    """The secret that credentials are from."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Account:
    """The service account that credentials were got for."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Credential:
    """Credentials, and where they are from; None: from the node, for all of its pods."""

    credentials: Credentials
    source: Secret | Account | None = None

    @property
    def hash(self) -> str:
        """Tells them from others without telling them. Source: hashAuthConfig, whose JSON has these fields."""
        own = {"username": self.credentials.username, "password": self.credentials.password}
        text = json.dumps({name: value for name, value in own.items() if value}, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """Credentials for what is at a place: a host, or a host and the beginning of a path."""

    place: str
    credential: Credential


class Keyring:
    """Credentials by place, the most specific first."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_place: dict[str, list[Credential]] = {}
        for entry in entries:
            place = _place(entry.place)
            if place is not None:
                self._by_place.setdefault(place, []).append(entry.credential)

    def lookup(self, repository: str) -> list[Credential]:
        """What `repository`, without a tag, may be pulled with, in the order to be tried."""
        found: list[Credential] = []
        for place in sorted(self._by_place, reverse=True):
            if matches(place, repository):
                found += self._by_place[place]
        if not found and _is_default(repository):
            found = self._by_place.get(_DEFAULT_HOST, [])
        return found


def _place(text: str) -> str | None:
    """The host and the path that a key of a file means; /v1/ and /v2/ are no part of it."""
    try:
        parts = urlsplit(text if text.startswith(("http://", "https://")) else f"https://{text}")
        host = parts.netloc
    except ValueError:
        return None  # one bad entry is not the others'
    path = parts.path[3:] if parts.path.startswith(("/v1/", "/v2/")) else parts.path
    return host if path in ("", "/") else host + path


def _is_default(repository: str) -> bool:
    first, slash, _ = repository.partition("/")
    if not first:
        return False
    return not slash or first in ("docker.io", _DEFAULT_HOST) or not re.search("[.:]", first)


def matches(pattern: str, repository: str) -> bool:
    """Whether an image is at a place: each part of the host may have wildcards, the path is a beginning of its own."""
    wanted_host, wanted_port, wanted_path = _split(pattern)
    host, port, path = _split(repository)
    if wanted_port != port or len(wanted_host) != len(host) or not path.startswith(wanted_path):
        return False
    return all(re.fullmatch(translate(one), other) for one, other in zip(wanted_host, host, strict=True))


def _split(place: str) -> tuple[list[str], str, str]:
    authority, slash, path = place.partition("/")
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority, ""
    return host.split("."), port, slash + path


def read_entries(data: bytes, *, legacy: bool, source: Secret | None = None) -> list[Entry]:
    """The entries of a config.json, or with `legacy` of a .dockercfg. Raises ValueError, which tells none of it."""
    try:
        document = json.loads(data)
        auths = document if legacy else document.get("auths") or {}
        return [Entry(place, Credential(_credentials(auth), source)) for place, auth in auths.items()]
    except (ValueError, AttributeError, TypeError) as exc:
        kind = ".dockercfg" if legacy else "config.json"
        raise ValueError(f"it is no {kind} that holds credentials of registries") from exc


def _credentials(auth: Mapping[str, Any]) -> Credentials:
    username, password = str(auth.get("username") or ""), str(auth.get("password") or "")
    if encoded := auth.get("auth"):
        username, password = _decoded(str(encoded))
    return Credentials(username=username, password=password)


def _decoded(auth: str) -> tuple[str, str]:
    """With padding or without. Raises ValueError."""
    try:
        text = base64.b64decode(auth + "=" * (-len(auth) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise ValueError("unable to parse auth field") from exc
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("unable to parse auth field, must be formatted as base64(username:password)")
    return username, password


def secret_entries(secrets: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries of secrets that hold credentials; others are passed over. Raises ValueError for a broken one."""
    found: list[Entry] = []
    for secret in secrets:
        meta, data = secret["metadata"], secret.get("data") or {}
        source = Secret(meta.get("uid", ""), meta.get("namespace", ""), meta["name"])
        for kind, key, legacy in ((DOCKER_CONFIG_JSON, ".dockerconfigjson", False), (DOCKERCFG, ".dockercfg", True)):
            if secret.get("type") == kind and data.get(key):
                try:
                    found += read_entries(base64.b64decode(data[key]), legacy=legacy, source=source)
                except ValueError as exc:
                    raise ValueError(f"secret {source.namespace}/{source.name}: {exc}") from exc
    return found


def node_entries(folders: Sequence[Path]) -> list[Entry]:
    """The node's own: of the first config.json that can be read in `folders` and the usual places, else .dockercfg.

    Source: ReadDockerConfigFile.
    """
    home = Path.home()
    for name, places in (
        ("config.json", (*folders, home / ".docker", Path("/.docker"))),
        (".dockercfg", (*folders, home, Path("/"))),
    ):
        for place in places:
            try:
                with (place / name).open("rb") as file:
                    return read_entries(file.read(_MOST_BYTES), legacy=name == ".dockercfg")
            except (OSError, ValueError):
                continue
    return []
