"""What a runtime's refusals mean, by their codes and by what was asked."""

from __future__ import annotations

from hyperkube_kubelet.runtime.errors import (
    CreateFailed,
    ExecFailed,
    ImageUnavailable,
    NotFound,
    RuntimeFailure,
    RuntimeUnavailable,
    StartFailed,
    Unsupported,
)
from hyperkube_machinery.grpc import CallFailed, Code

__all__ = ["failure_of"]

_BY_CODE: dict[Code, type[RuntimeFailure]] = {
    Code.NOT_FOUND: NotFound,
    Code.UNAVAILABLE: RuntimeUnavailable,
    Code.DEADLINE_EXCEEDED: RuntimeUnavailable,
    Code.CANCELED: RuntimeUnavailable,
    Code.UNIMPLEMENTED: Unsupported,
}
_BY_CALL: dict[str, type[RuntimeFailure]] = {
    "RunPodSandbox": CreateFailed,
    "CreateContainer": CreateFailed,
    "StartContainer": StartFailed,
    "ExecSync": ExecFailed,
    "Exec": ExecFailed,
}
_NO_PROGRAM = ("executable file not found", "no such file or directory")


def failure_of(call: str, exc: CallFailed) -> RuntimeFailure:
    """The failure of the call of that name, in the runtime's words."""
    if call == "PullImage" and exc.code not in (Code.UNAVAILABLE, Code.CANCELED):
        return ImageUnavailable(str(exc))  # a registry has no such image, say
    kind = _BY_CODE.get(exc.code) or _BY_CALL.get(call, RuntimeFailure)
    if kind is ExecFailed:
        return ExecFailed(str(exc), 127 if any(words in exc.message for words in _NO_PROGRAM) else 126)
    return kind(str(exc))
