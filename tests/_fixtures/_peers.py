"""Kubernetes' own servers beside hk's, where the user has them: each of a cluster's servers is the one or the other.

The folder that HK_TEST_PEERS names has their programs: kube-apiserver, kube-controller-manager, kube-scheduler,
kubelet, kube-proxy, and etcd unless that is installed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest
from _clusters import PATIENCE_SECONDS, Cluster, Process, eventually

from hyperkube_apiserver.issuance import open_keys
from hyperkube_apiserver.pki import PKI, open_pki, serving_names, write_admin_kubeconfig
from hyperkube_machinery import tls
from hyperkube_machinery.builtin import LEASES
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import APIError

VARIABLE = "HK_TEST_PEERS"
SERVICE_RANGE = "10.177.0.0/16"
POD_RANGE = "10.188.0.0/16"

_PROGRAMS = {
    "apiserver": "kube-apiserver",
    "controller-manager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
    "kubelet": "kubelet",
    "proxy": "kube-proxy",
}
_LOG_LINE = re.compile(r"^(?:\?\?\? )?(?P<level>[WEF])\d{4} \S+ +\d+ (?P<text>.*)")
# What Kubernetes' servers say of clusters that are all Kubernetes' as well.
_EVERYWHERE = tuple(
    map(
        re.compile,
        (
            r"The manifest file is empty",  # a build without a list of metrics
            r"missing content for CA bundle .*requestheader-client-ca-file",  # the API server has no front proxy
            r"is not as new as written version",  # a controller that looks into its own cache too early
            r"the object has been modified",  # two that write at the same time: the later comes again
            r"Status after running PostFilter plugins",  # a pod that fits nowhere yet
            r"Flexvolume plugin directory",
            r"storageclass.storage.k8s.io .* not found",
            r"Failed to update statusUpdateNeeded",
            r"unable to fetch metrics",
            r"Skipping API .* because it has no resources",
            r"stale collision count",
            r"may specify no more than one CIDR for each IP family",  # as the controller that looks too early
        ),
    )
)


def program(server: str) -> Path:
    """Kubernetes' own `server`; the test is skipped where there is none."""
    return _found(_PROGRAMS[server])


def _found(name: str) -> Path:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with Kubernetes' own servers")
    path = Path(folder) / name
    if not os.access(path, os.X_OK):
        pytest.skip(f"there is no program {path}")
    return path


def _etcd() -> Path:
    installed = shutil.which("etcd")
    return Path(installed) if installed else _found("etcd")


class Peer:
    """One of Kubernetes' own servers, in a process of its own; its log is a file."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent)

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Fail the test if it has ended."""
        status = self._process.poll()
        assert status is None, f"{self.name} ended with {status}:\n{self.log.read_text(errors='replace')[-3000:]}"

    async def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()

    def complaints(self, allowed: Sequence[str] = ()) -> list[str]:
        """Its warnings and errors, but for those that it has in every cluster and what `allowed` matches."""
        known = (*_EVERYWHERE, *map(re.compile, allowed))
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            match = _LOG_LINE.match(line)
            if match and not any(pattern.search(match["text"]) for pattern in known):
                found.append(f"{match['level']} {match['text']}")
        return found


