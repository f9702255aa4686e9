"""Certificates and kubeconfigs: who each server is, and when all of them are made anew."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hyperkube_cluster.credentials import ensure
from hyperkube_cluster.identities import KUBELET_CLIENT, identities
from hyperkube_cluster.layout import Layout
from hyperkube_machinery import kubeconfig, tls

SERVER = "https://127.0.0.1:6443"
NOW = 1_800_000_000.0
YEAR = 365 * 24 * 3600.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path, "mine")
    ensure(made, SERVER, now=NOW)
    return made


def subject(certificate: x509.Certificate) -> tuple[str, set[str]]:
    names = certificate.subject
    users = names.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = names.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(users[0].value), {str(group.value) for group in groups}


@pytest.mark.parametrize(
    ("server", "user", "groups"),
    [
        ("controller-manager", "system:kube-controller-manager", set()),
        ("scheduler", "system:kube-scheduler", set()),
        ("kubelet", "system:node:hk-mine", {"system:nodes"}),
        ("proxy", "system:kube-proxy", set()),
        ("admin", "kubernetes-admin", {"system:masters"}),
    ],
)
def test_every_server_is_somebody_of_its_own(layout: Layout, server: str, user: str, groups: set[str]) -> None:
    access = kubeconfig.read(layout.kubeconfig(server))
    certificate = x509.load_pem_x509_certificate(access.certificate_pem)
    assert subject(certificate) == (user, groups)
    assert access.server == SERVER
    assert access.ca_pem == layout.ca.read_bytes()
    certificate.verify_directly_issued_by(tls.load_certificates(layout.ca)[0])
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_the_kubelet_serves_as_what_it_is_reached_by(layout: Layout) -> None:
    pair = tls.load(layout.certificate("kubelet"), layout.key("kubelet"))
    names = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hk-mine", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_the_api_server_is_somebody_to_kubelets(layout: Layout) -> None:
    pair = tls.load(layout.certificate(KUBELET_CLIENT), layout.key(KUBELET_CLIENT))
    assert subject(pair.certificate) == ("kube-apiserver-kubelet-client", set())


def test_secrets_are_their_owners_alone(layout: Layout) -> None:
    secrets = [*layout.folder.rglob("*.key"), *layout.folder.glob("*.kubeconfig")]
    assert len(secrets) == 3 + len(identities("x"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    folders = [layout.apiserver, layout.ca.parent, layout.pki]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def contents(layout: Layout) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in layout.folder.rglob("*") if path.is_file()}


def test_a_later_start_finds_all_in_order(layout: Layout) -> None:
    before = contents(layout)
    ensure(layout, SERVER, now=NOW + YEAR / 2)
    assert contents(layout) == before


def test_a_later_start_needs_no_cryptography(layout: Layout) -> None:
    script = f"""
import sys
from pathlib import Path
from hyperkube_cluster.credentials import ensure
from hyperkube_cluster.layout import Layout
ensure(Layout(Path({str(layout.folder)!r}), "mine"), {SERVER!r}, now={NOW})
sys.exit("cryptography" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("change", ["time", "server", "removed", "changed", "index"])
def test_all_is_made_anew_where_something_is_not_as_it_was(layout: Layout, change: str) -> None:
    before = contents(layout)
    server, now = SERVER, NOW
    if change == "time":
        now += 0.8 * YEAR
    elif change == "server":
        server = "https://127.0.0.1:7443"
    elif change == "removed":
        layout.kubeconfig("proxy").unlink()
    elif change == "changed":
        layout.certificate("kubelet").write_bytes(b"")
    else:
        (layout.pki / "issued.json").write_bytes(b"{")
    ensure(layout, server, now=now)
    after = contents(layout)
    assert after.keys() == before.keys()
    assert {path for path in before if after[path] == before[path]} == {layout.ca, layout.ca_key}
    assert kubeconfig.read(layout.kubeconfig("proxy")).server == server


def test_the_authority_is_the_one_that_the_api_server_made(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "mine")
    layout.ca.parent.mkdir(parents=True)
    made = tls.create_ca("its own", now=NOW)
    tls.save(made, layout.ca, layout.ca_key)
    ensure(layout, SERVER, now=NOW)
    assert kubeconfig.read(layout.kubeconfig("admin")).ca_pem == made.certificate_pem


def test_an_authority_that_has_expired_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "mine")
    ensure(layout, SERVER, now=NOW)
    with pytest.raises(tls.CertificateError, match="expired"):
        ensure(layout, SERVER, now=NOW + 11 * YEAR)
