"""The token file: what it may hold, and what is said where it doesn't."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.authn import Identity, StaticTokens, TokenFileError, split_service_account
from hyperkube_machinery.identity import node_name


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.csv"


def test_a_file_gives_each_token_its_user(token_file: Path) -> None:
    token_file.write_text('t1,joe,1\nt2,tina,2,"dev,ops"\nt3,olaf,3,one\n\n"t,4",comma,4\n')
    tokens = StaticTokens.load(token_file)
    assert len(tokens) == 4
    assert tokens.find("t1") == Identity("joe", "1", ("system:authenticated",))
    assert tokens.find("t2") == Identity("tina", "2", ("dev", "ops", "system:authenticated"))
    assert tokens.find("t3") == Identity("olaf", "3", ("one", "system:authenticated"))
    assert tokens.find("t,4") == Identity("comma", "4", ("system:authenticated",))
    assert tokens.find("t5") is None
    assert tokens.find("") is None


def test_a_line_with_too_few_columns_is_named(token_file: Path) -> None:
    token_file.write_text("t1,joe,1\nt2,tina\n")
    with pytest.raises(TokenFileError) as error:
        StaticTokens.load(token_file)
    assert str(error.value) == (
        f"token file '{token_file}', line 2: must have at least 3 columns (token, user name, user uid), found 2"
    )


@pytest.mark.parametrize("text", ['t1,"joe,1\n', 't1,"jo"e,1\n'], ids=["unclosed", "text behind the quote"])
def test_a_broken_quote_is_named(token_file: Path, text: str) -> None:
    token_file.write_text(text)
    with pytest.raises(TokenFileError, match="line 1: it is not a CSV record"):
        StaticTokens.load(token_file)


def test_a_file_that_is_not_there_or_no_text_is_named(token_file: Path) -> None:
    with pytest.raises(TokenFileError, match=r"tokens\.csv': cannot read it: No such file"):
        StaticTokens.load(token_file)
    token_file.write_bytes(b"\xff\xfe,joe,1\n")
    with pytest.raises(TokenFileError, match="not UTF-8"):
        StaticTokens.load(token_file)


def test_of_a_token_that_occurs_twice_the_last_user_counts_and_the_log_tells(
    token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token_file.write_text("t1,joe,1\nt1,tina,2\n,nobody,3\n")
    tokens = StaticTokens.load(token_file)
    identity = tokens.find("t1")
    assert identity is not None
    assert identity.name == "tina"
    assert [record.getMessage() for record in caplog.records] == [
        f"token file '{token_file}', line 2: the token occurs before; it stands for user 'tina' now",
        f"token file '{token_file}', line 3: the token is empty and ignored",
    ]


def test_tokens_are_not_kept_as_they_are() -> None:
    assert "secret-token" not in repr(vars(StaticTokens({"secret-token": Identity("joe")})))


@pytest.mark.parametrize(
    ("username", "parts"),
    [
        ("system:serviceaccount:ns1:sa1", ("ns1", "sa1")),
        ("system:serviceaccount:ns1:sa.1", ("ns1", "sa.1")),
        ("system:serviceaccount:ns1", None),
        ("system:serviceaccount:ns1:a:b", None),
        ("system:serviceaccount:N:a", None),
        ("system:serviceaccount:n.s:a", None),
        (f"system:serviceaccount:{'n' * 64}:a", None),
        ("joe", None),
    ],
)
def test_service_accounts_are_told_from_users(username: str, parts: tuple[str, str] | None) -> None:
    assert split_service_account(username) == parts


@pytest.mark.parametrize(("username", "node"), [("system:node:n1.x", "n1.x"), ("system:node:", None), ("n1", None)])
def test_nodes_are_told_from_users(username: str, node: str | None) -> None:
    assert node_name(username) == node


@settings(max_examples=200)
@given(
    text=st.lists(st.sampled_from(["t", "joe", "1", ",", '"', "\n", "\r", "\0", " "])).map("".join) | st.text(),
)
def test_a_file_of_anything_is_read_or_named(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        StaticTokens.load(path)
    except TokenFileError as error:
        named = str(error)
    else:
        named = str(path)
    assert str(path) in named
