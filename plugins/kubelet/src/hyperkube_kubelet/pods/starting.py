"""Starting containers. Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (startContainer, doBackOff)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hyperkube_kubelet.containers.backoff import BackOff
from hyperkube_kubelet.containers.config import log_directory_name
from hyperkube_kubelet.containers.observed import Observed, container_hash, restart_count
from hyperkube_kubelet.containers.plan import Kill
from hyperkube_kubelet.pauses import unbroken
from hyperkube_kubelet.pods.hooks import HookFailed, Hooks
from hyperkube_kubelet.pods.images import IMAGE_REASONS, Images
from hyperkube_kubelet.pods.killing import Killer
from hyperkube_kubelet.pods.making import Maker, RunImages
from hyperkube_kubelet.pods.refusals import NotStarted
from hyperkube_kubelet.podspec import Tree, described
from hyperkube_kubelet.runtime.errors import InvalidConfig, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import ContainerState
from hyperkube_kubelet.telling import Recorder, container_reference
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.durations import format_duration

__all__ = ["Starter"]


class Starter:
    """Starts containers, those that keep failing later each time."""

    def __init__(
        self,
        runtime: Runtime,
        maker: Maker,
        images: Images,
        hooks: Hooks,
        killer: Killer,
        recorder: Recorder,
        clock: Clock,
        most_seconds: float = 300.0,
    ) -> None:
        """`most_seconds`: what a container that keeps failing waits at most."""
        self._runtime = runtime
        self._maker = maker
        self._images = images
        self._hooks = hooks
        self._killer = killer
        self._recorder = recorder
        self._clock = clock
        self._back_off = BackOff(most=most_seconds)

    def forget(self, uid: str) -> None:
        """Forget how often containers of a pod that is gone have failed."""
        self._back_off.forget(f"{uid}_")
        self._images.forget(uid)

    async def start(
        self,
        pod: Tree,
        container: Tree,
        sandbox_id: str,
        observed: Observed,
        volumes: Mapping[str, Mounted],
        ips: Sequence[str],
    ) -> None:
        """Raises NotStarted, having told of it."""
        self._wait_turn(pod, container, observed)
        subject = container_reference(pod, container)
        try:
            image = await self._images.ensure(pod, container)
            images = RunImages(image, await self._volume_images(pod, container))
            config = await self._maker.container(
                pod, container, images, volumes, ips, self._attempt(pod, container, observed)
            )
            config = replace(config, image_id=image.id, processes_of=_target(container, observed))
            try:
                made_from = await self._maker.sandbox(pod, _attempt_of(sandbox_id, observed))
                container_id = await unbroken(self._runtime.create_container(sandbox_id, config, pod=made_from))
            except RuntimeFailure as exc:
                reason = "CreateContainerConfigError" if isinstance(exc, InvalidConfig) else "CreateContainerError"
                raise NotStarted(reason, str(exc)) from exc
            self._recorder.event(subject, "Normal", "Created", "Container created")
            try:
                await unbroken(self._runtime.start_container(container_id))
            except RuntimeFailure as exc:
                raise NotStarted("RunContainerError", str(exc)) from exc
        except NotStarted as exc:
            shown = exc.reason if exc.reason in IMAGE_REASONS else exc.message
            self._recorder.event(subject, "Warning", "Failed", f"Error: {shown}")
            raise
        self._recorder.event(subject, "Normal", "Started", "Container started")
        await self._post_start(pod, container, container_id, ips)

    async def _volume_images(self, pod: Tree, container: Tree) -> dict[str, str]:
        """The ids of images that the container sees in volumes. Raises NotStarted."""
        shown = {volume["name"]: volume["image"] for volume in pod["spec"].get("volumes") or () if volume.get("image")}
        found = {}
        for name in {mount["name"] for mount in container.get("volumeMounts") or ()} & shown.keys():
            source = shown[name]
            image = await self._images.ensure_for_pod(
                pod, source.get("reference") or "", source.get("pullPolicy") or "IfNotPresent"
            )
            found[name] = image.id
        return found

    async def _post_start(self, pod: Tree, container: Tree, container_id: str, ips: Sequence[str]) -> None:
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        try:
            await self._hooks.run(hook, pod, container, container_id, ips)
        except HookFailed as exc:
            subject = container_reference(pod, container)
            self._recorder.event(subject, "Warning", "FailedPostStartHook", "PostStartHook failed")
            try:
                run = await self._runtime.container(container_id)
                await self._killer.kill(pod, Kill(run, "FailedPostStartHook"), ips)
            except RuntimeFailure:
                pass  # it is looked at again when the pod is
            raise NotStarted("PostStartHookError", str(exc)) from exc

    def _wait_turn(self, pod: Tree, container: Tree, observed: Observed) -> None:
        """Raise NotStarted while it is too early for the next run of a container that has failed."""
        ended = next((run for run in observed.runs(container["name"]) if run.state is ContainerState.EXITED), None)
        if ended is None:
            return
        key = f"{meta.uid(pod)}_{container['name']}_{container_hash(container)}"
        now = self._clock.now()
        left = self._back_off.remaining(key, ended.finished_at, now)
        if left <= 0:
            self._back_off.advance(key, ended.finished_at, now)
            return
        name = container["name"]
        text = f"Back-off restarting failed container {name} in pod {described(pod)}"
        self._recorder.event(container_reference(pod, container), "Warning", "BackOff", text)
        pause = format_duration(self._back_off.seconds(key))
        why = f"back-off {pause} restarting failed container={name} pod={described(pod)}"
        raise NotStarted("CrashLoopBackOff", why, seconds=left)

    def _attempt(self, pod: Tree, container: Tree, observed: Observed) -> int:
        """How many runs there were before: as the last one tells, or else the logs that runs have left."""
        latest = observed.latest(container["name"])
        if latest is not None:
            return restart_count(latest) + 1
        return _after_logs(self._maker.logs / log_directory_name(pod) / container["name"])


def _attempt_of(sandbox_id: str, observed: Observed) -> int:
    return next((sandbox.config.attempt for sandbox in observed.sandboxes if sandbox.id == sandbox_id), 0)


def _target(container: Tree, observed: Observed) -> str:
    """The id of the container whose processes an ephemeral one is to be among, or "". Raises NotStarted."""
    name = container.get("targetContainerName")
    if not name:
        return ""
    latest = observed.latest(name)
    if latest is None:
        raise NotStarted("CreateContainerConfigError", f"unable to find target container {name}")
    return latest.id


def _after_logs(folder: Path) -> int:
    try:
        names = [file.name.partition(".")[0] for file in folder.iterdir()]
    except OSError:
        return 0
    return max((int(name) + 1 for name in names if name.isdigit()), default=0)
