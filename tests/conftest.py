"""The fixtures of the checkout, for the tests below this folder."""

from __future__ import annotations

from _actors import actors, start_hk
from _checkout import anyio_backend, kubectl, kubectls, strace, wheels

__all__ = ["actors", "anyio_backend", "kubectl", "kubectls", "start_hk", "strace", "wheels"]
