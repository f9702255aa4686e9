"""Which types fit which, and what type parameters stand for. Source: cel-go's checker/types.go."""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_machinery.cel.types import DYN, Kind, Type

__all__ = ["Bindings", "most_general", "unwrap_optional"]

_NULLABLE = frozenset((Kind.OPAQUE, Kind.OBJECT, Kind.ANY, Kind.DURATION, Kind.TIMESTAMP, Kind.WRAPPER))
_DYNAMIC = frozenset((Kind.DYN, Kind.ANY, Kind.ERROR))
_COMPOSED = frozenset((Kind.OPAQUE, Kind.LIST, Kind.MAP))


class Bindings:
    """What type parameters are bound to while one expression is checked."""

    __slots__ = ("_bound", "_changes")

    def __init__(self) -> None:
        self._bound: dict[Type, Type] = {}
        self._changes: list[tuple[Type, Type | None]] = []  # what was bound to what before, to go back

    def assignable(self, given: Type, wanted: Type) -> bool:
        """Whether the types fit; if so, parameters are bound."""
        return self.all_assignable((given,), (wanted,))

    def all_assignable(self, given: Sequence[Type], wanted: Sequence[Type]) -> bool:
        mark = len(self._changes)
        if self._fit_all(given, wanted):
            return True
        while len(self._changes) > mark:
            parameter, before = self._changes.pop()
            if before is None:
                del self._bound[parameter]
            else:
                self._bound[parameter] = before
        return False

    def _set(self, parameter: Type, type: Type) -> None:
        self._changes.append((parameter, self._bound.get(parameter)))
        self._bound[parameter] = type

    def substitute(self, type: Type, *, to_dyn: bool = False) -> Type:
        """The type with parameters replaced by what they are bound to; those that aren't, by dyn if asked."""
        if not type.open:
            return type
        if type.kind is Kind.TYPE_PARAMETER:
            bound = self._bound.get(type)
            if bound is not None:
                return self.substitute(bound, to_dyn=to_dyn)
            return DYN if to_dyn else type
        return Type(type.kind, type.name, tuple([self.substitute(each, to_dyn=to_dyn) for each in type.parameters]))

    def _fit_all(self, given: Sequence[Type], wanted: Sequence[Type]) -> bool:
        return len(given) == len(wanted) and all(map(self._fit, given, wanted))

    def _fit(self, given: Type, wanted: Type) -> bool:
        if wanted.kind is Kind.TYPE_PARAMETER:
            valid, bound = self._bind(given, wanted)
            if valid or bound:
                return valid
        if given.kind is Kind.TYPE_PARAMETER:
            return self._bind(wanted, given)[0]
        if given.kind in _DYNAMIC or wanted.kind in _DYNAMIC:
            return True
        if given.kind is Kind.NULL:
            return wanted.kind is Kind.NULL or wanted.kind in _NULLABLE
        if wanted.kind is Kind.NULL:
            return given.kind in _NULLABLE
        given, wanted = _unwrapped(given), _unwrapped(wanted)
        if given.kind is not wanted.kind:
            return False
        if given.kind is Kind.TYPE:
            return True
        if given.kind in _COMPOSED:
            return given.name == wanted.name and self._fit_all(given.parameters, wanted.parameters)
        return given == wanted

    def _bind(self, type: Type, parameter: Type) -> tuple[bool, bool]:
        """Whether the parameter may stand for the type, and whether it stood for one before."""
        if type == parameter:
            return True, True
        bound = self._bound.get(parameter)
        if bound is None:
            if self._occurs(parameter, type):
                return False, False
            self._set(parameter, type)
            return True, False
        if type == bound:
            return True, True
        if not self._fit(type, bound):
            return False, True
        general = most_general(type, bound)
        if not self._occurs(parameter, general):
            self._set(parameter, general)
        return True, True

    def _occurs(self, parameter: Type, within: Type) -> bool:
        if parameter == within:
            return True
        if within.kind is Kind.TYPE_PARAMETER:
            bound = self._bound.get(within)
            return bound is not None and self._occurs(parameter, bound)
        return within.open and any(self._occurs(parameter, each) for each in within.parameters)


def most_general(one: Type, other: Type) -> Type:
    """The more general of two types that fit."""
    return one if _less_specific(one, other) else other


def unwrap_optional(type: Type) -> tuple[Type, bool]:
    """What the optional holds and True, or the type itself and False."""
    return (type.parameters[0], True) if type.is_optional else (type, False)


def _less_specific(one: Type, other: Type) -> bool:
    if one.kind is Kind.DYN or one.kind is Kind.TYPE_PARAMETER:
        return True
    if other.kind is Kind.DYN or other.kind is Kind.TYPE_PARAMETER or one.kind is not other.kind:
        return False
    if one.kind is Kind.TYPE:
        return True
    if one.kind in _COMPOSED:
        return (
            one.name == other.name
            and len(one.parameters) == len(other.parameters)
            and all(map(_less_specific, one.parameters, other.parameters))
        )
    return one == other


def _unwrapped(type: Type) -> Type:
    return type.parameters[0] if type.kind is Kind.WRAPPER else type
