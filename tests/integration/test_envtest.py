"""envtest's contract: `etcd` and `kube-apiserver`, soft links to hk, started as controller-runtime starts them.

Source: sigs.k8s.io/controller-runtime/pkg/internal/testing (controlplane, process, certs).
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from hyperkube_machinery import tls

START_SECONDS = 60.0
HK = Path(sys.executable).with_name("hk")


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that KUBEBUILDER_ASSETS names."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("etcd", "kube-apiserver"):
        (folder / name).symlink_to(shutil.which("hk") or HK)
    return folder


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What envtest has written before it starts the API server."""
    folder = tmp_path_factory.mktemp("certs")
    folder.chmod(0o700)
    now = time.time()
    for name, authority in (("apiserver", tls.create_ca("localhost-ca", now=now)),):
        serving = tls.issue_serving_certificate(authority, "localhost", ["localhost", "127.0.0.1"], now=now)
        tls.save(serving, folder / f"{name}.crt", folder / f"{name}.key")
        (folder / "ca.crt").write_bytes(authority.certificate_pem)
    signer = tls.create_ca("sa-signer", now=now)
    tls.save(signer, folder / "sa-signer.crt", folder / "sa-signer.key")
    clients = tls.create_ca("client-ca", now=now)
    (folder / "client-cert-auth-ca.crt").write_bytes(clients.certificate_pem)
    admin = tls.issue_client_certificate(clients, "admin", ["system:masters"], now=now)
    tls.save(admin, folder / "admin.crt", folder / "admin.key")
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(url: str, context: ssl.SSLContext | None, command: list[str], folder: Path) -> Iterator[None]:
    """A program, once `url` answers 200, until it has ended by itself after SIGTERM, as envtest waits for it."""
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(url, context):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} did not start:\n" + (folder / "log").read_text()[-4000:])
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def answers(url: str, context: ssl.SSLContext | None) -> bool:
    try:
        with urlopen(url, timeout=2, context=context) as answer:
            return int(answer.status) == 200
    except (URLError, OSError):
        return False


@pytest.fixture(scope="module")
def cluster(
    binaries: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Where the API server is, and how it is spoken to."""
    etcd, data = f"http://127.0.0.1:{free_port()}", tmp_path_factory.mktemp("etcd")
    data.chmod(0o700)
    port = free_port()
    api = f"https://127.0.0.1:{port}"
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
    with ExitStack() as stack:
        arguments = [
            f"--advertise-client-urls={etcd}",
            f"--data-dir={data}",
            f"--listen-client-urls={etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
            "--unsafe-no-fsync=true",
        ]
        command = [str(binaries / "etcd"), *arguments]
        stack.enter_context(running(f"{etcd}/health", None, command, tmp_path_factory.mktemp("etcd-log")))
        arguments = [
            "--advertise-address=127.0.0.1",
            "--allow-privileged=true",
            "--authorization-mode=RBAC",
            "--bind-address=127.0.0.1",
            f"--cert-dir={certificates}",
            f"--client-ca-file={certificates / 'client-cert-auth-ca.crt'}",
            "--disable-admission-plugins=ServiceAccount",
            f"--etcd-servers={etcd}",
            f"--secure-port={port}",
            f"--service-account-issuer={api}/",
            f"--service-account-key-file={certificates / 'sa-signer.crt'}",
            f"--service-account-signing-key-file={certificates / 'sa-signer.key'}",
            "--service-cluster-ip-range=10.0.0.0/24",
        ]
        command = [str(binaries / "kube-apiserver"), *arguments]
        anonymous = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        stack.enter_context(running(f"{api}/healthz", anonymous, command, tmp_path_factory.mktemp("api-log")))
        yield api, context


@pytest.mark.parametrize(
    ("program", "has", "lacks"),
    [("kube-apiserver", "--etcd-servers", "--insecure-port"), ("etcd", "--listen-client-urls", "--insecure-port")],
)
def test_flags_are_found_out_by_help(binaries: Path, program: str, has: str, lacks: str) -> None:
    answer = subprocess.run([binaries / program, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert has in answer.stdout
    assert lacks not in answer.stdout


def test_objects_are_written_and_read(cluster: tuple[str, ssl.SSLContext]) -> None:
    api, context = cluster
    body = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": _POD}).encode()
    request = Request(
        f"{api}/api/v1/namespaces/default/pods", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urlopen(request, timeout=30, context=context) as answer:
        assert answer.status == 201
    with urlopen(f"{api}/api/v1/namespaces/default/pods/p", timeout=30, context=context) as answer:
        assert json.load(answer)["metadata"]["uid"]


_POD = {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]}


def test_nothing_is_left_outside_the_folders_that_were_given(
    cluster: tuple[str, ssl.SSLContext], certificates: Path
) -> None:
    assert (certificates / "hk" / "admin.kubeconfig").exists()
