"""`python -m hyperkube_core`, and the commands `hk` and `hyperkube`."""

from __future__ import annotations

import os
from typing import NoReturn


def main() -> NoReturn:
    """Run the launcher `hk` and end the process."""
    if "HK_LIFELINE_FD" in os.environ:
        # First of all: a child that hangs in an import has to end with its parent, too.
        from hyperkube_core import _lifeline

        _lifeline.arm()
    from hyperkube_core._launcher import HyperKube

    HyperKube().run_to_exit()


if __name__ == "__main__":
    main()
