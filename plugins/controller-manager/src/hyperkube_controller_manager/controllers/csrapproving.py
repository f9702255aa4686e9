"""Certificate approval: kubelets' client certificates, for who may have them.

A node that asks for itself again needs `selfnodeclient`, a machine that asks for a node's first one `nodeclient`: the
authorizer is asked. All else is left to people. Source: k8s.io/kubernetes/pkg/controller/certificates/approver.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.signingrequests import (
    APPROVED,
    DENIED,
    certificate_of,
    is_decided,
    request_of,
    with_condition,
)
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from hyperkube_machinery.certificaterequests import KUBELET_CLIENT, BadRequest, read_request
from hyperkube_machinery.client import Client
from hyperkube_machinery.controller import Controller

__all__ = ["permissions", "run"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}


def permissions(csr: Tree) -> Iterator[str]:
    """Each right that would do, as a subresource of requests; none for what people decide on.

    Raises BadRequest for what is no request.
    """
    asked, spec = read_request(request_of(csr)), csr["spec"]
    if spec.get("signerName") != KUBELET_CLIENT:
        return
    try:
        asked.check_kubelet_client(spec.get("usages") or ())
    except BadRequest:
        return
    if spec.get("username") == asked.common_name:
        yield "selfnodeclient"
    yield "nodeclient"


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    requests = context.informers.of(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(name: str) -> None:
        csr = requests.get(name)
        if csr is None or certificate_of(csr) or is_decided(csr, APPROVED, DENIED):
            return
        tried = []
        for subresource in permissions(csr):
            tried.append(subresource)
            if await _may(context.client, csr["spec"], subresource):
                decided = with_condition(csr, APPROVED, "AutoApproved", _MESSAGES[subresource])
                await context.client.replace(CERTIFICATE_SIGNING_REQUESTS, decided, subresource="approval")
                return
        if tried:
            # The right may be granted later, and nothing tells of that.
            raise BadRequest(f"recognized csr {name} as {tried} but subject access review was not approved")

    controller = Controller(context.name, reconcile, clock=context.clock, workers=5, metrics=context.metrics)
    requests.on_change(lambda _, new: controller.queue.add(meta.name(new)) if new is not None else None)
    await context.synced()
    await controller.run()


async def _may(client: Client, spec: Tree, subresource: str) -> bool:
    asked = {
        "user": spec.get("username") or "",
        "uid": spec.get("uid") or "",
        "groups": spec.get("groups") or [],
        "extra": spec.get("extra") or {},
        "resourceAttributes": {
            "group": CERTIFICATE_SIGNING_REQUESTS.group,
            "version": "*",
            "resource": CERTIFICATE_SIGNING_REQUESTS.resource,
            "subresource": subresource,
            "verb": "create",
        },
    }
    review = {"apiVersion": SUBJECT_ACCESS_REVIEWS.api_version, "kind": SUBJECT_ACCESS_REVIEWS.kind, "spec": asked}
    answer = await client.create(SUBJECT_ACCESS_REVIEWS, review)
    return bool((answer.get("status") or {}).get("allowed"))
