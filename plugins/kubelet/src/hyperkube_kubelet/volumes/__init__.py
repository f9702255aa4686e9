"""The volumes of pods: folders of the node, filled with what the pod's spec says."""

from hyperkube_kubelet.volumes.errors import VolumeFailure
from hyperkube_kubelet.volumes.manager import Mounted, PodVolumes

__all__ = ["Mounted", "PodVolumes", "VolumeFailure"]
