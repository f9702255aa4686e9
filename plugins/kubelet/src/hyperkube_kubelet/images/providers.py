"""Asks programs for credentials of registries, and remembers their answers for as long as they say.

    $ NAME ARGS… < CredentialProviderRequest > CredentialProviderResponse

Source: k8s.io/kubernetes/pkg/credentialprovider/plugin/plugin.go.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hyperkube_kubelet.images.dockerconfig import Account, Credential, Entry, matches
from hyperkube_kubelet.images.providerconfig import Provider
from hyperkube_kubelet.runtime.values import Credentials
from hyperkube_machinery import meta
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.errors import APIError

__all__ = ["Accounts", "CredentialProviders", "ProviderFailed"]

log = logging.getLogger(__name__)

_SECONDS = 60.0
_ALL = "<global>"
_MOST_ANSWER = 4 << 20
_MOST_CACHED = 1000

Tree = Mapping[str, Any]


class ProviderFailed(Exception):
    """A program did not tell credentials; the text holds none."""


class Accounts(Protocol):
    """The service accounts of pods."""

    async def account(self, namespace: str, name: str) -> Tree:
        """Raises APIError, ClientError."""

    async def token(self, pod: Tree, audience: str) -> str:
        """A token of the pod's account, bound to the pod. Raises APIError, ClientError."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """For whom a program is asked."""

    token: str = ""
    annotations: tuple[tuple[str, str], ...] = ()
    account: Account | None = None

    def key(self, *, by_token: bool) -> tuple[object, ...]:
        digest = hashlib.sha256(self.token.encode()).hexdigest() if by_token and self.token else ""
        return (self.account, self.annotations, digest)


class CredentialProviders:
    """The programs that a node has."""

    def __init__(self, providers: Sequence[Provider], folder: Path, clock: Clock, accounts: Accounts | None) -> None:
        """`accounts`: None without an API server; programs that want tokens are then not asked."""
        self._sources = [_Source(provider, folder / provider.name, clock, accounts) for provider in providers]

    async def entries(self, repository: str, pod: Tree) -> list[Entry]:
        """What they say of an image, without its tag. One that fails is logged, and says nothing."""
        found: list[Entry] = []
        for source in self._sources:
            try:
                found += await source.entries(repository, pod)
            except (ProviderFailed, APIError, ClientError, OSError) as exc:
                log.error("credential provider %s failed for image %s: %s", source.name, repository, exc)
        return found


