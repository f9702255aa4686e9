"""Pods, and what a runtime has of them, for tests."""

from __future__ import annotations

from typing import Any

from hyperkube_kubelet.containers.observed import HASH, RESTART_COUNT, Observed, container_hash
from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerState,
    Sandbox,
    SandboxConfig,
    SandboxState,
)

UID = "uid-1"
IP = "10.244.0.5"


def container(name: str = "main", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "image:1", **fields}


def sidecar(name: str, **fields: Any) -> dict[str, Any]:
    return container(name, restartPolicy="Always", **fields)


def pod(*containers: dict[str, Any], uid: str = UID, name: str = "web", **spec: Any) -> dict[str, Any]:
    """A pod of `containers`, one named main where none is given; what is no field of the spec goes by `meta_…`."""
    about = {key.removeprefix("meta_"): spec.pop(key) for key in list(spec) if key.startswith("meta_")}
    status = spec.pop("status", {"phase": "Pending"})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid, "generation": 1, **about},
        "spec": {"containers": list(containers) or [container()], "restartPolicy": "Always", **spec},
        "status": status,
    }


def sandbox(
    id: str = "s0", *, attempt: int = 0, ready: bool = True, ips: tuple[str, ...] = (IP,), host_network: bool = False
) -> Sandbox:
    config = SandboxConfig(name="web", namespace="default", uid=UID, attempt=attempt, host_network=host_network)
    state = SandboxState.READY if ready else SandboxState.NOT_READY
    return Sandbox(id=id, config=config, state=state, created_at=float(attempt), ips=ips)


def run(
    spec: dict[str, Any] | str = "main",
    state: str = "running",
    *,
    code: int = 0,
    attempt: int = 0,
    sandbox_id: str = "s0",
    at: float = 100.0,
    **fields: Any,
) -> Container:
    """One run of a container, which began at `at` and, where it has ended, did so ten seconds later."""
    if isinstance(spec, str):
        spec = container(spec)
    annotations = {HASH: container_hash(spec), RESTART_COUNT: str(attempt)}
    config = ContainerConfig(name=spec["name"], image=spec["image"], attempt=attempt, annotations=annotations)
    ended = state == "exited"
    return Container(
        id=f"{spec['name']}-{attempt}",
        sandbox_id=sandbox_id,
        config=config,
        image_id="sha256:1",
        image_ref="image@sha256:1",
        state=ContainerState(state),
        created_at=at + attempt,
        started_at=at if state in ("running", "exited") else 0.0,
        finished_at=at + 10 if ended else 0.0,
        exit_code=code,
        reason=("Error" if code else "Completed") if ended else "",
        **fields,
    )


def observed(*runs: Container, sandboxes: tuple[Sandbox, ...] | None = None) -> Observed:
    """What the runtime has, the newest run of each container first."""
    return Observed((sandbox(),) if sandboxes is None else sandboxes, tuple(runs))
