"""Kubeconfig files."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
import yaml

from hyperkube_machinery import tls
from hyperkube_machinery.kubeconfig import Access, KubeconfigError, read, write

NOW = 1_790_000_000.0


@pytest.fixture(scope="module")
def access() -> Access:
    ca = tls.create_ca("test-ca", now=NOW)
    client = tls.issue_client_certificate(ca, "admin", ["system:masters"], now=NOW)
    return Access(
        server="https://127.0.0.1:6443",
        ca_pem=ca.certificate_pem,
        server_name="kubernetes",
        certificate_pem=client.certificate_pem,
        key_pem=client.key_pem,
        token="t",
        namespace="default",
    )


def test_what_is_written_is_read_again_and_is_its_owners_alone(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "admin.kubeconfig"
    write(path, access, cluster="hk", user="admin")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(path) == access
    assert read(path, context="admin@hk") == access
    document = yaml.safe_load(path.read_text())
    assert (document["kind"], document["current-context"]) == ("Config", "admin@hk")


def test_whatever_its_texts_hold_they_are_read_as_they_were_given(tmp_path: Path) -> None:
    odd = Access(server="https://[::1]:6443", token='- a: "b" # \\ é 😀\n\t', namespace="true")
    write(tmp_path / "config", odd, cluster="null", user="'1'")
    assert read(tmp_path / "config") == odd
    assert yaml.safe_load((tmp_path / "config").read_text())["current-context"] == "'1'@null"


def test_its_context_trusts_the_cluster_only(access: Access) -> None:
    context = access.ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert((access.ca_pem or b"").decode())]
    insecure = Access(server="https://x", insecure=True).ssl_context()
    assert (insecure.verify_mode, insecure.check_hostname) == (ssl.CERT_NONE, False)


def _config(user: dict[str, object], cluster: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://x", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }


def test_files_are_found_beside_the_kubeconfig_and_data_goes_first(access: Access, tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "c.crt").write_bytes(b"certificate")
    (tmp_path / "pki" / "c.key").write_bytes(b"key")
    (tmp_path / "token").write_text(" from-file\n")
    user: dict[str, object] = {
        "client-certificate": "pki/c.crt",
        "client-key": str(tmp_path / "pki" / "c.key"),
        "client-key-data": "aW5saW5l",
        "token": "inline",
        "tokenFile": "token",
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(_config(user)))
    found = read(path)
    assert (found.certificate_pem, found.key_pem, found.token) == (b"certificate", b"inline", "from-file")
    assert found.ca_pem is None


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("a: [", "is not YAML"),
        ("[]", "is not a kubeconfig"),
        ("kind: Pod", "is not a kubeconfig"),
        ("kind: Config", "has no current-context"),
        ("kind: Config\ncurrent-context: x", "has no context 'x'"),
        (_config({"exec": {"command": "x"}}), "user 'u' has exec, which is not supported"),
        (_config({"auth-provider": {"name": "x"}}), "user 'u' has auth-provider"),
        (_config({"client-key": "missing.key"}), "client-key: cannot read"),
        (_config({"client-key-data": "%"}), "client-key-data is not base64"),
        (_config({"token": 5}), "token must be a string, not 5"),
        (_config({}, {"server": ""}), "cluster 'k' has no server"),
    ],
)
def test_what_is_wrong_is_told_with_the_files_name(document: object, told: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    with pytest.raises(KubeconfigError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="cannot be read"):
        read(tmp_path / "none")
