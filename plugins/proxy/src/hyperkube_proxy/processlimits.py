"""What the system allows this process: open files, of which each connection that is relayed takes two, and memory."""

from __future__ import annotations

import logging
from pathlib import Path

__all__ = ["allow_open_files", "less_likely_killed"]

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


def less_likely_killed(score: int, file: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Have the system's choice of whom to kill for memory fall on others; only administrators may ask for that."""
    try:
        file.write_text(str(score))
    except OSError as exc:
        log.info("the process stays as likely to be killed for memory as it was: %s", exc.strerror)
