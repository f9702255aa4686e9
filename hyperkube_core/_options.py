"""A server's options are one frozen dataclass; each of its fields is a flag, a variable and a key of its config file.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        secure_port: int = flag(6443, help="The port to serve HTTPS on.", section="Serving", maximum=65535)
        request_timeout: float = flag(60.0, kind="duration", help="After this a request is given up.")

The annotation says what sort of value it is; `kind` says so where the annotation can't. A field without `flag` is
one that has no help, and a field without default is a flag that must be given.

A class may have two more things, neither of them a field: `foreign_flags` (see `ForeignFlag`), and a class method
`read_config(document)` which turns a config file of a kind of its own (`KubeletConfiguration`) into a mapping from
field names to values, or raises ValueError. In its place there may be `read_config_files(files)`, for a class whose
`--config-dir` names a folder of further files: each is a path and a document, the later ones going before. Flags go
before the file but for those that a class method `flags_overruled(document)` names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hyperkube_core._values import KINDS, Kind

_METADATA = "hyperkube_core.flag"


@dataclass(frozen=True, slots=True)
class ForeignFlag:
    """A flag that the program which this server stands in for has, and this server has not.

    `warned`: it is accepted, and a warning gives the reason. `refused`: it is an error with the reason, as for every
    flag that would make something safer and does nothing here. The values in `agrees` say what happens anyway and
    pass in silence. A server's options carry theirs as `foreign_flags`, a mapping by name or a function without
    arguments that returns one (a class or static method); it is read when such a flag is met.
    """

    treatment: Literal["warned", "refused"]
    reason: str
    takes_value: bool = True
    """False for a bool, whose value can only follow an equals sign."""
    agrees: tuple[str, ...] = ()
    short: str = ""


def flag(
    default: Any = dataclasses.MISSING,
    *,
    help: str = "",
    section: str = "",
    kind: str | Kind | Callable[[str], Any] | None = None,
    name: str = "",
    short: str = "",
    metavar: str = "",
    secret: bool = False,
    choices: Iterable[Any] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    check: Callable[[Any], None] | None = None,
    show: Callable[[Any], str] | None = None,
    hidden: bool = False,
) -> Any:
    """A field of an options class; without `default` the flag must be given.

    `help` is a sentence or two, `section` the heading it stands under. `kind` is a name (`duration`: seconds from
    `1m30s`; `quantity`, `ip`, `cidr`, `array`: repeated, commas kept) or a function that makes the value from text
    and raises ValueError; `show` then makes the text again. `name` is the flag's where it isn't the field's with
    dashes, `short` its one letter. `secret` values are never shown. Numbers outside `minimum` … `maximum`, values that
    are not in `choices`, and those for which `check` raises ValueError, are errors.
    """
    details = {
        "help": help,
        "section": section,
        "kind": kind,
        "flag": name,
        "short": short,
        "metavar": metavar,
        "secret": secret,
        "choices": tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "check": check,
        "show": show,
        "hidden": hidden,
    }
    metadata = {_METADATA: details}
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Option:
    """One field of an options class, as command lines, variables and files see it."""

    field: str
    flag: str
    """Its name without the dashes before it."""
    kind: Kind
    default: Any
    """`dataclasses.MISSING` where it must be given."""
    help: str = ""
    section: str = ""
    short: str = ""
    metavar: str = ""
    secret: bool = False
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    check: Callable[[Any], None] | None = None
    hidden: bool = False
    convert: Callable[[Any], Any] | None = None
    """From what the kind makes of text to what the annotation wants."""

    @property
    def optional_value(self) -> str | None:
        """What the flag alone means, where it can stand without a value."""
        return "true" if self.kind.name == "bool" else None

    def parse(self, text: str) -> Any:
        return self._checked(self.kind.parse(text))

    def load(self, value: Any) -> Any:
        """The value for what a config file holds."""
        return self._checked(self.kind.load(value))

    def show(self, value: Any) -> str:
        """The text of `value`; nothing of a secret but whether there is one."""
        if value is None:
            return ""
        if self.secret:
            return "********" if value else ""
        return self.kind.format(value)

    def _checked(self, value: Any) -> Any:
        if self.convert is not None and value is not None:
            value = self.convert(value)
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"{self.kind.format(value)} is less than {self.kind.format(self.minimum)}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"{self.kind.format(value)} is more than {self.kind.format(self.maximum)}")
        if self.choices:
            for item in value if isinstance(value, tuple) else (value,):
                if item not in self.choices:
                    raise ValueError(f'"{item}" is none of {", ".join(map(str, self.choices))}')
        if self.check is not None:
            self.check(value)
        return value


class OptionsClassError(TypeError):
    """A class cannot be a server's options; its author has to mend it. A DescriptionError once its server is known."""


_cache: dict[type[Any], tuple[Option, ...]] = {}


def options_of(cls: type[Any]) -> tuple[Option, ...]:
    """The options that the dataclass `cls` declares, in its order; raises OptionsClassError."""
    try:
        return _cache[cls]
    except KeyError:
        pass
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise OptionsClassError(f"{cls!r} is not a dataclass")
    try:
        annotations = _annotations(cls)
    except Exception as exc:  # evaluating annotations runs whatever they say
        raise OptionsClassError(f"{cls.__qualname__}: an annotation cannot be evaluated ({exc})") from exc
    options = tuple(_option(cls, field, annotations[field.name]) for field in dataclasses.fields(cls) if field.init)
    names = [option.flag for option in options]
    if len(set(names)) != len(names):
        raise OptionsClassError(f"{cls.__qualname__}: two fields are the same flag")
    _cache[cls] = options
    return options


