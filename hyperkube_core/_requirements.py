"""Whether what an installed distribution needs is installed too: `hk doctor`'s question."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyperkube_core._discovery import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*(;.*)?\Z")
_CLAUSE = re.compile(r"\s*(===|==|!=|<=|>=|~=|<|>)\s*([A-Za-z0-9.*+!-]+)\s*\Z")


def unmet(distribution: str) -> Iterator[tuple[str, str]]:
    """The requirements of `distribution` that are not met, each with the version that is installed ("" for none).

    Those under a condition (an extra, a platform) are not looked at, nor are versions that are not plain numbers.
    """
    import importlib_metadata

    try:
        requirements = importlib_metadata.requires(distribution) or []
    except importlib_metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None or match[3]:
            continue
        try:
            installed = importlib_metadata.version(normalised(match[1]))
        except importlib_metadata.PackageNotFoundError:
            yield requirement, ""
            continue
        if not all(_meets(installed, clause) for clause in match[2].split(",") if clause.strip()):
            yield requirement, installed


def _meets(version: str, clause: str) -> bool:
    match = _CLAUSE.match(clause)
    if match is None:
        return True
    operator, wanted = match.groups()
    if operator == "===":
        return version == wanted
    if wanted.endswith(".*"):
        prefix = _numbers(wanted[:-2])
        begins = (_numbers(version) or ())[: len(prefix or ())] == prefix
        return begins if operator == "==" else not begins
    have, want = _numbers(version), _numbers(wanted)
    if have is None or want is None:
        return True
    if operator == "~=":
        return have >= want and have[: len(want) - 1] == want[:-1]
    width = max(len(have), len(want))
    have, want = have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
    return {
        "==": have == want,
        "!=": have != want,
        "<": have < want,
        "<=": have <= want,
        ">": have > want,
        ">=": have >= want,
    }[operator]


def _numbers(version: str) -> tuple[int, ...] | None:
    """The release part of a plain version; None of one that has more to it than that."""
    plain = version.partition("+")[0]
    return tuple(map(int, plain.split("."))) if re.fullmatch(r"\d+(\.\d+)*", plain) else None
