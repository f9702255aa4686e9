"""Kubeconfig files."""

from __future__ import annotations

import ssl
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from hyperkube_machinery import tls
from hyperkube_machinery.kubeconfig import (
    Access,
    ExecCommand,
    Impersonation,
    KubeconfigError,
    in_cluster,
    load,
    of_flags,
    read,
    write,
)

NOW = 1_790_000_000.0
V1 = "client.authentication.k8s.io/v1"
COMMAND = {"apiVersion": V1, "command": "tell", "interactiveMode": "Never"}


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


def test_inline_data_may_be_broken_into_lines(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "config"
    write(path, access, cluster="hk", user="admin")
    document = yaml.safe_load(path.read_text())
    cluster = document["clusters"][0]["cluster"]
    text = cluster["certificate-authority-data"]
    cluster["certificate-authority-data"] = f"{text[:64]}\r\n{text[64:]}\n"
    path.write_text(yaml.safe_dump(document))
    assert read(path) == access


def test_another_server_is_expected_to_have_its_own_name(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "config"
    write(path, access, cluster="hk", user="admin")
    found = read(path, master="https://other:6443")
    assert (found.server, found.server_name) == ("https://other:6443", "")


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


def _config(user: Mapping[str, object], cluster: Mapping[str, object] | None = None) -> dict[str, object]:
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
        (_config({"exec": {"command": "x"}}), "users[u].exec.apiVersion must be client.authentication.k8s.io/v1 or"),
        (_config({"exec": {"apiVersion": V1, "interactiveMode": "Never"}}), "users[u].exec.command is missing"),
        (_config({"exec": {"apiVersion": V1, "command": "x"}}), "exec.interactiveMode must be one of Never, IfAvail"),
        (_config({"exec": {**COMMAND, "interactiveMode": "Always"}}), "exec.interactiveMode is Always, but nobody"),
        (_config({"exec": {**COMMAND, "args": "x"}}), "users[u].exec.args must be a list of strings"),
        (_config({"exec": "x"}), "users[u].exec must be a mapping, not str"),
        (_config({"auth-provider": {"name": "x"}}), "users[u].auth-provider is not supported"),
        (_config({"client-key": "missing.key"}), "users[u].client-key cannot be read: "),
        (_config({"tokenFile": "missing"}), "users[u].tokenFile cannot be read: "),
        (_config({"client-key-data": "%"}), "users[u].client-key-data is not base64"),
        (_config({"token": 5}), "users[u].token must be a string, not a number"),
        (_config({"username": "x", "token": "y"}), "users[u].username stands beside a token"),
        (_config({"as-groups": ["x"]}), "users[u].as is missing"),
        (_config({}, {"server": ""}), "clusters[k].server is missing"),
        (_config({}, {"proxy-url": "http://x"}), "clusters[k].proxy-url is not supported"),
        (
            _config({}, {"certificate-authority-data": "eA==", "insecure-skip-tls-verify": True}),
            "clusters[k].insecure-skip-tls-verify is true beside a certificate authority",
        ),
        (_config({}, {"insecure-skip-tls-verify": "yes"}), "insecure-skip-tls-verify must be true or false, not str"),
        ("kind: Config\nusers: 5", "users must be a list of mappings"),
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


SECRET = "5ecret"


@pytest.mark.parametrize(
    "document",
    [
        f"kind: Config\nusers:\n- name: u\n  user:\n    token: {SECRET}: x\n",
        f"kind: Config\nusers: [{{name: u, user: {{token: [{SECRET}]}}}}]\n",
        f"kind: Config\nusers: {SECRET}\n",
    ],
)
def test_errors_hold_no_secrets(document: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "current-context: c\ncontexts: [{name: c, context: {user: u, cluster: k}}]\n" + document
    )
    with pytest.raises(KubeconfigError) as caught:
        read(tmp_path / "config")
    assert SECRET not in str(caught.value)


def test_what_an_access_is_shown_as_holds_no_secrets() -> None:
    command = ExecCommand(api_version=V1, command="x", env={"PASSWORD": SECRET})
    access = Access(server="x", token=SECRET, password=SECRET, key_pem=SECRET.encode(), command=command)
    assert SECRET not in repr(access)


def test_commands_impersonation_and_passwords_are_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "kube").mkdir()
    path = tmp_path / "kube" / "config"
    user = {
        "exec": {**COMMAND, "command": "../bin/tell", "args": ["-x"], "env": [{"name": "A", "value": "b"}]},
        "username": "me",
        "password": "p",
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["g", "h"],
        "as-user-extra": {"scopes": ["a", "b"]},
    }
    path.write_text(yaml.safe_dump(_config(user)))
    found = read(path)
    assert found.command == ExecCommand(
        api_version=V1, command=str(tmp_path / "kube" / "../bin/tell"), args=("-x",), env={"A": "b"}
    )
    assert (found.username, found.password) == ("me", "p")
    assert found.impersonation == Impersonation(user="jane", uid="7", groups=("g", "h"), extra={"scopes": ("a", "b")})
    write(tmp_path / "again", found, cluster="k", user="u")
    assert read(tmp_path / "again") == found


def test_a_command_is_told_of_its_cluster_where_it_wants_that(tmp_path: Path) -> None:
    cluster = {
        "tls-server-name": "n",
        "certificate-authority-data": "eA==",
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(_config({"exec": {**COMMAND, "provideClusterInfo": True}}, cluster)))
    command = read(path, master="https://other").command
    assert command is not None
    assert command.cluster == {
        "server": "https://other",
        "tls-server-name": "n",
        "certificate-authority-data": "eA==",
        "config": {"audience": "a"},
    }


def test_files_of_one_variable_are_merged_and_the_first_to_name_something_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "one", tmp_path / "b" / "two"
    for path in (first, second):
        path.parent.mkdir()
    (tmp_path / "b" / "token").write_text("second")
    first.write_text(yaml.safe_dump({"users": [{"name": "u", "user": {}}], "current-context": "c"}))
    document = _config({"token": "hidden by the first"})
    document["current-context"] = "other"
    document["users"] = [*document["users"], {"name": "v", "user": {"tokenFile": "token"}}]  # type: ignore[misc]
    document["contexts"] = [*document["contexts"], {"name": "d", "context": {"cluster": "k", "user": "v"}}]  # type: ignore[misc]
    second.write_text(yaml.safe_dump(document))
    environ = {"KUBECONFIG": f"{first}:{tmp_path / 'missing'}::{second}", "HOME": str(tmp_path)}
    assert (load(environ=environ).server, load(environ=environ).token) == ("https://x", "")
    assert load(environ=environ, context="d").token == "second"


def test_without_a_file_the_home_directory_is_looked_in_then_the_pod(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    with pytest.raises(KubeconfigError, match="this is no pod"):
        load(environ=environ)
    assert load(environ=environ, master="https://m") == Access(server="https://m")
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(yaml.safe_dump(_config({"token": "t"})))
    assert load(environ=environ).token == "t"
    assert load(environ=environ, master="https://m").server == "https://m"


def test_a_pod_finds_its_api_server_and_its_token(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"ca")
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "namespace").write_text("n")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = in_cluster(environ, tmp_path)
    assert (found.server, found.ca_pem, found.token, found.namespace) == ("https://[fd00::1]:443", b"ca", "t", "n")
    assert found.token_file == tmp_path / "token"


def test_one_that_was_written_here_is_read_without_yaml(tmp_path: Path) -> None:
    path = tmp_path / "config"
    write(path, Access(server="https://127.0.0.1:6443", token="t"), cluster="c", user="u")
    script = f"""
import sys
from pathlib import Path
from hyperkube_machinery import kubeconfig
assert kubeconfig.read(Path({str(path)!r})).token == "t"
sys.exit("yaml" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_braces_may_be_yamls(tmp_path: Path) -> None:
    path = tmp_path / "config"
    clusters = "[{name: c, cluster: {server: 'https://s'}}]"
    path.write_text(f"{{clusters: {clusters}, contexts: [{{name: x, context: {{cluster: c}}}}]}}")
    assert read(path, context="x").server == "https://s"


def test_a_server_takes_no_file_of_its_users(tmp_path: Path) -> None:
    theirs = tmp_path / "config"
    write(theirs, Access(server="https://production"), cluster="c", user="u")
    environ = {"KUBECONFIG": str(theirs), "HOME": str(tmp_path)}
    assert load(environ=environ).server == "https://production"
    with pytest.raises(KubeconfigError, match="there is no kubeconfig"):
        of_flags(None, environ=environ)
    assert of_flags(None, master="https://mine", environ=environ).server == "https://mine"
    assert of_flags(theirs, environ=environ).server == "https://production"
    assert of_flags(theirs, master="https://mine", environ=environ).server == "https://mine"
