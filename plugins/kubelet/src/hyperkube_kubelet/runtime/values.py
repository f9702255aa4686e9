"""What the kubelet and a runtime tell each other of sandboxes, containers and images.

The shapes are those of the container runtime interface (CRI); sizes are in bytes, times in seconds since 1970 (0.0: not
yet), and "" or an empty tuple is "not given". Source: k8s.io/cri-api/pkg/apis/runtime/v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

__all__ = [
    "CONTAINER_KIND",
    "DNS",
    "Container",
    "ContainerConfig",
    "ContainerState",
    "ContainerStats",
    "Credentials",
    "Device",
    "Event",
    "EventKind",
    "ExecResult",
    "FilesystemUsage",
    "IDMapping",
    "Image",
    "InterfaceUsage",
    "Limitation",
    "Limits",
    "Mount",
    "PortMapping",
    "RuntimeCondition",
    "RuntimeFeatures",
    "RuntimeHandler",
    "RuntimeStatus",
    "SELinux",
    "Sandbox",
    "SandboxConfig",
    "SandboxState",
    "SandboxStats",
    "Security",
]

CONTAINER_KIND = "hyperkube.io/container-kind"
"""The annotation of a container that says what it is for its pod: init (others wait for its end), sidecar, regular or
ephemeral."""

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of the sandbox that is also to be reached on the node."""

    container_port: int
    host_port: int = 0  # 0: none is asked for
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class DNS:
    """What /etc/resolv.conf of the containers says."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may use; None where there is no limit."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None  # microseconds of processor time in each period
    cpu_period: int = 100_000  # microseconds
    cpuset_cpus: str = ""  # "0-3,7"
    cpuset_mems: str = ""
    memory_bytes: int | None = None
    memory_request_bytes: int | None = None
    memory_swap_bytes: int | None = None  # of memory and swap together
    hugepages: Mapping[str, int] = field(default_factory=dict)  # bytes by size of page: "2MB"
    unified: Mapping[str, str] = field(default_factory=dict)  # files of cgroup v2: "memory.high": "1000"
    oom_score_adj: int = 0
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # "nofile": (soft, hard)


@dataclass(frozen=True, slots=True, kw_only=True)
class SELinux:
    """A label of SELinux."""

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """As whom processes run, and what they may do. A sandbox has no capabilities, paths and names of users."""

    run_as_user: int | None = None  # None: the image's user
    run_as_username: str = ""
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: Literal["Merge", "Strict"] = "Merge"  # with those of the image's /etc/group
    privileged: bool = False
    readonly_root: bool = False
    add_capabilities: tuple[str, ...] = ()  # without CAP_; "ALL"
    drop_capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = ""  # "RuntimeDefault", "Unconfined" or the path of a profile
    apparmor: str = ""  # "RuntimeDefault", "Unconfined" or the name of a loaded profile
    selinux: SELinux | None = None
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IDMapping:
    """Users of a pod's user namespace, and groups alike, that are others of the node."""

    host_id: int
    container_id: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """What a pod's containers share: its name, its network, its namespaces."""

    name: str
    namespace: str
    uid: str
    attempt: int = 0
    labels: Texts = field(default_factory=dict)
    annotations: Texts = field(default_factory=dict)
    hostname: str = ""  # not for a pod in the node's network, whose hostname is the node's
    log_directory: Path | None = None  # of its containers' logs; the runtime makes it
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_processes: bool = False  # one process namespace for all containers (shareProcessNamespace)
    ports: tuple[PortMapping, ...] = ()
    dns: DNS | None = None  # None: the node's
    sysctls: Texts = field(default_factory=dict)
    runtime_handler: str = ""  # of the pod's RuntimeClass; "": the runtime's default
    cgroup_parent: str = ""  # the pod's control group, as the driver names it: /kubepods/burstable/pod0b5e
    security: Security = Security()
    user_namespace: tuple[IDMapping, ...] = ()  # none: the node's users
    overhead: Limits | None = None  # what the RuntimeClass says that the sandbox itself takes
    limits: Limits | None = None  # what its containers come to


