"""What the reaper answers instead of doing what it was asked to."""

from __future__ import annotations

__all__ = ["Failure"]


class Failure(Exception):
    """`kind` is the name of the class that the kubelet raises (`hyperkube_kubelet.runtime.errors`)."""

    def __init__(self, kind: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details

    def document(self) -> dict[str, object]:
        return {"kind": self.kind, "message": str(self), **self.details}
