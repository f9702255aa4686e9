"""Policies of a file that says who may do what, one to a line: attribute-based access control.

    {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy",
     "spec": {"user": "alice", "namespace": "*", "resource": "*", "apiGroup": "*"}}

Source: k8s.io/kubernetes/pkg/auth/authorizer/abac, k8s.io/kubernetes/pkg/apis/abac.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.authz.authorizers import ALLOWED, Decision, Rules
from hyperkube_apiserver.authz.rules import Rule
from hyperkube_machinery.identity import AUTHENTICATED
from hyperkube_machinery.jsontext import BadJSON, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hyperkube_apiserver.authz.attributes import Attributes
    from hyperkube_machinery.identity import Identity

__all__ = ["ABAC", "Policy", "PolicyFileError"]

log = logging.getLogger(__name__)

_API_VERSION = "abac.authorization.kubernetes.io/v1beta1"
_READING = ("get", "list", "watch")
_NO_MATCH = Decision(False, "No policy matched.")


class PolicyFileError(ValueError):
    """The file of policies can't be used; the message names the file and the line."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        where = f"policy file '{path}', line {line}" if line else f"policy file '{path}'"
        super().__init__(f"{where}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whom it is about, and what they may do; "*" stands for anything."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    apiGroup: str = ""
    resource: str = ""
    namespace: str = ""
    nonResourcePath: str = ""

    def is_about(self, identity: Identity) -> bool:
        """Whether it is about `identity`."""
        if self.user and self.user not in ("*", identity.name):
            return False
        if self.group and self.group != "*" and self.group not in identity.groups:
            return False
        return bool(self.user or self.group)

    def allows(self, info: Attributes) -> bool:
        """Whether those it is about may do what `info` says."""
        if self.readonly and info.verb not in _READING:
            return False
        if info.is_resource:
            asked = (info.namespace, info.resource, info.group)
            said = (self.namespace, self.resource, self.apiGroup)
            return all(mine in ("*", theirs) for mine, theirs in zip(said, asked, strict=True))
        path = self.nonResourcePath
        return path in ("*", info.path) or (path.endswith("*") and info.path.startswith(path.rstrip("*")))


class ABAC:
    """Allows what one policy allows."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies = tuple(policies)

    @classmethod
    def load(cls, path: Path) -> ABAC:
        """Read `path`. Raises PolicyFileError."""
        try:
            lines = path.read_text("utf-8").split("\n")
        except OSError as exc:
            raise PolicyFileError(path, 0, f"cannot read it: {exc.strerror or exc}") from exc
        except UnicodeDecodeError as exc:
            raise PolicyFileError(path, 0, "it is not UTF-8 text") from exc
        policies = []
        unversioned = 0
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            try:
                tree = parse(text.encode())
                policies.append(_read(tree))
            except (BadJSON, ValueError) as exc:
                raise PolicyFileError(path, number, str(exc)) from exc
            unversioned += "apiVersion" not in tree
        if unversioned:
            log.warning("policy file '%s': %d policies have no apiVersion; say %s", path, unversioned, _API_VERSION)
        return cls(policies)

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether a policy allows it."""
        for policy in self._policies:
            if policy.is_about(identity) and policy.allows(info):
                return ALLOWED
        return _NO_MATCH

    def explain(self, identity: Identity, info: Attributes) -> Decision:
        """The same: policies have no names."""
        return self.authorize(identity, info)

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """What policies allow `identity` in `namespace`."""
        rules: list[Rule] = []
        for policy in self._policies:
            if not policy.is_about(identity) or policy.namespace not in ("*", namespace):
                continue
            verbs = _READING if policy.readonly else ("*",)
            if policy.resource:
                rules.append(Rule(verbs, (policy.apiGroup,), (policy.resource,)))
            if policy.nonResourcePath:
                rules.append(Rule(verbs, paths=(policy.nonResourcePath,)))
        return Rules(tuple(rules))


def _read(tree: object) -> Policy:
    """Raises ValueError."""
    if not isinstance(tree, dict):
        raise ValueError("it is no JSON object")
    version, kind = tree.get("apiVersion"), tree.get("kind")
    if version is None or kind is None:
        return _of_old(_typed(tree))
    if (version, kind) != (_API_VERSION, "Policy"):
        raise ValueError(f"it is a {kind} of {version}: say Policy and {_API_VERSION}")
    spec = tree.get("spec")
    if not isinstance(spec, dict):
        raise ValueError("it has no spec")
    policy = _typed(spec)
    return policy if "*" not in (policy.user, policy.group) else _of_all(policy)


def _typed(tree: Mapping[str, Any]) -> Policy:
    told: dict[str, Any] = {}
    for field in fields(Policy):
        value = tree.get(field.name)
        if value is None:
            continue
        if not isinstance(value, bool if field.name == "readonly" else str):
            raise ValueError(f"{field.name} must be {'true or false' if field.name == 'readonly' else 'a string'}")
        told[field.name] = value
    return Policy(**told)


def _of_old(policy: Policy) -> Policy:
    """A policy from before there were versions: what it doesn't say is anything."""
    everywhere = not policy.namespace and not policy.resource
    wider = Policy(
        user=policy.user,
        group=policy.group,
        readonly=policy.readonly,
        apiGroup="*",
        resource=policy.resource or "*",
        namespace=policy.namespace or "*",
        nonResourcePath="*" if everywhere else "",
    )
    all_of_them = "*" in (policy.user, policy.group) or not (policy.user or policy.group)
    return _of_all(wider) if all_of_them else wider


def _of_all(policy: Policy) -> Policy:
    """The same for everybody who says who he is."""
    return replace(policy, user="", group=AUTHENTICATED)
