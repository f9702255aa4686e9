"""Which address a server tells others."""

from __future__ import annotations

import pytest

from hyperkube_apiserver.advertised import advertised_address


@pytest.mark.parametrize("bound", ["192.0.2.7", "2001:db8::7"])
def test_an_address_that_others_reach_is_told_as_it_is(bound: str) -> None:
    assert advertised_address(bound, loopback=False) == bound


def test_loopback_is_told_only_where_nobody_is_elsewhere() -> None:
    assert advertised_address("127.0.0.1", loopback=True) == "127.0.0.1"
    assert advertised_address("127.0.0.1", loopback=False) != "127.0.0.1"
