"""The fixtures of the checkout, for the tests below this folder."""

from __future__ import annotations

from _actors import actors, start_hk
from _checkout import anyio_backend, busybox, kubectl, kubectls, nft, strace, wheels

__all__ = ["actors", "anyio_backend", "busybox", "kubectl", "kubectls", "nft", "start_hk", "strace", "wheels"]