class SandboxState(StrEnum):
    READY = "ready"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A sandbox as it is now."""

    id: str
    config: SandboxConfig
    state: SandboxState
    created_at: float
    ips: tuple[str, ...] = ()  # the primary one first; none for a pod in the node's network
    runtime_handler: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the node that a container sees at `container_path`."""

    container_path: str
    host_path: Path  # with the subPath in it already
    resolved: bool = False  # no link is in it, and none that was put there meanwhile is to be followed
    readonly: bool = False
    recursive_readonly: bool = False
    propagation: Literal["None", "HostToContainer", "Bidirectional"] = "None"
    selinux_relabel: bool = False
    image: str = ""  # its files are mounted, in place of `host_path`
    image_sub_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of the node that a container may use."""

    host_path: str
    container_path: str
    permissions: str = "rwm"  # read, write, mknod


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """One container of a sandbox."""

    name: str
    attempt: int = 0
    image: str  # the reference in the pod's spec
    image_id: str = ""  # what it means here; "": to be looked up
    command: tuple[str, ...] = ()  # instead of the image's Entrypoint (and then also of its Cmd)
    args: tuple[str, ...] = ()  # instead of the image's Cmd
    env: tuple[tuple[str, str], ...] = ()  # in order, over the image's; a later one wins
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    cdi_devices: tuple[str, ...] = ()  # vendor.com/class=name
    labels: Texts = field(default_factory=dict)
    annotations: Texts = field(default_factory=dict)
    log_path: str = ""  # within the sandbox's log directory: "web/0.log"; the runtime makes its folder
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    limits: Limits = Limits()
    security: Security = Security()
    processes_of: str = ""  # the id of another container of the sandbox, whose processes it is to be among
    stop_signal: str = ""  # "SIGUSR1"; "": the image's, or SIGTERM


class ContainerState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container as it is now."""

    id: str
    sandbox_id: str
    config: ContainerConfig  # it may lack `env`, which can be long and secret
    image_id: str  # sha256:… of the image's configuration
    image_ref: str  # with the digest of the manifest, as `imageID` of a container's status shows it
    state: ContainerState
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0  # 128 + the signal's number for one that a signal ended
    signal: int = 0
    reason: str = ""  # of an exited one: Completed, Error, OOMKilled, StartError, ContainerStatusUnknown
    message: str = ""
    pid: int = 0  # in the kubelet's own process namespace where it can be known, else 0
    user: tuple[int, int, tuple[int, ...]] | None = None  # uid, gid and groups inside, once it is started
    log_path: Path | None = None  # the whole path


class EventKind(StrEnum):
    CREATED = "created"
    STARTED = "started"
    STOPPED = "stopped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a container, or to the sandbox itself where `container_id` is ""."""

    kind: EventKind
    sandbox_id: str
    container_id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that the node has."""

    id: str  # sha256:… of its configuration
    tags: tuple[str, ...]  # normalised: docker.io/library/busybox:1.36
    digests: tuple[str, ...]  # docker.io/library/busybox@sha256:…
    size: int
    user: str = ""  # as the image says it: "", "1000", "nobody:users"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()  # "8080/tcp"
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    pinned: bool = False  # never removed to make room


@dataclass(frozen=True, slots=True)
class FilesystemUsage:
    """What lies in one place of the node."""

    path: Path
    used_bytes: int
    inodes_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStats:
    """What a container has used; None for what the runtime doesn't tell."""

    container_id: str
    at: float
    cpu_nanoseconds: int  # since it started
    memory_bytes: int  # working set
    rss_bytes: int
    processes: int  # 0: not known
    writable_bytes: int = 0  # in its own layer of the root file system
    writable_inodes: int | None = None
    cpu_nanocores: int | None = None  # nanoseconds of processor time a second, lately
    usage_bytes: int | None = None  # of memory, caches included
    available_bytes: int | None = None  # of memory, up to its limit
    page_faults: int | None = None
    major_page_faults: int | None = None
    swap_bytes: int | None = None
    swap_available_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceUsage:
    """What went through a network interface."""

    name: str
    received_bytes: int = 0
    receive_errors: int = 0
    sent_bytes: int = 0
    send_errors: int = 0
    received_packets: int | None = None
    receive_dropped: int | None = None
    sent_packets: int | None = None
    send_dropped: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStats:
    """What a sandbox has used with all of its containers; None for what the runtime doesn't tell."""

    sandbox_id: str
    at: float
    cpu_nanoseconds: int | None = None
    memory_bytes: int | None = None  # working set
    rss_bytes: int | None = None
    usage_bytes: int | None = None
    processes: int | None = None
    interfaces: tuple[InterfaceUsage, ...] = ()  # the one that its addresses belong to first


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """As whom images are pulled: a name and a password, or a token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # of the registry's authorization server
    registry_token: str = field(default="", repr=False)  # for the registry itself
    server: str = ""  # whose they are, as they were configured


@dataclass(frozen=True, slots=True)
class ExecResult:
    """A command's end and what it wrote, each stream cut off at 16 MiB."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Limitation:
    """Something that this runtime can't do for pods on this machine."""

    reason: str  # one word in CamelCase: MemoryLimitsNotEnforced
    message: str  # for people: what, why, and what would change it


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeCondition:
    """Something that a runtime says of itself, such as RuntimeReady."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeHandler:
    """A way to run pods that a RuntimeClass may name; "" is the default."""

    name: str
    recursive_readonly_mounts: bool = False
    user_namespaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFeatures:
    """What a runtime says that it can do, whatever the handler."""

    supplemental_groups_policy: bool = False
    user_namespaces_host_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeStatus:
    """Whether pods can be run, and how far they are kept apart."""

    name: str  # the scheme of containerRuntimeVersion and of container ids: "hk-process" makes hk-process://ID
    version: str
    ready: bool
    ready_reason: str = ""
    ready_message: str = ""
    network_ready: bool
    network_reason: str = ""
    network_message: str = ""
    limitations: tuple[Limitation, ...] = ()
    conditions: tuple[RuntimeCondition, ...] = ()  # all that it says, the two above among them
    handlers: tuple[RuntimeHandler, ...] = ()
    features: RuntimeFeatures | None = None  # None: it doesn't tell
    cgroup_driver: Literal["", "cgroupfs", "systemd"] = ""  # "": it doesn't tell
