"""Answers what is asked of usage: /stats/summary, /metrics/resource, /metrics/cadvisor and /metrics/probes.

Source: k8s.io/kubernetes/pkg/kubelet/server/server.go (InstallAuthNotRequiredHandlers), pkg/kubelet/server/stats.
"""

from __future__ import annotations

import logging
from urllib.parse import parse_qs

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.node.machine import Machine
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.stats.cadvisor import Facts, cadvisor_families, groups_of
from hyperkube_kubelet.stats.figures import NodeFigures
from hyperkube_kubelet.stats.provider import Provider
from hyperkube_kubelet.stats.resource import resource_families
from hyperkube_kubelet.stats.summary import summary
from hyperkube_kubelet.stats.text import told
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.exposition import exposed
from hyperkube_machinery.serving.messages import Answer, Request, Response

__all__ = ["FiguresAPI"]

log = logging.getLogger(__name__)


class FiguresAPI:
    """A handler of requests that are about nothing else."""

    def __init__(self, provider: Provider, machine: Machine, top_group: str, counts: Counts) -> None:
        self._provider = provider
        self._top_group = top_group
        self._counts = counts
        self._facts = Facts(
            cpus=machine.cpus,
            memory_bytes=machine.memory_bytes,
            swap_bytes=machine.swap_bytes,
            machine_id=machine.machine_id,
            system_uuid=machine.system_uuid,
            boot_id=machine.boot_id,
            kernel_version=machine.kernel_version,
            os_image=machine.os_image,
        )

    async def __call__(self, request: Request) -> Answer | None:
        """None for a path that is another's."""
        match request.path.rstrip("/"):
            case "/stats/summary":
                return await self._summary(request)
            case "/metrics/resource":
                return await told(resource_families(await self._figures_or_none()), request)
            case "/metrics/cadvisor":
                return await self._cadvisor(request)
            case "/metrics/probes":
                return await exposed(self._counts.probes, request)
        return None

    async def _summary(self, request: Request) -> Response:
        query = parse_qs(request.query, keep_blank_values=True)
        if request.method not in ("GET", "POST"):
            raise APIError.of(405, "MethodNotAllowed", "405: Method Not Allowed")
        try:
            figures = await self._provider.figures()
        except RuntimeFailure as exc:
            log.error("no summary can be made: %s", exc)
            raise APIError.internal(f"Internal Error: {exc}") from exc
        only = query.get("only_cpu_and_memory") == ["true"]
        return Response(200, encode(summary(figures, only_cpu_and_memory=only)), "application/json")

    async def _figures_or_none(self) -> NodeFigures | None:
        try:
            return await self._provider.figures()
        except RuntimeFailure as exc:
            log.error("what is used is not known: %s", exc)
            return None

    async def _cadvisor(self, request: Request) -> Response:
        figures = await self._figures_or_none()
        if figures is None:
            raise APIError.internal("the container runtime doesn't answer")
        groups = groups_of(figures, self._top_group)
        details = await self._provider.details(groups)
        own = {pod.sandbox_group for pod in figures.pods if pod.sandbox_group} | {self._top_group} - {""}
        usages = await self._provider.usages(sorted(own))
        devices = await self._provider.devices()
        families = cadvisor_families(
            figures, self._facts, self._top_group, details, usages, figures.layer_device, devices
        )
        return await told(families, request)
