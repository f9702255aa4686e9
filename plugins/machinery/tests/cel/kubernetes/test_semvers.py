"""Versions, in the words of the library that upstream reads them with."""

from __future__ import annotations

import pytest

from hyperkube_machinery.cel.kubernetes.semvers import Semver, SemverError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Version string empty"),
        ("1.2", "No Major.Minor.Patch elements found"),
        ("v1.2.3", 'Invalid character(s) found in major number "v1"'),
        ("1.x.3", 'Invalid character(s) found in minor number "x"'),
        ("1.2.3.4", 'Invalid character(s) found in patch number "3.4"'),
        ("01.2.3", 'Major number must not contain leading zeroes "01"'),
        ("1.02.3", 'Minor number must not contain leading zeroes "02"'),
        ("1.2.03", 'Patch number must not contain leading zeroes "03"'),
        ("1.2.", 'strconv.ParseUint: parsing "": invalid syntax'),
        (f"1.2.{2**64}", f'strconv.ParseUint: parsing "{2**64}": value out of range'),
        ("1.2.3-", "Prerelease is empty"),
        ("1.2.3-01", 'Numeric PreRelease version must not contain leading zeroes "01"'),
        ("1.2.3-a_b", 'Invalid character(s) found in prerelease "a_b"'),
        ("1.2.3+", "Build meta data is empty"),
        ("1.2.3+a_b", 'Invalid character(s) found in build meta data "a_b"'),
    ],
)
def test_what_is_no_version_is_refused(text: str, message: str) -> None:
    with pytest.raises(SemverError) as caught:
        Semver.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.2.3", "1.2.3"),
        ("01.02.03", "1.2.3"),
        ("1", "1.0.0"),
        ("1.2", "1.2.0"),
        ("00.0.0", "0.0.0"),
        ("v1.2.3-alpha.1+build", "1.2.3-alpha.1+build"),
    ],
)
def test_versions_are_normalized_on_demand(text: str, version: str) -> None:
    assert str(Semver.parse(text, normalize=True)) == version


def test_a_short_version_with_a_prerelease_is_not_normalized() -> None:
    with pytest.raises(SemverError, match="short version cannot contain PreRelease/Build meta data"):
        Semver.parse("1.2-alpha", normalize=True)


def test_versions_are_ordered_as_semver_has_it() -> None:
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    order += ["1.0.0-rc.1", "1.0.0", "1.0.1", "1.10.0", "2.0.0"]
    versions = [Semver.parse(text) for text in order]
    backwards = versions[::-1]
    assert sorted(backwards) == versions
    assert versions[0] != versions[1]


def test_what_was_built_makes_no_difference() -> None:
    assert Semver.parse("1.2.3+one") == Semver.parse("1.2.3+two")
