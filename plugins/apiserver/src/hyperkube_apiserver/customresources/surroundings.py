"""What custom resources are served with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hyperkube_apiserver.customresources.conversion import Conversion
    from hyperkube_apiserver.kinds import Kind
    from hyperkube_apiserver.operations.instruments import Traffic
    from hyperkube_apiserver.registry.attributes import AdmissionControl
    from hyperkube_apiserver.watchcache.hub import Hub
    from hyperkube_machinery.storage.interface import Store

__all__ = ["Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all of them share; told apart from them, for the server has it before there are any."""

    hub: Hub
    store: Callable[[Kind], Store]  # to write objects of a kind to
    admission: AdmissionControl
    traffic: Callable[[str, str, str], Traffic]
    conversion: Callable[[Mapping[str, Any], str], Conversion]  # by spec.conversion, of a definition by name
