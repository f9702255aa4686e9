"""Gathering what a sandbox and its containers are made of."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hyperkube_kubelet.cgroups.tree import NoGroups, PodGroups
from hyperkube_kubelet.containers.config import Made, container_config, sandbox_config
from hyperkube_kubelet.containers.dns import PodDNS, pod_dns, without_resolver
from hyperkube_kubelet.containers.environment import Holdings, UnmetReference, environment, file_references, references
from hyperkube_kubelet.containers.fieldpaths import Addresses, DownwardError
from hyperkube_kubelet.containers.limits import Rules, container_limits, sandbox_limits, sandbox_overhead
from hyperkube_kubelet.containers.names import hosts_file
from hyperkube_kubelet.containers.observed import POD_UID
from hyperkube_kubelet.containers.profiles import InvalidProfile
from hyperkube_kubelet.containers.security import PLAIN, Confinement, RootForbidden, security_of
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.pods.namespaces import PodNamespaces
from hyperkube_kubelet.pods.refusals import NotStarted
from hyperkube_kubelet.podspec import Tree, is_static, uses_host_network
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.process.nodefiles import node_dns
from hyperkube_kubelet.runtime.values import Container, ContainerConfig, Image, Mount, SandboxConfig
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_kubelet.volumes.mounts import Givens, MountRefused, container_mounts
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_kubelet.volumes.payload import PayloadError
from hyperkube_kubelet.volumes.subpaths import within
from hyperkube_machinery import meta
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quantity import Quantity

__all__ = ["ClusterNames", "Maker", "RunImages"]

HOSTS = "/etc/hosts"
TERMINATION_LOG = "/dev/termination-log"
_MOST_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class ClusterNames:
    """How names are found in the cluster."""

    dns_servers: Sequence[str] = ()
    domain: str = "cluster.local"
    resolv_conf: Path | None = Path("/etc/resolv.conf")  # the node's own; None: pods look nothing up by it


@dataclass(frozen=True, slots=True)
class RunImages:
    """What a container is made from."""

    own: Image
    volumes: Mapping[str, str] = field(default_factory=dict)  # ids by the volume that shows an image


class Maker:
    """Describes sandboxes and containers to the runtime, having made the files that they need."""

    def __init__(
        self,
        root: Path,
        facts: NodeFacts,
        names: ClusterNames,
        *,
        objects: ObjectCache | None,
        services: Callable[[], Iterable[Tree] | None],
        own_files: bool = True,
        groups: PodGroups | None = None,
        rules: Rules | None = None,
        confinement: Confinement = PLAIN,
        namespaces: PodNamespaces | None = None,
    ) -> None:
        """`objects`: None without an API server. `services`: all of them, None before they are known.

        `rules`: what limits depend on; None for what the facts say of it.
        `own_files`: whether containers get files of the kubelet's own: /etc/hosts, a termination log.
        """
        self.logs = root / "logs" / "pods"
        self._pods = root / "pods"
        self._facts = facts
        self._names = names
        self._objects = objects
        self._services = services
        self._own_files = own_files
        self._groups = groups or NoGroups()
        self._confinement = confinement
        self._namespaces = namespaces
        self.rules = rules or Rules(memory_capacity=Quantity.parse(facts.capacity.get("memory", "0")).value)

    async def sandbox(self, pod: Tree, attempt: int) -> SandboxConfig:
        """The next sandbox of `pod`. Raises InvalidConfig, OSError."""
        dns = self.dns(pod).dns
        handler = await self._namespaces.handler(pod) if self._namespaces is not None else ""
        config = sandbox_config(pod, attempt=attempt, logs=self.logs, dns=dns, cluster_domain=self._names.domain)
        return replace(
            config,
            runtime_handler=handler,
            user_namespace=self._namespaces.users(pod, handler) if self._namespaces is not None else (),
            cgroup_parent=self._groups.parent(pod),
            overhead=sandbox_overhead(pod, self.rules),
            limits=sandbox_limits(pod, self.rules),
        )

    def dns(self, pod: Tree) -> PodDNS:
        """How names are found in `pod`."""
        file = self._names.resolv_conf
        node = without_resolver(self._facts.ips) if file is None else node_dns(file)
        return pod_dns(pod, node, self._names.dns_servers, self._names.domain)

    def addresses(self, ips: Sequence[str]) -> Addresses:
        """What a pod with the addresses `ips` may be told of where it is."""
        return Addresses(pod_ips=ips, host_ips=self._facts.ips, allocatable=self._facts.allocatable)

    async def container(
        self,
        pod: Tree,
        container: Tree,
        images: RunImages,
        volumes: Mapping[str, Mounted],
        ips: Sequence[str],
        attempt: int,
    ) -> ContainerConfig:
        """The next run of a container. Raises NotStarted."""
        try:
            variables = await self._environment(pod, container, volumes, self.addresses(ips))
            givens = Givens(
                volumes=volumes,
                images=images.volumes,
                environment=variables,
                recursive=self._namespaces is not None and await self._namespaces.mounts_recursively(pod),
            )
            made = Made(
                environment=variables,
                mounts=await asyncio.to_thread(self._mounts, pod, container, givens, ips, attempt),
                limits=container_limits(pod, container, self.rules),
                security=security_of(pod, container, images.own, self._confinement),
                attempt=attempt,
            )
        except (
            UnmetReference,
            DownwardError,
            RootForbidden,
            InvalidProfile,
            MountRefused,
            RuntimeFailure,
            APIError,
            ClientError,
            OSError,
        ) as exc:
            raise NotStarted("CreateContainerConfigError", str(exc)) from exc
        return container_config(pod, container, made)

    def discard(self, run: Container) -> None:
        """Remove the files that were made for a run which is forgotten: its logs and its last words. Raises OSError."""
        if run.log_path is not None:
            for file in run.log_path.parent.glob(f"{run.log_path.name}*"):  # with those that were put aside
                file.unlink(missing_ok=True)
        own = self._pods / run.config.labels[POD_UID] / "containers" / run.config.name
        for mount in run.config.mounts:
            if mount.host_path.parent == own:
                mount.host_path.unlink(missing_ok=True)

    async def _environment(
        self, pod: Tree, container: Tree, volumes: Mapping[str, Mounted], addresses: Addresses
    ) -> dict[str, str]:
        services = self._services()
        if services is None and is_static(pod):  # which waits for no API server
            services = ()
        if services is None:
            raise UnmetReference("services have not yet been read at least once, cannot construct envvars")
        return environment(pod, container, services, await self._holdings(pod, container, volumes), addresses)

    async def _holdings(self, pod: Tree, container: Tree, volumes: Mapping[str, Mounted]) -> Holdings:
        wanted, namespace = references(container), meta.namespace(pod)
        config_maps: dict[str, Tree] = {}
        secrets_: dict[str, Tree] = {}
        for kind, names, found in (
            ("configmap", wanted.config_maps, config_maps),
            ("secret", wanted.secrets, secrets_),
        ):
            for name, optional in names.items():
                if self._objects is None:
                    raise UnmetReference(f"couldn't get {kind} {namespace}/{name}, no kubeClient defined")
                read = self._objects.config_map if kind == "configmap" else self._objects.secret
                held = await read(namespace, name)
                if held is not None:
                    found[name] = held
                elif not optional:
                    raise UnmetReference(f'{kind} "{name}" not found')
        files = {
            (name, path): await asyncio.to_thread(_text_within, volumes[name].path, path)
            for name, path in file_references(container)
            if name in volumes
        }
        return Holdings(config_maps, secrets_, files)

    def _mounts(
        self,
        pod: Tree,
        container: Tree,
        givens: Givens,
        ips: Sequence[str],
        attempt: int,
    ) -> list[Mount]:
        """Volumes, and the files of the kubelet's own."""
        mounts = list(container_mounts(container, givens))
        if not self._own_files:
            return mounts
        taken = {mount.container_path for mount in mounts}
        folder = self._pods / meta.uid(pod)
        if HOSTS not in taken and (ips or uses_host_network(pod)):
            mounts.append(Mount(container_path=HOSTS, host_path=self._hosts(pod, folder, ips)))
        path = container.get("terminationMessagePath") or TERMINATION_LOG
        if path not in taken:
            file = folder / "containers" / container["name"] / f"{attempt}-{secrets.token_hex(4)}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o666)
            file.chmod(0o666)  # whoever the container runs as
            mounts.append(Mount(container_path=path, host_path=file))
        return mounts

    def _hosts(self, pod: Tree, folder: Path, ips: Sequence[str]) -> Path:
        file = folder / "etc-hosts"
        of_node = _text(Path(HOSTS)) if uses_host_network(pod) else ""
        text = hosts_file(pod, ips, of_node, self._names.domain)
        if _text(file) != text:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            file.chmod(0o644)
        return file


def _text_within(volume: Path, part: str) -> str | None:
    """What a file of a volume says, whatever links its containers have made; None where it can't be read."""
    try:
        path = within(volume, part, makes=False)
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as opened:
            return opened.read(_MOST_FILE).decode("utf-8", "replace")
    except (PayloadError, OSError):
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
