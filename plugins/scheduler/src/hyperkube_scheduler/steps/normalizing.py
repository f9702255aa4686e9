"""Scores of any size, brought to 0 … MAX_SCORE. Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper."""

from __future__ import annotations

from hyperkube_scheduler.framework.interface import MAX_SCORE

__all__ = ["share_of_most"]


def share_of_most(scores: list[int], *, reverse: bool = False) -> list[int]:
    """Each as its share of the highest; reversed, the highest gets nothing."""
    most = max(scores, default=0)
    if most == 0:
        return [MAX_SCORE] * len(scores) if reverse else scores
    if reverse:
        return [MAX_SCORE - MAX_SCORE * score // most for score in scores]
    return [MAX_SCORE * score // most for score in scores]
