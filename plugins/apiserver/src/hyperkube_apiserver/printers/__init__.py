"""Answers in other forms than the object: server-side tables and bare metadata."""

from hyperkube_apiserver.printers.including import SORTED_KINDS, IncludeObject, include_object
from hyperkube_apiserver.printers.metadata import ListMeta, partial, partial_list
from hyperkube_apiserver.printers.negotiation import (
    JSON,
    Form,
    Representation,
    check_form,
    error_media_type,
    negotiate,
    parse_accept,
)

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
]
