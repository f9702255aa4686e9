"""What is done with which resource, as a file says it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from hyperkube_apiserver.encryption.configuration import key_bytes, parsed, read_entries, timeout_of, version_of
from hyperkube_apiserver.encryption.providers import (
    AESCBCKey,
    AESGCMKey,
    Identity,
    Keyed,
    Provider,
    SecretboxKey,
    Transformer,
)
from hyperkube_apiserver.encryption.terms import EncryptionConfigurationError
from hyperkube_machinery.errors import aggregated

if TYPE_CHECKING:
    from hyperkube_apiserver.encryption.kms.metrics import KeyServiceMetrics
    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.serving.metrics import Registry

__all__ = ["KeyServices", "Rules", "ServiceFailed", "read_rules"]

Tree = dict[str, Any]

_KEYED: dict[str, tuple[bytes, Callable[[bytes], Any], str]] = {
    "aesgcm": (b"k8s:enc:aesgcm:v1:", AESGCMKey, "AES"),
    "aescbc": (b"k8s:enc:aescbc:v1:", AESCBCKey, "AES"),
    "secretbox": (b"k8s:enc:secretbox:v1:", SecretboxKey, "Secretbox"),
}
_ALL = ("*", "*")
_OLD_SERVICE = (
    "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set"
    " --feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
)


class ServiceFailed(Exception):
    """A service that keys come from does not work."""


class Guarded(Provider, Protocol):
    """A provider whose keys a service guards."""

    async def check(self) -> None:
        """Raise what is wrong with the service."""

    async def run(self) -> NoReturn:
        """Look after the service until cancelled."""

    async def close(self) -> None: ...


class KeyServices:
    """Makes providers whose keys a service guards; nothing of that is imported before there is one."""

    def __init__(self, clock: Clock, registry: Registry, server_id: str) -> None:
        self._clock = clock
        self._registry = registry
        self._server_id = server_id
        self._metrics: KeyServiceMetrics | None = None

    def open(self, told: Tree) -> Guarded:
        """The provider that a file tells of."""
        from hyperkube_apiserver.encryption.kms.metrics import KeyServiceMetrics
        from hyperkube_apiserver.encryption.kms.provider import KMSProvider
        from hyperkube_apiserver.encryption.kms.service import KeyService

        if self._metrics is None:
            self._metrics = KeyServiceMetrics(self._registry, self._server_id)
        metrics, name, clock = self._metrics, told["name"], self._clock

        def observe(method: str, seconds: float, code: str) -> None:
            metrics.called(name, method, seconds, code)

        service = KeyService(told["endpoint"], clock, timeout_seconds=timeout_of(told), observe=observe)
        return KMSProvider(name, service, clock, metrics)


@dataclass(frozen=True, slots=True)
class Rules:
    """Which resources are encrypted how, in order."""

    rules: Sequence[tuple[tuple[str, str], Transformer]]  # resource and group, of which "*" is any
    guarded: Sequence[Guarded] = ()  # the providers that have to be looked after
    grace_seconds: float = 0.0  # after which nothing uses them any more that was begun with them

    def transformer(self, group: str, resource: str) -> Transformer | None:
        """What is done with a resource; None for nothing."""
        for (wanted, wanted_group), transformer in self.rules:
            if wanted_group in ("*", group) and wanted in ("*", resource):
                return transformer
        return None

    async def check(self) -> None:
        """Raise ServiceFailed unless all services work."""
        errors = []
        for number, provider in enumerate(self.guarded):
            try:
                await provider.check()
            except Exception as exc:  # whatever is wrong is what is asked for
                errors.append(f"kms-provider-{number}: {exc}")
        if errors:
            raise ServiceFailed(aggregated(errors))

    async def run(self) -> NoReturn:
        """Look after the services until cancelled."""
        async with asyncio.TaskGroup() as group:
            for provider in self.guarded:
                group.create_task(provider.run())
            await asyncio.get_running_loop().create_future()
        raise AssertionError("a future that nobody sets has a result")

    async def close(self) -> None:
        for provider in self.guarded:
            await provider.close()


def read_rules(path: Path, services: KeyServices, *, reloads: bool = False) -> Rules:
    """What a file says. Raises EncryptionConfigurationError."""
    entries = read_entries(path, reloads=reloads)
    told = [one["kms"] for entry in entries for one in entry["providers"] if "kms" in one]
    if any(version_of(one) == "v1" for one in told):
        raise EncryptionConfigurationError(f"error while building transformers: {_OLD_SERVICE}")
    found: dict[tuple[str, str], list[Provider]] = {}
    guarded: list[Guarded] = []
    for entry in entries:
        providers: list[Provider] = []
        for one in entry["providers"]:
            if "kms" in one:
                guarded.append(services.open(one["kms"]))
                providers.append(guarded[-1])
            else:
                providers.append(_provider(one))
        for name in entry["resources"]:
            resource, group = parsed(name)
            for masking in (("*", group), _ALL):
                if masking in found:
                    raise EncryptionConfigurationError(f'resource "{name}" is masked by earlier rule "*.{masking[1]}"')
            found.setdefault((resource, group), []).extend(providers)
    rules = [(wanted, Transformer(providers)) for wanted, providers in found.items()]
    return Rules(rules, guarded, 2 * sum(map(timeout_of, told)))


def _provider(told: Tree) -> Provider:
    ((kind, content),) = told.items()
    if kind == "identity":
        return Identity()
    prefix, make, words = _KEYED[kind]
    keys = []
    for key in content["keys"]:
        secret = key_bytes(key["secret"])
        assert secret is not None  # it was checked
        try:
            keys.append((f"{key['name']}:".encode(), make(secret)))
        except ImportError as exc:
            raise EncryptionConfigurationError(
                f"{kind} needs PyNaCl: install hyperkube-apiserver[{kind}], or use aesgcm"
            ) from exc
    return Keyed(prefix, keys, words)
