"""Which kubeconfig counts. Source: k8s.io/client-go/tools/clientcmd/loader.go, rest/config.go"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import reduce
from pathlib import Path

from hyperkube_machinery.kubeconfig.access import Access, KubeconfigError
from hyperkube_machinery.kubeconfig.reading import Config, parse, read

__all__ = ["in_cluster", "load", "of_flags"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def load(
    path: Path | None = None, *, context: str = "", master: str = "", environ: Mapping[str, str] = os.environ
) -> Access:
    """How to reach the cluster that is meant. Raises KubeconfigError.

    That is what the file at `path` says; without one, the files of the variable KUBECONFIG, of which the first to name
    something counts; without it `~/.kube/config`; and where nothing of these is there, what a pod finds. `master` goes
    before the server that is found, and is enough by itself.
    """
    if path is not None:
        return read(path, context=context, master=master)
    config = _found(environ)
    if config is not None:
        return config.access(context, master)
    if master:
        return Access(server=master)
    return in_cluster(environ)


def of_flags(path: Path | None, *, master: str = "", environ: Mapping[str, str] = os.environ) -> Access:
    """How a server reaches its cluster: as it was told, else as a pod finds it. Raises KubeconfigError.

    Other than a tool, a server takes no file of its user's: who starts one without flags means no production cluster.
    Source: BuildConfigFromFlags in k8s.io/client-go/tools/clientcmd.
    """
    if path is not None:
        return read(path, master=master)
    return Access(server=master) if master else in_cluster(environ)


def _found(environ: Mapping[str, str]) -> Config | None:
    """The files that are there, merged; None where none is."""
    listed = [Path(name) for name in dict.fromkeys(environ.get("KUBECONFIG", "").split(os.pathsep)) if name]
    if not listed:
        home = environ.get("HOME")
        listed = [Path(home, ".kube", "config")] if home else []
    configs = [parse(path) for path in listed if path.exists()]
    return reduce(Config.under, configs) if configs else None


def in_cluster(environ: Mapping[str, str] = os.environ, account: Path = _ACCOUNT) -> Access:
    """What a pod finds: the API server in its environment, and its service account's token, which is renewed.

    Raises KubeconfigError outside of a pod.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubeconfigError(
            "there is no kubeconfig, and this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not "
            "set; name a kubeconfig, or set KUBECONFIG"
        )
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_pem=_content(account / "ca.crt"),
        token=_content(account / "token").decode("utf-8", "replace").strip(),
        token_file=account / "token",
        namespace=_content(account / "namespace").decode("utf-8", "replace").strip()
        if (account / "namespace").exists()
        else "",
    )


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise KubeconfigError(f"{file}: cannot be read ({exc.strerror})") from exc