# The common annotations are known by their text: evaluating forty of them costs a millisecond of each launch.
_BY_TEXT: Mapping[str, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "tuple[str, ...]": tuple[str, ...],
}


def _annotations(cls: type[Any]) -> Mapping[str, Any]:
    found = {
        field.name: _BY_TEXT.get(field.type, field.type) if isinstance(field.type, str) else field.type
        for field in dataclasses.fields(cls)
    }
    if any(isinstance(value, str) for value in found.values()):
        import typing

        found |= typing.get_type_hints(cls)
    return found


def _option(cls: type[Any], field: dataclasses.Field[Any], annotation: Any) -> Option:
    details: dict[str, Any] = dict(field.metadata.get(_METADATA, {}))
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    show = details.pop("show", None)
    try:
        kind, convert, choices = _sort(annotation, details.pop("kind", None))
    except TypeError as exc:
        raise OptionsClassError(f"{cls.__qualname__}.{field.name}: {exc}") from None
    if show is not None:
        kind = dataclasses.replace(kind, format=show)
    details["flag"] = details.get("flag") or field.name.replace("_", "-")
    details["choices"] = details.get("choices") or choices
    return Option(field=field.name, kind=kind, default=default, convert=convert, **details)


def _sort(
    annotation: Any, wanted: str | Kind | Callable[[str], Any] | None
) -> tuple[Kind, Callable[[Any], Any] | None, tuple[Any, ...]]:
    """The kind, the conversion behind it and the choices, of a field annotated so."""
    if isinstance(wanted, Kind):
        return wanted, None, ()
    if callable(wanted):
        name = getattr(wanted, "__name__", "value").removeprefix("parse_").strip("_").replace("_", "-")
        return Kind(name, wanted), None, ()
    base = _without_none(annotation)
    if wanted is not None:
        if wanted not in KINDS:
            raise TypeError(f"there is no kind {wanted!r}; there are {', '.join(KINDS)}")
        return KINDS[wanted], _conversion(base, wanted), ()
    simple = {bool: "bool", int: "int", float: "float", str: "string"}.get(base) if isinstance(base, type) else None
    if simple:
        return KINDS[simple], None, ()
    return _compound(base, optional=base is not annotation)


def _compound(base: Any, *, optional: bool) -> tuple[Kind, Callable[[Any], Any] | None, tuple[Any, ...]]:
    from datetime import timedelta
    from pathlib import Path
    from typing import get_args, get_origin

    if base is Path:
        return KINDS["path"] if optional else dataclasses.replace(KINDS["path"], parse=_some_path), None, ()
    if base is timedelta:
        written = Kind(
            "duration", KINDS["duration"].parse, lambda value: KINDS["duration"].format(value.total_seconds())
        )
        return written, lambda seconds: timedelta(seconds=seconds), ()
    origin, arguments = get_origin(base), get_args(base)
    if origin is Literal:
        return KINDS["string"], None, arguments
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        if arguments[0] is str:
            return KINDS["strings"], None, ()
        element, convert, choices = _sort(arguments[0], None)
        return KINDS["strings"], _each(element, convert), choices
    if origin in (dict, Mapping) and arguments[0] is str:
        return KINDS["feature-gates" if arguments[1] is bool else "map"], None, ()
    raise TypeError(f"{base!r} is not an annotation that flags have; name a kind or a function with kind=")


def _some_path(text: str) -> Any:
    if not text:  # as "$FOLDER" comes to where the variable is not set
        raise ValueError("it must not be empty")
    return KINDS["path"].parse(text)


def _each(element: Kind, convert: Callable[[Any], Any] | None) -> Callable[[Sequence[str]], tuple[Any, ...]]:
    def convert_all(items: Sequence[str]) -> tuple[Any, ...]:
        values = (element.parse(item) for item in items)
        return tuple(convert(value) for value in values) if convert else tuple(values)

    return convert_all


def _without_none(annotation: Any) -> Any:
    """`X` for `X | None`."""
    if isinstance(annotation, type):
        return annotation
    arguments = getattr(annotation, "__args__", ())
    if type(None) not in arguments:
        return annotation
    rest = [argument for argument in arguments if argument is not type(None)]
    return rest[0] if len(rest) == 1 else annotation


def _conversion(base: Any, kind: str) -> Callable[[Any], Any] | None:
    if kind == "quantity" and base is int:
        import math

        return math.ceil  # as upstream's Quantity.Value() rounds
    if kind == "quantity" and base is float:
        return float
    if kind == "duration" and base is int:
        return round
    return None


def foreign_flags_of(cls: type[Any] | None) -> Mapping[str, ForeignFlag]:
    """The foreign flags that an options class carries."""
    found = getattr(cls, "foreign_flags", None)
    if found is None:
        return {}
    table: Mapping[str, ForeignFlag] = found() if callable(found) else found
    return table
