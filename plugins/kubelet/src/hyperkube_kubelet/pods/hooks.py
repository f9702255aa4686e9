"""What a container wants done after it has started and before it is stopped.

Source: k8s.io/kubernetes/pkg/kubelet/lifecycle/handlers.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_kubelet.podspec import Tree, described, shown_names, uses_host_network
from hyperkube_kubelet.probes.http import HTTPFailure, ask, speaks_no_tls
from hyperkube_kubelet.probes.ports import port_number
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import HostNetwork
from hyperkube_machinery.quoting import quoted

__all__ = ["HookFailed", "Hooks"]


class HookFailed(Exception):
    """A hook did not do; the message is upstream's, and may hold what the container wrote."""


class Hooks:
    """Runs hooks, which have no time limit of their own."""

    def __init__(self, runtime: Runtime, recorder: Recorder, clock: Clock) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock

    async def run(self, hook: Tree, pod: Tree, container: Tree, container_id: str, pod_ips: Sequence[str]) -> None:
        """Raises HookFailed."""
        where = f'for Container "{container["name"]}" in Pod "{described(pod)}" failed - error'
        if action := hook.get("exec"):
            await self._exec(action.get("command") or (), container_id, where)
        elif action := hook.get("httpGet"):
            try:
                await self._ask(action, pod, container, pod_ips[0] if pod_ips else "")
            except (HTTPFailure, ValueError) as exc:
                raise HookFailed(f"HTTP lifecycle hook ({action.get('path') or ''}) {where}: {exc}") from exc
        elif (action := hook.get("sleep")) is not None:
            await self._clock.sleep(float(action.get("seconds") or 0))
        else:
            raise HookFailed("Cannot run handler: invalid handler")

    async def _ask(self, action: Tree, pod: Tree, container: Tree, pod_ip: str) -> None:
        """By TLS where the hook says so, and in plain HTTP where the container speaks nothing else.

        Raises HTTPFailure, ValueError.
        """
        network = HostNetwork() if uses_host_network(pod) else self._runtime.network
        try:
            await ask(network, action, container, pod_ip, "lifecycle")
        except HTTPFailure as exc:
            if action.get("scheme") != "HTTPS" or not speaks_no_tls(exc):
                raise
            headers = [one for one in action.get("httpHeaders") or () if one["name"].lower() != "authorization"]
            plain = {**action, "scheme": "HTTP", "httpHeaders": headers}
            try:
                await ask(network, plain, container, pod_ip, "lifecycle")
            except HTTPFailure:
                raise exc from None
            host = f"{action.get('host') or pod_ip}:{port_number(action['port'], container)}"
            message = f"request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded"
            self._recorder.event(pod, "Warning", "LifecycleHTTPFallback", message)

    async def _exec(self, command: Sequence[str], container_id: str, where: str) -> None:
        begin = f"Exec lifecycle hook ({shown_names(command)}) {where}"
        try:
            done = await self._runtime.exec_sync(container_id, command)
        except RuntimeFailure as exc:
            raise HookFailed(f'{begin}: {exc}, message: ""') from exc
        if done.exit_code:
            said = quoted((done.stdout + done.stderr).decode("utf-8", "replace"))
            why = (
                f"command '{' '.join(command)}' exited with {done.exit_code}: {done.stderr.decode('utf-8', 'replace')}"
            )
            raise HookFailed(f"{begin}: {why}, message: {said}")
