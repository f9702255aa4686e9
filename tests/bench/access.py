"""What it costs to know who makes a request and to decide on it: `python -m tests.bench.access`.

Each decision stands beside a naive evaluator that walks all bindings and their rules, measured in the same run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from hyperkube_apiserver.authn import Identity, KeySet, ServiceAccountTokens, SigningKey
from hyperkube_apiserver.authn.jwt import signed
from hyperkube_apiserver.authn.keys import create_key
from hyperkube_apiserver.authn.serviceaccounts import Bound, claims
from hyperkube_apiserver.authz import RBAC, Decision, ResourceAttributes, union
from hyperkube_apiserver.authz.node import NodeAuthorizer
from hyperkube_apiserver.bootstrap import node_rules, objects
from hyperkube_machinery.clock import SystemClock
from tests.bench.figures import Timed, microseconds, report

BINDINGS = 200
_CALLS = 2_000
_REPEATS = 5

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """How long one decision takes, and how long it is meant to take at most, in microseconds."""

    what: str
    took: float
    naive: float
    limit: float

    @property
    def kept(self) -> bool:
        return self.took <= self.limit

    def __str__(self) -> str:
        return (
            f"{self.what:<44} {self.took:7.2f} µs   naive {self.naive:8.2f} µs   "
            f"1/{self.naive / self.took:.0f}   {'ok' if self.kept else 'MISSED'} (at most {self.limit:g} µs)"
        )


class Naive:
    """Walks all bindings, in the way that upstream does."""

    def __init__(self, world: dict[str, list[Tree]]) -> None:
        self._bindings = world["clusterrolebindings"] + world["rolebindings"]
        self._roles = {("ClusterRole", "", role["metadata"]["name"]): role for role in world["clusterroles"]}
        self._roles |= {
            ("Role", role["metadata"]["namespace"], role["metadata"]["name"]): role for role in world["roles"]
        }

    def allows(self, identity: Identity, info: ResourceAttributes) -> bool:
        return any(
            info.verb in rule["verbs"] or "*" in rule["verbs"]
            for binding in self._bindings
            if binding["metadata"].get("namespace", "") in ("", info.namespace)
            if any(self._applies(subject, identity) for subject in binding.get("subjects", ()))
            for rule in self._rules(binding)
            if info.group in rule.get("apiGroups", ()) or "*" in rule.get("apiGroups", ())
            if info.resource in rule.get("resources", ()) or "*" in rule.get("resources", ())
            if not rule.get("resourceNames") or info.name in rule["resourceNames"]
        )

    @staticmethod
    def _applies(subject: Tree, identity: Identity) -> bool:
        if subject["kind"] == "Group":
            return subject["name"] in identity.groups
        if subject["kind"] == "User":
            return bool(subject["name"] == identity.name)
        return identity.name == f"system:serviceaccount:{subject['namespace']}:{subject['name']}"

    def _rules(self, binding: Tree) -> list[Tree]:
        ref = binding["roleRef"]
        namespace = binding["metadata"].get("namespace", "") if ref["kind"] == "Role" else ""
        rules: list[Tree] = self._roles[ref["kind"], namespace, ref["name"]].get("rules", [])
        return rules


def world() -> dict[str, list[Tree]]:
    """A fresh server's roles and bindings, and a user `joe` with 200 more, half of them in one namespace."""
    made: dict[str, list[Tree]] = {"roles": [], "rolebindings": [], "clusterroles": [], "clusterrolebindings": []}
    for key, obj in objects(service_range="10.0.0.0/24", service_ip="10.0.0.1", secure_port=6443, address=None):
        if key.resource in made:
            made[key.resource].append(obj)
    for number in range(BINDINGS):
        name = f"joe-{number}"
        rules = [
            {"verbs": ["get", "list", "watch"], "apiGroups": [f"g{number}.example"], "resources": ["things"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": [f"s{number}"]},
        ]
        made["clusterroles"].append({"metadata": {"name": name}, "rules": rules})
        local = number % 2 == 0
        made["rolebindings" if local else "clusterrolebindings"].append(
            {
                "metadata": {"name": name, **({"namespace": "ns"} if local else {})},
                "roleRef": {"kind": "ClusterRole", "name": name},
                "subjects": [{"kind": "User", "name": "joe"}],
            }
        )
    return made


def figures() -> Iterator[Figure]:
    """Measure; the best of a few repeats counts, for noise only adds."""
    everything = world()
    rbac = RBAC()
    rbac.replace(**everything)
    authorizer = union([NodeAuthorizer(_Nobodys(), node_rules()), rbac])
    naive = Naive(everything)
    masters = Identity("admin", groups=("system:masters", "system:authenticated"))
    joe = Identity("joe", groups=("dev", "ops", "system:authenticated"))
    last = f"s{BINDINGS - 1}"
    cases = [
        ("a member of system:masters", masters, _secret("delete", "x"), True, 2.0),
        (f"a user with {BINDINGS} bindings, allowed by the last", joe, _secret("get", last), True, 10.0),
        (f"a user with {BINDINGS} bindings, refused", joe, _secret("delete", last), False, 10.0),
        ("a user whom nobody bound, refused", Identity("tina"), _secret("get", last), False, 10.0),
    ]
    for what, identity, asked, allowed, limit in cases:
        decision = authorizer.authorize(identity, asked)
        assert isinstance(decision, Decision)
        assert decision.allowed is allowed
        assert naive.allows(identity, asked) is allowed

        def quick(identity: Identity = identity, asked: ResourceAttributes = asked) -> object:
            return authorizer.authorize(identity, asked)

        def slow(identity: Identity = identity, asked: ResourceAttributes = asked) -> object:
            return naive.allows(identity, asked)

        yield Figure(what, _microseconds(quick, _CALLS), _microseconds(slow, _CALLS // 20), limit)


class _Nobodys:
    """Relations of a cluster without nodes."""

    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        return False


def token_figures() -> Iterator[Timed]:
    """What it costs to learn whom a token of a service account stands for."""
    account = {"metadata": {"name": "robot", "namespace": "ns", "uid": "u"}}
    clock = SystemClock()
    for key in (create_key(), SigningKey.of(rsa.generate_private_key(public_exponent=65537, key_size=2048))):
        keys = KeySet([key.public])
        told = claims(
            account, Bound(), issuer="https://i", audiences=["i"], now=clock.now(), lasts_seconds=3600, token_id="1"
        )
        token = signed(key, told)
        tokens = ServiceAccountTokens(keys, ["https://i"], ["i"], _One(account), clock)
        algorithm = key.public.algorithm
        yield Timed(f"a token, {algorithm}, for the first time", _verified(keys, token), 300.0)
        yield Timed(f"a token, {algorithm}, from then on", _known(tokens, token), 30.0)


def _verified(keys: KeySet, token: str) -> float:
    return _microseconds(lambda: keys.claims(token), _CALLS // 10)


def _known(tokens: ServiceAccountTokens, token: str) -> float:
    return _microseconds(lambda: tokens.authenticate(token, ["i"]), _CALLS)


class _One:
    """Where there is but one object."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def find(self, resource: str, namespace: str, name: str) -> Tree:
        return self._tree


def _secret(verb: str, name: str) -> ResourceAttributes:
    return ResourceAttributes(verb=verb, resource="secrets", namespace="ns", name=name)


def _microseconds(call: Callable[[], object], calls: int) -> float:
    return microseconds(call, calls=calls, repeats=_REPEATS)


def main() -> int:
    """Print the figures; 1 if one misses its limit."""
    return report(chain(figures(), token_figures()))


if __name__ == "__main__":
    sys.exit(main())
