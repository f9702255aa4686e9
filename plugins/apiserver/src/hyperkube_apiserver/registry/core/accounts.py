"""Service accounts. Source: k8s.io/kubernetes/pkg/registry/core/serviceaccount."""

from __future__ import annotations

from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery import meta

__all__ = ["ServiceAccounts"]

_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccounts(Strategy):
    """References to secrets hold the name alone."""

    answers_deleted_object = True
    revalidates_meta = True

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        _keep_names(obj)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        _keep_names(obj)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        if _ENFORCE not in meta.annotations_of(obj) or (old is not None and _ENFORCE in meta.annotations_of(old)):
            return []
        advice = "prefer separate namespaces to isolate access to mounted secrets"
        return [f"metadata.annotations[{_ENFORCE}]: deprecated in v1.32+; {advice}"]


def _keep_names(obj: Tree) -> None:
    if secrets := obj.get("secrets"):
        obj["secrets"] = [{"name": one["name"]} if one.get("name") else {} for one in secrets]
