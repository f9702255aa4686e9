"""The fixtures of the checkout, for the tests below this folder."""

from __future__ import annotations

from _checkout import anyio_backend, kubectl, kubectls, strace, wheels

__all__ = ["anyio_backend", "kubectl", "kubectls", "strace", "wheels"]
