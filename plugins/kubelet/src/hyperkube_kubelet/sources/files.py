"""Pods that are told by files of this node. Source: k8s.io/kubernetes/pkg/kubelet/config (file.go, common.go)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from hyperkube_kubelet.podspec import CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE, Tree, containers
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain
from hyperkube_machinery.timestamps import format_micro

__all__ = ["BadManifest", "FileSource", "read_manifests", "static_pod"]

log = logging.getLogger(__name__)

LARGEST_FILE = 10 << 20
YAML = "application/yaml"
POD = "io.k8s.api.core.v1.Pod"


class BadManifest(ValueError):
    """A file tells of no pod; the message names it."""


def static_pod(document: Mapping[str, Any], file: Path, node: str, now: float) -> dict[str, Any]:
    """The pod that a manifest, a Pod of v1, means on the node `node`. Raises BadManifest."""
    about, spec = dict(document.get("metadata") or {}), document.get("spec") or {}
    if not spec.get("containers"):
        raise BadManifest(f"{file}: the pod has no containers")
    name, namespace = str(about.get("name") or ""), str(about.get("namespace") or "default")
    name = f"{name}-{node.lower()}"
    wrong = dns1123_subdomain(name) or dns1123_label(namespace)
    for container in containers(document):
        if not container.get("name") or not container.get("image"):
            wrong = ["each container must have a name and an image"]
    for refers in ("serviceAccountName", "serviceAccount"):
        if spec.get(refers):
            wrong = [f"static pods can't have {refers}"]
    if about.get("uid"):  # folders are named by it
        wrong = dns1123_subdomain(str(about["uid"])) or wrong
    if wrong:
        raise BadManifest(f"{file}: {wrong[0]}")
    told = json.dumps([document, node, str(file)], sort_keys=True, default=str)
    uid = str(about.get("uid") or hashlib.sha256(told.encode()).hexdigest()[:32])
    annotations = {
        **(about.get("annotations") or {}),
        CONFIG_HASH: uid,
        CONFIG_SEEN: format_micro(now),
        CONFIG_SOURCE: "file",
    }
    about.update(name=name, namespace=namespace, uid=uid, annotations=annotations)
    tolerations = [*(spec.get("tolerations") or ()), {"operator": "Exists", "effect": "NoExecute"}]
    made = {"enableServiceLinks": True, **spec, "nodeName": node, "tolerations": tolerations}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            made[field] = [_with_pull_policy(container) for container in spec[field]]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": made, "status": {"phase": "Pending"}}


def _with_pull_policy(container: Tree) -> Tree:
    """As the API server would have it: `latest` may change."""
    if container.get("imagePullPolicy"):
        return container
    image = str(container["image"]).rpartition("/")[2]
    tag = image.partition(":")[2]
    latest = "@" not in image and tag in ("", "latest")
    return {**container, "imagePullPolicy": "Always" if latest else "IfNotPresent"}


def read_manifests(path: Path, node: str, now: float) -> Iterator[dict[str, Any]]:
    """The pods of a file, or of the files in a folder; bad ones are told of and left out. Raises OSError.

    Where nothing is there are none.
    """
    if not path.exists():
        return
    files = [path]
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    for file in files:
        try:
            yield static_pod(_document(file), file.absolute(), node, now)
        except BadManifest as exc:
            log.error("a static pod is left out: %s", exc)


def _document(file: Path) -> Mapping[str, Any]:
    """What a file holds, as the API server would take it. Raises BadManifest."""
    from hyperkube_machinery.decoding import read_object  # few kubelets have static pods
    from hyperkube_machinery.schema import Schemas

    try:
        if file.stat().st_size > LARGEST_FILE:
            raise BadManifest(f"{file}: is larger than {LARGEST_FILE} bytes")
        walker = Schemas.load().walker(POD)
        document, warnings = read_object(
            file.read_bytes(), YAML, walker, group_version="v1", kind="Pod", field_validation="Warn"
        )
    except OSError as exc:
        raise BadManifest(f"{file}: cannot be read ({exc.strerror})") from exc
    except APIError as exc:
        raise BadManifest(f"{file}: {exc}") from exc
    for warning in warnings:
        log.warning("%s: %s", file, warning)
    return document


class FileSource:
    """Tells of the pods that files tell of, as these change."""

    def __init__(
        self, path: Path, node: str, clock: Clock, seconds: float, changed: Callable[[Tree | None, Tree | None], None]
    ) -> None:
        """`changed` is called with the old and the new state of each pod that comes, goes, or changes.

        Only those change whose uid the file tells; others are other pods then.
        """
        self._path = path
        self._node = node
        self._clock = clock
        self._seconds = seconds
        self._changed = changed
        self._known: dict[str, Tree] = {}
        self.synced = False

    def read(self) -> None:
        """Look once."""
        self._take(self._find())

    def _find(self) -> list[dict[str, Any]] | None:
        try:
            return list(read_manifests(self._path, self._node, self._clock.now()))
        except OSError as exc:
            log.error("static pods can't be read: %s", exc)
            return None

    def _take(self, found: list[dict[str, Any]] | None) -> None:
        if found is None:
            return
        pods = {meta.uid(pod): pod for pod in found}
        for uid in [uid for uid in self._known if uid not in pods]:
            self._changed(self._known.pop(uid), None)
        for uid, pod in pods.items():
            known = self._known.get(uid)
            if known is None or _told(known) != _told(pod):
                self._known[uid] = pod
                self._changed(known, pod)
        self.synced = True

    async def follow(self) -> NoReturn:
        """Look again and again."""
        while True:
            self._take(await asyncio.to_thread(self._find))  # parsing takes its time
            await self._clock.sleep(self._seconds)


def _told(pod: Tree) -> Tree:
    """What its file tells of a pod, without when it was read."""
    about = pod["metadata"]
    annotations = {name: text for name, text in about["annotations"].items() if name != CONFIG_SEEN}
    return {**pod, "metadata": {**about, "annotations": annotations}}
