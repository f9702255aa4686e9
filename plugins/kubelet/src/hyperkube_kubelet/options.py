"""The kubelet's options. Names, meanings and defaults are upstream's unless the help says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperkube_core import ForeignFlag, SettingsError
from hyperkube_kubelet.optiongroups.checks import DEFAULT_EVICTION, NETWORKS, parse_taint
from hyperkube_kubelet.optiongroups.health import HealthOptions
from hyperkube_kubelet.optiongroups.node import NodeOptions
from hyperkube_kubelet.optiongroups.pods import PodOptions
from hyperkube_kubelet.optiongroups.resources import ResourceOptions
from hyperkube_kubelet.optiongroups.server import ServerOptions
from hyperkube_kubelet.optiongroups.serving import ServingOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["DEFAULT_EVICTION", "Options", "parse_taint", "settings_of"]


# The last group is the first base, for fields are in the order of the bases from the last on.
@dataclass(frozen=True, slots=True, kw_only=True)
class Options(ServingOptions, HealthOptions, PodOptions, ResourceOptions, NodeOptions, ServerOptions):
    """What the command line, the variables, the config file and the defaults came to."""

    @property
    def uses_cri(self) -> bool:
        """Whether containers are run by a container runtime such as containerd."""
        return bool(self.container_runtime_endpoint) or self.container_runtime in ("cri", "remote")

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """Upstream's flags that are not fields here."""
        from hyperkube_kubelet.flags import foreign_flags

        return foreign_flags()

    @classmethod
    def read_config_files(cls, files: Sequence[tuple[Path, Mapping[str, Any]]]) -> Mapping[str, Any]:
        """What KubeletConfigurations, or a plain mapping of flags, come to. Raises ValueError."""
        from hyperkube_kubelet.configuration.reading import read_configurations

        return read_configurations(files, cls.__dataclass_fields__)

    def __post_init__(self) -> None:
        # Absolute, for the reaper has a working directory of its own.
        object.__setattr__(self, "root_dir", self.root_dir.expanduser().absolute())
        if self.cert_dir is None:
            object.__setattr__(self, "cert_dir", self.root_dir / "pki")
        if self.exit_on_lock_contention and self.lock_file is None:
            why = "cannot exit on lock file contention: no lock file specified"
            raise SettingsError("lock-file", "flag --lock-file", why)
        if self.bootstrap_kubeconfig is not None and self.kubeconfig is None:
            raise SettingsError("kubeconfig", "flag --kubeconfig", "must be given with --bootstrap-kubeconfig")
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            given, missing = "--tls-cert-file", "--tls-private-key-file"
            if self.tls_cert_file is None:
                given, missing = missing, given
            raise SettingsError(missing.lstrip("-"), f"flag {missing}", f"must be given together with {given}")
        fitting = ("auto", "cni") if self.uses_cri else NETWORKS[:-1]
        if self.network not in fitting:
            what = "a container runtime" if self.uses_cri else f"--container-runtime={self.container_runtime}"
            raise SettingsError("network", "flag --network", f"can't be {self.network} with {what}")
        if self.container_runtime_endpoint and self.container_runtime == "hollow":
            name = "container-runtime-endpoint"
            raise SettingsError(name, f"flag --{name}", "can't be given together with --container-runtime=hollow")
        if self.hollow_nodes and self.container_runtime != "hollow":
            name = "hollow-nodes"
            raise SettingsError(name, f"flag --{name}", "needs --container-runtime=hollow")
        for name in ("system-reserved", "kube-reserved"):
            field = f"{name}-cgroup"
            if {name, f"{name}-compressible"} & {*self.enforce_node_allocatable} and not getattr(
                self, field.replace("-", "_")
            ):
                what = f"must be given where --enforce-node-allocatable has {name}"
                raise SettingsError(field, f"flag --{field}", what)
        if self.reserved_cpus and (self.system_reserved_cgroup or self.kube_reserved_cgroup):
            name = "reserved-cpus"
            what = "can't be given together with --system-reserved-cgroup or --kube-reserved-cgroup"
            raise SettingsError(name, f"flag --{name}", what)
        reachable = self.kubeconfig is not None or self.master
        if self.hollow_nodes and not reachable:
            raise SettingsError("kubeconfig", "flag --kubeconfig", "must be given for --hollow-nodes")
        if not reachable and self.pod_manifest_path is None:
            name, why = "kubeconfig", "must be given, or --pod-manifest-path for pods without an API server"
            raise SettingsError(name, f"flag --{name}", why)


def settings_of(options: Options) -> dict[str, Any]:
    """Every field, by its name."""
    return {name: getattr(options, name) for name in Options.__dataclass_fields__}
