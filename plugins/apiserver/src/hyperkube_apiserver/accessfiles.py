"""Files that say whom the server believes and who decides: read strictly, for a slip would let strangers in.

What is wrong with a file is told by the field that it is in, in upstream's words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.errors import FieldError

__all__ = ["AccessFileError", "Section", "read_document"]


class AccessFileError(ValueError):
    """A file can't be used; the message names it, the field, and what is wrong there."""


class Section:
    """An object in a file."""

    def __init__(self, path: Path, where: str, tree: Mapping[str, Any], known: Collection[str]) -> None:
        """`where` is the field that holds it. Raises AccessFileError for a field that is none of `known`."""
        self.path = path
        self.where = where
        self.tree = tree
        for field in tree:
            if field not in known:
                raise AccessFileError(f'{path}: strict decoding error: unknown field "{self.at(str(field))}"')

    def at(self, field: str) -> str:
        """Where `field` of it is."""
        return f"{self.where}.{field}" if self.where else field

    def wrong(self, error: FieldError) -> AccessFileError:
        """What is wrong with a field."""
        return AccessFileError(f"{self.path}: {error.field}: {error.message}")

    def invalid(self, field: str, value: Any, why: str) -> AccessFileError:
        return self.wrong(FieldError.invalid(self.at(field) if field else self.where, value, why))

    def required(self, field: str, why: str = "") -> AccessFileError:
        return self.wrong(FieldError.required(self.at(field) if field else self.where, why))

    def duplicate(self, field: str, value: str) -> AccessFileError:
        return self.wrong(FieldError.duplicate(self.at(field), value))

    def text(self, field: str) -> str:
        """A string, "" where there is none."""
        value = self.tree.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.invalid(field, value, "must be a string")
        return value

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
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.invalid(field, value, "must be true or false")
        return value

    def seconds(self, field: str) -> float:
        """A duration; 0 where there is none."""
        text = self.text(field)
        try:
            return parse_duration(text) if text else 0.0
        except ValueError as exc:
            raise self.invalid(field, text, str(exc)) from exc

    def texts(self, field: str) -> tuple[str, ...]:
        value = self.tree.get(field)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.invalid(field, value, "must be a list of strings")
        return tuple(value)

    def section(self, field: str, known: Collection[str]) -> Section | None:
        value = self.tree.get(field)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.invalid(field, value, "must be an object")
        return Section(self.path, self.at(field), value, known)

    def sections(self, field: str, known: Collection[str]) -> list[Section]:
        value = self.tree.get(field)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.invalid(field, value, "must be a list of objects")
        return [Section(self.path, f"{self.at(field)}[{index}]", each, known) for index, each in enumerate(value)]


def read_document(path: Path, kind: str, versions: Collection[str], known: Collection[str]) -> Section:
    """The object of `kind` in a file, in one of `versions`. Raises AccessFileError."""
    from hyperkube_machinery.yamltext import BadYAML, parse_yaml  # takes a tenth of the server's start

    try:
        tree, doubled = parse_yaml(path.read_bytes())
    except OSError as exc:
        raise AccessFileError(f"{path}: cannot read it: {exc.strerror or exc}") from exc
    except BadYAML as exc:
        raise AccessFileError(f"{path}: {exc}") from exc
    if doubled:
        raise AccessFileError(f"{path}: strict decoding error: {doubled[0]}")
    if not isinstance(tree, dict) or tree.get("kind") != kind or tree.get("apiVersion") not in versions:
        raise AccessFileError(f"{path} is no {kind} of {' or '.join(versions)}")
    return Section(path, "", tree, ("kind", "apiVersion", *known))
