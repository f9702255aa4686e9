"""AppArmor profiles as annotations, where they were before security contexts held them.

Source: k8s.io/kubernetes/pkg/registry/core/pod (applyAppArmorVersionSkew), k8s.io/kubernetes/pkg/api/pod.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperkube_apiserver.registry.podspec.security import validate_app_armor
from hyperkube_machinery import meta

__all__ = ["APP_ARMOR_PREFIX", "profile_of", "take_annotated_profiles"]

Tree = dict[str, Any]

APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_LOCALHOST = "localhost/"


def profile_of(annotation: str) -> Tree | None:
    """The field that says the same as an annotation; None if it says nothing."""
    match annotation:
        case "unconfined":
            return {"type": "Unconfined"}
        case "runtime/default":
            return {"type": "RuntimeDefault"}
    name = annotation.removeprefix(_LOCALHOST)
    if not name or name == annotation:
        return None
    return {"type": "Localhost", "localhostProfile": name}


def take_annotated_profiles(pod: Tree, warn: Callable[[str], None]) -> None:
    """Give containers of a new pod the profiles that only its annotations name."""
    annotations, spec = meta.annotations_of(pod), pod.get("spec") or {}
    if not annotations or (spec.get("os") or {}).get("name") == "windows":
        return
    whole = (spec.get("securityContext") or {}).get("appArmorProfile")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            key = f"{APP_ARMOR_PREFIX}{container.get('name') or ''}"
            context = container.get("securityContext") or {}
            if key not in annotations or context.get("appArmorProfile") is not None:
                continue
            profile = profile_of(annotations[key])
            if profile is not None and validate_app_armor(profile, ""):
                profile = None
            if profile is not None and profile == whole:
                continue
            if profile is not None:
                container["securityContext"] = {**context, "appArmorProfile": profile}
            warn(f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead')
