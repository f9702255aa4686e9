"""Which servers are installed: entry points to records, importing no plugin.

Only installed metadata decides. An entry point of the group `hyperkube.servers` (or a brand's own) has the name of a
server, or another name of one, and loads the plugin that describes it:

    [project.entry-points."hyperkube.servers"]
    apiserver = "hyperkube_apiserver.plugin"
    kube-apiserver = "hyperkube_apiserver.plugin"

`HYPERKUBE_LOAD_PLUGINS` limits what is considered: a comma-separated list of names of distributions or servers. All
entry points of a distribution that is named are kept, and all that load the same plugin as a server that is named.
Unset means all; empty means none.

importlib-metadata finds entry points everywhere, but importing it takes longer than all the rest of a launch. So
plain folders of the path, which is where nearly everything is installed, are read here directly; what is not a
plain folder (a zip, an egg), and everything where a foreign finder takes part, is left to importlib-metadata. Both
give the same records, `hk doctor` compares them, and tests do so for each way to install.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

GROUP = "hyperkube.servers"
LIMIT_VARIABLE = "HYPERKUBE_LOAD_PLUGINS"


# Tuples, since a dataclass takes a millisecond of each launch to make.


class PluginRecord(NamedTuple):
    """What is known of a server's name before anything is imported."""

    name: str
    """The server's name, or one of its other names."""
    distribution: str
    """The name of the distribution, normalised (PEP 503)."""
    version: str
    target: str
    """What the entry point loads: `module` or `module:attribute`."""
    location: str
    """The folder or archive that the distribution was found in."""


class _Found(NamedTuple):
    """A distribution that was met on the path."""

    name: str
    version: str
    location: str
    entry_points: str


def discover(group: str = GROUP, *, environment: Mapping[str, str] = os.environ) -> tuple[PluginRecord, ...]:
    """The entry points of `group`, in a fixed order: by distribution, then by name."""
    return limited(_records(_scan(sys.path, group), group), environment.get(LIMIT_VARIABLE))


def discover_thoroughly(group: str = GROUP, *, environment: Mapping[str, str] = os.environ) -> tuple[PluginRecord, ...]:
    """The same, wholly by importlib-metadata."""
    return limited(_records(_ask_importlib(None), group), environment.get(LIMIT_VARIABLE))


def installed_twice(group: str = GROUP) -> dict[str, list[str]]:
    """Distributions with servers of which more than one is installed, each with `version in location`."""
    found: dict[str, list[str]] = {}
    for item in _ask_importlib(None):
        if list(_pairs(item.entry_points, group)):
            place = f"{item.version} in {item.location}"
            if place not in found.setdefault(item.name, []):
                found[item.name].append(place)
    return {name: places for name, places in found.items() if len(places) > 1}


def limited(records: Iterable[PluginRecord], limit: str | None) -> tuple[PluginRecord, ...]:
    """Those of `records` that `HYPERKUBE_LOAD_PLUGINS=limit` leaves."""
    records = tuple(records)
    if limit is None:
        return records
    wanted = _words(limit)
    distributions = {normalised(word) for word in wanted}
    plugins = {(record.distribution, record.target) for record in records if record.name in wanted}
    return tuple(
        record
        for record in records
        if record.distribution in distributions or (record.distribution, record.target) in plugins
    )


def unmatched(records: Iterable[PluginRecord], limit: str) -> list[str]:
    """The names in `HYPERKUBE_LOAD_PLUGINS=limit` that nothing among `records` has."""
    known = {name for record in records for name in (record.name, record.distribution)}
    return sorted(word for word in _words(limit) if word not in known and normalised(word) not in known)


def _words(limit: str) -> set[str]:
    return {word.strip() for word in limit.split(",") if word.strip()}


