"""ImageLocality: nodes that have the pod's images already.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/imagelocality.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.interface import MAX_SCORE, Cycle
from hyperkube_scheduler.framework.verdicts import SKIP, Verdict
from hyperkube_scheduler.nodeinfo import NodeInfo

__all__ = ["ImageLocality"]

_MEBI = 1 << 20
_LEAST = 23 * _MEBI
_MOST_A_CONTAINER = 1000 * _MEBI


class ImageLocality:
    """Likes them the more, the larger the images, and the more nodes have them: or all pods would go to the first."""

    name = "ImageLocality"
    local = False

    def pre_score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> Verdict | None:
        images = cycle.pod.template.images
        return None if any(cycle.cluster.nodes_with_image(image) for image in images) else SKIP

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        template, every = cycle.pod.template, len(cycle.cluster.nodes)
        most = _MOST_A_CONTAINER * template.container_count
        spread = [(image, cycle.cluster.nodes_with_image(image) / every) for image in template.images]
        scores = []
        for node in nodes:
            images = node.facts.images
            size = sum(int(images[image] * share) for image, share in spread if image in images)
            scores.append(MAX_SCORE * (min(max(size, _LEAST), most) - _LEAST) // (most - _LEAST))
        return scores
