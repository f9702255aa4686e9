"""Fields that somebody else owns, and what is said of them.

Source: k8s.io/apimachinery/pkg/util/managedfields/internal (conflict.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.fields.elements import shown
from hyperkube_machinery.fields.entries import UPDATE, Key
from hyperkube_machinery.fields.sets import FieldSet, paths
from hyperkube_machinery.schema.exact import quoted

__all__ = ["Conflict", "Conflicts", "conflicts_of"]

Conflict = tuple[Key, tuple[str, ...]]
"""An owner, and the path of a field of its."""


class Conflicts(Exception):
    """A configuration would change fields of others, and force was not asked for."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = list(conflicts)

    def refusal(self) -> APIError:
        """409 with a cause for each field."""
        causes = [
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {_shown(owner)}",
                "field": _path(path),
            }
            for owner, path in self.conflicts
        ]
        return APIError.of(409, "Conflict", self._message(), {"causes": causes})

    def _message(self) -> str:
        if len(self.conflicts) == 1:
            ((owner, path),) = self.conflicts
            return f"Apply failed with 1 conflict: conflict with {_shown(owner)}: {_path(path)}"
        lines = []
        for owner in _in_order(owner for owner, _ in self.conflicts):
            lines.append(f"conflicts with {_shown(owner)}:")
            lines += [f"- {_path(path)}" for one, path in self.conflicts if one == owner]
        return f"Apply failed with {len(self.conflicts)} conflicts: " + "\n".join(lines)


def conflicts_of(fields: Mapping[Key, FieldSet]) -> Conflicts:
    """The conflicts about these fields of each owner."""
    return Conflicts([(owner, path) for owner in _in_order(fields) for path in paths(fields[owner])])


def _in_order(owners: Iterable[Key]) -> list[Key]:
    return sorted(set(owners), key=lambda owner: owner.text)


def _path(path: tuple[str, ...]) -> str:
    return "".join(shown(element) for element in path)


def _shown(owner: Key) -> str:
    text = quoted(owner.manager)
    if owner.subresource:
        text += f" with subresource {quoted(owner.subresource)}"
    return f"{text} using {owner.api_version}" if owner.operation == UPDATE else text
