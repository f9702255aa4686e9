"""Finished jobs are deleted once they have had the time that they ask for.

Source: k8s.io/kubernetes/pkg/controller/ttlafterfinished.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.builtin import JOBS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of, split_key

__all__ = ["run", "seconds_left"]

Tree = Mapping[str, Any]


def seconds_left(job: Tree, now: float) -> float | None:
    """Until the job is to be deleted, 0 or less for at once; None for one that is not, or not yet finished."""
    seconds = (job.get("spec") or {}).get("ttlSecondsAfterFinished")
    if seconds is None or meta.deletion_timestamp(job) is not None:
        return None
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            finished = condition.get("lastTransitionTime")
            return timestamps.parse(finished) + seconds - now if finished else None
    return None


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    client, clock = context.client, context.clock
    jobs = context.informers.of(JOBS)

    async def reconcile(key: str) -> float | None:
        job = jobs.get(key)
        left = seconds_left(job, clock.now()) if job is not None else None
        if left is None or left > 0:
            return left
        namespace, name = split_key(key)
        try:
            fresh = await client.get(JOBS, name, namespace)  # it may have been given more time
            left = seconds_left(fresh, clock.now())
            if left is None or left > 0:
                return left
            await client.delete(JOBS, name, namespace, uid=meta.uid(fresh), propagation="Foreground")
        except APIError as exc:
            if exc.code != 404:
                raise
        return None

    workers = context.options.concurrent_ttl_after_finished_syncs
    controller = Controller("ttl_jobs_to_delete", reconcile, clock=clock, workers=workers, metrics=context.metrics)

    def on_change(_: Tree | None, new: Tree | None) -> None:
        if new is not None and seconds_left(new, clock.now()) is not None:
            controller.queue.add(key_of(new))

    jobs.on_change(on_change)
    await context.synced()
    await controller.run()
