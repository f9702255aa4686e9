"""What a runtime raises.

RuntimeFailure
├── RuntimeUnavailable   it doesn't answer; try again later
├── NotFound             there is no such sandbox or container
├── NotRunning           the container doesn't run
├── InvalidConfig        what is asked for can't be had on this node (CreateContainerConfigError)
├── CreateFailed         the sandbox or container could not be made (CreateContainerError)
├── StartFailed          its program could not be started (RunContainerError)
├── ExecFailed           the command could not be started
├── ExecTimeout          the command took too long
├── InvalidImageName     it is no reference (InvalidImageName)
├── ImageUnavailable     the image is not here and can't be had (ErrImagePull)
└── Unsupported          this runtime doesn't do that
"""

from __future__ import annotations

__all__ = [
    "CreateFailed",
    "ExecFailed",
    "ExecTimeout",
    "ImageUnavailable",
    "InvalidConfig",
    "InvalidImageName",
    "NotFound",
    "NotRunning",
    "RuntimeFailure",
    "RuntimeUnavailable",
    "StartFailed",
    "Unsupported",
]


class RuntimeFailure(Exception):
    """A runtime could not do what it was asked to; the text is for people."""


class RuntimeUnavailable(RuntimeFailure):
    """The runtime doesn't answer; what it was asked may have been done or not."""


class NotFound(RuntimeFailure):
    """There is no such sandbox or container."""


class NotRunning(RuntimeFailure):
    """The container doesn't run."""


class InvalidConfig(RuntimeFailure):
    """What is asked for can't be had on this node."""


class CreateFailed(RuntimeFailure):
    """The sandbox or container could not be made."""


class StartFailed(RuntimeFailure):
    """The container's program could not be started."""


class ExecFailed(RuntimeFailure):
    """The command could not be started."""

    def __init__(self, message: str, exit_code: int = 126) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # 127: there is no such program; 126: it can't be executed


class ExecTimeout(RuntimeFailure):
    """The command took too long and was killed."""


class InvalidImageName(RuntimeFailure):
    """It is no reference to an image."""


class ImageUnavailable(RuntimeFailure):
    """The image is not here and can't be had; the text says what to do."""


class Unsupported(RuntimeFailure):
    """This runtime doesn't do that."""
