"""EventRateLimit: events beyond the limits are refused."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.admission import PLUGINS, AdmissionSettings
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]


class Events:
    """Asks one plugin about events, of which it remembers the earlier ones."""

    def __init__(self, world: Any, *limits: Tree) -> None:
        settings = AdmissionSettings(configurations={"EventRateLimit": {"limits": list(limits)}})
        self._plugin = PLUGINS["EventRateLimit"](world.cluster, settings)
        self._kind = world.kind("events")

    def send(self, namespace: str = "ns", user: str = "jane", *, dry_run: bool = False, **event: Any) -> str:
        """The refusal, "" for an event that is taken."""
        attributes = Attributes(
            kind=self._kind,
            operation=Operation.CREATE,
            name="e",
            namespace=namespace,
            obj=event,
            identity=Identity(user),
            dry_run=dry_run,
            warn=lambda text: None,
        )
        try:
            self._plugin.validate(attributes)
        except APIError as refused:
            return str(refused) if (refused.code, refused.reason) == (429, "TooManyRequests") else "another refusal"
        return ""


async def test_a_burst_is_taken_and_then_so_many_a_second(world: Any) -> None:
    events = Events(world, {"type": "Server", "qps": 2, "burst": 3})
    assert [events.send(dry_run=True) for _ in range(9)] == [""] * 9
    told = [events.send() for _ in range(4)]
    assert told == ["", "", "", "Too many requests: limit reached on type Server for key "]
    await world.clock.advance(0.5)
    assert [bool(events.send()) for _ in range(2)] == [False, True]
    await world.clock.advance(100)
    assert [bool(events.send()) for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("kind", "one", "other", "key"),
    [
        ("Namespace", {"namespace": "a"}, {"namespace": "b"}, "a"),
        ("User", {"user": "a"}, {"user": "b"}, "a"),
        (
            "SourceAndObject",
            {"source": {"component": "c", "host": "h"}, "involvedObject": {"kind": "Pod", "name": "p", "uid": "1"}},
            {"source": {"component": "c", "host": "h"}, "involvedObject": {"kind": "Pod", "name": "p", "uid": "2"}},
            "chPodp1",
        ),
    ],
)
async def test_limits_are_for_each_apart(world: Any, kind: str, one: Tree, other: Tree, key: str) -> None:
    events = Events(world, {"type": kind, "qps": 1, "burst": 1})
    assert events.send(**one) == ""
    assert events.send(**one) == f"Too many requests: limit reached on type {kind} for key {key}"
    assert events.send(**other) == ""


async def test_all_limits_that_are_reached_are_told(world: Any) -> None:
    events = Events(world, {"type": "User", "qps": 1, "burst": 1}, {"type": "Namespace", "qps": 1, "burst": 1})
    events.send()
    why = "[limit reached on type User for key jane, limit reached on type Namespace for key ns]"
    assert events.send() == f"Too many requests: {why}"


async def test_keys_beyond_the_cache_are_forgotten(world: Any) -> None:
    events = Events(world, {"type": "User", "qps": 1, "burst": 1, "cacheSize": 1})
    assert [events.send(user=user) for user in ("a", "b", "a")] == [""] * 3


async def test_without_the_plugin_every_event_is_taken(world: Any) -> None:
    for _ in range(3):
        assert await world.unaffected("EventRateLimit", "events", {"metadata": {"name": "e"}})


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (None, "limits: must not be empty"),
        ([], "limits: must not be empty"),
        ([{"type": "Odd", "qps": 1, "burst": 1}], r'limits\[0\].type: "Odd" is none of Server'),
        ([{"type": "User", "qps": 0, "burst": 1}], r"limits\[0\].qps: must be positive"),
        ([{"type": "User", "qps": 1}], r"limits\[0\].burst: must be positive"),
        ([{"type": "User", "qps": 1, "burst": 1, "cacheSize": -1}], r"limits\[0\].cacheSize: must not be negative"),
    ],
)
async def test_limits_that_make_no_sense_keep_the_server_from_starting(world: Any, limits: Any, why: str) -> None:
    settings = AdmissionSettings(configurations={"EventRateLimit": {"limits": limits}})
    with pytest.raises(ConfigurationError, match=why):
        PLUGINS["EventRateLimit"](world.cluster, settings)
