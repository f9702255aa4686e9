"""One look at one deployment: what is decided elsewhere (`rollout`, `deploymentstatus`, `deploymentrevisions`) is done.

Every write is guarded by the version that was read, so that a look at an outdated cache changes nothing: it fails with
a conflict, and is taken again. Source: k8s.io/kubernetes/pkg/controller/deployment.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_controller_manager import conditions
from hyperkube_controller_manager.deploymentrevisions import (
    REVISION,
    ROLLBACK_TO,
    annotations_for_new,
    annotations_of_rollback,
    highest_revision,
    last_revision,
    outdated,
    revision_of,
    sizing_annotations,
)
from hyperkube_controller_manager.deploymentstatus import (
    condition,
    has_deadline,
    is_complete,
    rollout_status,
    status_of,
)
from hyperkube_controller_manager.podcontrol import FAILURES, is_ending_namespace
from hyperkube_controller_manager.rollout import (
    Scale,
    Sized,
    Wanted,
    next_new_size,
    next_old_sizes,
    scaling_sizes,
)
from hyperkube_controller_manager.templates import alike, controller_reference, template_hash
from hyperkube_machinery.builtin import DEPLOYMENTS, REPLICA_SETS
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventRecorder, EventType
from hyperkube_machinery.meta import annotations_of, controller_of, labels_of, name, namespace, uid

__all__ = ["TEMPLATE_HASH", "DeploymentSync"]

Tree = Mapping[str, Any]

TEMPLATE_HASH = "pod-template-hash"
_LONGEST_NAME = 253


class DeploymentSync:
    """A deployment, its replica sets, and what is done to them. Every method may raise APIError and ClientError."""

    def __init__(
        self, client: Client, recorder: EventRecorder, clock: Clock, deployment: Tree, replica_sets: Iterable[Tree]
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self.deployment = deployment
        template = deployment["spec"]["template"]
        by_age = sorted(replica_sets, key=lambda one: Sized.of(one).age_order)
        self._sets = {name(one): one for one in by_age}
        # Of several that are alike (after an upgrade that brought new fields) the oldest is the new one.
        alike_sets = (one for one in by_age if alike(one["spec"]["template"], template, ignoring=TEMPLATE_HASH))
        newest = next(alike_sets, None)
        self._new = None if newest is None else name(newest)

    @property
    def new(self) -> Tree | None:
        """The replica set of the present template, if there is one."""
        return None if self._new is None else self._sets[self._new]

    @property
    def old(self) -> list[Tree]:
        """All others, oldest first."""
        return [one for key, one in self._sets.items() if key != self._new]

    @property
    def wanted(self) -> Wanted:
        return Wanted.of(self.deployment)

    async def write_status(self, status: Tree) -> None:
        """Replace the status (and with it annotations that changed), unless it is so already."""
        if status != (self.deployment.get("status") or {}):
            await self._write({**self.deployment, "status": status})

    async def _write(self, deployment: Tree) -> None:
        self.deployment = await self._client.replace(DEPLOYMENTS, dict(deployment), subresource="status")

    # Revisions

    async def sync_revision(self) -> None:
        """Number the new replica set after all others, if there is one, and let the deployment say its number."""
        new = self.new
        if new is None:
            return
        annotations = annotations_for_new(self.deployment, annotations_of(new), highest_revision(self.old) + 1)
        min_ready = self.deployment["spec"].get("minReadySeconds") or 0
        if annotations != annotations_of(new) or min_ready != (new["spec"].get("minReadySeconds") or 0):
            changed = copy.deepcopy(dict(new))
            changed["metadata"]["annotations"] = annotations
            changed["spec"]["minReadySeconds"] = min_ready
            new = self._sets[name(new)] = await self._client.replace(REPLICA_SETS, changed)
        text = f'Found new replica set "{name(new)}"'
        known = conditions.find((self.deployment.get("status") or {}).get("conditions"), "Progressing")
        progress = None
        if known is None and has_deadline(self.deployment):
            progress = condition("Progressing", "True", "FoundNewReplicaSet", text, self._clock.now())
        await self._tell_revision(annotations.get(REVISION, ""), progress)

    async def _tell_revision(self, revision: str, progress: Tree | None) -> None:
        status = dict(self.deployment.get("status") or {})
        if progress is not None:
            status["conditions"] = conditions.replaced(status.get("conditions"), progress)
        if progress is not None or annotations_of(self.deployment).get(REVISION) != revision:
            meta = dict(self.deployment["metadata"])
            meta["annotations"] = {**annotations_of(self.deployment), REVISION: revision}
            await self._write({**self.deployment, "metadata": meta, "status": status})

    async def ensure_new(self) -> None:
        """Make the replica set of the present template, if there is none; with as many pods as there is room for."""
        if self._new is not None:
            return
        revision = str(highest_revision(self.old) + 1)
        replica_set = self._new_replica_set(int(revision))
        try:
            created: Tree = await self._client.create(REPLICA_SETS, replica_set, namespace(self.deployment))
            was_made = True
        except FAILURES as exc:
            created = await self._made_before(replica_set, exc)
            was_made = False
        self._sets[name(created)] = created
        self._new = name(created)
        size = created["spec"].get("replicas", 1)
        if was_made and size > 0:
            self._event("Normal", "ScalingReplicaSet", f"Scaled up replica set {name(created)} from 0 to {size}")
        progress = None
        if was_made and has_deadline(self.deployment):
            text = f'Created new replica set "{name(created)}"'
            progress = condition("Progressing", "True", "NewReplicaSetCreated", text, self._clock.now())
        await self._tell_revision(revision, progress)

    def _new_replica_set(self, revision: int) -> dict[str, Any]:
        deployment, wanted = self.deployment, self.wanted
        template = copy.deepcopy(deployment["spec"]["template"])
        code = template_hash(template, (deployment.get("status") or {}).get("collisionCount"))
        labels = {**labels_of(template), TEMPLATE_HASH: code}
        template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
        selector = copy.deepcopy(deployment["spec"].get("selector") or {})
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), TEMPLATE_HASH: code}
        total = sum(one["spec"].get("replicas", 1) for one in self.old)
        spec = {
            "replicas": next_new_size(wanted, total, 0),
            "minReadySeconds": deployment["spec"].get("minReadySeconds") or 0,
            "selector": selector,
            "template": template,
        }
        meta = {
            "name": f"{name(deployment)[: _LONGEST_NAME - 1 - len(code)]}-{code}",
            "namespace": namespace(deployment),
            "labels": labels,
            "annotations": {**annotations_for_new(deployment, {}, revision), **sizing_annotations(wanted)},
            "ownerReferences": [controller_reference(deployment, DEPLOYMENTS.api_version, DEPLOYMENTS.kind)],
        }
        return {"apiVersion": REPLICA_SETS.api_version, "kind": REPLICA_SETS.kind, "metadata": meta, "spec": spec}

    async def _made_before(self, wanted: Tree, failure: Exception) -> Tree:
        """The replica set that was made but not seen; else the failure is told of, and raised."""
        if is_ending_namespace(failure):
            raise failure
        if isinstance(failure, APIError) and failure.reason == "AlreadyExists":
            found = await self._client.get(REPLICA_SETS, name(wanted), namespace(wanted))
            template = self.deployment["spec"]["template"]
            ours = (controller_of(found) or {}).get("uid") == uid(self.deployment)
            if ours and alike(found["spec"]["template"], template, ignoring=TEMPLATE_HASH):
                return found
            # Another template has the same hash: the count of such collisions picks another name next time.
            status = dict(self.deployment.get("status") or {})
            status["collisionCount"] = (status.get("collisionCount") or 0) + 1
            await self.write_status(status)
            raise failure
        text = f'Failed to create new replica set "{name(wanted)}": {failure}'
        self._event("Warning", "ReplicaSetCreateError", text)
        if has_deadline(self.deployment):
            told = condition("Progressing", "False", "ReplicaSetCreateError", text, self._clock.now())
            status = dict(self.deployment.get("status") or {})
            status["conditions"] = conditions.replaced(status.get("conditions"), told)
            await self.write_status(status)
        raise failure

    # Sizes

    @property
    def was_scaled(self) -> bool:
        """Whether the deployment asks for another number than when its replica sets were last sized."""
        sizes = [Sized.of(one) for one in self._sets.values()]
        return any(one.replicas > 0 and one.desired not in (None, self.wanted.replicas) for one in sizes)

    async def follow_scaling(self) -> None:
        """Give the replica sets their shares of what was asked for; no step of a rollout is taken."""
        new = None if self.new is None else Sized.of(self.new)
        steps = scaling_sizes(self.wanted, new, [Sized.of(one) for one in self.old])
        # Where several were sized in proportion all are told what was asked for.
        for step in steps:
            await self._scale(step)

    async def _scale(self, step: Scale) -> None:
        replica_set, sizing = self._sets[step.name], sizing_annotations(self.wanted)
        before = replica_set["spec"].get("replicas", 1)
        if before == step.replicas and sizing.items() <= annotations_of(replica_set).items():
            return
        changed = copy.deepcopy(dict(replica_set))
        changed["spec"]["replicas"] = step.replicas
        changed["metadata"]["annotations"] = {**annotations_of(replica_set), **sizing}
        self._sets[step.name] = await self._client.replace(REPLICA_SETS, changed)
        if before != step.replicas:
            way = "up" if before < step.replicas else "down"
            text = f"Scaled {way} replica set {step.name} from {before} to {step.replicas}"
            self._event("Normal", "ScalingReplicaSet", text)

    async def roll(self) -> None:
        """Take the next step of a rolling update: more of the new, else less of the old."""
        await self.ensure_new()
        assert self.new is not None
        new, old = Sized.of(self.new), [Sized.of(one) for one in self.old]
        size = next_new_size(self.wanted, new.replicas + sum(one.replicas for one in old), new.replicas)
        steps = [Scale(new.name, size)] if size != new.replicas else next_old_sizes(self.wanted, new, old)
        for step in steps:
            await self._scale(step)
        await self._finish(is_settled=not steps)

    async def recreate(self, *, old_pods_run: bool) -> None:
        """Take the next step of a replacement: the old go, and only when the last is gone the new come."""
        steps = [Scale(name(one), 0) for one in self.old if one["spec"].get("replicas", 1) > 0]
        for step in steps:
            await self._scale(step)
        still = any((one.get("status") or {}).get("replicas") for one in self.old)
        if steps or still or old_pods_run:
            await self._finish(is_settled=False)
            return
        await self.ensure_new()
        assert self.new is not None
        if self.new["spec"].get("replicas", 1) != self.wanted.replicas:
            await self._scale(Scale(name(self.new), self.wanted.replicas))
        await self._finish(is_settled=True)

    async def _finish(self, *, is_settled: bool) -> None:
        if is_settled and is_complete(self.deployment, self.deployment.get("status") or {}):
            await self.clean_up()
        await self.write_status(rollout_status(self.deployment, self.new, self.old, self._clock.now()))

    async def tell_status(self) -> None:
        """Write what the replica sets add up to; of progress nothing is said."""
        await self.write_status(status_of(self.deployment, self.new, self.old, self._clock.now()))

    async def clean_up(self) -> None:
        """Delete the history beyond its limit."""
        for replica_set in outdated(self.old, self.deployment["spec"].get("revisionHistoryLimit")):
            try:
                await self._client.delete(REPLICA_SETS, name(replica_set), namespace(replica_set))
            except APIError as exc:
                if exc.code != 404:
                    raise
            del self._sets[name(replica_set)]

    # Rolling back by annotation, as clients of long ago ask for it; `kubectl rollout undo` writes the template itself

    @property
    def rolls_back_to(self) -> int | None:
        """The revision that the deployment asks to go back to; 0 is the last one."""
        text = annotations_of(self.deployment).get(ROLLBACK_TO, "")
        return int(text) if text.isascii() and text.isdigit() else None

    async def roll_back(self, revision: int) -> None:
        """Take the template of that revision, and the request back."""
        await self.ensure_new()
        sets = list(self._sets.values())
        revision = revision or last_revision(sets)
        target = next((one for one in sets if revision and revision_of(one) == revision), None)
        deployment = copy.deepcopy(dict(self.deployment))
        kind: EventType = "Warning"
        reason = "DeploymentRollbackRevisionNotFound"
        text = "Unable to find the revision to rollback to." if revision else "Unable to find last revision."
        if target is not None:
            template = copy.deepcopy(target["spec"]["template"])
            template["metadata"]["labels"].pop(TEMPLATE_HASH, None)
            if alike(template, deployment["spec"]["template"]):
                reason = "DeploymentRollbackTemplateUnchanged"
                text = f'The rollback revision contains the same template as current deployment "{name(deployment)}"'
            else:
                reason, kind = "DeploymentRollback", "Normal"
                text = f'Rolled back deployment "{name(deployment)}" to revision {revision}'
                deployment["spec"]["template"] = template
                deployment["metadata"]["annotations"] = annotations_of_rollback(self.deployment, target)
        deployment["metadata"]["annotations"].pop(ROLLBACK_TO, None)
        self.deployment = await self._client.replace(DEPLOYMENTS, deployment)
        self._event(kind, reason, text)

    def _event(self, kind: EventType, reason: str, message: str) -> None:
        self._recorder.event(self.deployment, kind, reason, message)
