"""gRPC over HTTP/2: a client and a server, and messages by tables of their fields."""

from hyperkube_machinery.grpc.channel import Call, Channel
from hyperkube_machinery.grpc.endpoints import Endpoint
from hyperkube_machinery.grpc.messages import BadMessage, Messages
from hyperkube_machinery.grpc.status import CallFailed, Code

__all__ = ["BadMessage", "Call", "CallFailed", "Channel", "Code", "Endpoint", "Messages"]
