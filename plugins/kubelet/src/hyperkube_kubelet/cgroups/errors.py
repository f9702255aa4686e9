"""What can go wrong with control groups.

CgroupFailure
└── CgroupsUnavailable     there are none, or this user may make none
"""

from __future__ import annotations

__all__ = ["CgroupFailure", "CgroupsUnavailable"]


class CgroupFailure(Exception):
    """A control group can't be made, changed or removed; the message says which one and why."""


class CgroupsUnavailable(CgroupFailure):
    """This machine, or this user, has no control groups for pods."""
