"""Parameters of operations, in the path and in the query.

Source: ListOptions, CreateOptions, PatchOptions, DeleteOptions and the options of connections in Kubernetes 1.36.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyperkube_apiserver.kinds import Kind

__all__ = [
    "DELETING",
    "DELETING_MANY",
    "GETTING",
    "LISTING",
    "NAMESPACE",
    "OPTIONS",
    "PATCHING",
    "PATH",
    "PRETTY",
    "WRITING",
    "Parameter",
    "name",
]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that is no body."""

    name: str
    type: str
    description: str
    where: str = "query"


def name(kind: Kind) -> Parameter:
    """The name of the object in a path."""
    return Parameter("name", "string", f"name of the {kind.resource.kind}", "path")


NAMESPACE = Parameter("namespace", "string", "the namespace that the object is in", "path")
PATH = Parameter("path", "string", "what follows at the other end", "path")
PRETTY = Parameter("pretty", "string", "'true' lays the answer out for people; browsers, curl and wget get that anyway")

_DRY_RUN = Parameter("dryRun", "string", "'All' goes through every step but storing the outcome")
_FIELD_VALIDATION = Parameter(
    "fieldValidation",
    "string",
    "what becomes of unknown and duplicate fields: 'Ignore' drops them, 'Warn' (the default) also warns of them, "
    "'Strict' refuses the request",
)
_MANAGER = Parameter("fieldManager", "string", "who owns the fields that are set, of at most 128 printable characters")
_PATCH_MANAGER = Parameter("fieldManager", "string", _MANAGER.description + "; an apply must say it")
_FORCE = Parameter("force", "boolean", "an apply takes fields over from their other owners")

_GRACE = Parameter("gracePeriodSeconds", "integer", "how long the object may take to end; 0 deletes it at once")
_ORPHAN = Parameter("orphanDependents", "boolean", "an old form of propagationPolicy; use that")
_PROPAGATION = Parameter(
    "propagationPolicy",
    "string",
    "what becomes of dependents: 'Orphan' leaves them, 'Background' deletes them afterwards, 'Foreground' before",
)
_BREAKING = Parameter(
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "boolean",
    "delete an object that can't be read from the store, without finalizers and preconditions; this may break things",
)
_CONTINUE = Parameter("continue", "string", "the token of the last answer, to get what follows it")
_FIELDS = Parameter("fieldSelector", "string", "only objects with these values of fields")
_LABELS = Parameter("labelSelector", "string", "only objects with these labels")
_LIMIT = Parameter("limit", "integer", "how many objects to answer at most; `continue` in the answer leads to the rest")
_VERSION = Parameter("resourceVersion", "string", "how old the answer may be, or where a watch begins")
_MATCH = Parameter("resourceVersionMatch", "string", "how resourceVersion is meant: 'Exact' or 'NotOlderThan'")
_INITIAL = Parameter("sendInitialEvents", "boolean", "a watch begins with the objects there are, ended by a bookmark")
_SHARD = Parameter("shardSelector", "string", "only objects whose hash lies in a range; alpha")
_TIMEOUT = Parameter("timeoutSeconds", "integer", "when the list or watch ends at the latest")
_BOOKMARKS = Parameter("allowWatchBookmarks", "boolean", "a watch may send bookmarks, which say how far it has come")
_WATCH = Parameter("watch", "boolean", "send changes as they happen instead of a list")

WRITING = (_DRY_RUN, _MANAGER, _FIELD_VALIDATION)
PATCHING = (_DRY_RUN, _PATCH_MANAGER, _FIELD_VALIDATION, _FORCE)
DELETING = (_DRY_RUN, _GRACE, _BREAKING, _ORPHAN, _PROPAGATION)
_SELECTING = (_CONTINUE, _FIELDS, _LABELS, _LIMIT, _VERSION, _MATCH, _INITIAL, _SHARD, _TIMEOUT)
DELETING_MANY = (*DELETING, *_SELECTING)
LISTING = (*_SELECTING, _BOOKMARKS, _WATCH)
GETTING = (_VERSION,)

_TARGET_PATH = Parameter("path", "string", "what to ask for at the other end")
_STREAMS = (
    Parameter("container", "string", "which container is meant, if the pod has several"),
    Parameter("stderr", "boolean", "send its standard error back"),
    Parameter("stdin", "boolean", "connect its standard input"),
    Parameter("stdout", "boolean", "send its standard output back"),
    Parameter("tty", "boolean", "give it a terminal"),
)

OPTIONS: dict[str, tuple[Parameter, ...]] = {
    "NodeProxyOptions": (_TARGET_PATH,),
    "PodProxyOptions": (_TARGET_PATH,),
    "ServiceProxyOptions": (_TARGET_PATH,),
    "PodAttachOptions": _STREAMS,
    "PodExecOptions": (*_STREAMS, Parameter("command", "string", "the command, a parameter for each of its arguments")),
    "PodPortForwardOptions": (Parameter("ports", "integer", "the ports to forward, for WebSockets"),),
    "PodLogOptions": (
        Parameter("container", "string", "whose log, if the pod has several containers"),
        Parameter("follow", "boolean", "go on sending what is logged"),
        Parameter("insecureSkipTLSVerifyBackend", "boolean", "don't check the certificate of the kubelet"),
        Parameter("limitBytes", "integer", "end after so many bytes"),
        Parameter("previous", "boolean", "the log of the container that ran before"),
        Parameter("sinceSeconds", "integer", "only what was logged in so many last seconds"),
        Parameter("stream", "string", "'All' (the default), 'Stdout' or 'Stderr'"),
        Parameter("tailLines", "integer", "only so many last lines"),
        Parameter("timestamps", "boolean", "begin each line with its time"),
    ),
}
"""The options of connections by their kinds."""
