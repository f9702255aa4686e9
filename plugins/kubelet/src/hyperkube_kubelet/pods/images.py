"""Having a container's image, as its pull policy wants it and its pod may.

Source: k8s.io/kubernetes/pkg/kubelet/images/image_manager.go.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hyperkube_kubelet.containers.backoff import BackOff
from hyperkube_kubelet.images.dockerconfig import Credential
from hyperkube_kubelet.images.errors import InvalidReference
from hyperkube_kubelet.images.pullrecords import PullRecords, Verification, usable
from hyperkube_kubelet.images.references import is_image_id, parse_reference
from hyperkube_kubelet.pods.pulls import PullCredentials, Puller
from hyperkube_kubelet.pods.refusals import NotStarted
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.errors import InvalidImageName, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Image
from hyperkube_kubelet.telling import Recorder, container_reference
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.durations import format_duration
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["IMAGE_REASONS", "Images", "pull_failure"]

IMAGE_REASONS = frozenset(
    [
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    ]
)
"""Why an image is not there, as statuses and events say it. Source: images/types.go and k8s.io/cri-api/pkg/errors."""

_SAID_FIRST = {
    "RegistryUnavailable": "because the registry is unavailable",
    "SignatureValidationFailed": "because the signature validation failed",
}
_RPC = "rpc error: code = "
_DESCRIPTION = " desc = "


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An image that somebody needs."""

    pod: Tree
    subject: Tree  # of events
    name: str

    @property
    def key(self) -> str:
        """Of its back-off."""
        return f"{meta.uid(self.pod)}_{self.name}"


