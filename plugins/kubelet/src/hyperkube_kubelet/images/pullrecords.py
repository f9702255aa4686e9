"""What images were pulled with, so that a pod without those credentials can't use what another one's have brought.

    FOLDER/pulling/sha256-…   images whose pull was begun: what is here of them was pulled, even if nobody noted it
    FOLDER/pulled/sha256-…    by the image's id: with whose credentials, for each name without tag

An image that neither tells of was here before the kubelet asked for it: loaded by somebody.
Source: k8s.io/kubernetes/pkg/kubelet/images/pullmanager, whose files these are.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hyperkube_kubelet.images.dockerconfig import Account, Credential, Secret
from hyperkube_kubelet.runtime.values import Image
from hyperkube_machinery.files import make_private_directory, write_durably
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["PullRecords", "Verification", "name_alone", "remembered", "usable"]

log = logging.getLogger(__name__)

_VERSION = "kubelet.config.k8s.io/v1beta1"
_MOST_SECRETS = 100

Tree = Mapping[str, Any]


class Verification:
    """Which images that are here a pod must have credentials for (imagePullCredentialsVerificationPolicy)."""

    def __init__(self, policy: str, allowed: Sequence[str] = ()) -> None:
        """`allowed`: names without tags, or beginnings that end in /*. Raises ValueError for what is neither."""
        self._policy = policy
        self._names = frozenset(name for name in map(_checked, allowed) if not name.endswith("/*"))
        self._beginnings = tuple(name.removesuffix("*") for name in allowed if name.endswith("/*"))

    def requires(self, image: str, *, pulled: bool) -> bool:
        """`pulled`: whether a kubelet has brought the image here."""
        match self._policy:
            case "NeverVerify":
                return False
            case "NeverVerifyPreloadedImages":
                return pulled
            case "NeverVerifyAllowlistedImages":
                name = name_alone(image)
                return name not in self._names and not name.startswith(self._beginnings)
        return True


def _checked(pattern: str) -> str:
    """Raises ValueError in upstream's words."""
    if pattern != pattern.strip():
        raise ValueError(f"leading/trailing spaces are not allowed: {pattern}")
    begin = pattern.removesuffix("*") if pattern.endswith("/*") else pattern
    if not begin:
        raise ValueError(f"the supplied pattern is too short: {pattern}")
    if "*" in begin:
        raise ValueError(f"not a valid wildcard pattern, only patterns ending with '/*' are allowed: {pattern}")
    if begin == "/":
        raise ValueError("at least registry hostname is required")
    if begin == pattern and name_alone(pattern) != pattern:
        raise ValueError(f"neither tag nor digest is accepted in an image reference: {pattern}")
    return pattern


def name_alone(image: str) -> str:
    """As it is written, without tag and digest."""
    name = image.partition("@")[0]
    begin, colon, tag = name.rpartition(":")
    return begin if colon and "/" not in tag else name


def usable(record: Tree | None, image: str, credentials: Iterable[Credential]) -> bool:
    """Whether a pod with `credentials` may use an image that `record` tells of, as `image`."""
    if record is None:
        return False
    known = (record.get("credentialMapping") or {}).get(name_alone(image)) or {}
    if known.get("nodePodsAccessible"):
        return True
    secrets, accounts = known.get("kubernetesSecrets") or (), known.get("kubernetesServiceAccounts") or ()
    for credential in credentials:
        if isinstance(credential.source, Secret):
            own = _secret(credential.source, credential.hash)
            if any(_matches(own, secret) for secret in secrets):
                return True
        elif isinstance(credential.source, Account) and _coordinates(credential.source) in accounts:
            return True
    return False


def _matches(own: Tree, secret: Tree) -> bool:
    """The same credentials from elsewhere, or others from the same secret, which may have been renewed."""
    same_place = all(own[name] == secret.get(name) for name in ("uid", "namespace", "name"))
    return same_place or own["credentialHash"] == secret.get("credentialHash")


def remembered(record: Tree | None, image_id: str, image: str, used: Credential | None, now: float) -> Tree | None:
    """The record with what an image was pulled with; None where it says so already.

    `used`: None for nothing, which everybody has.
    """
    name = name_alone(image)
    mapping = dict((record or {}).get("credentialMapping") or {})
    known = mapping.get(name) or {}
    if known.get("nodePodsAccessible"):
        return None
    secrets, accounts = list(known.get("kubernetesSecrets") or ()), list(known.get("kubernetesServiceAccounts") or ())
    if used is None or used.source is None:
        fresh: Tree = {"nodePodsAccessible": True}
    elif isinstance(used.source, Secret):
        own = _secret(used.source, used.hash)
        others = [one for one in secrets if any(own[key] != one.get(key) for key in ("uid", "namespace", "name"))]
        kept = sorted([*others, own], key=lambda one: (one["namespace"], one["name"], one["uid"]))
        fresh = {**known, "kubernetesSecrets": kept[:_MOST_SECRETS]}
    else:
        own = _coordinates(used.source)
        kept = sorted([*(one for one in accounts if one != own), own], key=lambda one: (one["namespace"], one["name"]))
        fresh = {**known, "kubernetesServiceAccounts": kept}
    if record is not None and fresh == known:
        return None
    mapping[name] = fresh
    return {
        "kind": "ImagePulledRecord",
        "apiVersion": _VERSION,
        "lastUpdatedTime": format_seconds(now),
        "imageRef": image_id,
        "credentialMapping": mapping,
    }


def _secret(source: Secret, digest: str) -> dict[str, str]:
    return {**_coordinates(source), "credentialHash": digest}


def _coordinates(source: Secret | Account) -> dict[str, str]:
    return {"uid": source.uid, "namespace": source.namespace, "name": source.name}


class PullRecords:
    """The records in one folder. Reading and writing them takes the time that disks take."""

    def __init__(self, folder: Path) -> None:
        self._pulling, self._pulled = folder / "pulling", folder / "pulled"
        self._under_way: dict[str, int] = {}  # how many pulls of an image there are now

    def begin(self, image: str) -> None:
        """A pull is begun. Raises OSError."""
        _write(self._pulling, image, {"kind": "ImagePullIntent", "apiVersion": _VERSION, "image": image})
        self._under_way[image] = self._under_way.get(image, 0) + 1

    def end(self, image: str) -> None:
        """A pull has ended, one way or the other."""
        left = self._under_way.get(image, 0) - 1
        if left > 0:
            self._under_way[image] = left
            return
        self._under_way.pop(image, None)
        _path(self._pulling, image).unlink(missing_ok=True)

    def note(self, image: str, image_id: str, used: Credential | None, now: float) -> None:
        """An image was pulled, or is shown to be had, with `used`. Raises OSError."""
        fresh = remembered(self.record(image_id), image_id, image, used, now)
        if fresh is not None:
            _write(self._pulled, image_id, fresh)

    def record(self, image_id: str) -> Tree | None:
        """What is known of an image; None for one that is unknown, or whose record can't be read."""
        found = _read(_path(self._pulled, image_id))
        return found if found and found.get("imageRef") == image_id else None

    def was_pulled(self, image: str, image_id: str) -> bool:
        """Whether a kubelet has brought it here."""
        if self._under_way.get(image) or _path(self._pulled, image_id).exists():
            return True
        return (_read(_path(self._pulling, image)) or {}).get("image") == image

    def adopt(self, images: Iterable[Image], now: float) -> None:
        """Take note of images whose pull an earlier kubelet did not see the end of. Raises OSError."""
        begun = {record["image"]: path for path, record in _all(self._pulling) if "image" in record}
        for image in images:
            for name in {*image.tags, *image.digests} & begun.keys():
                if self.record(image.id) is None:
                    unknown = {"kind": "ImagePulledRecord", "apiVersion": _VERSION, "imageRef": image.id}
                    _write(self._pulled, image.id, {**unknown, "lastUpdatedTime": format_seconds(now)})
                begun[name].unlink(missing_ok=True)

    def forget(self, kept: Iterable[str], until: str) -> None:
        """Drop records of images other than those `kept`, by id, that were not changed since the time `until`."""
        ids = set(kept)
        for path, record in _all(self._pulled):
            if record.get("imageRef") not in ids and str(record.get("lastUpdatedTime", "")) < until:
                path.unlink(missing_ok=True)


def _path(folder: Path, key: str) -> Path:
    return folder / f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"


def _write(folder: Path, key: str, document: Tree) -> None:
    make_private_directory(folder)
    write_durably(_path(folder, key), json.dumps(document).encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        log.warning("%s can't be read, and says nothing: %s", path, exc)
        return None
    return document if isinstance(document, dict) else None


def _all(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    with suppress(FileNotFoundError):
        for path in sorted(folder.glob("sha256-*")):
            if (record := _read(path)) is not None:
                yield path, record
