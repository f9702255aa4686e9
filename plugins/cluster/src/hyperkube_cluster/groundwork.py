"""What makes Kubernetes' servers a cluster: the order of things, and what is done between them."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress

from hyperkube_cluster.arguments import arguments
from hyperkube_cluster.credentials import ensure
from hyperkube_cluster.layout import LOOPBACK, PORTS, Layout
from hyperkube_cluster.sockets import listener
from hyperkube_core import ClusterHome, Groundwork, Report

__all__ = ["Kubernetes"]


class Kubernetes(Groundwork):
    """One control plane and one node, all on loopback."""

    def __init__(self, home: ClusterHome) -> None:
        super().__init__(home)
        self.layout = Layout(home.folder, home.name)
        self._prepared: asyncio.Future[None] | None = None

    async def arguments(self, server: str) -> Sequence[str]:
        if self._prepared is None:
            self._prepared = asyncio.ensure_future(self._prepare())
        await asyncio.shield(self._prepared)
        network = listener(self.layout.pod_network_socket) is not None
        return arguments(server, self.layout, self._port, pod_network=network)

    async def _prepare(self) -> None:
        self.layout.relays.parent.mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(ensure, self.layout, self._server, now=self.home.clock.now())

    async def until_ready(self, tell: Callable[[str], None]) -> None:
        from hyperkube_cluster.readiness import until_ready

        await until_ready(
            self.layout,
            self.home.clock,
            tell,
            node="kubelet" in self.home.servers,
            accounts="controller-manager" in self.home.servers,
        )

    async def report(self) -> Report:
        from hyperkube_cluster.reporting import nodes, services

        addresses = {server: self._address(server) for server in self.home.servers if server in _ADDRESSES}
        sections = {}
        if "kubelet" in self.home.servers:
            sections["nodes"] = await nodes(self.layout, self.home.clock)
        if "proxy" in self.home.servers:
            sections["services"] = services(self.layout.relays)
        file = shlex.quote(str(self.layout.kubeconfig("admin")))
        note = f"kubectl --kubeconfig {file} get nodes,pods --all-namespaces"
        return Report(addresses=addresses, sections=sections, notes=[note])

    async def clean_up(self) -> None:
        from hyperkube_cluster.leftovers import end_pods

        await end_pods(self.layout, self.home.clock)
        with suppress(OSError):
            self.layout.relays.unlink()

    @property
    def _server(self) -> str:
        return self._address("apiserver")

    def _port(self, use: str) -> int:
        return self.home.port(use, PORTS[use])

    def _address(self, server: str) -> str:
        scheme, use = _ADDRESSES[server]
        return f"{scheme}://{LOOPBACK}:{self._port(use)}"


_ADDRESSES = {
    "apiserver": ("https", "apiserver"),
    "controller-manager": ("https", "controller-manager"),
    "scheduler": ("https", "scheduler"),
    "kubelet": ("https", "kubelet"),
    "proxy": ("http", "proxy-healthz"),
}
