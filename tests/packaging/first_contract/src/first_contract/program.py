"""A program that knows nothing of hk."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("program: stopped"))
    print(f"program: {sys.argv[1:]}", flush=True)
    print("program: ready", flush=True)
    signal.pause()
