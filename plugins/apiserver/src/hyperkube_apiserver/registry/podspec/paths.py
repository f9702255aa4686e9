"""Paths inside containers and volumes. Source: validateLocalDescendingPath and its neighbours in core validation."""

from __future__ import annotations

from hyperkube_machinery.errors import FieldError

__all__ = ["validate_descending_path", "validate_file_mode", "validate_no_backsteps", "validate_unreserved_path"]


def validate_no_backsteps(text: str, path: str) -> list[FieldError]:
    return [FieldError.invalid(path, text, "must not contain '..'")] if ".." in text.split("/") else []


def validate_descending_path(text: str, path: str) -> list[FieldError]:
    """A relative path that never leaves its volume."""
    errors = [FieldError.invalid(path, text, "must be a relative path")] if text.startswith("/") else []
    return errors + validate_no_backsteps(text, path)


def validate_unreserved_path(text: str, path: str) -> list[FieldError]:
    """The same for files in volumes whose own bookkeeping begins with two dots."""
    errors = validate_descending_path(text, path)
    if text.startswith("..") and not text.startswith("../"):
        errors.append(FieldError.invalid(path, text, "must not start with '..'"))
    return errors


def validate_file_mode(mode: int | None, path: str) -> list[FieldError]:
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [FieldError.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")]
