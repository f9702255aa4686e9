"""What an AuthorizationConfiguration says: who decides, in which order, and what of webhooks is to be known.

Source: k8s.io/apiserver/pkg/apis/apiserver (types, validation).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from hyperkube_apiserver.authz.webhook import ReviewVersion, WebhookTerms
from hyperkube_apiserver.configfiles import Section, Shape, read_document
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_subdomain

if TYPE_CHECKING:
    from hyperkube_apiserver.authz.webhook import Matches

__all__ = ["Mode", "WebhookMode", "read_authorization"]

Mode = Literal["Node", "RBAC", "Webhook", "ABAC", "AlwaysAllow", "AlwaysDeny"]

_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_WEBHOOK: Shape = {
    "authorizedTTL": "text",
    "cacheAuthorizedRequests": "flag",
    "unauthorizedTTL": "text",
    "cacheUnauthorizedRequests": "flag",
    "timeout": "text",
    "subjectAccessReviewVersion": "text",
    "matchConditionSubjectAccessReviewVersion": "text",
    "failurePolicy": "text",
    "connectionInfo": {"type": "text", "kubeConfigFile": "text"},
    "matchConditions": [{"expression": "text"}],
}
_SHAPE: dict[str, Shape] = {"authorizers": [{"type": "text", "name": "text", "webhook": _WEBHOOK}]}
_REVIEWS = ("v1", "v1beta1")
_MOST_CONDITIONS = 64
_LONGEST_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMode:
    """A webhook that is asked."""

    kubeconfig: Path | None  # None: the API server of the cluster that this one runs in
    name: str = "default"  # which metrics tell
    timeout_seconds: float
    terms: WebhookTerms
    matches: Matches | None = None


def read_authorization(path: Path, *, known: Collection[Mode]) -> list[tuple[Mode, WebhookMode | None]]:
    """Who decides, by a file, that may name the modes `known`. Raises ConfigFileError."""
    document = read_document(path, "AuthorizationConfiguration", _VERSIONS, _SHAPE)
    authorizers = document.sections("authorizers")
    if not authorizers:
        raise document.required("authorizers", "at least one authorization mode must be defined")
    types: set[str] = set()
    names: set[str] = set()
    found: list[tuple[Mode, WebhookMode | None]] = []
    for one in authorizers:
        mode = cast("Mode", one.chosen("type", sorted(known)))
        if mode in types and mode != "Webhook":
            raise one.duplicate("type", mode)
        types.add(mode)
        _check_name(one, names)
        webhook = one.section("webhook")
        if mode == "Webhook" and webhook is None:
            raise one.required("webhook", "required when type=Webhook")
        if mode != "Webhook" and webhook is not None:
            raise one.invalid("webhook", "non-null", "may only be specified when type=Webhook")
        found.append((mode, None if webhook is None else _webhook(webhook, one.text("name"))))
    return found


def _check_name(one: Section, names: set[str]) -> None:
    name = one.text("name")
    if not name:
        raise one.required("name")
    if name in names:
        raise one.duplicate("name", name)
    if why := dns1123_subdomain(name):
        raise one.invalid("name", name, f"authorizer name is invalid: {', '.join(why)}")
    names.add(name)


def _webhook(told: Section, name: str) -> WebhookMode:
    timeout = told.seconds("timeout")
    if not timeout:
        raise told.required("timeout")
    if not 0 < timeout <= _LONGEST_SECONDS:
        raise told.invalid("timeout", told.text("timeout"), "must be > 0s and <= 30s")
    # What is remembered is told apart from for how long only since lately; the older way to say no is a time of 0.
    allowed, refused = (_remembered(told, *names) for names in _REMEMBERED)
    version = cast("ReviewVersion", told.chosen("subjectAccessReviewVersion", _REVIEWS))
    closed = told.chosen("failurePolicy", ("NoOpinion", "Deny")) == "Deny"
    return WebhookMode(
        kubeconfig=_kubeconfig(told),
        name=name,
        timeout_seconds=timeout,
        terms=WebhookTerms(version=version, allowed_seconds=allowed, refused_seconds=refused, fails_closed=closed),
        matches=_matches(told),
    )


_REMEMBERED = (
    ("authorizedTTL", "cacheAuthorizedRequests", 300.0),
    ("unauthorizedTTL", "cacheUnauthorizedRequests", 30.0),
)


def _remembered(told: Section, field: str, switch: str, default: float) -> float:
    seconds = told.seconds(field) or default
    if not told.flag(switch, True):
        return 0.0
    if seconds < 0:
        raise told.invalid(field, told.text(field), "must be > 0s")
    return seconds


def _kubeconfig(told: Section) -> Path | None:
    info = told.section("connectionInfo")
    if info is None:
        raise told.required("connectionInfo.type")
    kind = info.chosen("type", ("InClusterConfig", "KubeConfigFile"))
    file = info.text("kubeConfigFile")
    if kind == "InClusterConfig":
        if file:
            raise info.invalid("kubeConfigFile", file, "can only be set when type=KubeConfigFile")
        return None
    if not file:
        raise info.required("kubeConfigFile")
    path = Path(file)
    if not path.is_absolute():
        raise info.invalid("kubeConfigFile", file, "must be an absolute path")
    if not path.exists():
        raise info.invalid("kubeConfigFile", file, "the file does not exist")
    if not path.is_file():
        raise info.invalid("kubeConfigFile", file, "must be a regular file")
    return path


def _matches(told: Section) -> Matches | None:
    conditions = told.sections("matchConditions")
    version = told.chosen("matchConditionSubjectAccessReviewVersion", ("v1",), needed=False)
    if conditions and not version:
        raise told.required("matchConditionSubjectAccessReviewVersion", "required if match conditions are specified")
    if not conditions:
        return None
    if len(conditions) > _MOST_CONDITIONS:
        raise told.wrong(FieldError.too_many(told.at("matchConditions"), len(conditions), _MOST_CONDITIONS))
    from hyperkube_apiserver.authz.conditions import BadCondition, compile_conditions

    texts: list[str] = []
    for one in conditions:
        text = one.text("expression")
        if not text.strip():
            raise one.required("expression")
        if text in texts:
            raise one.duplicate("expression", text)
        texts.append(text)
    try:
        return compile_conditions(texts)
    except BadCondition as exc:
        raise conditions[exc.index].invalid("expression", texts[exc.index], str(exc)) from exc
