"""The scheduler's options. Names, meanings and defaults are upstream's unless the help says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperkube_core import flag

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Its flags, folded with its settings."""

    kubeconfig: Path | None = flag(
        None, help="Path to a kubeconfig that says where the API server is, and who this is."
    )
