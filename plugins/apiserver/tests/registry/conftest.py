"""Writes without a server: what the write path asks of strategies, in its order."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.catalog import strategies
from hyperkube_apiserver.registry.strategy import Reservation, Strategy, WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.schema import Schemas

NOW = "2026-01-01T00:00:00Z"
NAMESPACE = "t-u1"

Tree = dict[str, Any]
Key = tuple[str, str, str]


class Writer:
    """Creates and changes objects of every kind, storing none."""

    def __init__(self, kinds: Mapping[Key, Strategy]) -> None:
        self.strategies = kinds

    def strategy(self, resource: str, group: str = "") -> Strategy:
        return next(one for key, one in self.strategies.items() if (key[0], key[2]) == (group, resource))

    def create(self, strategy: Strategy, given: Tree, *, dry_run: bool = False) -> tuple[Tree, list[FieldError]]:
        tree, errors, reservation = self.begin(strategy, given, dry_run=dry_run)
        if errors:
            reservation.release()
        else:
            reservation.commit()
        return tree, errors

    def begin(
        self, strategy: Strategy, given: Tree, *, dry_run: bool = False
    ) -> tuple[Tree, list[FieldError], Reservation]:
        tree = copy.deepcopy(given)
        Schemas.load().walker(strategy.kind.definition).walk(tree)
        namespace = NAMESPACE if strategy.kind.resource.namespaced else ""
        strategy.default(tree)
        object_meta.before_create(tree, namespace=namespace, now=NOW)
        context = WriteContext(now=NOW, namespace=namespace, dry_run=dry_run)
        reservation = strategy.begin_create(tree, context)
        strategy.prepare_for_create(tree, context)
        return tree, strategy.validate(tree), reservation

    def update(
        self, strategy: Strategy, old: Tree, given: Tree, subresource: str = ""
    ) -> tuple[Tree, list[FieldError]]:
        tree = copy.deepcopy(given)
        Schemas.load().walker(strategy.kind.definition).walk(tree)
        strategy.default(tree)
        namespace = meta.namespace(old)
        object_meta.before_update(tree, old, namespace=namespace)
        context = WriteContext(now=NOW, namespace=namespace, subresource=subresource)
        strategy.prepare_for_update(tree, copy.deepcopy(old), context)
        reservation = strategy.begin_update(tree, copy.deepcopy(old), context)
        errors = strategy.validate_update(tree, old, subresource)
        if errors:
            reservation.release()
        else:
            reservation.commit()
        return tree, errors


@pytest.fixture
def writer() -> Writer:
    return Writer(strategies(load_kinds()))
