"""What is remembered of sandboxes and containers on disk, for a reaper that comes after this one was killed."""

from __future__ import annotations

import json
import os
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Records"]

_NAME = "record.json"


class Records:
    """One folder for each of a kind of things, with its record in it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(folder, 0o700, exist_ok=True)

    def folder(self, identity: str) -> str:
        return os.path.join(self._folder, identity)

    def write(self, identity: str, record: dict[str, Any]) -> None:
        """Remember `record`: whole or as before, though not through a power cut, which ends the pods as well."""
        folder = self.folder(identity)
        os.makedirs(folder, 0o711, exist_ok=True)
        path = os.path.join(folder, _NAME)
        with open(f"{path}.new", "w") as file:
            json.dump(record, file)
        os.rename(f"{path}.new", path)

    def amend(self, identity: str, record: dict[str, Any]) -> None:
        """The same for what has happened already: that it can't be written, as on a full disk, is told and no more."""
        try:
            self.write(identity, record)
        except OSError as exc:
            with suppress(OSError):
                print(f"what became of {identity} can't be written down: {exc}", flush=True)

    def read(self) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """All records by their ids, and the folders that hold none."""
        found: dict[str, dict[str, Any]] = {}
        broken: list[str] = []
        for identity in os.listdir(self._folder):
            try:
                with open(os.path.join(self._folder, identity, _NAME)) as file:
                    found[identity] = json.load(file)
            except (OSError, ValueError):
                broken.append(os.path.join(self._folder, identity))
        return found, broken
