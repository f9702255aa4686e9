"""kwokctl's contract: soft links to hk, started and ended as its binary runtime does, two clusters on one machine.

Its controller, which plays the nodes, is played here. Source: sigs.k8s.io/kwok/pkg/kwokctl (components, pki, runtime).
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from _etcds import free_ports
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Tree = dict[str, Any]

PATIENCE_SECONDS = 120.0
HK = Path(sys.executable).with_name("hk")
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass
class Cluster:
    """What kwokctl keeps of one."""

    folder: Path
    home: Path
    programs: tuple[str, ...] = PROGRAMS
    ports: list[int] = field(default_factory=lambda: free_ports(5))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return f"https://127.0.0.1:{self.ports[2]}"

    def arguments(self, program: str) -> list[str]:
        etcd, peers, api, manager, scheduler = self.ports
        folder, pki = self.folder, self.folder / "pki"
        return {
            "etcd": [
                "--name=node0",
                "--auto-compaction-retention=1",
                "--quota-backend-bytes=8589934592",
                f"--data-dir={folder / 'etcd'}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
                f"--listen-peer-urls=http://127.0.0.1:{peers}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--initial-cluster=node0=http://127.0.0.1:{peers}",
                "--log-level=debug",
            ],
            "kube-apiserver": [
                "--etcd-prefix=/registry",
                "--allow-privileged=true",
                "--max-requests-inflight=0",
                "--max-mutating-requests-inflight=0",
                "--enable-priority-and-fairness=false",
                f"--etcd-servers=http://127.0.0.1:{etcd}",
                "--authorization-mode=Node,RBAC",
                "--bind-address=127.0.0.1",
                f"--secure-port={api}",
                f"--tls-cert-file={pki / 'admin.crt'}",
                f"--tls-private-key-file={pki / 'admin.key'}",
                f"--client-ca-file={pki / 'ca.crt'}",
                f"--service-account-key-file={pki / 'admin.key'}",
                f"--service-account-signing-key-file={pki / 'admin.key'}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--proxy-client-key-file={pki / 'admin.key'}",
                f"--proxy-client-cert-file={pki / 'admin.crt'}",
                f"--audit-policy-file={folder / 'audit.yaml'}",
                f"--audit-log-path={folder / 'audit.log'}",
                "--v=4",
            ],
            "kube-controller-manager": [
                "--node-monitor-period=25s",
                "--node-monitor-grace-period=3m20s",
                f"--kubeconfig={folder / 'kubeconfig.yaml'}",
                "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
                "--bind-address=127.0.0.1",
                f"--secure-port={manager}",
                f"--root-ca-file={pki / 'ca.crt'}",
                f"--service-account-private-key-file={pki / 'admin.key'}",
                "--kube-api-qps=5000",
                "--kube-api-burst=10000",
                "--v=4",
            ],
            "kube-scheduler": [
                f"--kubeconfig={folder / 'kubeconfig.yaml'}",
                "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
                "--bind-address=127.0.0.1",
                f"--secure-port={scheduler}",
                "--kube-api-qps=5000",
                "--kube-api-burst=10000",
                "--v=4",
            ],
        }[program]

    def start(self) -> None:
        """All at once but for etcd, which the others are started behind."""
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}
        for program in self.programs:
            command = [str(self.folder / "bin" / program), *self.arguments(program)]
            with (self.folder / f"{program}.log").open("ab") as log:
                self.processes[program] = subprocess.Popen(
                    command, stdout=log, stderr=log, cwd=self.folder, env=environment
                )

    def kill(self) -> None:
        """As kwokctl stops and deletes clusters."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def ask(self, path: str, body: Tree | None = None) -> Any:
        context = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt"))
        context.load_cert_chain(self.folder / "pki" / "admin.crt", self.folder / "pki" / "admin.key")
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.api}{path}", data, {"Content-Type": "application/json"})
        with urlopen(request, timeout=10, context=context) as answer:
            content = answer.read()
        return json.loads(content) if content[:1] == b"{" else content.decode()

    def until(self, holds: Callable[[], Any]) -> Any:
        """What `holds` says, once that is something."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if found := holds():
                    return found
            except URLError:
                pass
            for program, process in self.processes.items():
                if process.poll() is not None:
                    pytest.fail(f"{program} ended:\n" + (self.folder / f"{program}.log").read_text()[-3000:])
            if time.monotonic() > deadline:
                pytest.fail("\n".join(log.read_text()[-2000:] for log in self.folder.glob("kube-*.log")))
            time.sleep(0.2)


def write_certificates(folder: Path) -> None:
    """An authority, and one certificate for everything: RSA, to serve with and to be the administrator with."""
    folder.mkdir()
    now = datetime.now(UTC) - timedelta(minutes=1)
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kwok-ca")])
    admin = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "kwok-admin"),
        ]
    )
    keys = {name: rsa.generate_private_key(65537, 2048) for name in ("ca", "admin")}
    usages = [
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    names = [x509.DNSName("localhost"), x509.DNSName("kubernetes.default.svc"), x509.IPAddress(ip_address("127.0.0.1"))]
    for name, subject in (("ca", authority), ("admin", admin)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name == "admin":
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(keys["ca"], hashes.SHA256())
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            keys[name].private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )


@contextmanager
def created(folder: Path, home: Path, programs: tuple[str, ...] = PROGRAMS) -> Iterator[Cluster]:
    """A cluster whose servers have been started."""
    cluster = Cluster(folder, home, programs)
    (folder / "bin").mkdir(parents=True)
    for program in PROGRAMS:
        (folder / "bin" / program).symlink_to(shutil.which("hk") or HK)
    write_certificates(folder / "pki")
    (folder / "etcd").mkdir(mode=0o750)
    (folder / "audit.yaml").write_text("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}")
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "kwok",
        "clusters": [
            {"name": "kwok", "cluster": {"server": cluster.api, "certificate-authority": str(folder / "pki/ca.crt")}}
        ],
        "users": [
            {
                "name": "kwok",
                "user": {
                    "client-certificate": str(folder / "pki/admin.crt"),
                    "client-key": str(folder / "pki/admin.key"),
                },
            }
        ],
        "contexts": [{"name": "kwok", "context": {"cluster": "kwok", "user": "kwok"}}],
    }
    (folder / "kubeconfig.yaml").write_text(json.dumps(tree))
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.kill()


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("etcd", "etcd Version: 3.5."),
        ("kube-apiserver", "Kubernetes v1.36."),
        ("kube-controller-manager", "Kubernetes v1.36."),
        ("kube-scheduler", "Kubernetes v1.36."),
    ],
)
def test_flags_are_chosen_by_what_version_says(tmp_path: Path, program: str, text: str) -> None:
    link = tmp_path / program
    link.symlink_to(shutil.which("hk") or HK)
    answer = subprocess.run([link, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.startswith(text)
    assert answer.stdout.count("\n") == 1


def test_a_cluster_beside_another_schedules_and_outlives_being_killed(tmp_path: Path) -> None:
    node = {
        "metadata": {"name": "node-0"},
        "status": {
            "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
            "capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    deployment = {
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template},
    }
    pods = "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName%3Dnode-0"
    home = tmp_path / "home"
    home.mkdir()
    with created(tmp_path / "one", home) as one, created(tmp_path / "two", home, PROGRAMS[:2]) as two:
        for cluster in (one, two):
            assert cluster.until(lambda cluster=cluster: cluster.ask("/healthz")) == "ok"  # type: ignore[misc]
        one.ask("/api/v1/nodes", node)
        one.ask("/apis/apps/v1/namespaces/default/deployments", deployment)
        placed = one.until(lambda: len(one.ask(pods)["items"]) == 2 and one.ask(pods)["items"])
        assert two.ask("/api/v1/nodes")["items"] == []
        two.kill()
        one.kill()
        one.start()
        again = one.until(lambda: one.ask(pods)["items"])
        assert {pod["metadata"]["uid"] for pod in again} == {pod["metadata"]["uid"] for pod in placed}
        assert (one.folder / "audit.log").stat().st_size > 0
        kept = {path.name for path in (home / ".local/share/hk").iterdir()}
        assert kept == {f"apiserver-{cluster.ports[2]}" for cluster in (one, two)}
