"""The controller: one of many replicas acts, tells of it, and shows how it is."""

from __future__ import annotations

from typing import Any

from hyperkube_core import Context, NotProvided
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import CONFIG_MAPS, NAMESPACES
from hyperkube_machinery.client import Client, ClientMetrics, LocalServer, connect
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.component import Serving, showing
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.informers import Informers, key_of, split_key
from hyperkube_machinery.leaderelection import LeaderElector, new_identity
from hyperkube_machinery.meta import labels_of, metadata
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.workqueue import WorkQueueMetrics
from mirror.copies import ORIGIN, differs, wanted
from mirror.options import Options


async def serve(context: Context[Options]) -> None:
    clock, registry = context.clock, Registry()
    access = kubeconfig.load(context.options.kubeconfig)
    async with (
        connect(
            access, clock=clock, user_agent="mirror", local=_neighbour(context), metrics=ClientMetrics(registry)
        ) as client,
        EventRecorder(client, clock, component="mirror").running() as recorder,
        showing(Serving(port=context.options.secure_port), clock=clock, client=client, registry=registry) as component,
    ):
        mirror = Mirror(client, clock, recorder, WorkQueueMetrics(registry, clock), context.options.workers)
        elector = LeaderElector(
            client, clock, identity=new_identity(), name="mirror", namespace="default", recorder=recorder
        )
        print(f"mirror: https://127.0.0.1:{component.port}", flush=True)
        context.ready.set()
        async with elector.leading(), mirror.informers.running():
            await mirror.informers.synced()
            print("mirror: leading", flush=True)
            await mirror.controller.run()


def _neighbour(context: Context[Options]) -> LocalServer | None:
    try:
        return context.require(LocalServer)
    except NotProvided:
        return None


class Mirror:
    """Copies config maps."""

    def __init__(
        self, client: Client, clock: Clock, recorder: EventRecorder, metrics: WorkQueueMetrics, workers: int
    ) -> None:
        self._client = client
        self._recorder = recorder
        self.informers = Informers(client, clock)
        self._namespaces = self.informers.of(NAMESPACES)
        self._originals = self.informers.of(CONFIG_MAPS, labels=f"!{ORIGIN}")
        self._copies = self.informers.of(CONFIG_MAPS, labels=ORIGIN, indexes={"origin": lambda copy: [_origin(copy)]})
        self.controller = Controller("mirror", self._reconcile, clock=clock, workers=workers, metrics=metrics)
        queue = self.controller.queue
        self._originals.on_change(lambda old, new: queue.add(key_of(_one(old, new))))
        self._copies.on_change(lambda old, new: queue.add(_origin(_one(old, new))))
        self._namespaces.on_change(lambda old, new: self._look_at_all() if old is None else None)

    def _look_at_all(self) -> None:
        for original in self._originals.list():
            self.controller.queue.add(key_of(original))

    async def _reconcile(self, key: str) -> None:
        original = self._originals.get(key)
        there = {key_of(copy): copy for copy in self._copies.by("origin", key)}
        for config_map in wanted(original, self._namespaces.keys()):
            copy = there.pop(key_of(config_map), None)
            if copy is None or differs(copy, config_map):
                name, namespace = config_map["metadata"]["name"], config_map["metadata"]["namespace"]
                await self._client.patch(
                    CONFIG_MAPS, name, config_map, namespace, kind="apply", field_manager="mirror", force=True
                )
                if original is not None:
                    self._recorder.event(original, "Normal", "Copied", f"Copied to namespace {namespace}")
        for stray in there.values():
            name, namespace = metadata(stray)["name"], metadata(stray)["namespace"]
            await self._client.delete(CONFIG_MAPS, name, namespace, uid=metadata(stray)["uid"])


def _origin(copy: dict[str, Any]) -> str:
    return f"{labels_of(copy)[ORIGIN]}/{split_key(key_of(copy))[1]}"


def _one(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    found = new or old
    assert found is not None
    return found
