"""The flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperkube_core import flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    folder: Path = flag(Path("."), help="What to show.")
    port: int = flag(0, help="Where to listen on this machine; 0 is any free port.", minimum=0, maximum=65535)
