"""The services that answer one message by one: keys, leases, upkeep, members, users.

Source: go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.
"""

from __future__ import annotations

import logging
import tempfile
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from hyperkube_etcd import keyspace
from hyperkube_etcd.failures import refusal, translated
from hyperkube_etcd.leases import LONGEST_SECONDS
from hyperkube_etcd.member import TERM, Member
from hyperkube_etcd.release import VERSION
from hyperkube_etcd.snapshots import pieces
from hyperkube_machinery.etcdapi import ALARMS, ETCD
from hyperkube_machinery.grpc import BadMessage, CallFailed, Code
from hyperkube_machinery.grpc.server import Handler, ServerCall, unary
from hyperkube_machinery.storage.interface import Revision
from hyperkube_machinery.storage.views import View, WritingView

__all__ = ["handlers"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]
Method = Callable[[Tree], Awaitable[Tree]]

_PACKAGE = "etcdserverpb"
_GET, _ACTIVATE, _DEACTIVATE = 0, 1, 2


class Services:
    """The methods, by their names in etcd's interface."""

    def __init__(self, member: Member, copy: Callable[[Path], Awaitable[None]] | None) -> None:
        """`copy` writes a copy of the store to a new file, if it is one that can be copied."""
        self._member = member
        self._store = member.store
        self._copy = copy

    # KV

    async def range(self, request: Tree) -> Tree:
        keyspace.check_range(request)
        read = self._store.read if request["range_end"] else self._store.read_here
        return self._headed(await read(lambda view: keyspace.range_(view, request)))

    async def put(self, request: Tree) -> Tree:
        keyspace.check_put(request)
        return self._headed(await self._member.write(lambda view: keyspace.put(view, request), adds=True))

    async def delete_range(self, request: Tree) -> Tree:
        keyspace.check_delete_range(request)
        return self._headed(await self._member.write(lambda view: keyspace.delete_range(view, request), adds=False))

    async def txn(self, request: Tree) -> Tree:
        keyspace.check_txn(request, self._member.most_ops)
        adds = keyspace.adds(request)
        return self._headed(await self._member.write(lambda view: keyspace.transact(view, request), adds=adds))

    async def compact(self, request: Tree) -> Tree:
        await self._store.compact(Revision(request["revision"]))
        return {"header": await self._member.header()}

    def _headed(self, answer: Tree) -> Tree:
        answer["header"] = self._member.header_at(answer["header"]["revision"])
        return answer

    # Lease

    async def lease_grant(self, request: Tree) -> Tree:
        leases = self._member.leases
        if request["TTL"] > LONGEST_SECONDS:
            raise refusal("too large lease TTL")
        number, ttl = request["ID"] or leases.unused(), leases.time_for(request["TTL"])

        def grant(view: WritingView) -> None:
            if view.ttl(number) is not None:
                raise refusal("lease already exists")
            view.grant(number, ttl)

        await self._member.write(grant, adds=True)
        leases.add(number, ttl)
        return {"header": await self._member.header(), "ID": number, "TTL": ttl}

    async def lease_revoke(self, request: Tree) -> Tree:
        return {"header": self._member.header_at(await self._member.revoke(request["ID"]))}

    async def lease_time_to_live(self, request: Tree) -> Tree:
        leases = self._member.leases
        lease = leases.get(request["ID"])
        answer = {"header": await self._member.header(), "ID": request["ID"]}
        if lease is None:
            return {**answer, "TTL": -1}
        keys = [key.encode("latin-1") for key in sorted(lease.keys)] if request["keys"] else []
        return {**answer, "TTL": leases.left(lease), "grantedTTL": lease.ttl, "keys": keys}

    async def lease_leases(self, request: Tree) -> Tree:
        return {"header": await self._member.header(), "leases": [{"ID": one} for one in self._member.leases]}

    async def lease_keep_alive(self, call: ServerCall) -> None:
        """Renew the leases that a client names, for as long as it does."""
        async for message in call:
            number = _read("LeaseKeepAliveRequest", message)["ID"]
            ttl = self._member.leases.renew(number)
            answer = {"header": await self._member.header(), "ID": number, "TTL": ttl}
            await call.send(ETCD.encode("LeaseKeepAliveResponse", answer))

    # Maintenance

    async def status(self, request: Tree) -> Tree:
        size, used = await self._store.size()
        header = await self._member.header()
        names = {number: name for name, number in ALARMS.items()}
        return {
            "header": header,
            "version": VERSION,
            "dbSize": size,
            "leader": self._member.id,
            "raftIndex": header["revision"],
            "raftTerm": TERM,
            "raftAppliedIndex": header["revision"],
            "errors": [f"memberID:{self._member.id} alarm:{names[alarm]} " for alarm in sorted(self._member.alarms)],
            "dbSizeInUse": used,
        }

    async def alarm(self, request: Tree) -> Tree:
        alarms, named = self._member.alarms, request["alarm"]
        shown = {alarm for alarm in alarms if named in (0, alarm)}
        if request["action"] == _ACTIVATE and named:
            alarms.add(named)
            shown = {named}
        elif request["action"] == _DEACTIVATE:
            alarms -= shown
        members = [{"memberID": self._member.id, "alarm": alarm} for alarm in sorted(shown)]
        return {"header": await self._member.header(), "alarms": members}

    async def defragment(self, request: Tree) -> Tree:
        """The store gives room back by itself, when history is compacted."""
        return {"header": await self._member.header()}

    async def hash(self, request: Tree) -> Tree:
        return {"header": await self._member.header(), "hash": await self._store.read(partial(_hash, revision=None))}

    async def hash_kv(self, request: Tree) -> Tree:
        revision = Revision(request["revision"]) if request["revision"] > 0 else await self._store.revision()
        found, oldest = await self._store.read(lambda view: (_hash(view, revision), view.oldest))
        compacted = int(oldest) or -1
        header = await self._member.header()
        return {"header": header, "hash": found, "compact_revision": compacted, "hash_revision": revision}

    async def snapshot(self, call: ServerCall) -> None:
        """A copy of the store's file, and its digest behind it, as clients expect."""
        if self._copy is None:
            raise CallFailed(Code.UNIMPLEMENTED, "what is kept in memory can't be copied")
        with tempfile.TemporaryDirectory(prefix="hk-etcd-") as folder:
            path = Path(folder) / "copy"
            await self._copy(path)
            header = await self._member.header()
            for piece, left in pieces(path):
                answer = {"header": header, "remaining_bytes": left, "blob": piece, "version": VERSION}
                await call.send(ETCD.encode("SnapshotResponse", answer))

    # Cluster

    async def member_list(self, request: Tree) -> Tree:
        member = self._member
        me = {"ID": member.id, "name": member.name, "peerURLs": member.peer_urls, "clientURLs": member.client_urls}
        return {"header": await member.header(), "members": [me]}

    # Auth

    async def auth_status(self, request: Tree) -> Tree:
        return {"header": await self._member.header(), "enabled": False, "authRevision": 1}

    async def authenticate(self, request: Tree) -> Tree:
        raise refusal("authentication is not enabled")

    async def nobody(self, request: Tree) -> Tree:
        return {"header": await self._member.header()}


