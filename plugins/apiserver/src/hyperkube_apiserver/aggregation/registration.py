"""The APIServices that group versions of custom resources have: made, corrected and deleted with them.

Those that this server made bear a label that says so; others, of the same name too, are left alone.
Source: k8s.io/kubernetes/pkg/controlplane/controller/crdregistration,
k8s.io/kube-aggregator/pkg/controllers/autoregister.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NoReturn

from hyperkube_apiserver.aggregation.keeping import API_SERVICES
from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.following import keep_up
from hyperkube_apiserver.offering import Group
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["keep_registered", "missing_and_surplus"]

log = logging.getLogger(__name__)

_LABEL = "kube-aggregator.kubernetes.io/automanaged"
_GROUP_PRIORITY = 1000
_VERSION_PRIORITY = 100

Tree = dict[str, Any]


async def keep_registered(api: API, clock: Clock) -> NoReturn:
    """Have an APIService for each group version of custom resources, until cancelled."""
    changed = asyncio.Event()
    api.offering.observe(changed.set)
    api.resource(*API_SERVICES).cache.observe(lambda event: changed.set())
    await keep_up(
        changed,
        lambda: _settle(api, clock),
        clock,
        lambda exc: log.warning("APIServices of custom resources could not be written: %s", exc),
    )


def missing_and_surplus(groups: Iterable[Group], existing: Mapping[str, Tree]) -> tuple[list[Tree], list[str]]:
    """What is to be written, new or anew, and the names of what is to be deleted.

    `groups` are those that have custom resources; `existing` are all APIServices by name.
    """
    wanted = {
        f"{one.version}.{group.name}": _wanted(group.name, one.version)
        for group in groups
        for one in group.versions
        if one.custom
    }
    write = []
    for name, obj in wanted.items():
        found = existing.get(name)
        if found is None or (_is_managed(found) and found["spec"] != obj["spec"]):
            write.append(obj if found is None else {**found, "spec": obj["spec"]})
    return write, [name for name, obj in existing.items() if _is_managed(obj) and name not in wanted]


def _wanted(group: str, version: str) -> Tree:
    return {
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": f"{version}.{group}", "labels": {_LABEL: "true"}},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": _GROUP_PRIORITY,
            "versionPriority": _VERSION_PRIORITY,
        },
    }


def _is_managed(obj: Tree) -> bool:
    """Whether it is this server's, and not one that is only made at a start."""
    return meta.labels_of(obj).get(_LABEL) == "true"


def _with_spec(spec: Tree, old: Tree) -> Tree:
    return {**old, "spec": spec}


async def _settle(api: API, clock: Clock) -> None:
    """Bring them up to date, once."""
    await api.hub.fresh()
    served = api.resource(*API_SERVICES)
    existing = {item.name: decode_body(item.body) for item in served.cache.items()}
    write, surplus = missing_and_surplus(api.offering.groups(), existing)
    context = WriteContext(now=format_seconds(clock.now()))
    for obj in write:
        name = meta.name(obj)
        if name in existing:
            await served.registry.update(name, partial(_with_spec, obj["spec"]), context, log.warning)
        else:
            await served.registry.create(obj, context, log.warning)
    for name in surplus:
        try:
            await served.registry.delete(name, DeleteOptions(), context, log.warning)
        except APIError as exc:
            if exc.code != 404:
                raise
