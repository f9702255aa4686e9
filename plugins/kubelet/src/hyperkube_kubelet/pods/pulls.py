"""Pulling images: with what the pod and the node have, so many at a time and so often.

Source: k8s.io/kubernetes/pkg/kubelet/images/{puller,helpers}.go and kuberuntime/kuberuntime_image.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from hyperkube_kubelet.images.dockerconfig import Credential, Entry, Keyring, node_entries, secret_entries
from hyperkube_kubelet.images.errors import InvalidReference
from hyperkube_kubelet.images.providerconfig import Provider
from hyperkube_kubelet.images.providers import CredentialProviders
from hyperkube_kubelet.images.pullrecords import Verification
from hyperkube_kubelet.images.references import parse_reference
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.errors import ImageUnavailable, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.telling import Recorder
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_kubelet.volumes.tokens import Tokens
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import SERVICE_ACCOUNTS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.ratelimit import TokenBucket

__all__ = ["ONE_BY_ONE", "PullCredentials", "PullRules", "Puller", "ServiceAccounts"]

_TOKEN_SECONDS = 3600


PRELOADED = Verification("NeverVerifyPreloadedImages")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRules:
    """How images are pulled, and who may use those that are here."""

    at_a_time: int = 1  # 0: any number
    qps: float = 5.0  # 0: no limit
    burst: int = 10
    verification: Verification = PRELOADED
    providers: tuple[Provider, ...] = ()  # programs that are asked for credentials
    provider_folder: Path = Path()  # where they are


ONE_BY_ONE = PullRules()


class ServiceAccounts:
    """The service accounts of pods, for programs that are asked on their behalf."""

    def __init__(self, client: Client, tokens: Tokens) -> None:
        self._client, self._tokens = client, tokens

    async def account(self, namespace: str, name: str) -> Tree:
        return await self._client.get(SERVICE_ACCOUNTS, name, namespace)

    async def token(self, pod: Tree, audience: str) -> str:
        return await self._tokens.get(pod, audience=audience, seconds=_TOKEN_SECONDS)


class PullCredentials:
    """What images may be pulled with."""

    def __init__(
        self,
        folder: Path,
        objects: ObjectCache | None,
        recorder: Recorder,
        providers: CredentialProviders | None = None,
    ) -> None:
        """`folder`: the kubelet's, where the node's own config.json is looked for first."""
        self._folder = folder
        self._objects = objects
        self._recorder = recorder
        self._providers = providers

    async def of(self, pod: Tree, image: str) -> list[Credential]:
        """Those of the pod's secrets, of the node and of its providers, in the order to be tried.

        Raises ValueError for a secret that is broken.
        """
        try:
            repository = parse_reference(image).repository
        except InvalidReference:
            return []
        own = Keyring(secret_entries(await self._secrets(pod)))
        found = own.lookup(repository)
        found += Keyring(await asyncio.to_thread(node_entries, (self._folder,))).lookup(repository)
        if self._providers is not None:
            told: Sequence[Entry] = await self._providers.entries(repository, pod)
            found += Keyring(told).lookup(repository)
        return found

    async def _secrets(self, pod: Tree) -> list[Tree]:
        found, missing = [], []
        for reference in pod["spec"].get("imagePullSecrets") or ():
            name = reference.get("name") or ""
            if not name:
                continue
            try:
                secret = await self._objects.secret(meta.namespace(pod), name) if self._objects is not None else None
            except (APIError, ClientError):
                secret = None
            if secret is None:
                missing.append(name)
            else:
                found.append(secret)
        if missing:
            self._recorder.event(
                pod,
                "Warning",
                "FailedToRetrieveImagePullSecret",
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image may"
                " not succeed.",
            )
        return found


class Puller:
    """Has the runtime pull."""

    def __init__(self, runtime: Runtime, rules: PullRules, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._turns = asyncio.Semaphore(rules.at_a_time) if rules.at_a_time > 0 else None
        self._bucket = TokenBucket(rules.qps, rules.burst, clock)

    async def pull(self, image: str, credentials: Sequence[Credential]) -> tuple[Credential | None, float]:
        """Pull with the first credentials that do, or without any where there are none.

        Returns them, and the seconds that it took without those of waiting for one's turn. Raises RuntimeFailure.
        """
        async with AsyncExitStack() as stack:
            if self._turns is not None:
                await stack.enter_async_context(self._turns)
            begun = self._clock.monotonic()
            if not self._bucket.accept():
                raise ImageUnavailable("pull QPS exceeded")
            used = await self._try(image, credentials)
            return used, self._clock.monotonic() - begun

    async def _try(self, image: str, credentials: Sequence[Credential]) -> Credential | None:
        if not credentials:
            await self._runtime.pull_image(image)
            return None
        failures: list[RuntimeFailure] = []
        for credential in credentials:
            try:
                await self._runtime.pull_image(image, credentials=credential.credentials)
            except RuntimeFailure as exc:
                failures.append(exc)
            else:
                return credential
        texts = list(dict.fromkeys(map(str, failures)))
        raise ImageUnavailable(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]") from failures[-1]
