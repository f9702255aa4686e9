"""Whether requests can go on to where an APIService says: what its condition Available tells.

Source: k8s.io/kube-aggregator/pkg/controllers/status/remote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from hyperkube_apiserver.aggregation.backend import Backend
from hyperkube_apiserver.ownconditions import Verdict
from hyperkube_apiserver.webhooks.errors import CallFailed

__all__ = ["PASSED", "availability", "probed"]

Tree = dict[str, Any]

PASSED: Verdict = ("True", "Passed", "all checks passed")
_MORE_ATTEMPTS = 4
"""At once, where one failed: an endpoint of several may be about to go."""
_SECONDS = 5.0


def availability(api_service: Tree, service: Tree | None, slices: Iterable[Tree]) -> Verdict | None:
    """What keeps requests from going on, as far as objects tell; None if nothing does.

    `slices` are the EndpointSlices of `service`.
    """
    reference = api_service["spec"]["service"]
    place = f'service/{reference["name"]} in "{reference["namespace"]}"'
    if service is None:
        return "False", "ServiceNotFound", f"{place} is not present"
    spec = service.get("spec") or {}
    if (spec.get("type") or "ClusterIP") != "ClusterIP":
        return None
    port = next((one for one in spec.get("ports") or () if one.get("port") == reference["port"]), None)
    if port is None:
        return "False", "ServicePortError", f"{place} is not listening on port {reference['port']}"
    slices = list(slices)
    if not slices:
        return "False", "EndpointsNotFound", f"cannot find endpointslices for {place}"
    name = port.get("name") or ""
    if not any(_leads_to(one, name) for one in slices):
        return "False", "MissingEndpoints", f'endpointslices for {place} have no addresses with port name "{name}"'
    return None


def _leads_to(endpoint_slice: Tree, port_name: str) -> bool:
    named = any((port.get("name") or "") == port_name for port in endpoint_slice.get("ports") or ())
    ready = (
        endpoint.get("addresses") and (endpoint.get("conditions") or {}).get("ready") is not False
        for endpoint in endpoint_slice.get("endpoints") or ()
    )
    return named and any(ready)


async def probed(backend: Backend, group: str, version: str) -> Verdict:
    """What comes of asking the server for what it must serve; it is enough that one of a few attempts succeeds."""
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    why = await _attempt(backend, path)
    if why:
        others = await asyncio.gather(*(_attempt(backend, path) for _ in range(_MORE_ATTEMPTS)))
        why = "" if "" in others else others[-1]
    return ("False", "FailedDiscoveryCheck", why) if why else PASSED


async def _attempt(backend: Backend, path: str) -> str:
    """Why an attempt failed; "" if it didn't."""
    try:
        url = f"https://{backend.address()}{path}"
    except CallFailed as exc:
        return str(exc)
    try:
        said = await backend.get(path, accept="*/*", seconds=_SECONDS)
    except CallFailed as exc:
        return f'failing or missing response from {url}: Get "{url}": {exc}'
    if not 200 <= said.status < 300:
        return f"failing or missing response from {url}: bad status from {url}: {said.status}"
    return ""
