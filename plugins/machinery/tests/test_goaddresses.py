"""Addresses and networks as Go reads them. The complaints are those of Go's net/netip."""

from __future__ import annotations

import pytest

from hyperkube_machinery.goaddresses import CIDR, AddressError, parse_address, parse_network


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", 'ParseAddr(""): unable to parse IP'),
        ("abc", 'ParseAddr("abc"): unable to parse IP'),
        ("1.2.3", 'ParseAddr("1.2.3"): IPv4 address too short'),
        ("1.2.3.4.5", 'ParseAddr("1.2.3.4.5"): IPv4 address too long'),
        ("1.2.3.256", 'ParseAddr("1.2.3.256"): IPv4 field has value >255'),
        ("1.02.3.4", 'ParseAddr("1.02.3.4"): IPv4 field has octet with leading zero'),
        ("1..3.4", 'ParseAddr("1..3.4"): IPv4 field must have at least one digit (at ".3.4")'),
        ("1.2.3.", 'ParseAddr("1.2.3."): IPv4 field must have at least one digit (at ".")'),
        ("1.2.3.x", 'ParseAddr("1.2.3.x"): unexpected character (at "x")'),
        (":::1", 'ParseAddr(":::1"): each colon-separated field must have at least one digit (at ":1")'),
        ("1::2::3", 'ParseAddr("1::2::3"): multiple :: in address (at ":3")'),
        ("12345::", 'ParseAddr("12345::"): each group must have 4 or less digits (at "12345::")'),
        ("1:2", 'ParseAddr("1:2"): address string too short'),
        ("1:2:3:4:5:6:7:8:9", 'ParseAddr("1:2:3:4:5:6:7:8:9"): trailing garbage after address (at "9")'),
        ("1:2:3:4::5:6:7:8", 'ParseAddr("1:2:3:4::5:6:7:8"): the :: must expand to at least one field of zeros'),
        ("1:2:3:4:5:6:7:", 'ParseAddr("1:2:3:4:5:6:7:"): colon must be followed by more characters (at ":")'),
        ("fe80::1%", 'ParseAddr("fe80::1%"): zone must be a non-empty string'),
        ("%eth0", 'ParseAddr("%eth0"): missing IPv6 address'),
        ("::1.2.3", 'ParseAddr("::1.2.3"): IPv4 address too short'),
    ],
)
def test_what_is_no_address_is_refused_in_gos_words(text: str, why: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert str(caught.value) == f'IP Address "{text}" parse error during conversion from string: {why}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fe80::1%eth0", 'IP address "fe80::1%eth0" with zone value is not allowed'),
        ("::ffff:1.2.3.4", 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'),
    ],
)
def test_zones_and_mapped_addresses_are_refused(text: str, message: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("127.0.0.1", "127.0.0.1"), ("2001:DB8::0:0:ABCD", "2001:db8::abcd"), ("::", "::"), ("::1.2.3.4", "::102:304")],
)
def test_addresses_have_one_canonical_form(text: str, canonical: str) -> None:
    assert str(parse_address(text)) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.0", "no '/'"),
        ("10.0.0/8", 'ParseAddr("10.0.0"): IPv4 address too short'),
        ("10.0.0.0/33", "prefix length out of range"),
        ("::1/129", "prefix length out of range"),
        ("10.0.0.0/08", 'bad bits after slash: "08"'),
        ("10.0.0.0/+8", 'bad bits after slash: "+8"'),
        ("10.0.0.0/", 'bad bits after slash: ""'),
        ("fe80::1%a/64", "IPv6 zones cannot be present in a prefix"),
    ],
)
def test_what_is_no_network_is_refused_in_gos_words(text: str, why: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_network(text)
    told = f'netip.ParsePrefix("{text}"): {why}'
    assert str(caught.value) == f"network address parse error during conversion from string: {told}"


def test_a_network_may_have_bits_beyond_its_prefix() -> None:
    network = parse_network("192.168.0.1/24")
    assert str(network) == "192.168.0.1/24"
    assert str(network.masked) == "192.168.0.0/24"
    assert network != network.masked


@pytest.mark.parametrize(
    ("outer", "inner", "covers"),
    [
        ("192.168.0.0/16", "192.168.10.0/24", True),
        ("192.168.0.0/24", "192.168.0.0/16", False),
        ("192.168.1.0/24", "192.168.2.0/24", False),
        ("10.0.0.0/8", "::/8", False),
        ("0.0.0.0/0", "255.255.255.255/32", True),
    ],
)
def test_a_network_covers_narrower_ones_within_it(outer: str, inner: str, covers: bool) -> None:
    assert parse_network(outer).covers(parse_network(inner)) is covers


def test_a_network_holds_no_address_of_the_other_family() -> None:
    assert not CIDR(parse_address("::"), 0).holds(parse_address("0.0.0.0"))
