"""Fixtures of the tests of the launcher."""

from __future__ import annotations

from hyperkube_core.testing.fixtures import hk, install_plugin, site

__all__ = ["hk", "install_plugin", "site"]
