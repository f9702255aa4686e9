"""One try of a probe. Source: k8s.io/kubernetes/pkg/kubelet/prober/prober.go and pkg/probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hyperkube_kubelet.containers.expansion import expand
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.probes.grpc import check
from hyperkube_kubelet.probes.http import HTTPFailure, ask
from hyperkube_kubelet.probes.ports import port_number
from hyperkube_kubelet.runtime.errors import ExecFailed, ExecTimeout, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.durations import format_duration
from hyperkube_machinery.exchange import Peer, failure_text
from hyperkube_machinery.podnetwork import HostNetwork, PodNetwork

__all__ = ["Errored", "Outcome", "Trier"]

LONGEST_OUTPUT = 10 << 10


class Errored(Exception):
    """The probe itself failed, so that nothing is known of the container."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to, and what it said."""

    result: Literal["success", "warning", "failure"]
    output: str = ""


class Trier:
    """Tries probes on containers of the pods of one runtime."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def __call__(
        self, probe: Tree, container: Tree, container_id: str, pod_ip: str, *, host_network: bool = False
    ) -> Outcome:
        """Try once, from the network that the pod is in. Raises Errored."""
        seconds = float(probe.get("timeoutSeconds") or 1)
        network = HostNetwork() if host_network else self._runtime.network
        try:
            if action := probe.get("exec"):
                return await self._exec(action, container, container_id, seconds)
            if action := probe.get("httpGet"):
                return await self._http(network, action, container, pod_ip, seconds)
            if action := probe.get("tcpSocket"):
                return await self._tcp(network, action, container, pod_ip, seconds)
            if action := probe.get("grpc"):
                return await self._grpc(network, action, pod_ip, seconds)
        except ValueError as exc:  # of a port that is none
            raise Errored(str(exc)) from exc
        raise Errored(f"missing probe handler for container {container['name']}")

    async def _exec(self, action: Tree, container: Tree, container_id: str, seconds: float) -> Outcome:
        values = {item["name"]: item.get("value") or "" for item in container.get("env") or ()}
        command = [expand(word, values) for word in action.get("command") or ()]
        try:
            done = await self._runtime.exec_sync(container_id, command, seconds)
        except ExecTimeout:
            shown = " ".join(command)
            return Outcome("failure", f'command timed out: "{shown}" timed out after {format_duration(seconds)}')
        except ExecFailed as exc:
            if exc.exit_code in (126, 127):
                return Outcome("failure", str(exc))
            raise Errored(str(exc)) from exc
        except RuntimeFailure as exc:
            raise Errored(f"rpc error: {exc}") from exc
        output = (done.stdout + done.stderr)[:LONGEST_OUTPUT].decode("utf-8", "replace")
        return Outcome("success" if done.exit_code == 0 else "failure", output)

    async def _http(self, network: PodNetwork, action: Tree, container: Tree, pod_ip: str, seconds: float) -> Outcome:
        asking = ask(network, action, container, pod_ip, "probe")
        try:
            answer = await within(self._clock, seconds, asking)
        except HTTPFailure as exc:
            return Outcome("failure", str(exc))
        except TimeoutError:
            scheme, host = str(action.get("scheme") or "HTTP").lower(), action.get("host") or pod_ip
            url = f"{scheme}://{host}:{port_number(action['port'], container)}{action.get('path') or '/'}"
            why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return Outcome("failure", f'Get "{url}": {why}')
        if 200 <= answer.status < 300:
            return Outcome("success", answer.body)
        if 300 <= answer.status < 400:
            return Outcome("warning", f"Probe terminated redirects, Response body: {answer.body}")
        return Outcome("failure", f"HTTP probe failed with statuscode: {answer.status}")

    async def _tcp(self, network: PodNetwork, action: Tree, container: Tree, pod_ip: str, seconds: float) -> Outcome:
        peer = Peer(action.get("host") or pod_ip, port_number(action["port"], container))
        try:
            connected = await within(self._clock, seconds, network.dial(peer.host, peer.port))
        except OSError as exc:  # a timeout is one
            return Outcome("failure", failure_text(peer, exc))
        connected.close()
        return Outcome("success")

    async def _grpc(self, network: PodNetwork, action: Tree, pod_ip: str, seconds: float) -> Outcome:
        peer = Peer(pod_ip, int(action["port"]))
        try:
            serving, why = await within(self._clock, seconds, check(network, peer, action.get("service") or ""))
        except TimeoutError:
            timeout = format_duration(seconds)
            return Outcome("failure", f'timeout: failed to connect service "{peer.authority}" within {timeout}')
        return Outcome("success" if serving else "failure", why)
