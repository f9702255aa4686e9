"""The parameters that a binding gives its policy.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go (CollectParams).
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.policies.model import Binding, ParamKind, Policy
from hyperkube_apiserver.kinds import Kind
from hyperkube_machinery.selectors import label_selector

__all__ = ["Misconfigured", "collect_params", "param_resource"]

Tree = dict[str, Any]
Params = list[Tree | None]


class Misconfigured(Exception):
    """A policy or a binding makes no sense in this cluster, or not for this request."""


def param_resource(param_kind: ParamKind, cluster: Cluster) -> Kind:
    """The resource whose objects are parameters. Raises Misconfigured."""
    group, version = param_kind.group_version
    found = cluster.kinds_called(param_kind.kind, group=group, version=version)
    if not found:
        told = f"{group}/{version}, Kind={param_kind.kind}"
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{told}'")
    return found[0]


async def collect_params(policy: Policy, binding: Binding, namespace: str, cluster: Cluster) -> Params:
    """Each of the objects that the policy is to be evaluated with; None stands for none. Raises Misconfigured."""
    reference = binding.param_ref
    if policy.param_kind is None or reference is None:
        return [None]
    kind = param_resource(policy.param_kind, cluster)
    where = _namespace(reference.get("namespace") or "", namespace, is_namespaced=kind.resource.namespaced)
    name, selector = reference.get("name") or "", reference.get("selector")
    params: Params = []
    if name:
        found = await cluster.found(kind, name, where)
        params = [found] if found is not None else []
    elif selector is not None:
        try:
            selected = label_selector(selector)
        except ValueError as exc:
            raise Misconfigured(str(exc)) from exc
        for tree in await cluster.collected(kind, where):
            if selected.matches(tree["metadata"].get("labels") or {}):
                params.append(tree)
    else:
        raise Misconfigured("one of name or selector must be provided")
    if not params and reference.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return params


def _namespace(named: str, of_request: str, *, is_namespaced: bool) -> str:
    if not is_namespaced:
        if named:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    if not named and not of_request:
        raise Misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    return named or of_request
