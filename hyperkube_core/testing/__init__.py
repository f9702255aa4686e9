"""For those who test servers: run one inside a test, on a clock of the test's, or install a plugin for real.

`pytest_plugins = ["hyperkube_core.testing.fixtures"]` in a conftest brings the fixtures; pytest is imported there only.
"""

from __future__ import annotations

from hyperkube_core.testing._clock import VirtualClock
from hyperkube_core.testing._install import Installed, Site
from hyperkube_core.testing._running import LocalHost, RunningServer, running

__all__ = ["Installed", "LocalHost", "RunningServer", "Site", "VirtualClock", "running"]
