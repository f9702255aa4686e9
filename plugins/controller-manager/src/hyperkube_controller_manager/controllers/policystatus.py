"""Tells the authors of validating admission policies what is doubtful about their expressions.

Source: k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.schemas import Schemas
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import VALIDATING_ADMISSION_POLICIES
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.workqueue import WorkQueue

__all__ = ["kinds_of", "run"]

Tree = Mapping[str, Any]


class Resources(Protocol):
    """What is served."""

    async def kind_of(self, group: str, version: str, resource: str) -> str:
        """The kind of a resource's objects, "" if it isn't served."""


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
        Checked,
        expression_warnings,
    )

    spec = policy.get("spec") or {}
    kinds: list[Checked] = []
    for group, version, kind in await kinds_of(spec, schemas):
        declared = await schemas.declared(group, version, kind)
        if declared is not None:
            kinds.append(Checked(group, version, kind, declared))
    params = None
    if (param_kind := spec.get("paramKind")) is not None:
        group, _, version = (param_kind.get("apiVersion") or "").rpartition("/")
        params = await schemas.declared(group, version, param_kind.get("kind") or "")
    return expression_warnings(spec, kinds, params)


async def kinds_of(spec: Tree, schemas: Resources) -> Iterable[tuple[str, str, str]]:
    """Group, version and kind of what a policy is about, each once; at most ten of one rule, which is the last then."""
    from hyperkube_machinery.cel.kubernetes.admission.typechecking import MOST_RESOURCES, resources_to_check

    found: dict[tuple[str, str, str], None] = {}
    for named in resources_to_check(spec):
        count = 0
        for group, version, resource in named:
            if kind := await schemas.kind_of(group, version, resource):
                found[group, version, kind] = None
                count += 1
            if count == MOST_RESOURCES:
                return found
    return found
