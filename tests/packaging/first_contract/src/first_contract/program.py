"""A program that knows nothing of hk."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def stop(number: int, frame: FrameType | None) -> None:
    print("program: stopped", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    print(f"program: {sys.argv[1:]}", flush=True)
    print("program: ready", flush=True)
    signal.pause()
