"""Classes of devices. Source: k8s.io/kubernetes/pkg/{registry,apis}/resource."""

from __future__ import annotations

from hyperkube_apiserver.registry.amounts import is_extended_resource
from hyperkube_apiserver.registry.dynamicresources.parts import (
    MOST_CONFIGS,
    validate_configuration,
    validate_each,
    validate_selectors,
)
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery.errors import FieldError

__all__ = ["DeviceClasses"]


class DeviceClasses(Strategy):
    """What claims ask for by name."""

    counts_generation = True
    answers_deleted_object = True
    evaluates = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        obj.setdefault("spec", {})

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return self._validate_spec(obj, stored=False)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        config, before = ((one.get("spec") or {}).get("config") for one in (obj, old))
        return self._validate_spec(obj, stored=config == before)

    def _validate_spec(self, obj: Tree, *, stored: bool) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = validate_selectors(spec.get("selectors") or (), "spec.selectors")

        def config(one: Tree, path: str) -> list[FieldError]:
            return validate_configuration(one, path, stored=stored)

        errors += validate_each(spec.get("config") or (), MOST_CONFIGS, config, "spec.config")
        name = spec.get("extendedResourceName")
        if name is not None and not is_extended_resource(name):
            text = "must be a valid extended resource name"
            errors.append(FieldError.invalid("spec.extendedResourceName", name, text))
        return errors
