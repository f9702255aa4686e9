"""Conversion by a webhook, whose answers are believed no more than they must be.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/conversion (webhook_converter.go).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_machinery.errors import APIError, FieldError, aggregated
from hyperkube_machinery.schema.exact import json_type, type_error

if TYPE_CHECKING:
    from hyperkube_apiserver.webhooks.caller import WebhookCaller

__all__ = ["WebhookConversion"]

TIMEOUT_SECONDS = 30.0

Tree = dict[str, Any]
_SPOKEN = ("v1", "v1beta1")
_CHANGEABLE = ("labels", "annotations")
_RULES: Mapping[str, Callable[[Mapping[str, str]], list[FieldError]]] = {
    "labels": lambda labels: object_meta.validate_labels(labels, "metadata.labels"),
    "annotations": lambda annotations: object_meta.validate_annotations(annotations, "metadata.annotation"),
}


class WebhookConversion:
    """The strategy Webhook."""

    waits = True

    def __init__(self, webhook: Mapping[str, Any], caller: Callable[[], WebhookCaller]) -> None:
        """`webhook` is a WebhookConversion; who calls is asked for when there is something to convert."""
        self._client_config: Tree = dict(webhook.get("clientConfig") or {})
        spoken = webhook.get("conversionReviewVersions") or ()
        self._version = next((one for one in spoken if one in _SPOKEN), _SPOKEN[0])
        self._caller = caller

    async def converted(self, trees: Sequence[Tree], api_version: str) -> list[Tree]:
        """The objects in another version, in their order. Raises APIError 500."""
        sent = [tree for tree in trees if tree.get("apiVersion") != api_version]
        if not sent:
            return list(trees)
        told = f"conversion webhook for {_type_of(sent[0])}"
        answers = await self._asked(sent, api_version, told)
        if len(answers) != len(sent):
            raise _failed(f"{told} returned {len(answers)} objects, expected {len(sent)}")
        where = " at index {}" if len(sent) > 1 else ""
        made = iter(
            _checked(tree, answer, api_version, told, where.format(index))
            for index, (tree, answer) in enumerate(zip(sent, answers, strict=True))
        )
        return [next(made) if tree.get("apiVersion") != api_version else tree for tree in trees]

    async def _asked(self, trees: Sequence[Tree], api_version: str, told: str) -> list[Any]:
        from hyperkube_apiserver.webhooks.errors import CallFailed
        from hyperkube_apiserver.webhooks.trust import BadBundle

        uid = str(uuid.uuid4())
        review = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{self._version}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(trees)},
        }
        try:
            answer = await self._caller().call(self._client_config, review, TIMEOUT_SECONDS)
            return _answered(answer, uid if self._version == "v1" else "")
        except (CallFailed, BadBundle, _NoAnswer) as exc:
            raise _failed(f"{told} failed: {exc}") from exc


class _NoAnswer(ValueError):
    """What came back answers nothing; the text is upstream's."""


def _answered(answer: Tree, uid: str) -> list[Any]:
    """The objects in a review that came back, once it is one that answers; one of v1beta1 has no `uid` to check."""
    if uid and (answer.get("apiVersion"), answer.get("kind")) != ("apiextensions.k8s.io/v1", "ConversionReview"):
        group, _, version = str(answer.get("apiVersion") or "").rpartition("/")
        found = f"{group}/{version}, Kind={answer.get('kind') or ''}"
        raise _NoAnswer(f"expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {found}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise _NoAnswer("no response provided")
    if uid and response.get("uid") != uid:
        raise _NoAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result")
    told = result if isinstance(result, dict) else {}
    if told.get("status") != "Success":
        raise _NoAnswer(
            str(told.get("message") or f"response.result.status was '{told.get('status') or ''}', not 'Success'")
        )
    objects = response.get("convertedObjects")
    return objects if isinstance(objects, list) else []


def _checked(tree: Tree, made: Any, api_version: str, told: str, where: str) -> Tree:
    """What was made of `tree`, with its metadata as they were but for labels and annotations."""
    bad = f"{told} returned invalid {'converted object' if where else 'object'}"
    if not isinstance(made, dict):
        told_of = type_error(json_type(made), "map[string]interface {}")
        raise _failed("unexpected end of JSON input" if made is None else told_of)
    if made.get("apiVersion") != api_version:
        where = where or " at index 0"
        found = made.get("apiVersion") or ""
        raise _failed(f"{bad}{where}: invalid groupVersion (expected {api_version}, received {found})")
    if made.get("kind") != tree.get("kind"):
        where = where or " at index 0"
        raise _failed(f"{bad}{where}: invalid kind (expected {tree.get('kind')}, received {made.get('kind') or ''})")
    before, after = tree.get("metadata") or {}, made.get("metadata")
    for field in ("name", "namespace", "uid"):
        own, its = before.get(field) or "", (after.get(field) if isinstance(after, dict) else "") or ""
        if own != its:
            called = "UID" if field == "uid" else field
            raise _failed(f"{bad}{where}: must have the same {called}: {own} != {its}")
    return {**made, "metadata": _metadata(before, made, f"{told} returned invalid metadata{_of(where)}")}


def _of(where: str) -> str:
    return f" in object{where}" if where else ""


def _metadata(before: Tree, made: Tree, told: str) -> Tree:
    if "metadata" not in made:
        raise _failed(f"{told}: missing metadata in converted object")
    after = made["metadata"]
    if not isinstance(after, dict):
        raise _failed(f"{told}: invalid metadata of type {_go_type(after)} in converted object")
    metadata = {name: value for name, value in before.items() if name not in _CHANGEABLE}
    for field in _CHANGEABLE:
        if (value := after.get(field)) is None:
            continue
        if not isinstance(value, dict):
            raise _failed(f"{told}: invalid metadata.{field} of type {_go_type(value)} in converted object")
        for key, one in value.items():
            if not isinstance(one, str):
                what = f"metadata.{field}[{key}] must be a string, but is {_go_type(one)}"
                raise _failed(f"{told}: {what} in converted object")
        if value != (before.get(field) or {}) and (errors := _RULES[field](value)):
            raise _failed(f"{told}: " + aggregated(f"{error.field}: {error.message}" for error in errors))
        if value:
            metadata[field] = value
    return metadata


def _go_type(value: Any) -> str:
    for kind, told in ((bool, "bool"), (str, "string"), (int, "int64"), (float, "float64")):
        if isinstance(value, kind):
            return told
    if isinstance(value, list | dict):
        return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
    return "<nil>"


def _type_of(tree: Tree) -> str:
    return f"{tree.get('apiVersion')}, Kind={tree.get('kind')}"


def _failed(text: str) -> APIError:
    return APIError.of(500, "", text)
