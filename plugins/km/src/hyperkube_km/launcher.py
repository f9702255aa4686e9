"""The command `km`."""

from __future__ import annotations

from typing import NoReturn

from hyperkube_core import HyperKube

LONG = "This is an all-in-one binary that can run any of the various Kubernetes-Mesos servers."


def main() -> NoReturn:
    """Run the launcher `km` and end the process."""
    HyperKube("km", long=LONG, group="km.servers").run_to_exit()
