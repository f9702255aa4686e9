"""The volumes of a pod. Source: ValidateVolumes, validateVolumeSource in core validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain, one_of, validate_label_selector
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.podspec.claims import validate_claim_spec
from hyperkube_apiserver.registry.podspec.env import validate_field_ref, validate_resource_field_ref
from hyperkube_apiserver.registry.podspec.paths import (
    validate_descending_path,
    validate_file_mode,
    validate_unreserved_path,
)
from hyperkube_apiserver.registry.podspec.sources import requires, validate_csi_driver_name, validate_source
from hyperkube_apiserver.registry.signernames import validate_signer_name
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["validate_volumes"]

Tree = Mapping[str, Any]

# Upstream checks a volume's sources in this order and forbids all after the first.
_ORDER = (
    *("emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi"),
    *("glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc"),
    *("flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk"),
    *("storageos", "projected", "scaleIO", "csi", "ephemeral", "image"),
)
_FORBIDDEN_AS = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
_CHECKED_AS = {"gcePersistentDisk": "persistentDisk"}
_VOLUME_FIELDS = frozenset(
    {"metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"}
)


def validate_volumes(
    volumes: Sequence[Tree], pod_name: str, path: str, *, is_pod: bool
) -> tuple[dict[str, Tree], list[FieldError]]:
    """The valid volumes by name, and what is wrong with the others. `pod_name` is empty in templates."""
    errors: list[FieldError] = []
    valid: dict[str, Tree] = {}
    made = {f"{pod_name}-{one.get('name') or ''}" for one in volumes if pod_name and one.get("ephemeral") is not None}
    for index, volume in enumerate(volumes):
        at, name = f"{path}[{index}]", volume.get("name") or ""
        wrong = _validate_volume(volume, pod_name, at, is_pod=is_pod)
        wrong += dns_label(name, f"{at}.name") if name else [FieldError.required(f"{at}.name")]
        if name in valid:
            wrong.append(FieldError.duplicate(f"{at}.name", name))
        if wrong:
            errors += wrong
        else:
            valid[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(FieldError.invalid(f"{at}.persistentVolumeClaim.claimName", claim, text))
    return valid, errors


def _validate_volume(volume: Tree, pod_name: str, path: str, *, is_pod: bool) -> list[FieldError]:
    """Its source is an empty directory by default."""
    given = [name for name in _ORDER if volume.get(name) is not None]
    first, source = given[0], volume[given[0]]
    at = f"{path}.{_CHECKED_AS.get(first, first)}"
    errors = _CHECKS[first](source, at) if first in _CHECKS else validate_source(first, source, at)
    if first == "image" and is_pod and not source.get("reference"):
        errors.append(FieldError.required(f"{at}.reference"))
    for name in given[1:]:
        where = f"{path}.{_FORBIDDEN_AS.get(name, name)}"
        errors.append(FieldError.forbidden(where, "may not specify more than 1 volume type"))
    own = volume.get("name") or ""
    portal = (volume.get("iscsi") or {}).get("targetPortal") or ""
    if (volume.get("iscsi") or {}).get("initiatorName") is not None and len(f"{own}:{portal}") > 64:
        text = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
            "if iscsi.initiatorName is specified."
        )
        errors.append(FieldError.invalid(f"{path}.name", own, text))
    if first == "ephemeral" and pod_name and own:
        claim = f"{pod_name}-{own}"
        for error in dns_subdomain(claim, ""):
            errors.append(FieldError.invalid(f"{path}.name", own, f'PVC name "{claim}": {error.detail}'))
    return errors


def _empty_dir(source: Tree, path: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and Quantity.parse(limit).nano < 0:
        return [FieldError.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _git_repo(source: Tree, path: str) -> list[FieldError]:
    errors = requires("repository")(source, path)
    return errors + validate_descending_path(source.get("directory") or "", f"{path}.directory")


def _keyed(field: str) -> Callable[[Tree, str], list[FieldError]]:
    """A secret or config map, called by `field`, of which items become files."""

    def check(source: Tree, path: str) -> list[FieldError]:
        errors = requires(field)(source, path) + validate_file_mode(source.get("defaultMode"), f"{path}.defaultMode")
        return errors + _validate_items(source, path)

    return check


def _validate_items(source: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{index}]"
        errors += requires("key", "path")(item, at)
        errors += validate_unreserved_path(item.get("path") or "", f"{at}.path")
        errors += validate_file_mode(item.get("mode"), f"{at}.mode")
    return errors


def _downward(source: Tree, path: str) -> list[FieldError]:
    errors = validate_file_mode(source.get("defaultMode"), f"{path}.defaultMode")
    return errors + [error for item in source.get("items") or () for error in _validate_downward_file(item, path)]


def _validate_downward_file(item: Tree, path: str) -> list[FieldError]:
    """Upstream tells no index here."""
    errors = requires("path")(item, path) + validate_unreserved_path(item.get("path") or "", f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        errors += validate_field_ref(field, _VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(FieldError.invalid(path, "resource", text))
    elif resource is not None:
        errors += validate_resource_field_ref(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        errors.append(FieldError.required(path, "one of fieldRef and resourceFieldRef is required"))
    return errors + validate_file_mode(item.get("mode"), f"{path}.mode")


def _projected(source: Tree, path: str) -> list[FieldError]:
    errors = validate_file_mode(source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        for name in ("secret", "configMap"):
            if (keyed := part.get(name)) is not None:
                errors += requires("name")(keyed, f"{at}.{name}") + _validate_items(keyed, f"{at}.{name}")
                errors += _take_paths(keyed.get("items") or (), taken, keyed.get("name") or "", path)
        if (downward := part.get("downwardAPI")) is not None:
            for item in downward.get("items") or ():
                errors += _validate_downward_file(item, f"{at}.downwardAPI")
                errors += _take_paths([item], taken, item.get("path") or "", path)
        if (token := part.get("serviceAccountToken")) is not None:
            errors += _validate_token(token, f"{at}.serviceAccountToken", path)
        if (bundle := part.get("clusterTrustBundle")) is not None:
            errors += _validate_trust_bundle(bundle, f"{at}.clusterTrustBundle")
            errors += _take_paths([bundle], taken, bundle.get("path") or "", path)
        if sum(value is not None for value in part.values()) > 1:
            errors.append(FieldError.forbidden(at, "may not specify more than 1 volume type per source"))
    return errors


def _take_paths(items: Sequence[Tree], taken: set[str], shown: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for item in items:
        target = item.get("path") or ""
        if target and target in taken:
            errors.append(FieldError.invalid(path, shown, "conflicting duplicate paths"))
        taken.add(target)
    return errors


def _validate_token(token: Tree, at: str, path: str) -> list[FieldError]:
    seconds = token.get("expirationSeconds") or 0
    errors: list[FieldError] = []
    if seconds < 600:
        text = "may not specify a duration less than 10 minutes"
        errors.append(FieldError.invalid(f"{at}.expirationSeconds", seconds, text))
    if seconds > 1 << 32:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(FieldError.invalid(f"{at}.expirationSeconds", seconds, text))
    if target := token.get("path"):
        return errors + validate_unreserved_path(target, f"{path}.path")
    return [*errors, FieldError.required(f"{path}.path")]


def _validate_trust_bundle(bundle: Tree, path: str) -> list[FieldError]:
    name, signer = bundle.get("name"), bundle.get("signerName")
    errors: list[FieldError] = []
    if name is not None and signer is not None:
        shown = as_internal(bundle, "ClusterTrustBundleProjection")
        errors.append(FieldError.invalid(path, shown, "only one of name and signerName may be used"))
    elif name is not None:
        if not name:
            errors.append(FieldError.required(f"{path}.name", "must be a valid object name"))
        if bundle.get("labelSelector") is not None:
            text = "labelSelector must be unset if name is specified"
            errors.append(FieldError.invalid(f"{path}.labelSelector", bundle["labelSelector"], text))
    elif signer is not None:
        if not signer:
            errors.append(FieldError.required(f"{path}.signerName", "must be a valid signer name"))
        errors += validate_signer_name(signer, f"{path}.signerName")
        errors += validate_label_selector(bundle.get("labelSelector"), f"{path}.labelSelector")
    else:
        errors.append(FieldError.required(path, "either name or signerName must be specified"))
    errors += requires("path")(bundle, path)
    return errors + validate_unreserved_path(bundle.get("path") or "", f"{path}.path")


def _csi(source: Tree, path: str) -> list[FieldError]:
    errors = validate_csi_driver_name(source.get("driver") or "", f"{path}.driver")
    if (secret := source.get("nodePublishSecretRef")) is not None:
        if name := secret.get("name"):
            errors += dns_subdomain(name, f"{path}.name")
        else:
            errors.append(FieldError.required(f"{path}.nodePublishSecretRef.name"))
    return errors


def _ephemeral(source: Tree, path: str) -> list[FieldError]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [FieldError.required(f"{path}.volumeClaimTemplate")]
    return validate_claim_spec(template.get("spec") or {}, f"{path}.volumeClaimTemplate.spec")


def _image(source: Tree, path: str) -> list[FieldError]:
    policies = ("Always", "IfNotPresent", "Never")
    return one_of(source.get("pullPolicy") or "", policies, f"{path}.pullPolicy", required=True)


_CHECKS: Mapping[str, Callable[[Tree, str], list[FieldError]]] = {
    "emptyDir": _empty_dir,
    "gitRepo": _git_repo,
    "secret": _keyed("secretName"),
    "configMap": _keyed("name"),
    "downwardAPI": _downward,
    "projected": _projected,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
