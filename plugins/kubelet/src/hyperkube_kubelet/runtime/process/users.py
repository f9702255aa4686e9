"""As whom a container's processes run: names and groups are looked up in the image's own files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hyperkube_kubelet.runtime.errors import InvalidConfig
from hyperkube_kubelet.runtime.values import Security

__all__ = ["User", "Users", "read_users", "resolve_user"]

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class User:
    """A user with all that follows from it."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True)
class Users:
    """What /etc/passwd and /etc/group of a root file system say."""

    by_name: dict[str, tuple[int, int, str]]  # uid, gid, home
    by_uid: dict[int, tuple[str, int, str]]  # name, gid, home
    groups: dict[str, int]
    members: dict[str, tuple[int, ...]]  # name of a user: groups that it is in besides


def read_users(root: Path) -> Users:
    """Read them; a file that is missing, or leads elsewhere, says nothing."""
    by_name: dict[str, tuple[int, int, str]] = {}
    by_uid: dict[int, tuple[str, int, str]] = {}
    for fields in _lines(root / "etc/passwd", 6):
        if fields[2].isdigit() and fields[3].isdigit():
            by_name.setdefault(fields[0], (int(fields[2]), int(fields[3]), fields[5]))
            by_uid.setdefault(int(fields[2]), (fields[0], int(fields[3]), fields[5]))
    groups: dict[str, int] = {}
    members: dict[str, tuple[int, ...]] = {}
    for fields in _lines(root / "etc/group", 4):
        if fields[2].isdigit():
            groups.setdefault(fields[0], int(fields[2]))
            for name in filter(None, fields[3].split(",")):
                members[name] = (*members.get(name, ()), int(fields[2]))
    return Users(by_name, by_uid, groups, members)


def _lines(path: Path, fewest: int) -> list[list[str]]:
    if any(part.is_symlink() for part in (path, path.parent)):
        return []  # it might lead out of the image
    try:
        # An image's file may be a pipe that nobody writes to, or of any size.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return [fields for line in text.splitlines() if len(fields := line.split(":")) >= fewest]


def resolve_user(security: Security, image_user: str, users: Users) -> User:
    """The user that is asked for, else the image's. Raises InvalidConfig for a name that the image doesn't know."""
    text, _, group = image_user.partition(":")
    if security.run_as_user is not None:
        text, group = str(security.run_as_user), ""
    elif security.run_as_username:
        text, group = security.run_as_username, ""
    name, uid, gid, home = _user(text, users)
    if security.run_as_group is not None:
        gid = security.run_as_group
    elif group:
        gid = _group(group, users)
    of_image = users.members.get(name, ()) if security.supplemental_groups_policy == "Merge" else ()
    groups = dict.fromkeys((*security.supplemental_groups, *of_image))
    return User(uid, gid, tuple(groups), home or "/")


def _user(text: str, users: Users) -> tuple[str, int, int, str]:
    if not text or text.isdigit():
        uid = int(text or 0)
        name, gid, home = users.by_uid.get(uid, ("", 0, "/root" if uid == 0 else "/"))
        return name, uid, gid, home
    if text not in users.by_name:
        raise InvalidConfig(f"unable to find user {text}: no matching entries in the image's passwd file")
    uid, gid, home = users.by_name[text]
    return text, uid, gid, home


def _group(text: str, users: Users) -> int:
    if text.isdigit():
        return int(text)
    if text not in users.groups:
        raise InvalidConfig(f"unable to find group {text}: no matching entries in the image's group file")
    return users.groups[text]
