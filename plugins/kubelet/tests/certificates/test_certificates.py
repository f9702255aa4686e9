"""Certificates: kept in files, renewed in time, served with, and by which terms."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from hyperkube_kubelet.certificates.bootstrapping import usable
from hyperkube_kubelet.certificates.issuing import Wanted
from hyperkube_kubelet.certificates.renewal import due, lacks
from hyperkube_kubelet.certificates.serving import Files, ServingContext, own_certificate
from hyperkube_kubelet.certificates.store import BadPair, Pair, PairStore
from hyperkube_kubelet.certificates.tlsterms import apply_terms, check_suites
from hyperkube_machinery import kubeconfig, tls

NOW = 1_790_000_000.0
DAY = 86400.0
CA = tls.create_ca("ca", now=NOW)


def client(user: str = "system:node:n1", *, now: float = NOW) -> tls.KeyPair:
    return tls.issue_client_certificate(CA, user, ("system:nodes",), now=now)


def kept(made: tls.KeyPair) -> Pair:
    return Pair.made(made.certificate_pem, made.key)


def test_the_latest_pair_counts(tmp_path: Path) -> None:
    store = PairStore(tmp_path / "pki", "kubelet-client")
    assert store.load() is None
    for number in range(3):
        made = client(now=NOW + number)
        store.update(made.certificate_pem, made.key, now=NOW + number)
        found = store.load()
        assert found is not None
        assert found.certificate == made.certificate
    assert store.current.is_symlink()
    assert stat.S_IMODE(store.current.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_what_is_half_written_is_not_there(tmp_path: Path) -> None:
    store = PairStore(tmp_path, "kubelet-client")
    made = client()
    store.update(made.certificate_pem, made.key, now=NOW)
    (tmp_path / "kubelet-client-updated.pem").symlink_to(tmp_path / "nowhere")  # somebody was killed here
    other = client(now=NOW + 1)
    store.update(other.certificate_pem, other.key, now=NOW + 1)
    found = store.load()
    assert found is not None
    assert found.certificate == other.certificate
    store.current.resolve().write_bytes(other.certificate_pem)
    assert store.load() is None


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    store = PairStore(tmp_path, "kubelet-client")
    with pytest.raises(BadPair, match="the key is not the certificate's"):
        store.update(client().certificate_pem, ec.generate_private_key(ec.SECP256R1()), now=NOW)
    assert not os.listdir(tmp_path)


def test_a_certificate_is_renewed_in_the_last_third_of_its_life() -> None:
    pair = kept(client())
    life = pair.ends - pair.begins
    assert due(pair, 0.7) == pytest.approx(pair.begins + 0.7 * life)
    assert pair.begins < due(pair, 0.7) < due(pair, 0.9) < pair.ends


@pytest.mark.parametrize(
    ("names", "wanted", "complaint"),
    [
        (("n1", "10.0.0.1"), ("n1", "10.0.0.1"), ""),
        (("n1", "10.0.0.1"), ("10.0.0.1",), ""),
        (("n1",), ("n1", "10.0.0.1"), "it does not name 10.0.0.1"),
        (("n1", "fd00::1"), ("fd00:0::1",), ""),
        ((), (), ""),
    ],
)
def test_a_certificate_is_renewed_for_names_that_it_lacks(
    names: tuple[str, ...], wanted: tuple[str, ...], complaint: str
) -> None:
    made = tls.issue_serving_certificate(CA, "system:node:n1", names, now=NOW) if names else client()
    what = Wanted(node="n1", signer="s", usage="server auth", names=wanted)
    assert lacks(kept(made), what) == complaint


def test_a_certificate_is_renewed_that_is_another_nodes() -> None:
    what = Wanted(node="n1", signer="s", usage="client auth")
    assert lacks(kept(client("system:node:n2")), what) == "it is not system:node:n1's"


def test_a_kubeconfig_is_of_use_until_its_certificate_ends(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    assert not usable(path, NOW)
    path.write_text("{nonsense")
    assert not usable(path, NOW)
    access = kubeconfig.Access(server="https://127.0.0.1:1", token="t")
    kubeconfig.write(path, access, cluster="c", user="u")
    assert not usable(path, NOW)
    made = client()
    with_pair = kubeconfig.Access(
        server="https://127.0.0.1:1", certificate_pem=made.certificate_pem, key_pem=made.key_pem
    )
    kubeconfig.write(path, with_pair, cluster="c", user="u")
    assert usable(path, NOW)
    assert not usable(path, NOW + 366 * DAY)


def serving(folder: Path, *, client_ca: tls.KeyPair | None = None, waits: bool = False) -> ServingContext:
    files = Files(
        certificate=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.crt" if client_ca else None
    )
    if client_ca is not None:
        (folder / "ca.crt").write_bytes(client_ca.certificate_pem)
    return ServingContext(files, waits=waits)


def admitted(context: ServingContext, made: tls.KeyPair) -> bool:
    try:
        tls.admit_client(context.context, made.certificate_pem, made.key_pem)
    except tls.CertificateError:
        return False
    return True


def write(folder: Path, name: str) -> x509.Certificate:
    made = tls.issue_serving_certificate(CA, name, ["127.0.0.1"], now=NOW)
    tls.save(made, folder / "tls.crt", folder / "tls.key")
    return made.certificate


def test_another_client_ca_takes_the_place_of_the_first(tmp_path: Path) -> None:
    first, second = (tls.create_ca(name, now=NOW) for name in ("first", "second"))
    theirs = [tls.issue_client_certificate(ca, "u", now=NOW) for ca in (first, second)]
    write(tmp_path, "one")
    context = serving(tmp_path, client_ca=first)
    assert [admitted(context, one) for one in theirs] == [True, False]
    (tmp_path / "ca.crt").write_bytes(second.certificate_pem)
    context.reload()
    assert [admitted(context, one) for one in theirs] == [False, True]


def test_half_of_a_renewal_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "one")
    context = serving(tmp_path, client_ca=CA)
    (tmp_path / "tls.crt").write_bytes(b"half")
    context.reload()
    assert admitted(context, client(now=NOW))


def test_nobody_is_served_before_there_is_a_certificate(tmp_path: Path) -> None:
    context = serving(tmp_path, client_ca=CA, waits=True)
    assert not admitted(context, client())
    write(tmp_path, "one")
    context.reload()
    assert admitted(context, client())
    with pytest.raises((tls.CertificateError, OSError)):
        serving(tmp_path / "nowhere")


def test_an_own_certificate_stays_while_it_is_good(tmp_path: Path) -> None:
    first = own_certificate(tmp_path / "pki", ["n1", "10.0.0.1"], now=NOW)
    before = first[0].read_bytes()
    assert own_certificate(tmp_path / "pki", ["n1", "10.0.0.1"], now=NOW + DAY)[0].read_bytes() == before
    assert own_certificate(tmp_path / "pki", ["n1", "10.0.0.2"], now=NOW + DAY)[0].read_bytes() != before


@pytest.mark.parametrize(
    ("suites", "complaint"),
    [
        (("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"), ""),
        (("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",), ""),
        (("TLS_RSA_WITH_RC4_128_SHA",), "none of these cipher suites can be had here"),
        (("TLS_NONSENSE",), "Cipher suite TLS_NONSENSE not supported or doesn't exist"),
    ],
)
def test_cipher_suites_are_called_as_in_go(suites: tuple[str, ...], complaint: str) -> None:
    found = ""
    try:
        check_suites(suites)
    except ValueError as exc:
        found = str(exc)
    assert found == complaint


def test_terms_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "one")
    context = tls.server_context(tmp_path / "tls.crt", tmp_path / "tls.key")
    apply_terms(context, "", ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    below = {suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"}
    assert below == {"ECDHE-ECDSA-AES256-GCM-SHA384"}
    apply_terms(context, "VersionTLS13", [])
    assert context.minimum_version.name == "TLSv1_3"