class Images:
    """Finds or fetches images, one try after another with growing waits between them."""

    def __init__(
        self,
        runtime: Runtime,
        puller: Puller,
        credentials: PullCredentials,
        records: PullRecords,
        verification: Verification,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._puller = puller
        self._credentials = credentials
        self._records = records
        self._verification = verification
        self._recorder = recorder
        self._clock = clock
        self._back_off = BackOff()
        self._why: dict[str, str] = {}  # what the latest try failed with, by the key of its back-off

    async def ensure(self, pod: Tree, container: Tree) -> Image:
        """The image of `container`. Raises NotStarted, having told of it."""
        policy = container.get("imagePullPolicy") or "IfNotPresent"
        return await self._ensure(
            _Wanted(pod, container_reference(pod, container), container.get("image") or ""), policy
        )

    async def ensure_for_pod(self, pod: Tree, name: str, policy: str) -> Image:
        """An image that the pod itself asks for, in a volume. Raises NotStarted, having told of it."""
        return await self._ensure(_Wanted(pod, pod, name), policy or "IfNotPresent")

    async def adopt(self) -> None:
        """Take note of what an earlier kubelet was pulling when it ended, and forget images that are gone.

        Raises RuntimeFailure, OSError.
        """
        now, images = self._clock.now(), await self._runtime.images()
        await asyncio.to_thread(self._records.adopt, images, now)
        await asyncio.to_thread(self._records.forget, [image.id for image in images], format_seconds(now))

    def forget(self, uid: str) -> None:
        """Forget what was tried for a pod that is gone."""
        self._back_off.forget(f"{uid}_")
        for key in [key for key in self._why if key.startswith(f"{uid}_")]:
            del self._why[key]

    async def _ensure(self, wanted: _Wanted, policy: str) -> Image:
        present = await self._find(wanted, policy)
        credentials: list[Credential] | None = None
        if present is not None:
            try:
                allowed, credentials = await self._allows(wanted, present)
            except ValueError as exc:
                raise NotStarted("ErrImagePull", str(exc)) from exc
            if allowed:
                message = f'Container image "{wanted.name}" already present on machine and can be accessed by the pod'
                self._recorder.event(wanted.subject, "Normal", "Pulled", message)
                return present
        if policy == "Never":  # whether it is here is nobody's business who may not have it
            message = f'Container image "{wanted.name}" is not present with pull policy of Never'
            self._recorder.event(wanted.subject, "Warning", "ErrImageNeverPull", message)
            raise NotStarted("ErrImageNeverPull", message)
        if credentials is None:
            try:
                credentials = await self._credentials.of(wanted.pod, wanted.name)
            except ValueError as exc:
                raise NotStarted("ErrImagePull", str(exc)) from exc
        return await self._pull(wanted, credentials)

    async def _find(self, wanted: _Wanted, policy: str) -> Image | None:
        """The image, if it is here and does as it is."""
        name = wanted.name
        try:
            if not is_image_id(name):
                parse_reference(name)
            return await self._runtime.image(name) if policy != "Always" else None
        except (InvalidReference, InvalidImageName) as exc:
            message = f'Failed to apply default image tag "{name}": {exc}'
            self._recorder.event(wanted.subject, "Warning", "InspectFailed", message)
            raise NotStarted("InvalidImageName", message) from exc
        except RuntimeFailure as exc:
            message = f'Failed to inspect image "{name}": {exc}'
            self._recorder.event(wanted.subject, "Warning", "InspectFailed", message)
            raise NotStarted("ImageInspectError", message) from exc

    async def _allows(self, wanted: _Wanted, image: Image) -> tuple[bool, list[Credential] | None]:
        """Whether the pod may use an image that is here, and its credentials if they were looked at.

        Raises ValueError for a secret that is broken.
        """
        records, name = self._records, wanted.name
        pulled = await asyncio.to_thread(records.was_pulled, name, image.id)
        if image.pinned or not self._verification.requires(name, pulled=pulled):
            return True, None
        record = await asyncio.to_thread(records.record, image.id)
        if usable(record, name, ()):
            return True, None
        credentials = await self._credentials.of(wanted.pod, name)
        for credential in credentials:
            if usable(record, name, (credential,)):
                await asyncio.to_thread(records.note, name, image.id, credential, self._clock.now())
                return True, credentials
        return False, credentials

    async def _pull(self, wanted: _Wanted, credentials: list[Credential]) -> Image:
        name = wanted.name
        if (left := self._back_off.left(wanted.key, self._clock.now())) > 0:
            message = f'Back-off pulling image "{name}"'
            self._recorder.event(wanted.subject, "Normal", "BackOff", message)
            raise NotStarted("ImagePullBackOff", f"{message}: {self._why.get(wanted.key, '')}", seconds=left)
        self._recorder.event(wanted.subject, "Normal", "Pulling", f'Pulling image "{name}"')
        begun = self._clock.monotonic()
        await asyncio.to_thread(self._records.begin, name)
        try:
            used, took = await self._puller.pull(name, credentials)
            image = await self._runtime.image(name)
            if image is None:
                raise NotStarted("ErrImagePull", f'image "{name}" was removed while it was pulled')
            await asyncio.to_thread(self._records.note, name, image.id, used, self._clock.now())
        except RuntimeFailure as exc:
            raise self._failed(wanted, exc) from exc
        finally:
            self._records.end(name)
        self._why.pop(wanted.key, None)
        self._back_off.forget(wanted.key)
        alone, whole = (format_duration(round(seconds, 3)) for seconds in (took, self._clock.monotonic() - begun))
        times = f"{alone} ({whole} including waiting)"
        message = f'Successfully pulled image "{name}" in {times}. Image size: {image.size} bytes.'
        self._recorder.event(wanted.subject, "Normal", "Pulled", message)
        return image

    def _failed(self, wanted: _Wanted, exc: RuntimeFailure) -> NotStarted:
        """Tell of a pull that failed, and put the next one off."""
        name = wanted.name
        self._recorder.event(wanted.subject, "Warning", "Failed", f'Failed to pull image "{name}": {exc}')
        now = self._clock.now()
        self._back_off.advance(wanted.key, now, now)
        reason, message = pull_failure(name, str(exc))
        self._why[wanted.key] = f"{reason}: {message}"
        return NotStarted(reason, message, seconds=self._back_off.left(wanted.key, now))


def pull_failure(name: str, text: str) -> tuple[str, str]:
    """Reason and message of a pull that failed with `text`. Source: evalCRIPullErr."""
    said = text.partition(_DESCRIPTION)[2] if text.startswith(_RPC) else text
    for reason, why in _SAID_FIRST.items():
        if said.startswith(reason):
            return reason, f"image pull failed for {name} {why}{said.removeprefix(reason)}"
    return "ErrImagePull", text
