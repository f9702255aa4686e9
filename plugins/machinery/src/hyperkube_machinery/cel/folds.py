"""Loops: the closures of comprehensions, with what each round costs.

What costs how much is cel-go's way of evaluating them step by step: reading the accumulator 1, a call 1, a list 10.
Source: cel-go's interpreter/interpretable.go and runtimecost.go. The loops charge without calling `charge`, which is a
quarter of what a short round takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.cel.code import FAILURES, Code, Frame, Run, charged, exceeded, failure
from hyperkube_machinery.cel.equality import find_key
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kinds import type_of_value
from hyperkube_machinery.cel.texts import show

__all__ = ["Loop", "all_of", "bind", "bound", "count_one", "exists", "fold", "grow_list", "grow_map", "merge_maps"]

_END = object()
UNSET = object()
"""What the slot of a bound name holds until it is asked for."""


@dataclass(frozen=True, slots=True)
class Loop:
    """What a loop goes over, and where its variables are."""

    range: Run
    slot: int
    slot2: int | None

    def start(self, frame: Frame) -> Iterable[Any]:
        """The rounds: each item, with the variables set."""
        values = self.range(frame)
        if self.slot2 is not None:
            return _pairs(frame, values, self.slot, self.slot2)
        if isinstance(values, list):
            return values
        if isinstance(values, Mapping):
            return list(values)
        raise EvaluationError(f"got '{_go_type(values)}', expected iterable type")


def _pairs(frame: Frame, values: Any, slot: int, slot2: int) -> Iterable[Any]:
    if isinstance(values, list):
        pairs: Iterable[tuple[Any, Any]] = enumerate(values)
    elif isinstance(values, Mapping):
        pairs = list(values.items())
    else:
        raise EvaluationError(f"unsupported comprehension range type: {_go_type(values)}")
    for first, frame[slot2] in pairs:
        frame[slot] = first
        yield first


def _go_type(value: Any) -> str:
    name = type_of_value(value).name.rpartition(".")[2].removesuffix("_type")
    return f"types.{name.capitalize()}"


def all_of(loop: Loop, predicate: Code) -> Run:
    return _quantifier(loop, predicate, stop=False, overhead=3, last=2)


def exists(loop: Loop, predicate: Code) -> Run:
    return _quantifier(loop, predicate, stop=True, overhead=4, last=3)


def _quantifier(loop: Loop, predicate: Code, *, stop: bool, overhead: int, last: int) -> Run:
    """Ends at the first `stop`; an error counts only if nothing ends it. Ending before the end costs `last`."""
    start, slot, run = loop.start, loop.slot, predicate.run
    due = overhead + predicate.cost
    go_on = not stop

    def quantified(frame: Frame) -> Any:
        failed: EvaluationError | None = None
        rounds = iter(start(frame))
        for frame[slot] in rounds:
            frame[0] += due
            if frame[0] > frame[1]:
                exceeded(frame)
            try:
                met = run(frame)
            except FAILURES as exc:
                failed = failed or failure(exc)
                continue
            if met is stop:
                if next(rounds, _END) is not _END:
                    frame[0] += last
                return stop
            if met is not go_on:
                failed = failed or EvaluationError("no such overload")
        if failed is not None:
            raise failed
        return go_on

    return quantified


def count_one(loop: Loop, predicate: Code) -> Run:
    start, slot, run, due = loop.start, loop.slot, predicate.run, predicate.cost

    def counted(frame: Frame) -> bool:
        failed: EvaluationError | None = None
        count = 0
        rounds = start(frame)
        for frame[slot] in rounds:
            frame[0] += due
            if frame[0] > frame[1]:
                exceeded(frame)
            try:
                met = run(frame)
            except FAILURES as exc:
                failed = failure(exc)
                continue
            if met is True:
                frame[0] += 2
                count += 1
            elif met is not False:
                failed = EvaluationError("no such overload")
        if failed is not None:
            raise failed
        return count == 1

    return counted


def grow_list(loop: Loop, item: Code, predicate: Code | None, *, cost: int) -> Run:
    """`cost` is that of a list of the item."""
    due = 2 + cost
    run = item.run

    def add(frame: Frame, grown: list[Any]) -> None:
        grown.append(run(frame))

    if predicate is None:
        return _grow_each(loop, run, due)
    return _grow(loop, list, add, due, predicate)


def _grow_each(loop: Loop, run: Run, due: int) -> Run:
    start, slot = loop.start, loop.slot

    def mapped(frame: Frame) -> list[Any]:
        grown: list[Any] = []
        append = grown.append
        rounds = start(frame)
        for frame[slot] in rounds:
            frame[0] += due
            if frame[0] > frame[1]:
                exceeded(frame)
            append(run(frame))
        return grown

    return mapped


def grow_map(loop: Loop, key: Code, item: Code, predicate: Code | None) -> Run:
    run_key, run_item = key.run, item.run

    def add(frame: Frame, grown: dict[Any, Any]) -> None:
        _insert(grown, run_key(frame), run_item(frame))

    return _grow(loop, dict, add, 2 + key.cost + item.cost, predicate)


def merge_maps(loop: Loop, item: Code, predicate: Code | None) -> Run:
    run = item.run

    def add(frame: Frame, grown: dict[Any, Any]) -> None:
        for key, value in run(frame).items():
            _insert(grown, key, value)

    return _grow(loop, dict, add, 2 + item.cost, predicate)


def _insert(grown: dict[Any, Any], key: Any, value: Any) -> None:
    if find_key(grown, key) is not None:
        raise EvaluationError(f"insert failed: key {show(key)} already exists")
    grown[key] = value


def _grow(loop: Loop, make: Any, add: Any, due: int, predicate: Code | None) -> Run:
    """Adds to what `make` makes in every round in which the predicate holds.

    After an error the rounds go on, as the error of a later predicate is the one that is told.
    """
    start, slot = loop.start, loop.slot
    test = predicate.run if predicate is not None else lambda _: True
    test_due = predicate.cost if predicate is not None else 0

    def grown_by(frame: Frame) -> Any:
        grown = make()
        failed: EvaluationError | None = None
        rounds = start(frame)
        for frame[slot] in rounds:
            frame[0] += test_due
            if frame[0] > frame[1]:
                exceeded(frame)
            try:
                met = test(frame)
            except FAILURES as exc:
                failed = failure(exc)
                continue
            if met is True:
                frame[0] += due
                if frame[0] > frame[1]:
                    exceeded(frame)
                if failed is None:
                    try:
                        add(frame, grown)
                    except FAILURES as exc:
                        failed = failure(exc)
            elif met is not False:
                failed = EvaluationError("no such overload")
        if failed is not None:
            raise failed
        return grown

    return grown_by


def bind(slot: int, result: Code) -> Run:
    """The result, with the name not yet evaluated: `bound` does that when it is asked for."""
    run = result.run

    def bound_within(frame: Frame) -> Any:
        frame[slot] = UNSET
        return run(frame)

    return bound_within


def bound(slot: int, value: Code) -> Run:
    """The value of a bound name, evaluated once."""
    run = charged(value)

    def read(frame: Frame) -> Any:
        held = frame[slot]
        if held is UNSET:
            held = frame[slot] = run(frame)
        return held

    return read


def fold(loop: Loop, slot: int, initial: Code, condition: Code, step: Code, result: Code) -> Run:
    """Any other comprehension, step by step."""
    start, variable, begin, go_on, run, finish = (
        loop.start,
        loop.slot,
        initial.run,
        condition.run,
        step.run,
        result.run,
    )
    condition_due, step_due = condition.cost, step.cost

    def folded(frame: Frame) -> Any:
        rounds = start(frame)
        frame[slot] = begin(frame)
        for frame[variable] in rounds:
            frame[0] += condition_due
            if frame[0] > frame[1]:
                exceeded(frame)
            if go_on(frame) is False:
                break
            frame[0] += step_due
            if frame[0] > frame[1]:
                exceeded(frame)
            frame[slot] = run(frame)
        return finish(frame)

    return folded
