"""The controller manager: what is opened, in which order, and closed in reverse.

API server's address → clients → health and metrics → (a lease) → informers → controllers → ready
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyperkube_controller_manager.catalog import Entry, chosen
from hyperkube_controller_manager.manager import run_controllers
from hyperkube_core import NotProvided, SettingsError
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.workqueue import WorkQueueMetrics

if TYPE_CHECKING:
    from hyperkube_controller_manager.options import Options
    from hyperkube_core import Context

__all__ = ["serve"]

log = logging.getLogger(__name__)

_AGENT = "kube-controller-manager"


async def serve(context: Context[Options]) -> None:
    """Serve until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    options, clock = context.options, context.clock
    access = _access(options)
    local = _local(context)
    registry = Registry()
    async with connect(access, clock=clock, user_agent=f"{_AGENT}/shared-informers", local=local) as reader:
        await run_controllers(
            chosen(options.controllers),
            identities=_Shared(access, clock, local, options),
            reader=reader,
            options=options,
            clock=clock,
            metrics=WorkQueueMetrics(registry, clock),
            root_ca=_root_ca(options, access),
            begun=context.ready.set,
        )


def _local(context: Context[Options]) -> LocalServer | None:
    """The API server of this process, if it has one."""
    try:
        return context.require(LocalServer)
    except NotProvided:
        return None


def _access(options: Options) -> Access:
    if options.kubeconfig is None and not options.master:
        why = "must be given, or --master: where is the API server, and who is this?"
        raise SettingsError("kubeconfig", "flag --kubeconfig", why)
    try:
        return kubeconfig.read(options.kubeconfig) if options.kubeconfig else Access(server=options.master)
    except (OSError, KubeconfigError) as exc:
        raise SettingsError("kubeconfig", "flag --kubeconfig", str(exc)) from exc


def _root_ca(options: Options, access: Access) -> str:
    """The authorities that pods are to believe the API server by."""
    if options.root_ca_file is None:
        return (access.ca_pem or b"").decode()
    try:
        return options.root_ca_file.read_text("utf-8")
    except (OSError, ValueError) as exc:
        raise SettingsError("root-ca-file", "flag --root-ca-file", str(exc)) from exc


@dataclass(frozen=True, slots=True)
class _Shared:
    """All controllers are whom the server is; each may send as much as the flags say."""

    access: Access
    clock: Clock
    local: LocalServer | None
    options: Options

    @asynccontextmanager
    async def client(self, entry: Entry) -> AsyncIterator[Client]:
        async with connect(
            self.access,
            clock=self.clock,
            user_agent=f"{_AGENT}/{entry.account}",
            local=self.local,
            qps=max(self.options.kube_api_qps, 0) * entry.boost,
            burst=int(self.options.kube_api_burst * entry.boost),
        ) as client:
            yield client
