"""Having a container's image, as its pull policy wants it. Source: k8s.io/kubernetes/pkg/kubelet/images."""

from __future__ import annotations

from hyperkube_kubelet.containers.backoff import BackOff
from hyperkube_kubelet.pods.refusals import NotStarted
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.errors import ImageUnavailable, InvalidImageName, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Image
from hyperkube_kubelet.telling import Recorder, container_reference
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.durations import format_duration

__all__ = ["Images"]


class Images:
    """Finds or fetches images, one try after another with growing waits between them."""

    def __init__(self, runtime: Runtime, recorder: Recorder, clock: Clock) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock
        self._back_off = BackOff()
        self._why: dict[str, str] = {}  # what the latest try failed with, by the key of its back-off

    async def ensure(self, pod: Tree, container: Tree) -> Image:
        """The image of `container`. Raises NotStarted, having told of it."""
        subject = container_reference(pod, container)
        name, policy = container.get("image") or "", container.get("imagePullPolicy") or "IfNotPresent"
        try:
            present = await self._runtime.image(name)
        except InvalidImageName as exc:
            message = f'Failed to apply default image tag "{name}": {exc}'
            self._recorder.event(subject, "Warning", "InspectFailed", message)
            raise NotStarted("InvalidImageName", message) from exc
        except RuntimeFailure as exc:
            message = f'Failed to inspect image "{name}": {exc}'
            self._recorder.event(subject, "Warning", "InspectFailed", message)
            raise NotStarted("ImageInspectError", message) from exc
        if present is not None and policy != "Always":
            message = f'Container image "{name}" already present on machine and can be accessed by the pod'
            self._recorder.event(subject, "Normal", "Pulled", message)
            return present
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            self._recorder.event(subject, "Warning", "ErrImageNeverPull", message)
            raise NotStarted("ErrImageNeverPull", message)
        return await self._pull(pod, subject, name)

    def forget(self, uid: str) -> None:
        """Forget what was tried for a pod that is gone."""
        self._back_off.forget(f"{uid}_")
        for key in [key for key in self._why if key.startswith(f"{uid}_")]:
            del self._why[key]

    async def _pull(self, pod: Tree, subject: Tree, name: str) -> Image:
        key = f"{meta.uid(pod)}_{name}"
        if (left := self._back_off.left(key, self._clock.now())) > 0:
            message = f'Back-off pulling image "{name}"'
            self._recorder.event(subject, "Normal", "BackOff", message)
            raise NotStarted("ImagePullBackOff", f"{message}: {self._why.get(key, '')}", seconds=left)
        self._recorder.event(subject, "Normal", "Pulling", f'Pulling image "{name}"')
        begun = self._clock.monotonic()
        try:
            await self._runtime.pull_image(name)
            image = await self._runtime.image(name)
        except RuntimeFailure as exc:
            self._recorder.event(subject, "Warning", "Failed", f'Failed to pull image "{name}": {exc}')
            now = self._clock.now()
            self._back_off.advance(key, now, now)
            message = f'failed to pull image "{name}": {exc}' if not isinstance(exc, ImageUnavailable) else str(exc)
            self._why[key] = f"ErrImagePull: {message}"
            raise NotStarted("ErrImagePull", message, seconds=self._back_off.left(key, now)) from exc
        if image is None:
            raise NotStarted("ErrImagePull", f'image "{name}" was removed while it was pulled')
        self._why.pop(key, None)
        self._back_off.forget(key)
        took = format_duration(round(self._clock.monotonic() - begun, 3))
        message = (
            f'Successfully pulled image "{name}" in {took} ({took} including waiting). Image size: {image.size} bytes.'
        )
        self._recorder.event(subject, "Normal", "Pulled", message)
        return image
