"""`--print-config`: every setting, its value and where it is from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from hyperkube_core._settings import Settings, Value


def render(server: str, settings: Settings, form: str, stream: TextIO) -> str:
    """The settings as `table`, `json` or `yaml`, for `stream`."""
    if form == "json":
        return json.dumps(_document(server, settings), indent=2, ensure_ascii=False) + "\n"
    if form == "yaml":
        return _yaml(server, settings)
    rows = [(value.option.flag, value.option.show(value.value), value.source) for value in settings.values]
    from hyperkube_core._table import table

    return table(("SETTING", "VALUE", "FROM"), rows, stream)


def _document(server: str, settings: Settings) -> dict[str, Any]:
    return {
        "server": server,
        "settings": {value.option.flag: {"value": _plain(value), "source": value.source} for value in settings.values},
    }


def _plain(value: Value) -> Any:
    """The value as JSON has it; what JSON has no word for is written as on the command line."""
    found = value.value
    if value.option.secret:
        return value.option.show(found)
    if value.option.kind.name == "duration" and found is not None:
        return value.option.show(found)
    if isinstance(found, Mapping):
        return dict(found)
    if isinstance(found, tuple | list):
        return [item if isinstance(item, bool | int | float | str) else str(item) for item in found]
    if found is None or isinstance(found, bool | int | float | str):
        return found
    return format(found, "f") if isinstance(found, Decimal) else value.option.show(found)


def _yaml(server: str, settings: Settings) -> str:
    """What can be given back by `--config`; JSON's values are YAML's."""
    lines = [f"# {server}"]
    for value in settings.values:
        if value.value is not None:
            lines.append(f"{value.option.flag}: {json.dumps(_plain(value), ensure_ascii=False)}  # {value.source}")
    return "\n".join(lines) + "\n"
