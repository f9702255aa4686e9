"""What a schema compiles to, made part by part when it is first asked for, and shared by equal schemas."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from hyperkube_apiserver.crd.schema.cleanness import Clean, compile_clean
from hyperkube_apiserver.crd.schema.defaults import Fill, compile_defaults
from hyperkube_apiserver.crd.schema.validity import Valid, compile_valid
from hyperkube_machinery.encoding import encode_sorted

if TYPE_CHECKING:
    from hyperkube_apiserver.crd.rules import Rules
    from hyperkube_machinery.fields.shapes import Shape
    from hyperkube_machinery.fields.typings import Compare

__all__ = ["Compiled"]

Tree = Mapping[str, Any]


class Compiled:
    """The parts of one schema; the schema is kept beside them, for the exact walks."""

    def __init__(self, schema: Tree) -> None:
        self.schema = schema

    @classmethod
    def of(cls, schema: Tree) -> Compiled:
        """What equal schemas share for as long as one of them is in use."""
        digest = blake2b(encode_sorted(schema), digest_size=16).digest()
        compiled = _shared.get(digest)
        if compiled is None:
            compiled = _shared[digest] = cls(schema)
        return compiled

    @cached_property
    def is_clean(self) -> Clean:
        return compile_clean(self.schema)

    @cached_property
    def fill(self) -> Fill | None:
        return compile_defaults(self.schema)

    @cached_property
    def is_valid(self) -> Valid:
        return compile_valid(self.schema)

    @cached_property
    def has_rules(self) -> bool:
        return _has_rules(self.schema)

    @cached_property
    def rules(self) -> Rules | None:
        if not self.has_rules:  # which spares importing CEL
            return None
        from hyperkube_apiserver.crd.rules import compile_rules

        return compile_rules(self.schema)

    @cached_property
    def shape(self) -> Shape:
        from hyperkube_apiserver.crd.schema.shapes import shape_of

        return shape_of(self.schema)

    @cached_property
    def compare(self) -> Compare:
        from hyperkube_apiserver.crd.schema.shapes import compile_compare

        return compile_compare(self.schema, self.shape, self.is_valid)


_shared: WeakValueDictionary[bytes, Compiled] = WeakValueDictionary()


def _has_rules(schema: Tree) -> bool:
    pending: list[Any] = [schema]
    while pending:
        one = pending.pop()
        if not isinstance(one, dict):
            continue
        if one.get("x-kubernetes-validations"):
            return True
        pending += [one.get("items"), one.get("additionalProperties"), *(one.get("properties") or {}).values()]
    return False
