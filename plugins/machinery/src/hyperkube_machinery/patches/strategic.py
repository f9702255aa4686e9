"""Strategic merge patch: what kubectl sends to built-in kinds.

Objects are merged field by field. A list is merged too if its schema says so, item by item under a merge key; otherwise
it is replaced. Directives in the patch say more: `$patch: replace|delete` of an object or of an item, `$retainKeys`,
`$deleteFromPrimitiveList/FIELD` and `$setElementOrder/FIELD`.
Source: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go, k8s.io/apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_machinery.decoding import duplicate_fields
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON, has_duplicates, parse, parse_exactly
from hyperkube_machinery.patches.json import REJECTED
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.schema.converted import go_value
from hyperkube_machinery.schema.exact import json_type, type_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hyperkube_machinery.schema.table import Table, Type

__all__ = ["apply", "read", "shown"]

Tree = dict[str, Any]

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_FROM = "$deleteFromPrimitiveList"
_SET_ORDER = "$setElementOrder"
_GO_TYPES: dict[type, str] = {
    dict: "map[string]interface {}",
    list: "[]interface {}",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
    type(None): "%!s(<nil>)",
}


def read(body: bytes, definition: str, *, field_validation: str = "Warn") -> tuple[Callable[[Tree], Tree], list[str]]:
    """The change that a body asks for of an object of `definition`, and its duplicate fields.

    Raises APIError 400 for what is no patch. The change raises 400, 422 or 500 where the patch does not fit.
    """
    patch = _parse(body)
    duplicates = []
    if field_validation != "Ignore" and has_duplicates(body, patch):
        duplicates = duplicate_fields(parse_exactly(body))
    return lambda document: apply(document, patch, definition), duplicates


def shown(body: bytes) -> str:
    """A patch as errors about the patched object show it: `map[spec:map[replicas:3]]`."""
    return go_value(_parse(body))


def apply(document: Tree, patch: Tree, definition: str) -> Tree:
    """`document` changed by `patch`, whose lists merge as `definition` says. Raises APIError."""
    table = Schemas.load().table
    return _merge_map(_copy(document), _copy(patch), _Schema(table, table.type(definition)))


def _parse(body: bytes) -> Tree:
    try:
        patch = parse(body)
    except BadJSON as error:
        raise APIError.bad_request(str(error)) from None
    if patch is None:
        return {}
    if not isinstance(patch, dict):
        raise APIError.bad_request(type_error(json_type(patch), "map[string]interface {}"))
    return patch


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _failed(message: str) -> APIError:
    """What upstream has no better code for."""
    return APIError.of(500, "", message)


def _bad_type(expected: type, actual: Any) -> APIError:
    return _failed(f"expected a {_GO_TYPES[expected]}, but received a {_GO_TYPES[type(actual)]}")


def _no_merge_key(item: Tree, key: str) -> APIError:
    return _failed(f"map: {go_value(item)} does not contain declared merge key: {key}")


class _Schema:
    """How the fields of a type merge."""

    def __init__(self, table: Table, type_: Type) -> None:
        self._table = table
        self._type = type_

    @property
    def kind(self) -> str:
        """Go's word for the kind of type."""
        if self._type.pointer:
            return "ptr"
        return {"list": "slice", "map": "map", "string": "string", "bool": "bool"}.get(self._type.kind, "struct")

    def field(self, name: str) -> tuple[_Schema, str, str]:
        """The schema of a field, its strategy ("merge", "replace" or "") and its merge key."""
        if self._type.kind in {"map", "list", "string", "bool", "int32", "int64"}:
            raise _failed(f"merging an object in json but data type is not struct, instead is: {self.kind}")
        fields = self._table.fields_by_name(self._type.definition) if self._type.definition else {}
        if name not in fields:
            struct = self._type.name.rpartition(".")[2]
            raise _failed(f'unable to find api field in struct {struct} for the json field "{name}"')
        facts = self._table.lists.get(self._type.definition, {}).get(name, {})
        strategies = [word for word in facts.get("strategy", "").split(",") if word != "retainKeys"]
        return _Schema(self._table, fields[name].type), strategies[0] if strategies else "", facts.get("merge", "")

    def items(self, name: str) -> tuple[_Schema, str, str]:
        """The same for a field that is a list: the schema is that of its items."""
        schema, strategy, key = self.field(name)
        if schema._type.kind != "list" or schema._type.element is None:
            raise _failed(f"expected slice or array type, but got: {self.kind}")
        if schema._type.element.kind == "list":
            raise _failed("unexpected slice of slice")
        return _Schema(self._table, schema._type.element), strategy, key


