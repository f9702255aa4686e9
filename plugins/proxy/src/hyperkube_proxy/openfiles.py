"""How many files this process may have open: two for each connection that is relayed."""

from __future__ import annotations

import logging

__all__ = ["allow_open_files"]

log = logging.getLogger(__name__)


def allow_open_files() -> None:
    """Have as many as this user may have at most; programs in Go have that from their start."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as exc:  # macOS has a limit below what it says
        log.warning("no more than %d files can be open: %s", soft, exc)