class _Source:
    """One program with what it has said."""

    def __init__(self, provider: Provider, program: Path, clock: Clock, accounts: Accounts | None) -> None:
        self.name = provider.name
        self._provider, self._program, self._clock, self._accounts = provider, program, clock, accounts
        self._kept: dict[tuple[object, ...], tuple[float, Tree]] = {}
        self._asking: dict[tuple[object, ...], asyncio.Lock] = {}

    async def entries(self, repository: str, pod: Tree) -> list[Entry]:
        if not any(matches(pattern, repository) for pattern in self._provider.match_images):
            return []
        asker = await self._asker(pod)
        if asker is None:
            return []
        by_token = self._provider.token is not None and self._provider.token.cache_type == "Token"
        whose = asker.key(by_token=by_token)
        lock = self._asking.setdefault((repository, *whose), asyncio.Lock())
        async with lock:  # several containers of one image ask once
            auths = self._known(repository, whose)
            if auths is None:
                auths = await self._ask(repository, asker, whose)
        if not lock.locked():
            self._asking.pop((repository, *whose), None)
        return [
            Entry(
                place,
                Credential(
                    Credentials(username=auth.get("username") or "", password=auth.get("password") or ""), asker.account
                ),
            )
            for place, auth in auths.items()
        ]

    async def _asker(self, pod: Tree) -> _Asker | None:
        """None where the program is not for this pod."""
        wanted, name = self._provider.token, pod["spec"].get("serviceAccountName") or ""
        if wanted is None:
            return _Asker()
        if not name or self._accounts is None:
            return None if wanted.required else _Asker()
        account = await self._accounts.account(meta.namespace(pod), name)
        annotations = meta.annotations_of(account)
        if any(key not in annotations for key in wanted.required_annotations):
            return None
        keys = (*wanted.required_annotations, *wanted.optional_annotations)
        told = tuple(sorted((key, annotations[key]) for key in keys if key in annotations))
        token = await self._accounts.token(pod, wanted.audience)
        return _Asker(token, told, Account(meta.uid(account), meta.namespace(pod), name))

    def _known(self, repository: str, whose: tuple[object, ...]) -> Tree | None:
        now = self._clock.monotonic()
        for place in (repository, repository.partition("/")[0], _ALL):
            kept = self._kept.get((place, *whose))
            if kept is not None and now <= kept[0]:
                return kept[1]
        return None

    async def _ask(self, repository: str, asker: _Asker, whose: tuple[object, ...]) -> Tree:
        answer = await asyncio.to_thread(self._run, repository, asker)
        auths = answer.get("auth") or {}
        token = self._provider.token
        exchanged = asker.token and token is not None and token.cache_type != "Token"
        if exchanged and any(auth.get("password") == asker.token for auth in auths.values()):
            raise ProviderFailed(
                "credential provider plugin returned the service account token as the password which is not"
                " allowed when service account cache type is not set to 'Token'"
            )
        places = {"Image": repository, "Registry": repository.partition("/")[0], "Global": _ALL}
        kind = answer.get("cacheKeyType")
        if kind not in places:
            raise ProviderFailed(f"credential provider plugin did not return a valid cacheKeyType: {kind}")
        duration = answer.get("cacheDuration")
        seconds = self._provider.cache_seconds if duration is None else parse_duration(str(duration))
        if seconds > 0:
            now = self._clock.monotonic()
            if len(self._kept) >= _MOST_CACHED:
                self._kept = {key: kept for key, kept in self._kept.items() if now <= kept[0]}
            self._kept[(places[kind], *whose)] = (now + seconds, auths)
        return auths

    def _run(self, repository: str, asker: _Asker) -> dict[str, Any]:
        """Run the program. Raises ProviderFailed."""
        version = self._provider.version
        request: dict[str, Any] = {"kind": "CredentialProviderRequest", "apiVersion": version, "image": repository}
        if asker.token:
            request["serviceAccountToken"] = asker.token
            request["serviceAccountAnnotations"] = dict(asker.annotations)
        begin = f"error execing credential provider plugin {self.name} for image {repository}"
        try:
            done = subprocess.run(
                [self._program, *self._provider.args],
                input=json.dumps(request).encode(),
                capture_output=True,
                env={**os.environ, **dict(self._provider.env)},
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise ProviderFailed(f"{begin}: context deadline exceeded") from exc
        except OSError as exc:
            raise ProviderFailed(f"{begin}: {exc.strerror or exc}") from exc
        if done.returncode:
            said = done.stderr[:_MOST_ANSWER].decode("utf-8", "replace").strip()
            raise ProviderFailed(f"{begin}: exit status {done.returncode}: {said}")
        return _answer(done.stdout[:_MOST_ANSWER], version)


def _answer(data: bytes, version: str) -> dict[str, Any]:
    """Raises ProviderFailed, whose text has nothing of what was answered but its version."""
    try:
        document = json.loads(data)
        found = (document.get("kind"), document.get("apiVersion"))
        auths = document.get("auth") or {}
        sound = all(isinstance(auth, dict) for auth in auths.values())
    except (ValueError, AttributeError) as exc:
        raise ProviderFailed("error decoding credential provider plugin response from stdout") from exc
    if found[1] != version:
        raise ProviderFailed(
            "apiVersion from credential plugin response did not match expected"
            f" apiVersion:{version}, actual apiVersion:{found[1]}"
        )
    if found[0] != "CredentialProviderResponse" or not sound:
        raise ProviderFailed("error decoding credential provider plugin response from stdout")
    return dict(document)
