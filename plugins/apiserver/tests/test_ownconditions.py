"""Conditions that the server itself writes."""

from __future__ import annotations

from hyperkube_apiserver.ownconditions import dangling


def test_a_flow_schema_dangles_without_its_level() -> None:
    schema = {"spec": {"priorityLevelConfiguration": {"name": "l"}}}
    start = 'This FlowSchema references the PriorityLevelConfiguration object named "l"'
    assert dangling(schema, {"l"}) == ("False", "Found", f"{start} and it exists")
    assert dangling(schema, {"k"}) == ("True", "NotFound", f"{start} but there is no such object")
