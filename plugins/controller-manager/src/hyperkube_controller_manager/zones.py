"""Which nodes may lose their pods now: those that failed wait their turn, at a rate that the state of their zone sets.

Source: k8s.io/kubernetes/pkg/controller/nodelifecycle (handleDisruption) and its scheduler package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hyperkube_controller_manager.nodehealth import Bucket, Rates, ZoneState, zone_state
from hyperkube_machinery.clock import Clock

__all__ = ["Change", "Zones"]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of all zones together."""

    all_lost: bool = False  # from now on no node of any zone is ready: it may well be us who are cut off
    some_found: bool = False  # that was so, and is so no more


class _Zone:
    def __init__(self, bucket: Bucket) -> None:
        self.state = ZoneState.INITIAL
        self.bucket = bucket
        self.waiting: dict[str, None] = {}  # nodes, in the order in which they came


class Zones:
    """The zones, each with the nodes of it that wait."""

    def __init__(self, *, normal: float, secondary: float, large_zone: int, threshold: float, clock: Clock) -> None:
        self._rates = Rates(normal=normal, secondary=secondary, large_zone=large_zone)
        self._threshold = threshold
        self._clock = clock
        self._zones: dict[str, _Zone] = {}

    def update(self, ready: Mapping[str, Sequence[bool]]) -> Change:
        """Go by which nodes of each zone are ready."""
        states = {name: zone_state(nodes, self._threshold) for name, nodes in ready.items()}
        for name in [name for name in self._zones if name not in states]:
            if not self._zones[name].waiting:
                del self._zones[name]
        was_lost = bool(self._zones) and all(zone.state is ZoneState.FULL for zone in self._zones.values())
        is_lost = bool(states) and all(state is ZoneState.FULL for state in states.values())
        now = self._clock.monotonic()
        for name, state in states.items():
            zone = self._zone(name)
            zone.state = state
            zone.bucket.change(0.0 if is_lost else self._rates.of(state, len(ready[name])), now)
        return Change(all_lost=is_lost and not was_lost, some_found=was_lost and not is_lost)

    def await_turn(self, node: str, zone: str) -> None:
        """Have `node` wait in its zone, unless it does so already."""
        if not any(node in other.waiting for other in self._zones.values()):
            self._zone(zone).waiting[node] = None

    def forget(self, node: str) -> None:
        """`node` waits no more."""
        for zone in self._zones.values():
            zone.waiting.pop(node, None)

    def are_waiting(self) -> bool:
        return any(zone.waiting for zone in self._zones.values())

    def next_turns(self) -> Iterator[str]:
        """The nodes whose turn it is now; they wait no more."""
        for zone in self._zones.values():
            while zone.waiting and zone.bucket.take(self._clock.monotonic()):
                node = next(iter(zone.waiting))
                del zone.waiting[node]
                yield node

    def _zone(self, name: str) -> _Zone:
        if name not in self._zones:
            self._zones[name] = _Zone(Bucket(self._rates.normal, self._clock.monotonic()))
        return self._zones[name]
