"""Why there is no answer of a webhook that can be used.

CallFailed     nobody was reached, or what came is no review
"""

from __future__ import annotations

__all__ = ["CallFailed"]

UNAVAILABLE = 503


class CallFailed(Exception):
    """The text is upstream's, behind `failed to call webhook: ` and the like.

    `code` is the status that the webhook answered with, or what stands for one where nothing came.
    """

    def __init__(self, message: str, *, code: int = UNAVAILABLE) -> None:
        super().__init__(message)
        self.code = code
