"""Where registries are, and whom they are believed by.

A registry is found at the host that a reference begins with, by TLS with the system's authorities; on loopback it is
spoken to in plain HTTP, and nowhere else. A folder with a folder for each registry says otherwise, in the files that
containerd and Docker read:

    FOLDER/HOST/hosts.toml    server, mirrors in their order, each with its ca
    FOLDER/HOST/*.crt         authorities, where there is no hosts.toml
    FOLDER/_default/          for registries without a folder

Source: containerd's docs/hosts.md.
"""

from __future__ import annotations

import ipaddress
import ssl
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hyperkube_kubelet.images.errors import InvalidRegistries
from hyperkube_machinery.exchange import Peer

__all__ = ["Endpoint", "Registries", "is_loopback", "peer_of"]

_HOSTS = {"docker.io": "registry-1.docker.io"}
_ANY = "_default"
_API = "/v2"
_UNUSED = ("skip_verify", "client", "header", "dial_timeout")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place that images of a registry can be had from."""

    peer: Peer
    prefix: str = _API  # of paths
    namespace: str = ""  # of a mirror: the registry that it stands for

    @property
    def url(self) -> str:
        shown = self.peer.authority
        if self.peer.port == (443 if self.peer.tls else 80):
            shown = shown.rpartition(":")[0]
        return f"{self.peer.scheme}://{shown}{self.prefix}"


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and can be no other."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def peer_of(url: str, tls: ssl.SSLContext) -> tuple[Peer, str]:
    """Whom a URL means, and the path in it. Raises InvalidRegistries for one that is neither safe nor loopback."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise InvalidRegistries(f'"{url}" has no port that is a number') from exc
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidRegistries(f'"{url}" is no URL such as https://registry.example.com')
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidRegistries(f'"{url}" is plain HTTP, which is for loopback alone: have it serve TLS')
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        return Peer(host, port or 80), path
    return Peer(host, port or 443, tls), path


class Registries:
    """The registries that images are pulled from."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is read each time a registry is asked for, and may change."""
        self._folder = folder
        self._system: ssl.SSLContext | None = None

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts the system's authorities."""
        if self._system is None:
            self._system = ssl.create_default_context()
        return self._system

    def endpoints(self, domain: str) -> list[Endpoint]:
        """Where to ask for images of `domain`, in this order; the last one is the registry itself.

        Raises InvalidRegistries.
        """
        folder = self._folder_of(domain)
        if folder is None:
            return [self._plain(domain, self.tls)]
        file = folder / "hosts.toml"
        if not file.exists():
            own = sorted(folder.glob("*.crt"))
            return [self._plain(domain, self._trusting(own) if own else self.tls, secure=bool(own))]
        try:
            document = tomllib.loads(file.read_text("utf-8"))
            return self._told(domain, document, folder)
        except (OSError, UnicodeError, tomllib.TOMLDecodeError) as exc:
            raise InvalidRegistries(f"{file} can't be read: {exc}") from exc
        except InvalidRegistries as exc:
            raise InvalidRegistries(f"{file}: {exc}") from exc

    def _folder_of(self, domain: str) -> Path | None:
        if self._folder is None:
            return None
        found = (self._folder / name for name in (domain, domain.replace(":", "_"), _ANY))
        return next((folder for folder in found if folder.is_dir()), None)

    def _plain(self, domain: str, tls: ssl.SSLContext, *, secure: bool = False) -> Endpoint:
        authority = _HOSTS.get(domain, domain)
        host = urlsplit(f"//{authority}").hostname or ""
        scheme = "http" if is_loopback(host) and not secure else "https"
        return Endpoint(peer_of(f"{scheme}://{authority}", tls)[0])

    def _told(self, domain: str, document: Mapping[str, Any], folder: Path) -> list[Endpoint]:
        found = []
        for url, settings in (document.get("host") or {}).items():
            if not isinstance(settings, Mapping):
                raise InvalidRegistries(f'host."{url}" is no table')
            if "pull" in settings.get("capabilities", ["pull", "resolve"]):
                found.append(self._endpoint(url, settings, folder, namespace=domain))
        if server := document.get("server"):
            found.append(self._endpoint(str(server), document, folder))
        else:
            found.append(self._plain(domain, self.tls))
        return found

    def _endpoint(self, url: str, settings: Mapping[str, Any], folder: Path, *, namespace: str = "") -> Endpoint:
        unused = [name for name in _UNUSED if settings.get(name)]
        if unused:
            raise InvalidRegistries(f"{unused[0]} of {url} is not supported: name the authority in ca")
        given = settings.get("ca") or ()
        files = [given] if isinstance(given, str) else [str(name) for name in given]
        tls = self._trusting([folder / name for name in files]) if files else self.tls
        peer, path = peer_of(url, tls)
        path = path.rstrip("/")
        return Endpoint(peer, path if settings.get("override_path") else path.removesuffix(_API) + _API, namespace)

    def _trusting(self, files: Iterable[Path]) -> ssl.SSLContext:
        """Trusts the system's authorities and those in `files`."""
        context = ssl.create_default_context()
        for file in files:
            try:
                context.load_verify_locations(file)
            except (OSError, ssl.SSLError) as exc:
                raise InvalidRegistries(f"no certificates can be read from {file}: {exc}") from exc
        return context
