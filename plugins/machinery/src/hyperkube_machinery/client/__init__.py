"""The client of the API server: one, over HTTPS or within a process."""

from hyperkube_machinery.client.local import LocalServer
from hyperkube_machinery.client.transport import ClientError, RawResponse, Unreachable

__all__ = ["ClientError", "LocalServer", "RawResponse", "Unreachable"]
