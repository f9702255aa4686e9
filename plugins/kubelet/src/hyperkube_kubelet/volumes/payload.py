"""What is in the files of a volume that shows objects: config maps, secrets, the pod itself, tokens. Pure.

Source: MakePayload in k8s.io/kubernetes/pkg/volume/{configmap,secret}, CollectData in pkg/volume/downwardapi and
pkg/volume/projected.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hyperkube_kubelet.containers.fieldpaths import Addresses, DownwardError, field_value, resource_value

__all__ = ["DEFAULT_MODE", "File", "Payload", "PayloadError", "downward", "object_files"]

DEFAULT_MODE = 0o644

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    data: bytes
    mode: int = DEFAULT_MODE


Payload: TypeAlias = dict[str, File]
"""By the path relative to the volume."""


class PayloadError(Exception):
    """The files can't be told; the message is upstream's."""


def object_files(
    kind: Literal["configMap", "secret"],
    name: str,
    held: Tree | None,
    items: Iterable[Tree],
    *,
    mode: int,
    optional: bool,
) -> Payload:
    """The files of a config map or secret (None: there is none, which `optional` allows). Raises PayloadError."""
    if held is None:
        if not optional:
            raise PayloadError(f'{kind.lower()} "{name}" not found')
        return {}
    found = _config_map_data(held) if kind == "configMap" else _secret_data(held)
    items = list(items)
    if not items:
        return {key: File(data, mode) for key, data in found.items()}
    files: Payload = {}
    for item in items:
        key = item["key"]
        if key in found:
            files[item["path"]] = File(found[key], _mode(item, mode))
        elif not optional:
            missing = "configmap references non-existent config key" if kind == "configMap" else _NO_SECRET_KEY
            raise PayloadError(f"{missing}: {key}")
    return files


_NO_SECRET_KEY = "references non-existent secret key"


def _config_map_data(held: Tree) -> dict[str, bytes]:
    data = {key: str(text).encode() for key, text in (held.get("data") or {}).items()}
    return data | {key: base64.b64decode(text) for key, text in (held.get("binaryData") or {}).items()}


def _secret_data(held: Tree) -> dict[str, bytes]:
    return {key: base64.b64decode(text) for key, text in (held.get("data") or {}).items()}


def downward(
    items: Iterable[Tree], pod: Tree, addresses: Addresses, *, mode: int, container_named: Callable[[str], Tree | None]
) -> Payload:
    """The files that tell of the pod itself. Raises PayloadError."""
    files: Payload = {}
    for item in items:
        try:
            if ref := item.get("fieldRef"):
                text = field_value(ref["fieldPath"], pod, addresses)
            else:
                ref = item["resourceFieldRef"]
                container = container_named(ref.get("containerName") or "")
                if container is None:
                    raise PayloadError(f"container {ref.get('containerName')} not found")
                text = resource_value(ref, pod, container, addresses)
        except DownwardError as exc:
            raise PayloadError(str(exc)) from exc
        files[item["path"]] = File(text.encode(), _mode(item, mode))
    return files


def _mode(item: Tree, default: int) -> int:
    mode = item.get("mode")
    return default if mode is None else int(mode)
