"""Answers in other forms than the object: server-side tables and bare metadata."""

from hyperkube_apiserver.printers.metadata import partial, partial_list
from hyperkube_apiserver.printers.negotiation import (
    JSON,
    Form,
    Representation,
    check_form,
    error_media_type,
    negotiate,
    parse_accept,
)
from hyperkube_apiserver.printers.table import SORTED_KINDS, IncludeObject, ListMeta, include_object, rows, table

__all__ = [
    "JSON",
    "SORTED_KINDS",
    "Form",
    "IncludeObject",
    "ListMeta",
    "Representation",
    "check_form",
    "error_media_type",
    "include_object",
    "negotiate",
    "parse_accept",
    "partial",
    "partial_list",
    "rows",
    "table",
]
