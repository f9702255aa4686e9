"""One table in the kernel of one network: what is in it, and changes to it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Sequence

from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy.backends.nftables.changeset import Step, in_transactions
from hyperkube_proxy.backends.nftables.encoding import Encoder, described
from hyperkube_proxy.backends.nftables.naming import AFFINITY_PREFIX
from hyperkube_proxy.backends.nftables.readback import read_chains, read_elements, read_sets
from hyperkube_proxy.backends.nftables.ruleset import Ruleset
from hyperkube_proxy.model import Family
from hyperkube_proxy.netlink import NETFILTER, Conversation, Message, Refused, text
from hyperkube_proxy.parts import SyncError

__all__ = ["Table"]

_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENTS = 1, 4, 7, 10, 13


class Table:
    """The table `name` of a family. It may not be there."""

    def __init__(self, network: PodNetwork, family: Family, name: str) -> None:
        self.encoder = Encoder(family, name)
        self._network = network
        self._name = name
        self._conversation: Conversation | None = None

    async def read(self) -> Ruleset | None:
        """What is in it; None where it isn't there. Raises OSError."""
        try:
            return await asyncio.to_thread(self._read, await self._open())
        except OSError as exc:
            self.close()
            if exc.errno == errno.ENOENT:
                return None
            raise

    async def apply(self, steps: Iterable[Step]) -> None:
        """Do `steps`, at once unless they are too long for that. Raises SyncError where the kernel refuses one."""
        conversation = await self._open()
        for messages in in_transactions(steps, conversation.longest):
            await self.transact(conversation, messages)

    async def transact(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """Do all of `messages`, or none. Raises SyncError."""
        try:
            await asyncio.to_thread(conversation.transact, messages)
        except Refused as exc:
            raise SyncError(
                f"the kernel refuses a change of the table {self._name}: {described(exc.message, exc.errno or 0)}"
            ) from exc
        except OSError as exc:
            self.close()
            raise SyncError(
                f"cannot tell the kernel of a change of the table {self._name}: {exc.strerror or exc}"
            ) from exc

    def close(self) -> None:
        """Hang up; the next call begins anew."""
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    async def _open(self) -> Conversation:
        if self._conversation is None:
            self._conversation = Conversation(await self._network.netlink(NETFILTER))
        return self._conversation

    def _read(self, conversation: Conversation) -> Ruleset:
        get, table = self.encoder.get, self._name
        conversation.ask(get(_GET_TABLE))  # ENOENT where it isn't there
        chains = read_chains(conversation.dump(get(_GET_CHAIN)), conversation.dump(get(_GET_RULE)), table)
        sets = read_sets(conversation.dump(get(_GET_SET)), table)
        elements = {
            name: read_elements(kind, conversation.dump(get(_GET_ELEMENTS, text(2, name))))
            for name, kind in sets.items()
            if not name.startswith(AFFINITY_PREFIX)
        }
        return Ruleset(chains, sets, elements)
