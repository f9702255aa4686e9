"""What goes wrong with volumes."""

from __future__ import annotations

__all__ = ["VolumeFailure"]


class VolumeFailure(Exception):
    """A volume can't be had now; the text is the event's that tells of it (reason FailedMount).

    Source: k8s.io/kubernetes/pkg/volume/util/operationexecutor (GenerateMountVolumeFunc).
    """

    def __init__(self, volume: str, why: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {why}')
        self.volume = volume
