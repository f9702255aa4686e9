"""Who the kubelet is to the API server, and how it stays so.

Source: buildKubeletClientConfig in k8s.io/kubernetes/cmd/kubelet/app/server.go, pkg/kubelet/certificate/transport.go.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from hyperkube_kubelet.certificates.bootstrapping import client_wanted, joined
from hyperkube_kubelet.certificates.renewal import Renewal
from hyperkube_kubelet.certificates.store import BadPair, Pair, PairStore
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.client.credentials import Credentials
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.kubeconfig import Access

__all__ = ["CertificateLost", "ClientIdentity", "client_identity"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0


class CertificateLost(Exception):
    """The certificate has ended, so no other can be asked for; whoever starts the kubelet again lets it begin anew."""


class ClientIdentity:
    """How the API server is reached, and the certificate that is shown to it."""

    def __init__(self, access: Access, renewal: Renewal | None, clock: Clock) -> None:
        self.access = access
        self.credentials = Credentials(access, clock)
        self.renewal = renewal
        self._clock = clock
        self._pair = renewal.pair if renewal is not None else _pair_of(access)

    def take(self, pair: Pair) -> None:
        """Show another certificate from the next request on, which makes new connections."""
        self.credentials.certificate = (pair.pem, pair.pem)

    def seconds_left(self) -> float:
        """Until the certificate ends; infinite where there is none."""
        if self.renewal is not None:
            return self.renewal.seconds_left
        return self._pair.ends - self._clock.now() if self._pair is not None else float("inf")

    async def keep(self, client: Client) -> None:
        """Renew the certificate until cancelled, where it is to be renewed. Raises CertificateLost."""
        if self.renewal is None:
            return
        async with companions(self.renewal.run(client)):
            await self._watch(client)

    async def _watch(self, client: Client) -> NoReturn:
        """Raise CertificateLost once the certificate is of no use to the API server, which answers."""
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            if self.seconds_left() >= 0:
                continue
            try:
                answer = await client.raw("GET", "/version")
            except (APIError, ClientError) as exc:
                log.error("the client certificate has ended, and the API server doesn't answer: %s", exc)
                continue
            raise CertificateLost(f"the client certificate has ended, and the API server answers {answer.status}")


async def client_identity(
    path: Path | None, bootstrap: Path | None, folder: Path, node: str, clock: Clock, *, master: str, rotates: bool
) -> ClientIdentity:
    """What the kubeconfig at `path` says, after the one at `bootstrap` helped to write it if that was needed.

    With `rotates` the certificate in `folder` goes before the kubeconfig's, and is renewed. Raises KubeconfigError and
    OSError.
    """
    store = PairStore(folder, "kubelet-client")
    if path is not None and bootstrap is not None:
        await joined(path, bootstrap, store, node, clock)
    access = Access(server=master) if path is None else kubeconfig.read(path, master=master)
    if not rotates:
        return ClientIdentity(access, None, clock)
    kept, own = store.load(), _pair_of(access)
    if kept is not None and kept.ends < clock.now():
        kept = None
    if kept is not None:
        # The file is not read again by and by: who renews it tells of it.
        access = replace(access, certificate_pem=kept.pem, key_pem=kept.pem, certificate_file=None, key_file=None)
    renewal = Renewal(
        store,
        lambda: client_wanted(node),
        clock,
        pair=kept or own,
        at_once=kept is None,  # the kubeconfig's may be somebody else's
        renewed=lambda pair: identity.take(pair),
    )
    identity = ClientIdentity(access, renewal, clock)
    return identity


def _pair_of(access: Access) -> Pair | None:
    pems: Sequence[bytes] = (access.certificate_pem, access.key_pem)
    if not all(pems):
        return None
    try:
        return Pair.of(pems[0] if pems[0] == pems[1] else b"\n".join(pems))
    except BadPair:
        return None  # connections tell