def _merge_map(original: Tree, patch: Tree, schema: _Schema) -> Tree:
    if _PATCH in patch:
        return _directed(patch)
    _retain_keys(original, patch)
    _order_lists(original, patch, schema)
    for key, value in patch.items():
        deletes = key.startswith(_DELETE_FROM)
        name = _directed_field(key, _DELETE_FROM) if deletes else key
        if value is None:
            original.pop(name, None)
            continue
        current: Any = original.get(name)
        if name not in original or type(current) is not type(value):
            if not deletes:
                _take(original, name, _without_nulls(value))
        elif isinstance(value, dict):
            inner, strategy, _ = schema.field(name)
            original[name] = value if strategy == "replace" else _merge_map(current, value, inner)
        elif isinstance(value, list):
            inner, strategy, merge_key = schema.items(name)
            merges = strategy == "merge" or deletes
            original[name] = _merge_list(current, value, inner, merge_key, deletes=deletes) if merges else value
        else:
            original[name] = value
    return original


def _directed(patch: Tree) -> Tree:
    """What `$patch` makes of a whole object."""
    directive = patch[_PATCH]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _PATCH}
    if directive == "delete":
        return {}
    raise _unknown_directive(directive, patch)


def _unknown_directive(directive: Any, patch: Tree) -> APIError:
    return _failed(f"unknown patch type: {go_value(directive)} in map: {go_value(patch)}")


def _take(original: Tree, name: str, value: Any) -> None:
    """Put a value from the patch where the original has none, without the directives in it."""
    if _is_directive(value):
        original.pop(name, None)
    else:
        original[name] = _without_directives(value)


def _is_directive(value: Any) -> bool:
    return isinstance(value, dict) and _PATCH in value


def _without_directives(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_directives(item) for key, item in value.items() if not _is_directive(item)}
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not _is_directive(item)]
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _retain_keys(original: Tree, patch: Tree) -> None:
    """Drop from the original what `$retainKeys` doesn't name."""
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    if not isinstance(retained, list):
        raise APIError.bad_request("invalid patch format of retainKeys")
    kept = {key for key in retained if isinstance(key, str)}
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE_FROM, _SET_ORDER)) and key not in kept:
            raise APIError.bad_request("invalid patch format of retainKeys")
    for key in [key for key in original if key not in kept]:
        del original[key]


def _directed_field(key: str, prefix: str) -> str:
    """The field that `$deleteFromPrimitiveList/FIELD` or `$setElementOrder/FIELD` speaks of."""
    directive, slash, name = key.partition("/")
    if directive == prefix and slash:
        return name
    what = "primitive list" if prefix == _DELETE_FROM else "setElementOrder list"
    raise APIError.bad_request(f"invalid patch format of {what}")


def _order_lists(original: Tree, patch: Tree, schema: _Schema) -> None:
    """Merge the lists that the patch gives an order to, and order them; the patch is left without them."""
    for key in [key for key in patch if key.startswith(_SET_ORDER)]:
        order = patch.pop(key)
        if not isinstance(order, list):
            raise _bad_type(list, order)
        name = _directed_field(key, _SET_ORDER)
        for side in (original, patch):
            if name in side and not isinstance(side[name], list):
                raise _bad_type(list, side[name])
        inner, strategy, merge_key = schema.items(name)
        current: list[Any] = original.get(name, [])
        change: list[Any] = patch.get(name, [])
        _check_order(change, order, merge_key)
        if name in original and name in patch:
            merges = strategy == "merge"
            merged = _merge_list(_copy(current), change, inner, merge_key, deletes=False) if merges else change
        elif name in original:
            merged = current
        elif name in patch:
            merged = _without_directives(change)
        else:
            continue
        _element_type([current, change])
        original[name] = _ordered(merged, order, current, merge_key)
        patch.pop(name, None)


