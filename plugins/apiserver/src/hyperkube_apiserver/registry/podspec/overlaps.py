"""Files of one volume whose paths overlap: the later hides the earlier, or neither can be made.

Source: warningsForOverlappingVirtualPaths in k8s.io/kubernetes/pkg/api/pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["overlap_warnings"]

Tree = Mapping[str, Any]
File = tuple[str, str]  # its path, and the source it is from, if that has to be told

_CERTIFICATE_FILES = {
    "certificateChainPath": "PodCertificate chain",
    "keyPath": "PodCertificate key",
    "credentialBundlePath": "PodCertificate credential bundle",
}


def overlap_warnings(volumes: Iterable[Tree]) -> Iterator[str]:
    for volume in volumes:
        name = volume.get("name") or ""
        for field, called, word in (("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret")):
            if (source := volume.get(field)) is not None:
                shown = f'{word} "{source.get(called) or ""}"'
                yield from _told(name, shown, _overlaps(_items(source, "")))
        if (source := volume.get("downwardAPI")) is not None:
            yield from _told(name, "DownwardAPI", _overlaps(_items(source, "")))
        parts = (volume.get("projected") or {}).get("sources") or ()
        for part in parts:
            if all(value is None for value in part.values()):
                yield f'volume "{name}" (Projected) has no sources provided'
        yield from _told(name, "Projected", _overlaps(file for part in parts for file in _projected(part)))


def _told(volume: str, what: str, overlaps: Iterable[str]) -> Iterator[str]:
    for overlap in overlaps:
        yield f'volume "{volume}" ({what}): overlapping paths: {overlap}'


def _items(source: Tree, told: str) -> list[File]:
    return [(item.get("path") or "", told) for item in source.get("items") or ()]


def _projected(part: Tree) -> list[File]:
    for field, word in (("configMap", "ConfigMap"), ("secret", "Secret")):
        source = part.get(field)
        if source is not None and source.get("items") is not None:
            return _items(source, f'{word} "{source.get("name") or ""}"')
    if (downward := part.get("downwardAPI")) is not None and downward.get("items") is not None:
        return _items(downward, "DownwardAPI")
    if (token := part.get("serviceAccountToken")) is not None:
        return [(token.get("path") or "", "ServiceAccountToken")]
    if (bundle := part.get("clusterTrustBundle")) is not None:
        called = bundle.get("name") if bundle.get("name") is not None else bundle.get("signerName")
        return [(bundle.get("path") or "", f'ClusterTrustBundle "{called or ""}"')]
    certificate = part.get("podCertificate") or {}
    return [(certificate[field], word) for field, word in _CERTIFICATE_FILES.items() if certificate.get(field)]


def _overlaps(files: Iterable[File]) -> Iterator[str]:
    earlier: list[File] = []
    for path, source in files:
        path = path.rstrip("/")
        for other in earlier:
            if path and other[0] and (f"{path}/".startswith(f"{other[0]}/") or f"{other[0]}/".startswith(f"{path}/")):
                yield f"{_shown((path, source))} with {_shown(other)}"
        earlier.append((path, source))


def _shown(file: File) -> str:
    path, source = file
    return f'"{path}" ({source})' if source else f'"{path}"'
