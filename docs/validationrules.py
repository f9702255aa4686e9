"""The page of validation rules: what the tests of the API server hold it to, kind by kind.

The tables of the tests are the source: nothing stands on the page that no test checks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from hyperkube_apiserver.kinds import load_kinds

__all__ = ["KindRules", "Rule", "RuleTables", "gather"]

DATA = Path(__file__).parent.parent / "plugins" / "apiserver" / "tests" / "data"
_RECORDED = ("creations.json", "updates.json")
_INDEX = re.compile(r"\[\d+\]")
_SHOWS_VALUE = (
    *("FieldValueInvalid", "FieldValueNotSupported", "FieldValueTypeInvalid", "FieldValueTooMany"),
    "FieldValueNotFound",
)
_LONGEST_TEXT = 400

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which an object is refused."""

    path: str  # of the field, with any index as [*]
    reason: str
    text: str  # what is said beside the value
    tests: tuple[str, ...]  # the entries that hold it: FILE:NUMBER


@dataclass(frozen=True, slots=True)
class KindRules:
    """The rules of one resource, and what upstream checks besides."""

    rules: tuple[Rule, ...]
    gaps: tuple[str, ...]


@cache
def gather() -> Mapping[Key, KindRules]:
    """All rules by resource: (group, version, plural)."""
    found: dict[Key, dict[tuple[str, str, str], list[str]]] = {}
    gaps: dict[Key, tuple[str, ...]] = {}
    for key, test, causes in _entries(gaps):
        rules = found.setdefault(key, {})
        for reason, field, message in causes:
            held = rules.setdefault((_INDEX.sub("[*]", field), reason, _detail(reason, message)), [])
            if test not in held:
                held.append(test)
    return {
        key: KindRules(
            tuple(Rule(*rule, tuple(tests)) for rule, tests in sorted(found.get(key, {}).items())), gaps.get(key, ())
        )
        for key in sorted({*found, *gaps})
    }


def _entries(gaps: dict[Key, tuple[str, ...]]) -> Iterator[tuple[Key, str, list[list[str]]]]:
    """Each entry of the tables and recordings; gaps are gathered on the way."""
    for path in sorted((DATA / "rules").glob("*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        key = _key(table)
        gaps[key] = gaps.get(key, ()) + tuple(table["gaps"])
        for index, rule in enumerate(table["rules"]):
            yield key, f"rules/{path.name}:{index}", rule.get("causes", [])
    for name in _RECORDED:
        for index, entry in enumerate(json.loads((DATA / name).read_text(encoding="utf-8"))):
            yield _key(entry), f"{name}:{index}", entry["causes"]


def _key(entry: Mapping[str, Any]) -> Key:
    group, version, resource = entry["resource"]
    return group, version, resource


def _detail(reason: str, message: str) -> str:
    """What a message says behind the word for its reason and the value."""
    _, _, rest = message.partition(": ")
    if reason == "FieldValueDuplicate":
        return ""
    if reason in _SHOWS_VALUE:
        try:
            _, end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            return rest
        rest = rest[end:].removeprefix(": ")
    return rest.partition("\n")[0]


class RuleTables(SphinxDirective):
    """A section for every resource."""

    def run(self) -> list[nodes.Node]:
        kinds = load_kinds()
        return [self._section(key, kinds[key].resource.kind, found) for key, found in gather().items() if key in kinds]

    def _section(self, key: Key, kind: str, found: KindRules) -> nodes.Node:
        group, version, resource = key
        title = f"{kind} ({group}/{version})" if group else f"{kind} ({version})"
        section = nodes.section("", nodes.title(text=title), ids=[nodes.make_id(f"rules {group} {version} {resource}")])
        if found.rules:
            section += _table(found.rules)
        if found.gaps:
            items = (nodes.list_item("", nodes.paragraph(text=gap)) for gap in found.gaps)
            section += [
                nodes.paragraph(text="Checked by Kubernetes and not held by a test:"),
                nodes.bullet_list("", *items),
            ]
        return section


def _table(rules: tuple[Rule, ...]) -> nodes.Node:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (30, 15, 40, 15)), cols=4)
    group += nodes.thead("", _row(*(nodes.Text(text) for text in ("Field", "Reason", "Text", "Held by"))))
    body = nodes.tbody()
    for rule in rules:
        text = rule.text if len(rule.text) <= _LONGEST_TEXT else f"{rule.text[:_LONGEST_TEXT]}…"
        more = f" and {len(rule.tests) - 1} more" if len(rule.tests) > 1 else ""
        body += _row(
            nodes.literal(text=rule.path),
            nodes.Text(rule.reason.removeprefix("FieldValue")),
            nodes.Text(text),
            nodes.Text(rule.tests[0] + more),
        )
    group += body
    return nodes.table("", group)


def _row(*cells: nodes.Node) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))
