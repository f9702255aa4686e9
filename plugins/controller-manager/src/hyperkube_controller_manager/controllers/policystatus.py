"""Tells the authors of validating admission policies what is doubtful about their expressions.

Source: k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.schemas import Schemas
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import VALIDATING_ADMISSION_POLICIES
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.workqueue import WorkQueue

__all__ = ["run"]

Tree = Mapping[str, Any]

_MANAGER = "validatingadmissionpolicy-status"


def is_due(policy: Tree) -> bool:
    """Whether a policy has changed since it was checked."""
    generation: int = meta.metadata(policy).get("generation") or 0
    return generation > ((policy.get("status") or {}).get("observedGeneration") or 0)


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    queue: WorkQueue[str] = WorkQueue(context.clock, name=context.name, metrics=context.metrics)
    policies = context.informers.of(VALIDATING_ADMISSION_POLICIES)

    async def reconcile(name: str) -> None:
        policy = policies.get(name)
        if policy is None or not is_due(policy):
            return
        warnings = await _warnings(policy, Schemas(context.reader))
        status = {
            "observedGeneration": meta.metadata(policy)["generation"],
            "typeChecking": {"expressionWarnings": warnings} if warnings else {},
        }
        applied = {
            "apiVersion": VALIDATING_ADMISSION_POLICIES.api_version,
            "kind": VALIDATING_ADMISSION_POLICIES.kind,
            "metadata": {"name": name},
            "status": status,
        }
        await context.client.patch(
            VALIDATING_ADMISSION_POLICIES,
            name,
            applied,
            kind="apply",
            subresource="status",
            field_manager=_MANAGER,
            force=True,
        )

    def on_policy(_: Tree | None, new: Tree | None) -> None:
        if new is not None:
            queue.add(meta.name(new))

    policies.on_change(on_policy)
    await context.synced()
    await Controller(context.name, reconcile, queue=queue, clock=context.clock).run()


async def _warnings(policy: Tree, schemas: Schemas) -> list[dict[str, str]]:
    """What is doubtful; a kind whose schema isn't found is passed over."""
    from hyperkube_machinery.cel.kubernetes.admission.typechecking import (  # the language takes long to load
        MOST_RESOURCES,
        Checked,
        expression_warnings,
        resources_to_check,
    )

    spec = policy.get("spec") or {}
    kinds: list[Checked] = []
    for group, version, resource in resources_to_check(spec):
        kind = await schemas.kind_of(group, version, resource)
        declared = await schemas.declared(group, version, kind) if kind else None
        if kind and declared is not None:
            checked = Checked(group, version, kind, declared)
            if str(checked) not in map(str, kinds):
                kinds.append(checked)
        if len(kinds) == MOST_RESOURCES:
            break
    params = None
    if (param_kind := spec.get("paramKind")) is not None:
        group, _, version = (param_kind.get("apiVersion") or "").rpartition("/")
        params = await schemas.declared(group, version, param_kind.get("kind") or "")
    return expression_warnings(spec, kinds, params)
