"""Labels of nodes that have had other names, and warnings about selecting by them.

Source: k8s.io/kubernetes/pkg/api/node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_machinery.names import label_value

__all__ = ["OLD_NODE_LABELS", "node_term_warnings"]

OLD_NODE_LABELS: Mapping[str, str] = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def node_term_warnings(term: Mapping[str, Any], path: str, *, check_values: bool) -> Iterator[str]:
    """Old labels in a node selector term, and values that no label can have where those are not refused."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        at, key = f"{path}.matchExpressions[{index}]", expression.get("key") or ""
        if key in OLD_NODE_LABELS:
            yield f"{at}.key: {key} is {OLD_NODE_LABELS[key]}"
        if check_values:
            for position, value in enumerate(expression.get("values") or ()):
                for wrong in label_value(value):
                    yield f"{at}.values[{position}]: {value} is invalid, {wrong}"
