"""ServiceAccount: every pod runs as an account of its namespace, and carries the account's token.

Source: k8s.io/kubernetes/plugin/pkg/admission/serviceaccount.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.following import Readings
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.admission.podreferences import secret_names
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.registry.meta import generate_name
from hyperkube_apiserver.registry.podspec.annotations import MIRROR
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError

__all__ = ["ServiceAccount"]

_DEFAULT = "default"
_DEFAULT_ATTEMPTS = 10
_RETRY_SECONDS = 0.1
_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_VOLUME_PREFIX = "kube-api-access-"
_VOLUME = generate_name(_VOLUME_PREFIX)
"""The same for all pods, as it need only differ from a pod's other volumes: pods of one template stay alike."""
_ENFORCED = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))  # strconv.ParseBool
_TOKEN_SECONDS = 3607  # an hour and some seconds: the kubelet knows by them that only a warning hangs on its expiry
_DEFAULT_MODE = 0o644

Tree = dict[str, Any]


class ServiceAccount(Plugin):
    """Names the account where the pod does not, and sees to it that it exists and may be used as the pod uses it."""

    operations = CREATE | UPDATE
    about = ("pods", "pods/ephemeralcontainers")

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        self._accounts: Readings[Tree] = Readings(lambda item: decode_body(item.body))

    def admit(self, attributes: Attributes) -> Waiting:
        """Complete a new pod. Raises 403, after about a second where the default account may still be on its way."""
        if attributes.operation is not Operation.CREATE or attributes.subresource:
            return self.validate(attributes)
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        if MIRROR in meta.annotations_of(attributes.obj):
            return self.validate(attributes)
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec["serviceAccount"] = _DEFAULT  # either is shown for the other
        account = self._find(attributes)
        if account is None:
            return self._complete_late(attributes)
        self._complete(attributes, account)
        return None

    def validate(self, attributes: Attributes) -> Waiting:
        """Check what a new pod, or a new ephemeral container, refers to."""
        assert attributes.obj is not None
        spec = attributes.obj.get("spec") or {}
        if attributes.operation is not Operation.CREATE and not attributes.subresource:
            return None
        if attributes.operation is Operation.CREATE and MIRROR in meta.annotations_of(attributes.obj):
            _check_mirror(attributes, spec)
            return None
        if not spec.get("serviceAccountName"):
            where = f"{attributes.namespace}/{meta.name(attributes.obj)}"
            raise forbidden(attributes, f"no service account specified for pod {where}")
        account = self._find(attributes)
        if account is None:
            raise _no_account(attributes)
        _check_secrets(attributes, spec, account)
        return None

    def _find(self, attributes: Attributes) -> Tree | None:
        """The account of a pod, for nobody to change."""
        assert attributes.obj is not None
        name = attributes.obj["spec"]["serviceAccountName"]
        item = self.cluster.item("serviceaccounts", name, attributes.namespace)
        return self._accounts.of(item) if item is not None else None

    async def _complete_late(self, attributes: Attributes) -> None:
        """Wait for the default account: a controller makes it in a new namespace."""
        assert attributes.obj is not None
        account = None
        if attributes.obj["spec"]["serviceAccountName"] == _DEFAULT:
            for _ in range(_DEFAULT_ATTEMPTS - 1):
                await self.cluster.clock.sleep(_RETRY_SECONDS)
                await self.cluster.hub.fresh()
                account = self._find(attributes)
                if account is not None:
                    break
        if account is None:
            raise _no_account(attributes)
        self._complete(attributes, account)

    def _complete(self, attributes: Attributes, account: Tree) -> None:
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        if _automounts(spec, account):
            _mount_token(spec)
        secrets = [{"name": secret.get("name") or ""} for secret in account.get("imagePullSecrets") or ()]
        if secrets and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = secrets
        _check_secrets(attributes, spec, account)


def _no_account(attributes: Attributes) -> APIError:
    assert attributes.obj is not None
    name = attributes.obj["spec"]["serviceAccountName"]
    where = f"{attributes.namespace}/{name}"
    return forbidden(attributes, f'error looking up service account {where}: serviceaccount "{name}" not found')


def _check_mirror(attributes: Attributes, spec: Tree) -> None:
    """A mirror pod stands for one that runs without the API server: it can't use what is kept there."""
    if spec.get("serviceAccountName"):
        raise forbidden(attributes, "a mirror pod may not reference service accounts")
    if any(secret_names(spec)):
        raise forbidden(attributes, "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                raise forbidden(attributes, "a mirror pod may not use ServiceAccountToken volume projections")


def _automounts(spec: Tree, account: Tree) -> bool:
    """Whether the token is mounted: the pod is asked first, then the account."""
    for where in (spec, account):
        if where.get("automountServiceAccountToken") is not None:
            return bool(where["automountServiceAccountToken"])
    return True


def _mount_token(spec: Tree) -> None:
    """Mount the token into each container that has nothing at its place yet."""
    volumes = spec.get("volumes") or []
    known = next((volume["name"] for volume in volumes if volume.get("name", "").startswith(_VOLUME_PREFIX)), "")
    name, mounted = known or _VOLUME, False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == _MOUNT_PATH for mount in mounts):
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": _MOUNT_PATH}]
                mounted = True
    if mounted and not known:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_volume()}]


def _token_volume() -> Tree:
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": authority},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": _DEFAULT_MODE,
    }


def _check_secrets(attributes: Attributes, spec: Tree, account: Tree) -> None:
    """Where an account enforces that, its pods may use only the secrets that it lists."""
    if meta.annotations_of(account).get(_ENFORCED) not in _TRUE:
        return
    name = meta.name(account)
    suffix = f"is not allowed because service account {name} does not reference that"
    listed = {secret.get("name") or "" for secret in account.get("secrets") or ()}
    if attributes.subresource:
        for use, secret in _uses(spec, "ephemeralContainers", "ephemeral container"):
            if secret not in listed:
                # Upstream returns a bare error here, which becomes a 500 without a reason.
                raise APIError.of(500, "", f'{use} secret.secretName="{secret}" {suffix} secret')
        return
    for volume in spec.get("volumes") or ():
        source = volume.get("secret")
        if source is not None and (secret := source.get("secretName") or "") not in listed:
            raise forbidden(attributes, f'volume with secret.secretName="{secret}" {suffix} secret')
    for field, what in (("initContainers", "init container"), ("containers", "container")):
        for use, secret in _uses(spec, field, what):
            if secret not in listed:
                raise forbidden(attributes, f'{use} secret.secretName="{secret}" {suffix} secret')
    pulled = {secret.get("name") or "" for secret in account.get("imagePullSecrets") or ()}
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if (secret := reference.get("name") or "") not in pulled:
            raise forbidden(attributes, f'imagePullSecrets[{index}].name="{secret}" {suffix} imagePullSecret')


def _uses(spec: Tree, field: str, what: str) -> Iterator[tuple[str, str]]:
    """How containers use secrets in their environment, and which."""
    for container in spec.get(field) or ():
        called = f"{what} {container.get('name') or ''}"
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference is not None:
                yield f"{called} with envVar {variable.get('name') or ''} referencing", reference.get("name") or ""
        for source in container.get("envFrom") or ():
            if source.get("secretRef") is not None:
                yield f"{called} with envFrom referencing", source["secretRef"].get("name") or ""
