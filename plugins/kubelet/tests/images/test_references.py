"""What names of images mean."""

from __future__ import annotations

import pytest

from hyperkube_kubelet.images.errors import InvalidReference
from hyperkube_kubelet.images.references import is_image_id, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("me/app", "docker.io/me/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/me/app:1", "docker.io/me/app:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("Hub/app", "Hub/app:latest"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}"),
        ("hk.local/host", "hk.local/host:latest"),
        ("a__b/c.d-e", "docker.io/a__b/c.d-e:latest"),
    ],
)
def test_a_name_is_completed(given: str, full: str) -> None:
    assert str(parse_reference(given)) == full


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "invalid reference format"),
        ("No Name!", "invalid reference format"),
        ("busyBox", r"repository name \(library/busyBox\) must be lowercase"),
        ("a//b", "invalid reference format"),
        ("a/../b", "invalid reference format"),
        ("/etc/passwd", "invalid reference format"),
        ("a:" + "t" * 129, "invalid reference format"),
        ("a@sha256:12", "invalid reference format"),
        ("a" * 256, "must not be more than 255 characters"),
        ("-a/b", "invalid reference format"),
        ("a:", "invalid reference format"),
    ],
)
def test_what_is_no_name_is_refused(given: str, says: str) -> None:
    with pytest.raises(InvalidReference, match=says):
        parse_reference(given)


def test_ids_are_digests_of_configurations() -> None:
    assert is_image_id(DIGEST)
    assert is_image_id("a" * 64)
    assert not is_image_id("a" * 63)
    assert not is_image_id("busybox")
