"""The server's own certificates: made once, kept, and made whole after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperkube_apiserver.pki import open_pki
from hyperkube_machinery import tls

NOW = 1_700_000_000.0
NAMES = ["localhost", "127.0.0.1"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory in which a server has started before."""
    directory = tmp_path / "pki"
    open_pki(directory, NAMES, now=NOW)
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_certificates_are_kept_from_start_to_start(directory: Path) -> None:
    before = contents(directory)
    open_pki(directory, NAMES, now=NOW + 60)
    assert contents(directory) == before


def test_another_name_renews_the_serving_certificate_and_nothing_else(directory: Path) -> None:
    before = contents(directory)
    open_pki(directory, [*NAMES, "elsewhere"], now=NOW)
    after = contents(directory)
    assert {name for name in after if after[name] != before[name]} == {"apiserver.crt", "apiserver.key"}


def test_a_first_start_that_was_killed_behind_the_authoritys_key_is_made_up_for(directory: Path) -> None:
    for name in ("ca.crt", "apiserver.crt", "apiserver.key"):
        (directory / name).unlink()
    pki = open_pki(directory, NAMES, now=NOW)
    tls.load(directory / "ca.crt", directory / "ca.key")
    assert pki.trusted == (directory / "ca.crt").read_bytes()


def test_a_renewal_that_was_killed_behind_its_key_is_made_up_for(directory: Path) -> None:
    (directory / "apiserver.key").write_bytes(tls.create_ca("another", now=NOW).key_pem)
    pki = open_pki(directory, NAMES, now=NOW)
    served = tls.load(pki.serving_certificate, pki.serving_key)
    assert not tls.renewal_reason(served.certificate, pki.ca.certificate, NAMES, now=NOW)


def test_an_authority_whose_certificate_was_lost_is_not_replaced_behind_its_clients_back(directory: Path) -> None:
    (directory / "ca.crt").unlink()
    with pytest.raises(tls.CertificateError, match=r"ca\.crt"):
        open_pki(directory, NAMES, now=NOW)
