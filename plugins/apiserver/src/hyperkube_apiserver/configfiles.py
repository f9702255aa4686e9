"""Files that configure the server: objects of Kubernetes' own kinds, read strictly, for a slip would let strangers in.

What a kind may hold is told by a shape: an object is a mapping of its fields' shapes, a list is a list of one shape,
all else a word. What is wrong with a file is told by the field that it is in, in upstream's words where it has some.
Source: k8s.io/apimachinery/pkg/runtime/serializer (strict decoding), k8s.io/apimachinery/pkg/util/validation/field.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, Union

from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.errors import FieldError

__all__ = [
    "ConfigFileError",
    "Section",
    "Shape",
    "Unreadable",
    "as_kind",
    "check_strict",
    "read_document",
    "read_tree",
    "strange",
]

Tree: TypeAlias = dict[str, Any]
Shape: TypeAlias = Union[str, Mapping[str, "Shape"], list["Shape"]]  # noqa: UP007  # of a name that is not there yet
"""`text`, `flag`, `number`, `any`, or what holds such."""

_TYPES: Mapping[str, tuple[type, ...]] = {"text": (str,), "flag": (bool,), "number": (int, float), "any": (object,)}
_WORDS = {"text": "a string", "flag": "true or false", "number": "a number"}
_MANY = {"text": "strings", "flag": "true or false", "number": "numbers"}


class ConfigFileError(ValueError):
    """A file can't be used; the message names it, the field, and what is wrong there."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class Unreadable(ConfigFileError):
    """A file can't even be read, for `reason`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"cannot read it: {reason}")
        self.reason = reason


def read_tree(path: Path) -> tuple[Any, list[str]]:
    """What a file holds, and which keys stand in it twice. Raises ConfigFileError."""
    from hyperkube_machinery.yamltext import BadYAML, parse_yaml  # takes a tenth of the server's start

    try:
        text = path.read_bytes()
        if not text.strip():
            raise ConfigFileError(path, "it is empty")
        return parse_yaml(text)
    except OSError as exc:
        raise Unreadable(path, exc.strerror or str(exc)) from exc
    except BadYAML as exc:
        raise ConfigFileError(path, str(exc)) from exc


def as_kind(path: Path, tree: Any, kind: str, versions: Collection[str]) -> Tree:
    """`tree`, which is an object of `kind` in one of `versions`. Raises ConfigFileError."""
    if not isinstance(tree, dict) or not tree.get("kind"):
        raise ConfigFileError(path, "Object 'Kind' is missing")
    version = tree.get("apiVersion") or ""
    if tree["kind"] != kind or version not in versions:
        raise ConfigFileError(path, f'no kind "{tree["kind"]}" is registered for version "{version}"')
    return tree


def strange(path: Path, tree: Tree, shape: Mapping[str, Shape], where: str = "") -> Iterator[str]:
    """The fields that mean nothing. Raises ConfigFileError for what has another type than its shape."""
    for name, value in tree.items():
        at = f"{where}.{name}" if where else str(name)
        if name not in shape:
            yield f'unknown field "{at}"'
        elif value is not None:
            yield from _strange(path, value, shape[name], at)


def _strange(path: Path, value: Any, shape: Shape, at: str) -> Iterator[str]:
    if isinstance(shape, str):
        if not isinstance(value, _TYPES[shape]) or (shape == "number" and isinstance(value, bool)):
            raise _mistyped(path, at, _WORDS[shape])
    elif isinstance(shape, list):
        if not isinstance(value, list) or not all(_is_a(one, shape[0]) for one in value):
            raise _mistyped(path, at, f"a list of {_MANY.get(str(shape[0]), 'objects')}")
        for index, one in enumerate(value):
            yield from _strange(path, one, shape[0], f"{at}[{index}]")
    elif isinstance(value, dict):
        yield from strange(path, value, shape, at)
    else:
        raise _mistyped(path, at, "an object")


def _is_a(value: Any, shape: Shape) -> bool:
    return isinstance(value, _TYPES[shape] if isinstance(shape, str) else dict)


def _mistyped(path: Path, at: str, wanted: str) -> ConfigFileError:
    """What is wrong with a field; not what it holds, which may be a secret."""
    return ConfigFileError(path, f"{at}: must be {wanted}")


def read_document(path: Path, kind: str, versions: Collection[str], shape: Mapping[str, Shape]) -> Section:
    """The object of `kind` in a file, in one of `versions`. Raises ConfigFileError."""
    tree, doubled = read_tree(path)
    found = as_kind(path, tree, kind, versions)
    check_strict(path, found, doubled, {"kind": "text", "apiVersion": "text", **shape})
    return Section(path, "", found)


def check_strict(path: Path, tree: Tree, doubled: Iterable[str], shape: Mapping[str, Shape] | None = None) -> None:
    """Raise ConfigFileError for keys that stand twice in a file, and for what hasn't the shape that it should have."""
    wrong = [*doubled, *(strange(path, tree, shape) if shape is not None else ())]
    if wrong:
        raise ConfigFileError(path, f"strict decoding error: {', '.join(wrong)}")


class Section:
    """An object in a file, which has its shape."""

    def __init__(self, path: Path, where: str, tree: Mapping[str, Any]) -> None:
        """`where` is the field that holds it."""
        self.path = path
        self.where = where
        self.tree = tree

    def at(self, field: str) -> str:
        """Where `field` of it is."""
        return f"{self.where}.{field}" if self.where else field

    def wrong(self, error: FieldError) -> ConfigFileError:
        """What is wrong with a field."""
        return ConfigFileError(self.path, f"{error.field}: {error.message}")

    def invalid(self, field: str, value: Any, why: str) -> ConfigFileError:
        return self.wrong(FieldError.invalid(self.at(field) if field else self.where, value, why))

    def required(self, field: str, why: str = "") -> ConfigFileError:
        return self.wrong(FieldError.required(self.at(field) if field else self.where, why))

    def duplicate(self, field: str, value: str) -> ConfigFileError:
        return self.wrong(FieldError.duplicate(self.at(field), value))

    def text(self, field: str) -> str:
        """A string, "" where there is none."""
        return self.tree.get(field) or ""

    def chosen(self, field: str, choices: Collection[str], *, needed: bool = True) -> str:
        """A string that is one of `choices`."""
        value = self.text(field)
        if not value and needed:
            raise self.required(field)
        if value and value not in choices:
            raise self.wrong(FieldError.not_supported(self.at(field), value, choices))
        return value

    def flag(self, field: str, default: bool = False) -> bool:
        value = self.tree.get(field)
        return default if value is None else bool(value)

    def seconds(self, field: str) -> float:
        """A duration; 0 where there is none."""
        text = self.text(field)
        try:
            return parse_duration(text) if text else 0.0
        except ValueError as exc:
            raise self.invalid(field, text, str(exc)) from exc

    def texts(self, field: str) -> tuple[str, ...]:
        return tuple(self.tree.get(field) or ())

    def section(self, field: str) -> Section | None:
        value = self.tree.get(field)
        return None if value is None else Section(self.path, self.at(field), value)

    def sections(self, field: str) -> list[Section]:
        values = self.tree.get(field) or ()
        return [Section(self.path, f"{self.at(field)}[{index}]", each) for index, each in enumerate(values)]
