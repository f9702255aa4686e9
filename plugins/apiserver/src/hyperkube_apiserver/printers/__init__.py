"""Answers in other forms than the object: server-side tables and bare metadata."""

from hyperkube_apiserver.printers.including import SORTED_KINDS, IncludeObject, include_object
from hyperkube_apiserver.printers.metadata import ListMeta, partial, partial_list
from hyperkube_apiserver.printers.negotiation import (
    JSON,
    PROTOBUF,
    YAML,
    Form,
    Representation,
    check_form,
    error_media_type,
    negotiate,
    negotiate_document,
    parse_accept,
)

__all__ = [
    "JSON",
    "PROTOBUF",
    "SORTED_KINDS",
    "YAML",
    "Form",
    "IncludeObject",
    "ListMeta",
    "Representation",
    "check_form",
    "error_media_type",
    "include_object",
    "negotiate",
    "negotiate_document",
    "parse_accept",
    "partial",
    "partial_list",
]