def handlers(member: Member, copy: Callable[[Path], Awaitable[None]] | None) -> dict[str, Handler]:
    """The methods by their paths, but those of Watch."""
    services = Services(member, copy)
    methods: dict[str, tuple[str, Method]] = {
        "KV/Range": ("Range", services.range),
        "KV/Put": ("Put", services.put),
        "KV/DeleteRange": ("DeleteRange", services.delete_range),
        "KV/Txn": ("Txn", services.txn),
        "KV/Compact": ("Compaction", services.compact),
        "Lease/LeaseGrant": ("LeaseGrant", services.lease_grant),
        "Lease/LeaseRevoke": ("LeaseRevoke", services.lease_revoke),
        "Lease/LeaseTimeToLive": ("LeaseTimeToLive", services.lease_time_to_live),
        "Lease/LeaseLeases": ("LeaseLeases", services.lease_leases),
        "Maintenance/Status": ("Status", services.status),
        "Maintenance/Alarm": ("Alarm", services.alarm),
        "Maintenance/Defragment": ("Defragment", services.defragment),
        "Maintenance/Hash": ("Hash", services.hash),
        "Maintenance/HashKV": ("HashKV", services.hash_kv),
        "Cluster/MemberList": ("MemberList", services.member_list),
        "Auth/Authenticate": ("Authenticate", services.authenticate),
        "Auth/AuthStatus": ("AuthStatus", services.auth_status),
        "Auth/UserList": ("AuthUserList", services.nobody),
        "Auth/RoleList": ("AuthRoleList", services.nobody),
    }
    found: dict[str, Handler] = {}
    for path, (kind, method) in methods.items():
        most = member.largest_request if path in _WRITING else None
        found[f"/{_PACKAGE}.{path}"] = unary(partial(_answered, kind, translated(method), most))
    found[f"/{_PACKAGE}.Lease/LeaseKeepAlive"] = translated(services.lease_keep_alive)
    found[f"/{_PACKAGE}.Maintenance/Snapshot"] = translated(services.snapshot)
    for path, words in _REFUSED.items():
        found[f"/{_PACKAGE}.{path}"] = partial(_refuse, words)
    found["/grpc.health.v1.Health/Check"] = unary(_serving)
    return found


