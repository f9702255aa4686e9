"""In whose name requests are passed on."""

from __future__ import annotations

from hyperkube_apiserver.aggregation.identity import identity_headers, without_claims
from hyperkube_apiserver.authn import Identity


def test_headers_say_all_of_a_user() -> None:
    extra = {"example.com/Ärger": ("a", "b")}
    assert identity_headers(Identity("ann", "7", ("dev", "ops"), extra)) == [
        ("X-Remote-User", "ann"),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-example.com%2F%C3%84rger", "a"),
        ("X-Remote-Extra-example.com%2F%C3%84rger", "b"),
    ]


def test_nobody_says_so_for_himself() -> None:
    claims = [("x-remote-user", "m"), ("X-Remote-Group", "g"), ("x-remote-uid", "1"), ("X-Remote-Extra-Scopes", "s")]
    assert list(without_claims([*claims, ("accept", "*/*"), ("x-remote-extrascopes", "v")])) == [
        ("accept", "*/*"),
        ("x-remote-extrascopes", "v"),
    ]
