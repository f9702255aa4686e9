"""The flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperkube_core import flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    kubeconfig: Path | None = flag(None, help="Where the API server is, and who this is there.")
    secure_port: int = flag(0, help="Where health and metrics are shown; 0 is any free port.", minimum=0, maximum=65535)
    workers: int = flag(2, help="How many config maps are looked at at once.", minimum=1)
