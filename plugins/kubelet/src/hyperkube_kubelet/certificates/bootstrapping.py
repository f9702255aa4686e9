"""A machine becomes a node: with a token it asks for a client certificate, and writes the kubeconfig that names it.

    bootstrap kubeconfig ─→ key on disk ─→ request, found again by its key ─→ certificate ─→ kubeconfig

Each step is on disk before the next, so that whoever is killed goes on where it was.
Source: k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hyperkube_kubelet.certificates.issuing import NotIssued, Wanted, issued
from hyperkube_kubelet.certificates.store import PairStore, key_pem
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.backoff import Backoff
from hyperkube_machinery.certificaterequests import KUBELET_CLIENT
from hyperkube_machinery.client import Client, ClientError, connect
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.files import make_private_directory, write_durably
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.tls import PrivateKey

__all__ = ["client_wanted", "joined", "usable"]

log = logging.getLogger(__name__)

_KEY = "kubelet-client.key.tmp"
_WAIT_SECONDS = 3600.0


def client_wanted(node: str) -> Wanted:
    """The certificate that a kubelet is a client of the API server with."""
    return Wanted(node=node, signer=KUBELET_CLIENT, usage="client auth")


def usable(path: Path, now: float) -> bool:
    """Whether there is a kubeconfig with a certificate that has not ended."""
    if not path.exists():
        return False
    try:
        access = kubeconfig.read(path)
        certificates = x509.load_pem_x509_certificates(access.certificate_pem)
    except (KubeconfigError, ValueError) as exc:
        log.warning("%s is of no use any more: %s", path, exc)
        return False
    ended = [one.not_valid_after_utc for one in certificates if one.not_valid_after_utc.timestamp() < now]
    if ended:
        log.warning("%s is of no use any more: its certificate ended at %s", path, ended[0])
    return not ended


async def joined(path: Path, bootstrap: Path, store: PairStore, node: str, clock: Clock) -> None:
    """Have a kubeconfig at `path` that is usable, with the help of the one at `bootstrap` if need be.

    Waits for the API server, for whoever approves and for whoever signs. Raises KubeconfigError for a bootstrap
    kubeconfig that can't be used, and OSError.
    """
    if usable(path, clock.now()):
        return
    access = kubeconfig.read(bootstrap)
    key = _key(store)
    backoff = Backoff(clock, first=1.0, longest=30.0, jitter=0.2)
    log.info("asking %s for a certificate for node %s", access.server, node)
    async with connect(access, clock=clock, user_agent="kubelet") as client:
        while True:
            try:
                pem = await _first(client, clock, node, key)
                break
            except (APIError, ClientError, NotIssued, TimeoutError) as exc:
                log.warning("no certificate for node %s yet: %s", node, exc)
                await clock.sleep(backoff.next())
    store.update(pem, key, now=clock.now())
    (store.folder / _KEY).unlink(missing_ok=True)
    # Nothing of the token is in it; the certificate is read from the file, for it is renewed.
    own = Access(server=access.server, ca_pem=access.ca_pem, insecure=access.insecure, server_name=access.server_name)
    named = replace(own, certificate_file=store.current, key_file=store.current, namespace="default")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kubeconfig.write(path, named, cluster="default-cluster", user="default-auth", context="default-context")
    log.info("node %s has a certificate; %s names it", node, path)


async def _first(client: Client, clock: Clock, node: str, key: PrivateKey) -> bytes:
    return await issued(client, clock, client_wanted(node), key, again=True, seconds=_WAIT_SECONDS)


def _key(store: PairStore) -> PrivateKey:
    """The key to ask with: that of the certificate there is, or the one that was asked with before, or a new one."""
    pair = store.load()
    if pair is not None:
        return pair.key
    path = store.folder / _KEY
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(key, PrivateKey):
            return key
    except (OSError, ValueError, TypeError):
        pass
    made = ec.generate_private_key(ec.SECP256R1())
    make_private_directory(store.folder)
    write_durably(path, key_pem(made))
    return made
