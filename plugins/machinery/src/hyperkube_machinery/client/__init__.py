"""The client of the API server: one, over HTTPS or within a process.

connect(access) ─→ Client ─→ Requester: rate limit, retries ─→ Transport ─┬→ HTTPTransport ─→ connections
└→ LocalTransport ─→ LocalServer
"""

from hyperkube_machinery.client.client import Client, Listing, PatchKind
from hyperkube_machinery.client.connecting import connect
from hyperkube_machinery.client.local import LocalServer
from hyperkube_machinery.client.metrics import ClientMetrics
from hyperkube_machinery.client.transport import ClientError, RawResponse, Unreachable
from hyperkube_machinery.client.watching import WatchEvent, WatchStream

__all__ = [
    "Client",
    "ClientError",
    "ClientMetrics",
    "Listing",
    "LocalServer",
    "PatchKind",
    "RawResponse",
    "Unreachable",
    "WatchEvent",
    "WatchStream",
    "connect",
]
