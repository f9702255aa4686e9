"""Reading kubeconfigs: the entries of a file, and what a context of theirs comes to.

Source: k8s.io/client-go/tools/clientcmd/{loader,client_config,validation}.go
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hyperkube_machinery.kubeconfig.access import Access, ExecCommand, Impersonation, KubeconfigError

__all__ = ["Config", "parse", "read"]

_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
_LINE_BREAKS = dict.fromkeys(map(ord, "\r\n"))
_INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")


def read(path: Path, *, context: str = "", master: str = "") -> Access:
    """What `context`, or the current one, says; `master` goes before its server. Raises KubeconfigError."""
    return parse(path).access(context, master)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A mapping in a file, whose folder its relative paths begin at."""

    path: Path
    where: str  # users[admin]
    values: Mapping[str, Any]

    def error(self, key: str, why: str) -> KubeconfigError:
        at = ".".join(part for part in (self.where, key) if part)
        return KubeconfigError(f"{self.path}: {at} {why}")

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):  # which may be a secret that somebody forgot to quote
            raise self.error(key, f"must be a string, not {_kind(value)}")
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {_kind(value)}")
        return bool(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key) or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.error(key, "must be a list of strings")
        return tuple(value)

    def inner(self, key: str) -> _Entry | None:
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be a mapping, not {_kind(value)}")
        return _Entry(self.path, f"{self.where}.{key}".lstrip("."), value)

    def entries(self, key: str) -> list[_Entry]:
        """The mappings of a list, each called by its name."""
        value = self.values.get(key) or []
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            raise self.error(key, "must be a list of mappings")
        at = f"{self.where}.{key}".lstrip(".")
        return [_Entry(self.path, f"{at}[{one.get('name', '')}]", one) for one in value]

    def file(self, key: str) -> Path | None:
        named = self.text(key)
        return self.path.parent / named if named else None  # as it is where `named` is absolute

    def content(self, key: str) -> bytes | None:
        """Inline data, which goes before a file's."""
        if inline := self.text(f"{key}-data"):
            try:
                # Line breaks don't count. Source: encoding/base64
                return base64.b64decode(inline.translate(_LINE_BREAKS), validate=True)
            except ValueError as exc:
                raise self.error(f"{key}-data", f"is not base64 ({exc})") from exc
        file = self.file(key)
        return None if file is None else self.read(key, file)

    def read(self, key: str, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as exc:
            raise self.error(key, f"cannot be read: {file}: {exc.strerror}") from exc


@dataclass(frozen=True, slots=True)
class Config:
    """The entries of one file, or of many that were merged."""

    path: Path  # of the first, for what no entry is to blame for
    current: str = ""
    clusters: Mapping[str, _Entry] = field(default_factory=dict)
    users: Mapping[str, _Entry] = field(default_factory=dict)
    contexts: Mapping[str, _Entry] = field(default_factory=dict)

    def under(self, other: Config) -> Config:
        """This one, with what `other` has and it hasn't: whole entries, never parts of one."""
        return Config(
            self.path,
            self.current or other.current,
            {**other.clusters, **self.clusters},
            {**other.users, **self.users},
            {**other.contexts, **self.contexts},
        )

    def access(self, context: str = "", master: str = "") -> Access:
        """What `context`, or the current one, comes to. Raises KubeconfigError."""
        name = context or self.current
        if not name:
            raise self._error("has no current-context; name one")
        chosen = self._found(self.contexts, "context", name)
        cluster_name, user_name = chosen.text("cluster"), chosen.text("user")
        cluster = self._found(self.clusters, "cluster", cluster_name)
        user = self._found(self.users, "user", user_name) if user_name else _Entry(self.path, "", {})
        server = master or cluster.text("server")
        if not server:
            raise cluster.error("server", "is missing: where is the API server?")
        _refuse_proxy(cluster)
        ca_pem, insecure = cluster.content("certificate-authority"), cluster.flag("insecure-skip-tls-verify")
        if ca_pem is not None and insecure:
            raise cluster.error(
                "insecure-skip-tls-verify", "is true beside a certificate authority: leave out one of the two"
            )
        return replace(
            _identity(user, cluster, server),
            server=server,
            ca_pem=ca_pem,
            insecure=insecure,
            server_name="" if master else cluster.text("tls-server-name"),  # it is the other server's
            namespace=chosen.text("namespace"),
        )

    @property
    def current_user(self) -> str:
        """The user of the current context, "" if there is none."""
        chosen = self.contexts.get(self.current)
        return chosen.text("user") if chosen is not None else ""

    def identity(self, user: str) -> Access:
        """What a client shows and sends as `user`, whichever server it speaks to. Raises KubeconfigError."""
        return _identity(self._found(self.users, "user", user), _Entry(self.path, "", {}), "")

    def _found(self, entries: Mapping[str, _Entry], singular: str, name: str) -> _Entry:
        found = entries.get(name)
        if found is None:
            raise self._error(f"has no {singular} {name!r}")
        return found

    def _error(self, message: str) -> KubeconfigError:
        return KubeconfigError(f"{self.path}: {message}")


def parse(path: Path) -> Config:
    """The entries of a file. Raises KubeconfigError, caused by the OSError for one that can't be read."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise KubeconfigError(f"{path}: cannot be read ({exc.strerror})") from exc
    document = _decoded(path, data)
    if document is None:
        document = {}  # an empty file is a kubeconfig without anything
    if not isinstance(document, dict) or document.get("kind") not in ("Config", None):
        raise KubeconfigError(f"{path}: is not a kubeconfig")
    whole = _Entry(path, "", document)
    return Config(
        path,
        whole.text("current-context"),
        _by_name(whole.entries("clusters"), "cluster"),
        _by_name(whole.entries("users"), "user"),
        _by_name(whole.entries("contexts"), "context"),
    )


def _decoded(path: Path, data: bytes) -> Any:
    """What is written in YAML, or in JSON as `write` has it."""
    if data.startswith(b"{"):
        with suppress(ValueError):  # braces are YAML's as well
            return json.loads(data)
    import yaml  # takes a tenth of a server's start

    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError) as exc:
        raise KubeconfigError(f"{path}: is not YAML{_place(exc)}") from exc


def _place(exc: Exception) -> str:
    """Where a YAML error is, without the text there, which may be a secret."""
    mark = getattr(exc, "problem_mark", None)
    if mark is None:
        return ""
    return f" (line {mark.line + 1}, column {mark.column + 1}: {getattr(exc, 'problem', '')})"


def _by_name(entries: list[_Entry], singular: str) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for entry in entries:
        inner = entry.inner(singular)
        found.setdefault(entry.text("name"), _Entry(entry.path, entry.where, inner.values if inner else {}))
    return found


def _identity(user: _Entry, cluster: _Entry, server: str) -> Access:
    """What a user comes to; the rest is what a command is told."""
    token_file = user.file("tokenFile")
    if user.text("username") and (token_file or user.text("token")):
        raise user.error("username", "stands beside a token: only one of the two can be sent")
    return Access(
        server=server,
        certificate_pem=user.content("client-certificate") or b"",
        key_pem=user.content("client-key") or b"",
        certificate_file=None if user.text("client-certificate-data") else user.file("client-certificate"),
        key_file=None if user.text("client-key-data") else user.file("client-key"),
        # The file's goes before the inline one, since it is renewed.
        token=_token(user.read("tokenFile", token_file)) if token_file else user.text("token"),
        token_file=token_file,
        username=user.text("username"),
        password=user.text("password"),
        command=_command(user, cluster, server),
        impersonation=_impersonation(user),
    )


def _refuse_proxy(cluster: _Entry) -> None:
    if cluster.text("proxy-url"):
        raise cluster.error("proxy-url", "is not supported: the server must be reached directly")


def _token(content: bytes) -> str:
    return content.decode("utf-8", "replace").strip()


def _command(user: _Entry, cluster: _Entry, server: str) -> ExecCommand | None:
    if user.values.get("auth-provider"):
        raise user.error("auth-provider", "is not supported, nor by Kubernetes since 1.26: use exec")
    entry = user.inner("exec")
    if entry is None:
        return None
    version, command = entry.text("apiVersion"), entry.text("command")
    if version not in _EXEC_VERSIONS:
        raise entry.error("apiVersion", f"must be {' or '.join(_EXEC_VERSIONS)}")
    if not command:
        raise entry.error("command", "is missing")
    mode = entry.text("interactiveMode") or ("" if version == _EXEC_VERSIONS[0] else "IfAvailable")
    if mode not in _INTERACTIVE_MODES:
        raise entry.error("interactiveMode", f"must be one of {', '.join(_INTERACTIVE_MODES)}")
    if mode == "Always":
        raise entry.error("interactiveMode", "is Always, but nobody is here to answer: use Never or IfAvailable")
    if "/" in command:
        command = str(entry.path.parent / command)
    return ExecCommand(
        api_version=version,
        command=command,
        args=entry.texts("args"),
        env={one.text("name"): one.text("value") for one in entry.entries("env")},
        install_hint=entry.text("installHint"),
        cluster=_told(cluster, server) if entry.flag("provideClusterInfo") else None,
    )


def _told(cluster: _Entry, server: str) -> Mapping[str, Any]:
    """What a command is told of its cluster. Source: k8s.io/client-go/pkg/apis/clientauthentication/v1, Cluster"""
    told: dict[str, Any] = {"server": server}
    if name := cluster.text("tls-server-name"):
        told["tls-server-name"] = name
    if cluster.flag("insecure-skip-tls-verify"):
        told["insecure-skip-tls-verify"] = True
    if (ca_pem := cluster.content("certificate-authority")) is not None:
        told["certificate-authority-data"] = base64.b64encode(ca_pem).decode("ascii")
    for extension in cluster.entries("extensions"):
        if extension.text("name") == _EXEC_EXTENSION and "extension" in extension.values:
            told["config"] = extension.values["extension"]
    return told


def _impersonation(user: _Entry) -> Impersonation | None:
    name, uid, groups = user.text("as"), user.text("as-uid"), user.texts("as-groups")
    entry = user.inner("as-user-extra")
    extra = {key: entry.texts(key) for key in entry.values} if entry is not None else {}
    if not name:
        if uid or groups or extra:
            raise user.error("as", "is missing: uid, groups and extra are those of a user")
        return None
    return Impersonation(user=name, uid=uid, groups=groups, extra=extra)


def _kind(value: object) -> str:
    return {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping"}.get(
        type(value), type(value).__name__
    )
