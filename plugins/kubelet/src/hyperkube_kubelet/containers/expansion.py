"""References in commands, arguments and environment: `$(NAME)`.

Source: k8s.io/kubernetes/third_party/forked/golang/expansion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["expand"]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, *variables: Mapping[str, str]) -> str:
    """`text` with the values of what it refers to, from the first mapping that has it.

    `$$` is a dollar sign, so `$$(NAME)` is `$(NAME)`; a reference to nothing stays as it is.
    """

    def replaced(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        for mapping in variables:
            if match[1] in mapping:
                return mapping[match[1]]
        return match[0]

    return _REFERENCE.sub(replaced, text)