_WRITING = frozenset({"KV/Put", "KV/DeleteRange", "KV/Txn", "KV/Compact", "Lease/LeaseGrant", "Lease/LeaseRevoke"})
_ALONE = "this etcd is one member alone, and stays so: run etcd itself for a cluster"
_NO_USERS = "this etcd has no users: let clients in by their certificates, with --client-cert-auth"
_OF_USERS = (
    "AuthEnable",
    "AuthDisable",
    *(f"User{verb}" for verb in ("Add", "Get", "Delete", "ChangePassword", "GrantRole", "RevokeRole")),
    *(f"Role{verb}" for verb in ("Add", "Get", "Delete", "GrantPermission", "RevokePermission")),
)
_REFUSED = {
    **{f"Cluster/Member{verb}": _ALONE for verb in ("Add", "Remove", "Update", "Promote")},
    **{f"Maintenance/{name}": _ALONE for name in ("MoveLeader", "Downgrade")},
    **{f"Auth/{name}": _NO_USERS for name in _OF_USERS},
}


async def _refuse(words: str, call: ServerCall) -> None:
    raise CallFailed(Code.UNIMPLEMENTED, words)


async def _serving(message: bytes) -> bytes:
    return b"\x08\x01"  # SERVING


async def _answered(kind: str, method: Method, most: int | None, message: bytes) -> bytes:
    if most is not None and len(message) > most:
        raise refusal("request is too large")
    return ETCD.encode(f"{kind}Response", await method(_read(f"{kind}Request", message)))


def _read(kind: str, message: bytes) -> Tree:
    try:
        return ETCD.decode(kind, message)
    except BadMessage as exc:
        raise CallFailed(Code.INTERNAL, f"grpc: failed to unmarshal the received message: {exc}") from exc


def _hash(view: View, revision: Revision | None) -> int:
    """A number that differs where keys, values or revisions do."""
    checksum = 0
    for entry in view.range("", None, revision=revision).entries:
        described = f"{entry.key} {entry.create_revision} {entry.mod_revision} {entry.version} {entry.lease} "
        checksum = zlib.crc32(entry.value, zlib.crc32(described.encode(), checksum))
    return checksum
