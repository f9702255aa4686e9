"""What a request to the kubelet's API asks for, in the words of Kubernetes' authorization. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/server/auth.go (KubeletFineGrainedAuthz is always on).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Asked", "asked"]

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_FINE = {"/pods": "pods", "/healthz": "healthz", "/configz": "configz", "/runningpods": "pods"}
_COARSE = {
    "/stats": "stats",
    "/metrics": "metrics",
    "/logs": "log",
    "/checkpoint": "checkpoint",
    "/statusz": "statusz",
    "/flagz": "configz",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A verb on any of some subresources of the node: the right to one of them is enough."""

    verb: str
    subresources: tuple[str, ...]


def asked(method: str, path: str) -> Asked:
    """What somebody needs for `method` on `path`."""
    fine = tuple(name for prefix, name in _FINE.items() if _is_below(path, prefix))
    coarse = next((name for prefix, name in _COARSE.items() if _is_below(path, prefix)), "proxy")
    return Asked(_VERBS.get(method, ""), (*fine, coarse))


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
