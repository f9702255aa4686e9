"""Profiles of seccomp and AppArmor that containers run under.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime/helpers.go and pkg/security/apparmor.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from hyperkube_kubelet.podspec import Tree, all_containers
from hyperkube_machinery import meta

__all__ = ["InvalidProfile", "apparmor_of", "apparmor_refusal", "seccomp_of", "why_no_apparmor"]

_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_UNCONFINED = "unconfined"
_RUNTIME_DEFAULT = "runtime/default"
_LOCALHOST = "localhost/"


class InvalidProfile(ValueError):
    """A profile that can't be told; the message is upstream's."""


def seccomp_of(profile: Tree | None, root: Path, *, default: bool) -> str:
    """What the runtime is told: RuntimeDefault, Unconfined or the path of a profile below `root`.

    `default`: whether containers without a profile get the runtime's. Raises InvalidProfile.
    """
    if profile is None:
        return "RuntimeDefault" if default else "Unconfined"
    if profile.get("type") == "RuntimeDefault":
        return "RuntimeDefault"
    if profile.get("type") == "Localhost":
        name = profile.get("localhostProfile")
        if not name:
            raise InvalidProfile("localhostProfile must be set if seccompProfile type is Localhost.")
        return posixpath.normpath(f"{root}/{name}")
    return "Unconfined"


def apparmor_of(pod: Tree, container: Tree) -> str:
    """What the runtime is told: RuntimeDefault, Unconfined or the name of a profile; "" is left to it.

    Raises InvalidProfile.
    """
    profile = _apparmor(pod, container)
    if profile is None:
        return ""
    if profile["type"] != "Localhost":
        return str(profile["type"])
    if profile.get("localhostProfile") is None:
        raise InvalidProfile("missing localhost apparmor profile name")
    return str(profile["localhostProfile"])


def apparmor_refusal(pod: Tree, unavailable: str) -> str:
    """Why the pod's profiles can't be enforced, "" where they can. `unavailable`: why none can be here, or ""."""
    if not _wants_apparmor(pod):
        return ""
    if unavailable:
        return unavailable
    for container in all_containers(pod):
        profile = _apparmor(pod, container)
        if profile and profile["type"] == "Localhost" and not str(profile.get("localhostProfile") or "").strip():
            return f'invalid empty AppArmor profile name: "{profile.get("localhostProfile") or ""}"'
    return ""


def why_no_apparmor(system: Path = Path("/sys")) -> str:
    """Why this machine enforces no profile, or "". Source: validateHost."""
    try:
        enabled = (system / "module" / "apparmor" / "parameters" / "enabled").read_text().startswith("Y")
    except OSError:
        enabled = False
    there = enabled and (system / "kernel" / "security" / "apparmor").exists()
    return "" if there else "AppArmor is not enabled on the host"


def _apparmor(pod: Tree, container: Tree) -> Tree | None:
    """The container's own; that of an annotation, which static pods may still have; the pod's."""
    own = (container.get("securityContext") or {}).get("appArmorProfile")
    if own is not None:
        return dict(own)
    annotated = meta.annotations_of(pod).get(_ANNOTATION + container["name"])
    if annotated == _RUNTIME_DEFAULT:
        return {"type": "RuntimeDefault"}
    if annotated == _UNCONFINED:
        return {"type": "Unconfined"}
    if annotated is not None and annotated.startswith(_LOCALHOST):
        return {"type": "Localhost", "localhostProfile": annotated.removeprefix(_LOCALHOST)}
    of_pod = (pod["spec"].get("securityContext") or {}).get("appArmorProfile")
    return dict(of_pod) if of_pod is not None else None


def _wants_apparmor(pod: Tree) -> bool:
    """Whether any profile but Unconfined is named."""
    holders = [pod["spec"], *all_containers(pod)]
    named = [(holder.get("securityContext") or {}).get("appArmorProfile") for holder in holders]
    if any(profile is not None and profile["type"] != "Unconfined" for profile in named):
        return True
    annotated = (value for key, value in meta.annotations_of(pod).items() if key.startswith(_ANNOTATION))
    return any(value != _UNCONFINED for value in annotated)