def _check_order(change: list[Any], order: list[Any], merge_key: str) -> None:
    """Refuse a patch whose items come in another order than it gives."""
    if not order or not change:
        return
    waiting = [item for item in change if not _is_directive(item)]
    at = 0
    for item in order:
        if at == len(waiting):
            return
        at += _identity(waiting[at], merge_key) == _identity(item, merge_key)
    if at < len(waiting):
        raise _failed(
            f"The order in patch list:\n{go_value(change)}\n doesn't match {_SET_ORDER} list:\n{go_value(order)}\n"
        )


def _merge_list(current: list[Any], change: list[Any], schema: _Schema, merge_key: str, *, deletes: bool) -> list[Any]:
    if not current and not change:
        return current
    if _element_type([current, change]) is not dict:
        if deletes:
            deleted = set(map(_scalar_identity, change))
            return [item for item in current if _scalar_identity(item) not in deleted]
        merged = list({_scalar_identity(item): item for item in [*current, *change]}.values())
        return _ordered(merged, change, current, "")
    if not merge_key:
        raise _failed(f"cannot merge lists without merge key for {schema.kind}")
    current, change = _directed_items(current, change, merge_key)
    merged = list(current)
    places: dict[Any, int] = {}
    for place, item in enumerate(merged):
        if merge_key in item:
            places.setdefault(_scalar_identity(item[merge_key]), place)
    for item in change:
        identity = _identity(item, merge_key)
        if identity in places:
            merged[places[identity]] = _merge_map(merged[places[identity]], item, schema)
        else:
            places[identity] = len(merged)
            merged.append(item)
    return _ordered(merged, change, current, merge_key)


def _directed_items(current: list[Any], change: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Act on the items that hold `$patch`: the original without what they delete, and the patch without them."""
    rest, deleted, replaces = [], set(), False
    for item in change:
        if _PATCH not in item:
            rest.append(item)
            continue
        directive = item[_PATCH]
        if directive == "delete":
            deleted.add(_identity(item, merge_key))
        elif directive == "replace":
            replaces = True
        elif directive == "merge":
            raise _failed("merging lists cannot yet be specified in the patch")
        else:
            raise _unknown_directive(directive, item)
    if replaces:
        return rest, []
    if deleted:
        current = [item for item in current if _scalar_identity(item.get(merge_key)) not in deleted]
    return current, rest


def _ordered(merged: list[Any], order: list[Any], server_order: list[Any], merge_key: str) -> list[Any]:
    """What the patch names in its order, the rest in the server's, each of the rest before what it stood before."""
    wanted = _places(order, merge_key)
    standing = _places(server_order, merge_key)
    identities = {id(item): _identity(item, merge_key) for item in merged}
    theirs = [item for item in merged if identities[id(item)] in wanted]
    theirs.sort(key=lambda item: wanted[identities[id(item)]])
    ours = [item for item in merged if identities[id(item)] not in wanted]
    ours.sort(key=lambda item: standing.get(identities[id(item)], len(standing)))
    together: list[Any] = []
    at = 0
    for item in theirs:
        place = standing.get(identities[id(item)])
        while place is not None and at < len(ours):
            other = standing.get(identities[id(ours[at])])
            if other is None or other > place:
                break
            together.append(ours[at])
            at += 1
        together.append(item)
    return together + ours[at:]


def _places(items: Iterable[Any], merge_key: str) -> dict[Any, int]:
    places: dict[Any, int] = {}
    for place, item in enumerate(items):
        places.setdefault(_identity(item, merge_key), place)
    return places


def _identity(item: Any, merge_key: str) -> Any:
    """What tells an item from its neighbours."""
    if not merge_key:
        return _scalar_identity(item)
    if not isinstance(item, dict):
        raise _bad_type(dict, item)
    if merge_key not in item:
        raise _no_merge_key(item, merge_key)
    return _scalar_identity(item[merge_key])


def _scalar_identity(value: Any) -> Any:
    """1 is not true and not 1.0, as Go compares."""
    return (type(value), value if not isinstance(value, dict | list) else id(value))


def _element_type(lists: list[list[Any]]) -> type:
    """The type that all items of all lists have."""
    found: type | None = None
    for item in (item for items in lists for item in items):
        if found is None:
            found = type(item)
            if found is list:  # upstream knows why, and doesn't tell
                raise APIError.of(422, "Invalid", REJECTED, {})
        elif type(item) is not found:
            raise _failed(f"list element types are not identical: {go_value(lists)}")
    if found is None:
        raise _failed("no elements in any of the given slices")
    return found
