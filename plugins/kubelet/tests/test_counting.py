"""What the kubelet counts."""

from __future__ import annotations

import pytest

from hyperkube_kubelet.counting import Counts


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        ("RunPodSandbox", "run_podsandbox"),
        ("ListPodSandboxStats", "list_podsandbox_stats"),
        ("PodSandboxStatus", "podsandbox_status"),
        ("CreateContainer", "create_container"),
        ("ListContainers", "list_containers"),
        ("UpdateContainerResources", "update_container"),
        ("ImageFsInfo", "image_fs_info"),
        ("ExecSync", "exec_sync"),
        ("Version", "version"),
    ],
)
def test_calls_are_counted_by_upstreams_names(call: str, operation: str) -> None:
    counts = Counts()
    counts.operation(call, 0.5, failed=False)
    counts.operation(call, 0.5, failed=True)
    assert counts.operations.labels(operation).value == 2
    assert counts.operation_errors.labels(operation).value == 1
    assert counts.operation_seconds.labels(operation).sum == 1.0
