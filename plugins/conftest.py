"""The fixtures of the checkout, for the tests below this folder."""

from __future__ import annotations

from _checkout import anyio_backend, busybox, kubectl, kubectls, nft, strace, wheels

__all__ = ["anyio_backend", "busybox", "kubectl", "kubectls", "nft", "strace", "wheels"]