def normalised(distribution: str) -> str:
    """The one spelling of a distribution's name. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _records(found: Iterable[_Found], group: str) -> tuple[PluginRecord, ...]:
    """The first distribution of each name counts, as for imports."""
    first: dict[str, _Found] = {}
    for item in found:
        first.setdefault(item.name, item)
    return tuple(
        sorted(
            PluginRecord(name, item.name, item.version, target, item.location)
            for item in first.values()
            for name, target in _pairs(item.entry_points, group)
        )
    )


def _pairs(entry_points: str, group: str) -> Iterator[tuple[str, str]]:
    """The names and targets under `[group]` in the text of an entry_points.txt."""
    if f"[{group}]" not in entry_points:
        return
    section = ""
    for line in entry_points.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == group and "=" in line:
            name, _, target = line.partition("=")
            # Extras (`module:attribute [extra]`) are from another age and mean nothing here.
            yield name.strip(), target.partition("[")[0].replace(" ", "")


def _scan(path: Sequence[str], group: str) -> Iterator[_Found]:
    if any(_is_foreign(finder) for finder in sys.meta_path):
        yield from _ask_importlib(None)
        return
    seen = set()
    for entry in path:
        folder = entry or os.getcwd()
        if folder in seen:
            continue
        seen.add(folder)
        if folder.endswith(".egg"):
            yield from _ask_importlib([folder])
            continue
        try:
            names = os.listdir(folder)
        except NotADirectoryError:
            yield from _ask_importlib([folder])
        except OSError:  # a path entry need not exist
            continue
        else:
            yield from _scan_folder(folder, names, group)


def _is_foreign(finder: object) -> bool:
    """Whether `finder` knows distributions that are not on `sys.path`."""
    cls = finder if isinstance(finder, type) else type(finder)
    known = cls.__module__ in ("_frozen_importlib", "_frozen_importlib_external", "importlib_metadata")
    return not known and hasattr(finder, "find_distributions")


def _scan_folder(folder: str, names: Iterable[str], group: str) -> Iterator[_Found]:
    metadata: dict[str, tuple[str, str]] = {}
    for name in names:
        stem, _, suffix = name.rpartition(".")
        if suffix == "dist-info":
            distribution, _, version = stem.partition("-")
        elif suffix == "egg-info":
            distribution, version = _headers(f"{folder}/{name}")
        else:
            continue
        distribution = normalised(distribution)
        # Two of one distribution in one folder are the mark of a broken upgrade: the later one counts.
        if distribution not in metadata or _natural(version) > _natural(metadata[distribution][0]):
            metadata[distribution] = version, f"{folder}/{name}"
    for distribution, (version, place) in metadata.items():
        try:
            with open(f"{place}/entry_points.txt", encoding="utf-8", errors="replace") as file:
                entry_points = file.read()
        except OSError:
            entry_points = ""
        # What an interrupted uninstall leaves behind has no METADATA, and is no distribution.
        if f"[{group}]" not in entry_points or any(os.path.exists(f"{place}/{file}") for file in _METADATA_FILES):
            yield _Found(distribution, version, folder, entry_points)


_METADATA_FILES = ("METADATA", "PKG-INFO")


def _natural(version: str) -> list[tuple[int, int, str]]:
    """Orders `1.10` behind `1.9`."""
    parts = re.split(r"(\d+)", version.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _headers(place: str) -> tuple[str, str]:
    """Name and version by the metadata, for folders that are not called after both."""
    name = version = ""
    for file_name in ("/PKG-INFO", ""):  # an old `.egg-info` may be a file itself
        try:
            with open(f"{place}{file_name}", encoding="utf-8", errors="replace") as file:
                for line in file:
                    key, _, value = line.partition(":")
                    if key == "Name":
                        name = value.strip()
                    elif key == "Version":
                        version = value.strip()
                    elif not line.strip():
                        break
                return name, version
        except OSError:
            continue
    return name, version


def _ask_importlib(path: list[str] | None) -> Iterator[_Found]:
    """All distributions on `path` (None: wherever a finder knows of any), by importlib-metadata."""
    import importlib_metadata  # 40 ms and more: see the top

    distributions = importlib_metadata.distributions() if path is None else importlib_metadata.distributions(path=path)
    found = []
    for distribution in distributions:
        try:
            name, version = distribution.metadata["Name"], distribution.version
        except (LookupError, FileNotFoundError):  # the leftovers of an interrupted uninstall
            continue
        if not name:
            continue
        location = str(distribution.locate_file(""))
        entry_points = distribution.read_text("entry_points.txt") or ""
        found.append(_Found(normalised(name), version, location.rstrip("/") or "/", entry_points))
    # Keep the order of the path, and within one place let the later version count, as the direct reading does.
    places = {item.location: index for index, item in reversed(list(enumerate(found)))}
    found.sort(key=lambda item: _natural(item.version), reverse=True)
    found.sort(key=lambda item: places[item.location])
    yield from found
