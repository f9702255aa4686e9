"""Reviews of access: may somebody do something, may I, and what may I do?

Source: k8s.io/kubernetes/pkg/registry/authorization, k8s.io/kubernetes/pkg/apis/authorization/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import Attributes, ResourceAttributes, ReviewingAuthorizer, Rules, decided
from hyperkube_apiserver.call import Call
from hyperkube_apiserver.handlers.virtual import Creation, Validate
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError, aggregated
from hyperkube_machinery.names import label_value, qualified_name
from hyperkube_machinery.selectors import parse_fields, parse_labels

__all__ = ["GROUP", "access_reviews"]

GROUP = "authorization.k8s.io"

Tree = dict[str, Any]

_META_FIELDS = (
    "name",
    "generateName",
    "namespace",
    "resourceVersion",
    "generation",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
_WITH_VALUES = ("In", "NotIn")
_WITHOUT_VALUES = ("Exists", "DoesNotExist")


def access_reviews(authorizer: ReviewingAuthorizer) -> Mapping[str, Creation]:
    """The reviews by resource; all of them ask `authorizer`."""

    async def of_subject(call: Call, review: Tree, validate: Validate) -> Tree:
        errors = _spec_errors(review["spec"], subject=True) + _metadata_errors(review, "must be empty")
        _refuse(errors)
        await validate()
        return await _decided(authorizer, _subject(review["spec"]), review)

    async def of_local_subject(call: Call, review: Tree, validate: Validate) -> Tree:
        _refuse(_spec_errors(review["spec"], subject=True) + _local_errors(review))
        await validate()
        return await _decided(authorizer, _subject(review["spec"]), review)

    async def of_self(call: Call, review: Tree, validate: Validate) -> Tree:
        errors = _spec_errors(review["spec"], subject=False) + _metadata_errors(review, "must be empty")
        _refuse(errors)
        await validate()
        return await _decided(authorizer, call.identity, review)

    async def rules(call: Call, review: Tree, validate: Validate) -> Tree:
        namespace = review["spec"].get("namespace", "")
        if not namespace:
            raise APIError.bad_request("no namespace on request")
        await validate()
        return {"spec": {}, "status": _listed(authorizer.rules_for(call.identity, namespace))}

    return {
        "subjectaccessreviews": of_subject,
        "localsubjectaccessreviews": of_local_subject,
        "selfsubjectaccessreviews": of_self,
        "selfsubjectrulesreviews": rules,
    }


def _subject(spec: Tree) -> Identity:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return Identity(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


async def _decided(authorizer: ReviewingAuthorizer, identity: Identity, review: Tree) -> Tree:
    asked, complaints = _attributes(review["spec"])
    decision = await decided(authorizer.explain(identity, asked))
    status: Tree = {"allowed": decision.allowed}
    if decision.denied:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    if decision.error:
        complaints.insert(0, decision.error)
    if complaints:
        status["evaluationError"] = "; ".join(complaints)
    return {**review, "status": status}


def _attributes(spec: Tree) -> tuple[Attributes, list[str]]:
    """What is asked of the authorizer, and what of it could not be read."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return ResourceAttributes(
            verb=path.get("verb", ""), resource="", is_resource=False, path=path.get("path", "")
        ), []
    asked = spec["resourceAttributes"]
    complaints = []
    fields, dropped = _field_selector(asked.get("fieldSelector") or {})
    if dropped:
        complaints.append(_ignored("fieldSelector", partially=bool(fields)))
    labels, dropped = _label_selector(asked.get("labelSelector") or {})
    if dropped:
        complaints.append(_ignored("labelSelector", partially=bool(labels)))
    attributes = ResourceAttributes(
        verb=asked.get("verb", ""),
        group=asked.get("group", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
        version=asked.get("version") or "*",
        field_selector=fields,
        label_selector=labels,
    )
    return attributes, complaints


def _ignored(field: str, *, partially: bool) -> str:
    how = "partially ignored" if partially else "ignored"
    return f"spec.resourceAttributes.{field} {how} due to parse error"


def _field_selector(selector: Tree) -> tuple[str, int]:
    """The selector as text, without what can't be asked, and how many parts that were."""
    raw = selector.get("rawSelector", "")
    if raw:
        try:
            parse_fields(raw)
        except APIError:
            return "", 1
        return raw, 0
    terms, dropped = [], 0
    for requirement in selector.get("requirements") or ():
        values: list[str] = requirement.get("values") or []
        if requirement["operator"] in _WITH_VALUES and len(values) == 1:
            equals = "=" if requirement["operator"] == "In" else "!="
            terms.append(f"{requirement['key']}{equals}{_escaped(values[0])}")
        else:
            dropped += 1
    return ",".join(terms), dropped


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _label_selector(selector: Tree) -> tuple[str, int]:
    """The same of a selector of labels."""
    raw = selector.get("rawSelector", "")
    if raw:
        try:
            parse_labels(raw)
        except APIError:
            return "", 1
        return raw, 0
    requirements = selector.get("requirements") or ()
    terms = [_label_term(requirement) for requirement in requirements]
    return ",".join(filter(None, terms)), terms.count("")


def _label_term(requirement: Tree) -> str:
    key, values = requirement["key"], ",".join(requirement.get("values") or ())
    match requirement["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
    return ""


def _listed(found: Rules) -> Tree:
    """The rules as a review tells them."""
    resources: list[Tree] = []
    paths: list[Tree] = []
    for rule in found.rules:
        tree = rule.tree()
        if rule.resources:
            resources.append({field: values for field, values in tree.items() if field != "nonResourceURLs"})
        if rule.paths:
            paths.append({"verbs": tree["verbs"], "nonResourceURLs": tree["nonResourceURLs"]})
    status: Tree = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": found.incomplete}
    if found.errors:
        status["evaluationError"] = aggregated(found.errors)
    return status


# What is wrong with a review. Upstream's reviews have lost their kind by then, so that the refusals name none.


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise APIError.invalid(GROUP, "", "", errors)


def _spec_errors(spec: Tree, *, subject: bool) -> list[FieldError]:
    errors = []
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        errors.append(FieldError.invalid("spec.nonResourceAttributes", _shown(path), why))
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(FieldError.invalid("spec.resourceAttributes", None, why))
    if subject and not spec.get("user") and not spec.get("groups"):
        errors.append(FieldError.invalid("spec.user", "", "at least one of user or group must be specified"))
    if resource is not None:
        errors += _selector_errors(resource.get("fieldSelector"), "spec.resourceAttributes.fieldSelector", labels=False)
        errors += _selector_errors(resource.get("labelSelector"), "spec.resourceAttributes.labelSelector", labels=True)
    return errors


def _shown(path: Tree) -> Tree:
    """The attributes of a path as upstream's internal type shows them."""
    return {"Path": path.get("path", ""), "Verb": path.get("verb", "")}


def _selector_errors(selector: Tree | None, field: str, *, labels: bool) -> Iterator[FieldError]:
    if selector is None:
        return
    raw, requirements = selector.get("rawSelector", ""), selector.get("requirements") or ()
    if raw and requirements:
        why = "may not specified at the same time as requirements"
        yield FieldError.invalid(f"{field}.rawSelector", raw, why)
    if not raw and not requirements:
        yield FieldError.required(
            f"{field}.requirements", f"when {field} is specified, requirements or rawSelector is required"
        )
    for index, requirement in enumerate(requirements):
        here = f"{field}.requirements[{index}]"
        if not labels and not requirement["key"]:
            yield FieldError.required(f"{here}.key", "must be specified")
        yield from _value_errors(requirement, here)
        if labels:
            yield from _label_errors(requirement, here)


def _value_errors(requirement: Tree, field: str) -> Iterator[FieldError]:
    operator, values = requirement["operator"], requirement.get("values")
    if operator in _WITH_VALUES and not values:
        yield FieldError.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in _WITHOUT_VALUES and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield FieldError.forbidden(f"{field}.values", why)


def _label_errors(requirement: Tree, field: str) -> Iterator[FieldError]:
    for why in qualified_name(requirement["key"]):
        yield FieldError.invalid(f"{field}.key", requirement["key"], why)
    for index, value in enumerate(requirement.get("values") or ()):
        for why in label_value(value):
            yield FieldError.invalid(f"{field}.values[{index}]", value, why)


def _metadata_errors(review: Tree, why: str) -> list[FieldError]:
    metadata = meta.metadata(review)
    telling = {field: value for field, value in metadata.items() if value and field != "managedFields"}
    return [FieldError.invalid("metadata", _in_order(metadata), why)] if telling else []


def _in_order(metadata: Mapping[str, Any]) -> Tree:
    """The metadata as upstream shows it."""
    return {field: metadata[field] for field in _META_FIELDS if field in metadata}


def _local_errors(review: Tree) -> list[FieldError]:
    spec, namespace = review["spec"], meta.namespace(review)
    metadata = {field: value for field, value in meta.metadata(review).items() if field != "namespace"}
    errors = []
    if _metadata_errors({"metadata": metadata}, ""):
        why = "must be empty except for namespace"
        errors.append(FieldError.invalid("metadata", _in_order(meta.metadata(review)), why))
    resource = spec.get("resourceAttributes")
    if resource is not None and resource.get("namespace", "") != namespace:
        given = resource.get("namespace", "")
        errors.append(FieldError.invalid("spec.resourceAttributes.namespace", given, "must match metadata.namespace"))
    if spec.get("nonResourceAttributes") is not None:
        shown = _shown(spec["nonResourceAttributes"])
        errors.append(FieldError.invalid("spec.nonResourceAttributes", shown, "disallowed on this kind of request"))
    return errors
