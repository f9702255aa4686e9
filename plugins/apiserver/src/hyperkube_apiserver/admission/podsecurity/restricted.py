"""What a hardened pod does without: each check tells what a pod does of it, or None.

Source: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from hyperkube_apiserver.admission.podsecurity.baseline import Check, proc_mount, wrong_seccomp
from hyperkube_apiserver.admission.podsecurity.parts import (
    Tree,
    Violation,
    containers,
    counted,
    in_user_namespace,
    is_windows,
    quoted,
    security,
    who,
)

__all__ = ["OVERRIDES", "RESTRICTED"]

_ALLOWED_VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"),
        *("projected", "secret"),
    }
)
_OTHER_VOLUMES = (
    *("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd"),
    *("flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk"),
    *("photonPersistentDisk", "portworxVolume", "scaleIO", "storageos"),
)


def _escalation(metadata: Tree, spec: Tree) -> Violation | None:
    names = [
        container["name"]
        for container in containers(spec)
        if security(container).get("allowPrivilegeEscalation") is not False
    ]
    if not names:
        return None
    detail = f"{who(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def _capabilities(metadata: Tree, spec: Tree) -> Violation | None:
    keeping, adding, added = [], [], set()
    for container in containers(spec):
        capabilities = security(container).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keeping.append(container["name"])
        wrong = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if wrong:
            adding.append(container["name"])
            added |= wrong
    details = []
    if keeping:
        details.append(f'{who(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(f"{who(adding)} must not include {quoted(sorted(added))} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(metadata: Tree, spec: Tree) -> Violation | None:
    names, kinds = [], set()
    for volume in spec.get("volumes") or ():
        if not any(volume.get(kind) is not None for kind in _ALLOWED_VOLUMES):
            names.append(volume["name"])
            kinds.add(next((kind for kind in _OTHER_VOLUMES if volume.get(kind) is not None), "unknown"))
    if not names:
        return None
    uses, called = counted(names, "uses", "use"), counted(kinds, "restricted volume type")
    told = f"{counted(names, 'volume')} {quoted(names)} {uses} {called} {quoted(sorted(kinds))}"
    return Violation("restricted volume types", told)


def _non_root(metadata: Tree, spec: Tree) -> Violation | None:
    reason, own = "runAsNonRoot != true", security(spec).get("runAsNonRoot")
    said = [(container["name"], security(container).get("runAsNonRoot")) for container in containers(spec)]
    wrong = [name for name, value in said if value is False]
    if own is False or wrong:
        return Violation(reason, f"{who(wrong, pod=own is False)} must not set securityContext.runAsNonRoot=false")
    silent = [] if own else [name for name, value in said if value is None]
    if not silent:
        return None
    return Violation(reason, f"pod or {who(silent)} must set securityContext.runAsNonRoot=true")


def _user(metadata: Tree, spec: Tree) -> Violation | None:
    pod = security(spec).get("runAsUser") == 0
    names = [container["name"] for container in containers(spec) if security(container).get("runAsUser") == 0]
    return Violation("runAsUser=0", f"{who(names, pod=pod)} must not set runAsUser=0") if pod or names else None


def _seccomp(metadata: Tree, spec: Tree) -> Violation | None:
    if (wrong := wrong_seccomp(metadata, spec)) is not None:
        return wrong
    if security(spec).get("seccompProfile") is not None:
        return None
    silent = [container["name"] for container in containers(spec) if security(container).get("seccompProfile") is None]
    if not silent:
        return None
    detail = f'pod or {who(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", detail)


def _unless_windows(check: Check) -> Check:
    """Validation keeps pods of Windows from saying what the others must."""
    return lambda metadata, spec: None if is_windows(spec) else check(metadata, spec)


def _unless_mapped(check: Check) -> Check:
    """The root of a user namespace is nobody on the node."""
    return lambda metadata, spec: None if in_user_namespace(spec) else check(metadata, spec)


RESTRICTED: dict[str, tuple[tuple[int, Check], ...]] = {
    "allowPrivilegeEscalation": ((8, _escalation), (25, _unless_windows(_escalation))),
    "capabilities_restricted": ((22, _capabilities), (25, _unless_windows(_capabilities))),
    "procMount_restricted": ((35, proc_mount),),
    "restrictedVolumes": ((0, _volumes),),
    "runAsNonRoot": ((0, _non_root), (35, _unless_mapped(_non_root))),
    "runAsUser": ((23, _user), (35, _unless_mapped(_user))),
    "seccompProfile_restricted": ((19, _seccomp), (25, _unless_windows(_seccomp))),
}
"""The checks by upstream's names, in the order in which refusals tell of them, each since which minor version."""

OVERRIDES = {
    "capabilities_restricted": "capabilities_baseline",
    "procMount_restricted": "procMount",
    "restrictedVolumes": "hostPathVolumes",
    "seccompProfile_restricted": "seccompProfile_baseline",
}
"""Checks that say all that a weaker one would: that one isn't asked beside them."""
