"""Bootstrap signing: `cluster-info` in kube-public is signed with each bootstrap token that may sign.

Whoever has a token can tell by it that the cluster's address and authority are the right ones.
Source: k8s.io/kubernetes/pkg/controller/bootstrap/bootstrapsigner.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_machinery.bootstraptokens import NAMESPACE, TYPE, read_token, signature
from hyperkube_machinery.builtin import CONFIG_MAPS, SECRETS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError

__all__ = ["run", "signed"]

Tree = Mapping[str, Any]

_WHERE, _NAME = "kube-public", "cluster-info"
_CONTENT = "kubeconfig"
_SIGNATURE = "jws-kubeconfig-"


def signed(cluster_info: Tree, secrets: Iterable[Tree], now: float) -> dict[str, Any] | None:
    """The config map with the signatures that it is to have; None where it has them."""
    data = cluster_info.get("data") or {}
    content = data.get(_CONTENT)
    if content is None:
        return None
    wanted = {key: value for key, value in data.items() if not key.startswith(_SIGNATURE)}
    for secret in secrets:
        token = read_token(secret)
        if token.id and token.id == token.named_id and token.secret and token.may_sign and not token.expired(now):
            wanted[_SIGNATURE + token.id] = signature(content, token)
    return None if wanted == data else {**cluster_info, "data": wanted}


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    maps = context.informers.of(CONFIG_MAPS, fields=f"metadata.name={_NAME}")
    secrets = context.informers.of(SECRETS, namespace=NAMESPACE, fields=f"type={TYPE}")
    key = f"{_WHERE}/{_NAME}"

    async def reconcile(_: str) -> None:
        current = maps.get(key)
        changed = signed(current, secrets.list(), context.clock.now()) if current is not None else None
        if changed is None:
            return
        try:
            await context.client.replace(CONFIG_MAPS, changed)
        except APIError as exc:
            if exc.code != 404:
                raise

    controller = Controller(context.name, reconcile, clock=context.clock, metrics=context.metrics)
    for informer in (maps, secrets):
        informer.on_change(lambda _, __: controller.queue.add(key))
    await context.synced()
    await controller.run()
