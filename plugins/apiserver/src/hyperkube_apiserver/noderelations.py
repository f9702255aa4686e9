"""What has to do with which node, as far as kubelets may read it.

    node ← pod ← secret, configmap, serviceaccount, persistentvolumeclaim, resourceclaim
    node ← pod ← persistentvolumeclaim ← persistentvolume ← secret
    node ← volumeattachment, resourceslice

Upstream keeps these arrows as a graph. Here the watch caches hold all that they are read off, so that only two indexes
are kept: the pods of each node, and the volumes that name a secret. What a pod refers to is found out when its node
asks for the first time, so that a pod of a node without a kubelet costs next to nothing.
Source: k8s.io/kubernetes/plugin/pkg/auth/authorizer/node (graph.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hyperkube_apiserver.admission.podreferences import config_map_names, secret_names
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_machinery import meta

__all__ = ["NodeRelations", "pod_references", "volume_secrets"]

Tree = dict[str, Any]
Reference = tuple[str, str]
"""A resource, and a name in the pod's namespace."""

_NODE = "spec.nodeName"
_MIRROR = "kubernetes.io/config.mirror"
# Sources of volumes whose secret is in the namespace of the claim unless they say otherwise, and those that must say.
_IN_CLAIMS_NAMESPACE = ("cephfs", "flexVolume", "rbd", "scaleIO", "iscsi")
_IN_OWN_NAMESPACE = ("cinder", "storageos")
_CSI_SECRETS = ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef")


class NodeRelations:
    """Answers whether an object has to do with a node; kept by the caches it observes."""

    def __init__(self, pods: WatchCache, volumes: WatchCache, attachments: WatchCache, slices: WatchCache) -> None:
        self._pod_cache = pods
        self._volume_cache = volumes
        self._naming = {"volumeattachments": attachments, "resourceslices": slices}  # these name their node
        self._pods: dict[str, dict[str, frozenset[Reference] | None]] = {}
        self._volumes: dict[str, tuple[tuple[str, str], ...]] = {}  # by key, their secrets
        self._secrets: dict[tuple[str, str], set[str]] = {}
        for item in pods.items():
            self._add_pod(item)
        for item in volumes.items():
            self._set_volume(item.key, item)
        pods.observe(self._pod_changed)
        volumes.observe(self._volume_changed)

    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether `node` has a pod that the object belongs to, or is named by it; `resource` is plural."""
        match resource:
            case "pods":
                return self._pod_cache.kind.key(namespace, name) in self._pods.get(node, ())
            case "volumeattachments" | "resourceslices":
                cache = self._naming[resource]
                item = cache.get(cache.kind.key("", name))
                return item is not None and _spec(item).get("nodeName") == node
            case "persistentvolumes":
                return self._claims(node, self._volume_cache.kind.key("", name))
            case "secrets":
                volumes = self._secrets.get((namespace, name), ())
                return self._refers(node, resource, namespace, name) or any(self._claims(node, key) for key in volumes)
        return self._refers(node, resource, namespace, name)

    def _refers(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod of `node` refers to the object."""
        pods = self._pods.get(node)
        if not pods or not namespace:  # without one, every pod of the node would do
            return False
        wanted, prefix = (resource, name), self._pod_cache.kind.prefix(namespace)
        for key, references in pods.items():
            if not key.startswith(prefix):
                continue
            if references is None:
                item = self._pod_cache.get(key)
                references = pods[key] = frozenset(pod_references(decode_body(item.body)) if item is not None else ())
            if wanted in references:
                return True
        return False

    def _claims(self, node: str, volume_key: str) -> bool:
        """Whether a pod of `node` claims the volume."""
        item = self._volume_cache.get(volume_key)
        claim = _spec(item).get("claimRef") if item is not None else None
        if not claim:
            return False
        return self._refers(node, "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", ""))

    def _pod_changed(self, event: Event) -> None:
        item, previous = event.item, event.previous
        if previous is not None:
            before = previous.fields[_NODE]
            if before and (item is None or item.fields[_NODE] != before):
                self._remove_pod(before, previous.key)
        if item is not None:
            self._add_pod(item)

    def _add_pod(self, item: Item) -> None:
        node = item.fields[_NODE]
        if node:
            self._pods.setdefault(node, {})[item.key] = None

    def _remove_pod(self, node: str, key: str) -> None:
        pods = self._pods.get(node, {})
        pods.pop(key, None)
        if not pods:
            self._pods.pop(node, None)

    def _volume_changed(self, event: Event) -> None:
        item = event.item or event.previous
        if item is not None:
            self._set_volume(item.key, event.item)

    def _set_volume(self, key: str, item: Item | None) -> None:
        for secret in self._volumes.pop(key, ()):
            volumes = self._secrets[secret]
            volumes.discard(key)
            if not volumes:
                del self._secrets[secret]
        if item is None:
            return
        secrets = tuple(set(volume_secrets(_spec(item))))
        if secrets:
            self._volumes[key] = secrets
        for secret in secrets:
            self._secrets.setdefault(secret, set()).add(key)


def _spec(item: Item) -> Tree:
    spec: Tree = decode_body(item.body).get("spec") or {}
    return spec


def pod_references(pod: Tree) -> Iterator[Reference]:
    """What in its namespace a pod lets its node read."""
    if _MIRROR in meta.annotations_of(pod):
        return  # a kubelet made it itself, and gains nothing by that
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if account := spec.get("serviceAccountName"):
        yield "serviceaccounts", account
    for name in secret_names(spec):
        yield "secrets", name
    for name in config_map_names(spec):
        yield "configmaps", name
    for volume in spec.get("volumes") or ():
        if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            yield "persistentvolumeclaims", claim
        elif volume.get("ephemeral") is not None:
            yield "persistentvolumeclaims", f"{meta.name(pod)}-{volume['name']}"
    for made in _resource_claims(spec, status):
        if made:
            yield "resourceclaims", made


def _resource_claims(spec: Tree, status: Tree) -> Iterator[str | None]:
    made = {each["name"]: each.get("resourceClaimName") for each in status.get("resourceClaimStatuses") or ()}
    for claim in spec.get("resourceClaims") or ():
        yield claim.get("resourceClaimName") or made.get(claim.get("name"))
    yield (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName")


def volume_secrets(spec: Tree) -> Iterable[tuple[str, str]]:
    """The secrets (namespace and name) that the kubelet of whoever claims a volume needs."""
    claim = spec.get("claimRef")
    if not claim:
        return []
    return [(namespace, name) for namespace, name in _volume_secrets(spec, claim.get("namespace", "")) if name]


def _volume_secrets(spec: Tree, claims_namespace: str) -> Iterator[tuple[str, str]]:
    if azure := spec.get("azureFile"):
        yield azure.get("secretNamespace") or claims_namespace, azure.get("secretName", "")
    for sources, namespace in ((_IN_CLAIMS_NAMESPACE, claims_namespace), (_IN_OWN_NAMESPACE, "")):
        for source in sources:
            if secret := (spec.get(source) or {}).get("secretRef"):
                yield secret.get("namespace") or namespace, secret.get("name", "")
    for field in _CSI_SECRETS:
        if secret := (spec.get("csi") or {}).get(field):
            yield secret.get("namespace", ""), secret.get("name", "")
