"""Classes of storage, and of the attributes of volumes.

Source: k8s.io/kubernetes/pkg/registry/storage/{storageclass,volumeattributesclass}, pkg/apis/storage/validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hyperkube_apiserver.registry.fields import one_of, qualified
from hyperkube_apiserver.registry.meta import immutable, validate_label_key
from hyperkube_apiserver.registry.nodelabels import OLD_NODE_LABELS
from hyperkube_apiserver.registry.storage.texts import MOST_BYTES, set_absent, size
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery.errors import FieldError

__all__ = ["StorageClasses", "VolumeAttributesClasses"]

_MOST_PARAMETERS = 512


def _validate_provisioner(name: str, path: str) -> list[FieldError]:
    return qualified(name.lower(), path) if name else [FieldError.required(path)]


def _validate_parameters(parameters: Mapping[str, str], path: str) -> list[FieldError]:
    if len(parameters) > _MOST_PARAMETERS:
        return [FieldError.too_long(path, _MOST_PARAMETERS)]
    errors = [FieldError.invalid(path, "", "field can not be empty.")] if "" in parameters else []
    if size(parameters) > MOST_BYTES:
        errors.append(FieldError.too_long(path, MOST_BYTES))
    return errors


class StorageClasses(Strategy):
    answers_deleted_object = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        set_absent(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors = _validate_provisioner(obj.get("provisioner") or "", "provisioner")
        errors += _validate_parameters(obj.get("parameters") or {}, "parameters")
        if policy := obj["reclaimPolicy"]:
            errors += one_of(policy, ("Delete", "Retain"), "reclaimPolicy")
        errors += one_of(obj["volumeBindingMode"], ("Immediate", "WaitForFirstConsumer"), "volumeBindingMode")
        return errors + _validate_topologies(obj.get("allowedTopologies") or (), "allowedTopologies")

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = self.validate_object(obj)
        new, before = (dict(sorted((one.get("parameters") or {}).items())) or None for one in (obj, old))
        errors += immutable("parameters", new, before)
        for field in ("provisioner", "reclaimPolicy", "volumeBindingMode"):
            errors += immutable(field, obj.get(field) or "", old.get(field) or "")
        return errors

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        return [
            f"allowedTopologies[{index}].matchLabelExpressions[{position}].key: {OLD_NODE_LABELS[expression['key']]}"
            for index, term in enumerate(obj.get("allowedTopologies") or ())
            for position, expression in enumerate(term.get("matchLabelExpressions") or ())
            if expression.get("key") in OLD_NODE_LABELS
        ]


def _validate_topologies(terms: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: list[dict[str, set[str]]] = [{} for _ in terms]  # so that a term that says nothing is always one too many
    for index, term in enumerate(terms):
        at = f"{path}[{index}].matchLabelExpressions"
        found: dict[str, set[str]] = {}
        for position, expression in enumerate(term.get("matchLabelExpressions") or ()):
            where, key, values = f"{at}[{position}]", expression.get("key") or "", expression.get("values") or []
            if not values:
                errors.append(FieldError.required(f"{where}.values"))
            for number, value in enumerate(values):
                if value in values[:number]:
                    errors.append(FieldError.duplicate(f"{where}.values[{number}]", value))
            errors += validate_label_key(key, f"{where}.key")
            if key in found:
                errors.append(FieldError.duplicate(f"{where}.key", key))
            found[key] = set(values)
        errors += [FieldError.duplicate(at, "")] * seen.count(found)
        seen.append(found)
    return errors


class VolumeAttributesClasses(Strategy):
    answers_deleted_object = True
    revalidates_meta = True

    def validate_object(self, obj: Tree) -> list[FieldError]:
        parameters = obj.get("parameters") or {}
        errors = _validate_provisioner(obj.get("driverName") or "", "driverName")
        errors += _validate_parameters(parameters, "parameters")
        if not parameters:
            errors.append(FieldError.required("parameters", "must contain at least one key/value pair"))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = [
            FieldError.forbidden(field, f"updates to {field} are forbidden.")
            for field in ("driverName", "parameters")
            if (obj.get(field) or None) != (old.get(field) or None)
        ]
        return errors + self.validate_object(obj)
