"""Which requests are told of, and how much. Source: k8s.io/apiserver/pkg/audit/policy, pkg/apis/audit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperkube_apiserver.configfiles import ConfigFileError, Shape, Unreadable, as_kind, read_tree, strange
from hyperkube_apiserver.requestinfo import RequestInfo
from hyperkube_machinery.errors import FieldError, aggregated
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.names import dns1123_subdomain

__all__ = ["LEVELS", "STAGES", "Policy", "PolicyError", "Ruling", "read_policy"]

log = logging.getLogger(__name__)

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
"""How much is told: nothing, that it was asked, what was sent, what came back, too."""
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")

_VERSION, _KIND = "audit.k8s.io/v1", "Policy"
_RESOURCE_LISTS = ("resources", "resourceNames")
_RULE_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
_SHAPE: dict[str, Shape] = {
    "kind": "text",
    "apiVersion": "text",
    "metadata": "any",
    "omitStages": ["text"],
    "omitManagedFields": "flag",
    "rules": [
        {
            **{field: ["text"] for field in _RULE_LISTS},
            "level": "text",
            "resources": [{"group": "text", **{field: ["text"] for field in _RESOURCE_LISTS}}],
            "omitManagedFields": "flag",
        }
    ],
}

Tree = Mapping[str, Any]


class PolicyError(ValueError):
    """The file holds no policy."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is told of one request."""

    level: str
    omitted: frozenset[str]  # stages
    omits_managed_fields: bool

    @property
    def depth(self) -> int:
        """The place of the level among LEVELS."""
        return LEVELS.index(self.level)


@dataclass(frozen=True, slots=True)
class _Resources:
    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]

    def include(self, info: RequestInfo) -> bool:
        if self.group not in ("*", info.group):
            return False
        if not self.resources:
            return True
        if self.names and info.name not in self.names:
            return False
        resource, below = info.resource, info.subresource
        wanted = {f"{resource}/{below}" if below else resource, "*", f"{resource}/*"}
        if below:
            wanted.add(f"*/{below}")
        return not wanted.isdisjoint(self.resources)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Some requests, and what is told of them. What a rule is silent about, it includes."""

    ruling: Ruling
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    resources: tuple[_Resources, ...]
    urls: tuple[str, ...]

    def includes(self, info: RequestInfo, sender: Identity | None) -> bool:
        if self.users and (sender is None or sender.name not in self.users):
            return False
        if self.groups and (sender is None or self.groups.isdisjoint(sender.groups)):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._includes_resource(info)
        return not self.urls or (not info.is_resource and any(_is_path(info.path, url) for url in self.urls))

    def _includes_resource(self, info: RequestInfo) -> bool:
        if not info.is_resource or (self.namespaces and info.namespace not in self.namespaces):
            return False
        return not self.resources or any(one.include(info) for one in self.resources)


def _is_path(path: str, url: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


class Policy:
    """Rules, of which the first that includes a request decides; of one that none includes, nothing is told."""

    def __init__(self, rules: Iterable[_Rule], omitted: frozenset[str], *, omits_managed_fields: bool) -> None:
        self._rules = tuple(rules)
        self._nothing = Ruling("None", omitted, omits_managed_fields)

    def rule(self, info: RequestInfo, sender: Identity | None) -> Ruling:
        """What is told of a request."""
        for rule in self._rules:
            if rule.includes(info, sender):
                return rule.ruling
        return self._nothing


def read_policy(path: Path) -> Policy:
    """Read a file. Raises PolicyError, with all that is wrong, in upstream's words."""
    try:
        tree, doubled = read_tree(path)
        policy = as_kind(path, tree, _KIND, (_VERSION,))
        for text in (*doubled, *strange(path, policy, _SHAPE)):
            log.warning("the audit policy %s has what means nothing: %s", path, text)
    except Unreadable as exc:
        raise PolicyError(f'failed to read file path "{path}": {exc.reason}') from exc
    except ConfigFileError as exc:
        raise PolicyError(f"failed decoding: {exc.why}: from file {path}") from exc
    try:
        return _policy(policy)
    except PolicyError as exc:
        raise PolicyError(f"{exc}: from file {path}") from exc


def _policy(tree: Tree) -> Policy:
    rules = tree.get("rules") or []
    errors = [*_stage_errors(tree, "omitStages")]
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"rules[{index}]")
    if errors:
        raise PolicyError(aggregated(map(str, errors)))
    if not rules:
        raise PolicyError("loaded illegal policy with 0 rules")
    omitted, omits = frozenset(tree.get("omitStages") or ()), bool(tree.get("omitManagedFields"))
    read = (_rule(rule, omitted, omits=omits) for rule in rules)
    return Policy(read, omitted, omits_managed_fields=omits)


def _rule(rule: Tree, omitted: frozenset[str], *, omits: bool) -> _Rule:
    own = rule.get("omitManagedFields")
    stages = omitted | frozenset(rule.get("omitStages") or ())
    names = {field: frozenset(rule.get(field) or ()) for field in _RULE_LISTS}
    return _Rule(
        ruling=Ruling(rule["level"], stages, omits if own is None else bool(own)),
        users=names["users"],
        groups=names["userGroups"],
        verbs=names["verbs"],
        namespaces=names["namespaces"],
        resources=tuple(
            _Resources(one.get("group") or "", *(tuple(one.get(field) or ()) for field in _RESOURCE_LISTS))
            for one in rule.get("resources") or ()
        ),
        urls=tuple(rule.get("nonResourceURLs") or ()),
    )


def _rule_errors(rule: Tree, path: str) -> Iterator[FieldError]:
    level = rule.get("level") or ""
    if not level:
        yield FieldError.required(f"{path}.level")
    elif level not in LEVELS:
        yield FieldError.not_supported(f"{path}.level", level, LEVELS)
    urls = rule.get("nonResourceURLs") or []
    for index, url in enumerate(urls):
        yield from _url_errors(url, f"{path}.nonResourceURLs[{index}]")
    for one in rule.get("resources") or ():
        yield from _resource_errors(one, f"{path}.resources")
    yield from _stage_errors(rule, f"{path}.omitStages")
    if urls and (rule.get("resources") or rule.get("namespaces")):
        why = "rules cannot apply to both regular resources and non-resource URLs"
        yield FieldError.invalid(f"{path}.nonResourceURLs", urls, why)


def _url_errors(url: str, path: str) -> Iterator[FieldError]:
    if url == "*":
        return
    if not url.startswith("/"):
        yield FieldError.invalid(path, url, "non-resource URL rules must begin with a '/' character")
    if "*" in url[:-1]:
        why = "non-resource URL wildcards '*' must be the final character of the rule"
        yield FieldError.invalid(path, url, why)


def _resource_errors(one: Tree, path: str) -> Iterator[FieldError]:
    group = one.get("group") or ""
    if group not in ("", "*") and (wrong := dns1123_subdomain(group)):
        yield FieldError.invalid(f"{path}.group", group, ",".join(wrong))
    if one.get("resourceNames") and not one.get("resources"):
        why = "using resourceNames requires at least one resource"
        yield FieldError.invalid(f"{path}.resourceNames", one["resourceNames"], why)


def _stage_errors(tree: Tree, path: str) -> Iterator[FieldError]:
    for index, stage in enumerate(tree.get("omitStages") or ()):
        if stage not in STAGES:
            yield FieldError.invalid(f"{path}[{index}]", stage, f"allowed stages are {','.join(STAGES)}")
