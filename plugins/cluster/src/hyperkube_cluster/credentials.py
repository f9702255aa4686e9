"""Certificates and kubeconfigs of a cluster: made at its first start, and anew before they expire.

One authority signs all, as kubeadm has it: it is the API server's. The three of `local-up-cluster.sh` keep apart what
nothing here mixes up: a certificate says itself whether it is a server's or a client's, and the third authority, of
the proxy that extends the API, has nobody to vouch for yet.

What was issued is written down with the digests of the files, so that a start that finds all in order, as nearly all
do, needs no cryptography and takes a millisecond.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hyperkube_cluster.identities import KUBELET_CLIENT, identities, kubelet_names
from hyperkube_machinery.files import make_private_directory, write_durably

if TYPE_CHECKING:
    from hyperkube_cluster.layout import Layout
    from hyperkube_machinery.tls import KeyPair

__all__ = ["ensure"]

_INDEX = "issued.json"
_RENEWED_AT = 0.7
"""The part of its life after which a certificate is renewed, as the API server renews its own."""


def ensure(layout: Layout, server: str, *, now: float) -> None:
    """Have every file there that the servers of a cluster need, for an API server at the URL `server`.

    Raises CertificateError and OSError, naming the file.
    """
    make_private_directory(layout.pki)
    purpose = {"server": server, "node": layout.node}
    if _in_order(layout, purpose, now):
        return
    from hyperkube_machinery.encoding import encode_indented

    files, renewed_at = _issue(layout, server, now)
    index = {"for": purpose, "renewed_at": renewed_at, "files": files}
    write_durably(layout.pki / _INDEX, encode_indented(index) + b"\n")


def _in_order(layout: Layout, purpose: Mapping[str, str], now: float) -> bool:
    """Whether all that was issued is still there as it was, and good for a while."""
    try:
        index = json.loads((layout.pki / _INDEX).read_bytes())
        if index["for"] != purpose or now >= index["renewed_at"]:
            return False
        return all(_digest(layout.folder / name) == digest for name, digest in index["files"].items())
    except (OSError, ValueError, LookupError, TypeError):  # the first start, or one that was interrupted
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _issue(layout: Layout, server: str, now: float) -> tuple[dict[str, str], float]:
    """Issue everything; the digests of the files, and when to do so again."""
    from hyperkube_machinery import kubeconfig, tls  # cryptography comes with them

    ca = _authority(layout, now)
    pairs: list[KeyPair] = []
    written = [layout.ca]
    for who in identities(layout.node):
        pair = tls.issue_client_certificate(ca, who.user, who.groups, now=now)
        access = kubeconfig.Access(
            server=server, ca_pem=ca.certificate_pem, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem
        )
        path = layout.kubeconfig(who.server)
        # The cluster's name is in the context of the administrator alone: it is the one that people see.
        kubeconfig.write(path, access, cluster=layout.node, user=who.server)
        pairs.append(pair)
        written.append(path)
    for name, pair in {
        "kubelet": tls.issue_serving_certificate(ca, layout.node, kubelet_names(layout.node), now=now),
        KUBELET_CLIENT: tls.issue_client_certificate(ca, KUBELET_CLIENT, now=now),
    }.items():
        tls.save(pair, layout.certificate(name), layout.key(name))
        pairs.append(pair)
        written += [layout.certificate(name), layout.key(name)]
    digests = {str(path.relative_to(layout.folder)): _digest(path) for path in written}
    return digests, min(map(_renewal, pairs))


def _authority(layout: Layout, now: float) -> KeyPair:
    """The API server's, made where it has not made one."""
    from hyperkube_machinery import tls

    if layout.ca.exists():
        ca = tls.load(layout.ca, layout.ca_key)
        tls.check_validity(ca.certificate, source=layout.ca, now=now)
        return ca
    for folder in (layout.apiserver, layout.ca.parent):
        make_private_directory(folder)
    ca = tls.create_ca("kubernetes-ca", now=now)
    tls.save(ca, layout.ca, layout.ca_key)
    return ca


def _renewal(pair: KeyPair) -> float:
    begin = pair.certificate.not_valid_before_utc.timestamp()
    end = pair.certificate.not_valid_after_utc.timestamp()
    return begin + (end - begin) * _RENEWED_AT