class MixedCluster(Cluster):
    """A cluster some of whose servers are Kubernetes' own: those that `upstream` names."""

    def __init__(
        self, upstream: Collection[str], folder: Path, stack: AsyncExitStack, kubectl: Callable[[], Path]
    ) -> None:
        super().__init__("process", folder, stack, kubectl)
        self.upstream = frozenset(upstream)
        self.peers: dict[str, Peer] = {}

    async def open(self, *flags: str) -> None:
        """Start the API server, with certificates and keys as hk's makes them."""
        self.data_dir.mkdir(mode=0o700)
        authority = open_pki(self.data_dir / "pki", serving_names("127.0.0.1", "10.177.0.1"), now=SystemClock().now())
        certificate, key = self.client_certificate("kube-apiserver-kubelet-client", "system:masters")
        flags = (
            "--allow-privileged",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--enable-bootstrap-token-auth",
            f"--kubelet-client-certificate={certificate}",
            f"--kubelet-client-key={key}",
            "--kubelet-preferred-address-types=InternalIP",
            *flags,
        )
        if "apiserver" not in self.upstream:
            await super().open(*flags)
            return
        await self._open_upstream(authority, *flags)
        self.client = await self.connect(self.kubeconfig)

    async def _open_upstream(self, authority: PKI, *flags: str) -> None:
        pki = self.data_dir / "pki"
        open_keys(pki, None, ())
        etcd = await self._start_etcd()
        with closing(_reserved()) as held:
            port = held.getsockname()[1]
            self._run(
                "apiserver",
                program("apiserver"),
                f"--etcd-servers={etcd}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                "--permit-port-sharing",
                f"--cert-dir={self.folder}",
                f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key",
                f"--client-ca-file={pki}/ca.crt",
                f"--service-account-key-file={pki}/sa.pub",
                f"--service-account-signing-key-file={pki}/sa.key",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                *flags,
            )
            write_admin_kubeconfig(self.data_dir, authority, f"https://127.0.0.1:{port}", now=SystemClock().now())
            await eventually(self._is_ready)

    async def _start_etcd(self) -> str:
        with closing(_reserved()) as clients, closing(_reserved()) as peers:
            client, peer = (f"http://127.0.0.1:{held.getsockname()[1]}" for held in (clients, peers))
            self._run(
                "etcd",
                _etcd(),
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--socket-reuse-port",
                "--unsafe-no-fsync",
            )
            await eventually(lambda: _listens(client))
        return client

    async def _is_ready(self) -> bool:
        self.peers["apiserver"].check()
        return (await self.try_kubectl("get", "--raw", "/readyz"))[0] == 0

    async def start_all(self, nodes: Sequence[str]) -> None:
        """A controller manager, a scheduler and hollow kubelets for `nodes`."""
        await self.start_controller_manager(upstream="controller-manager" in self.upstream)
        await self.start_scheduler(upstream="scheduler" in self.upstream)
        for node in nodes:
            await self.start_hollow(node)

    async def start_scheduler(self, *, upstream: bool) -> Peer | Process:
        return await self._start_either("scheduler", upstream=upstream)

    async def start_controller_manager(self, *, upstream: bool) -> Peer | Process:
        pki = self.data_dir / "pki"
        return await self._start_either(
            "controller-manager",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={POD_RANGE}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            upstream=upstream,
        )

    async def _start_either(self, server: str, *flags: str, upstream: bool) -> Peer | Process:
        """A server that elects itself, once it leads."""
        if not upstream:
            return await self.start_process(server, "--secure-port=0", *flags)
        config = self.identity(f"system:kube-{server}")
        if server == "controller-manager":  # it makes the folder, which would be the machine's
            flags = (*flags, f"--flex-volume-plugin-dir={self.folder / 'flex'}")
        before = await self._holder(server)
        peer = self._run(server, program(server), f"--kubeconfig={config}", "--secure-port=0", *flags)
        await eventually(lambda: self._leads(server, peer, before))
        return peer

    async def _leads(self, server: str, peer: Peer, before: str) -> bool:
        peer.check()
        return await self._holder(server) not in ("", before)

    async def _holder(self, server: str) -> str:
        """Who has the lease of `server`."""
        try:
            lease = await self.client.get(LEASES, f"kube-{server}", "kube-system")
        except APIError:
            return ""
        return str(lease["spec"].get("holderIdentity") or "")

    async def start_hollow(self, node: str) -> None:
        flags = (f"--hostname-override={node}", "--container-runtime=hollow", "--port=0", "--healthz-port=0")
        await self.start("kubelet", *flags, f"--root-dir={self.folder / node}")

    def run_peer(self, server: str, *flags: str, before: Sequence[str] = ()) -> Peer:
        """Start one of Kubernetes' own servers with nothing but `flags`; `before` is what runs it."""
        return self._run(server, *before, program(server), *flags)

    def _run(self, name: str, *command: str | Path) -> Peer:
        peer = self.peers[name] = Peer(name, command, self.folder / f"{name}.log")
        self._stack.push_async_callback(peer.stop)
        return peer

    def client_certificate(self, user: str, *groups: str) -> tuple[Path, Path]:
        """A certificate of the API server's authority and its key, as files."""
        pki = self.data_dir / "pki"
        ca = tls.load(pki / "ca.crt", pki / "ca.key")
        paths = self.folder / f"{user}.crt", self.folder / f"{user}.key"
        tls.save(tls.issue_client_certificate(ca, user, groups, now=SystemClock().now()), *paths)
        return paths


def _reserved() -> socket.socket:
    """A free port of loopback's, held for whoever shares it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


def _listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with closing(socket.socket()) as probe:
        return probe.connect_ex((host, int(port))) == 0


@asynccontextmanager
async def open_mixed(
    upstream: Collection[str], folder: Path, kubectl: Callable[[], Path], *flags: str
) -> AsyncIterator[MixedCluster]:
    """An API server with `flags`; all that is started ends with the block, last first. May skip the test."""
    if not sys.platform.startswith("linux"):
        pytest.skip("Kubernetes' own servers are run on Linux alone")
    for server in upstream:
        program(server)
    async with AsyncExitStack() as stack:
        cluster = MixedCluster(upstream, folder, stack, kubectl)
        await cluster.open(*flags)
        yield cluster
