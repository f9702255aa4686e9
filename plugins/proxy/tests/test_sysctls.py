"""How the kernel tracks connections: a table of what is asked for, and folders that look like the kernel's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from hyperkube_proxy.options import Options
from hyperkube_proxy.sysctls import set_sysctls, wanted

TIMEOUTS = {"nf_conntrack_tcp_timeout_established": 86400, "nf_conntrack_tcp_timeout_close_wait": 3600}


@pytest.mark.parametrize(
    ("fields", "processors", "expected"),
    [
        ({}, 2, {**TIMEOUTS, "nf_conntrack_max": 131072}),
        ({}, 8, {**TIMEOUTS, "nf_conntrack_max": 262144}),
        ({}, 64, {**TIMEOUTS, "nf_conntrack_max": 1048576}),
        ({"conntrack_min": 0}, 1, {**TIMEOUTS, "nf_conntrack_max": 32768}),
        ({"conntrack_max_per_core": 0}, 8, TIMEOUTS),
        (
            {
                "conntrack_max_per_core": 0,
                "conntrack_tcp_timeout_established": 0,
                "conntrack_tcp_timeout_close_wait": 0.5,
                "conntrack_tcp_be_liberal": True,
                "conntrack_udp_timeout": 10,
                "conntrack_udp_timeout_stream": 20,
            },
            2,
            {"nf_conntrack_tcp_be_liberal": 1, "nf_conntrack_udp_timeout": 10, "nf_conntrack_udp_timeout_stream": 20},
        ),
    ],
)
def test_what_is_set_follows_from_flags_and_processors(
    fields: dict[str, Any], processors: int, expected: dict[str, int]
) -> None:
    assert wanted(Options(kubeconfig=Path("/k"), **fields), processors) == expected


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    for name, value in {**TIMEOUTS, "nf_conntrack_max": 65536, "hashsize": 16384}.items():
        (tmp_path / name).write_text(f"{value}\n")
    return tmp_path


def test_the_table_of_connections_grows_with_them(kernel: Path) -> None:
    set_sysctls({"nf_conntrack_max": 262144}, kernel, kernel / "hashsize")
    assert (kernel / "nf_conntrack_max").read_text() == "262144"
    assert (kernel / "hashsize").read_text() == "65536"


def test_what_is_so_already_is_left(kernel: Path) -> None:
    (kernel / "nf_conntrack_max").chmod(0o400)
    set_sysctls({**TIMEOUTS, "nf_conntrack_max": 65536}, kernel, kernel / "hashsize")
    assert (kernel / "nf_conntrack_max").read_text() == "65536\n"


def test_what_may_not_be_set_is_told_of_once(kernel: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        set_sysctls({"nf_conntrack_x": 1, "nf_conntrack_y": 2}, kernel, kernel / "hashsize")
    (record,) = caplog.records
    assert "nf_conntrack_x=1 (No such file or directory), nf_conntrack_y=2" in record.getMessage()
