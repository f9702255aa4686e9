"""Checks that can't wait, asked of authorizers that have to be waited for."""

from __future__ import annotations

import pytest

from hyperkube_apiserver.authz import (
    ALLOWED,
    DENIED,
    AlwaysAllow,
    Attributes,
    Decision,
    PromptAuthorizer,
    ResourceAttributes,
    Rules,
    Ruling,
    Union,
    decided,
    deciding,
)
from hyperkube_machinery.identity import Identity

pytestmark = pytest.mark.anyio

JOE = Identity("joe")
NO_OPINION = Decision(False, "who knows")
NEVER = Decision(False, "never", denied=True)
BROKEN = Decision(False, error="it is broken")


def pods(verb: str) -> ResourceAttributes:
    return ResourceAttributes(verb=verb, resource="pods")


class Fixed:
    """Says one thing, at once or later."""

    def __init__(self, decision: Decision, *, late: bool = False) -> None:
        self._decision = decision
        self._late = late
        self.asked: list[str] = []

    def authorize(self, identity: Identity, info: Attributes) -> Ruling:
        self.asked.append(info.verb)
        return self._later() if self._late else self._decision

    def explain(self, identity: Identity, info: Attributes) -> Ruling:
        return self.authorize(identity, info)

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        return Rules()

    async def _later(self) -> Decision:
        return self._decision


def verbs(authorizer: PromptAuthorizer) -> list[str]:
    return [verb for verb in ("get", "list", "get") if authorizer.authorize(JOE, pods(verb)).allowed]


def test_a_check_is_done_at_once_where_all_answers_are_known() -> None:
    assert deciding(AlwaysAllow(), verbs) == ["get", "list", "get"]


async def test_a_check_is_run_again_until_all_answers_are_there_and_each_is_asked_for_once() -> None:
    authorizer = Fixed(ALLOWED, late=True)
    found = deciding(authorizer, verbs)
    assert not isinstance(found, list)
    assert await found == ["get", "list", "get"]
    assert authorizer.asked == ["get", "list"]


async def test_what_a_check_raises_is_raised_when_it_is_awaited() -> None:
    def refuse(authorizer: PromptAuthorizer) -> None:
        authorizer.authorize(JOE, pods("get"))
        raise LookupError("pods")

    found = deciding(Fixed(DENIED, late=True), refuse)
    assert found is not None
    with pytest.raises(LookupError, match="pods"):
        await found


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([NO_OPINION, ALLOWED], ALLOWED),
        ([NO_OPINION, NEVER, ALLOWED], NEVER),
        ([ALLOWED, NEVER], ALLOWED),
        ([NO_OPINION, BROKEN], Decision(False, "who knows", error="it is broken")),
        ([BROKEN, ALLOWED], ALLOWED),
        ([BROKEN, NEVER], NEVER),
        ([BROKEN, BROKEN, NO_OPINION, NO_OPINION], Decision(False, "who knows\nwho knows", error="it is broken")),
        ([], DENIED),
    ],
    ids=str,
)
@pytest.mark.parametrize("late", [(), (0,), (1,), (0, 1, 2, 3)], ids=str)
async def test_the_first_opinion_counts_whoever_has_to_be_waited_for(
    members: list[Decision], expected: Decision, late: tuple[int, ...]
) -> None:
    several = Union(Fixed(member, late=index in late) for index, member in enumerate(members))
    assert await decided(several.authorize(JOE, pods("get"))) == expected
    assert await decided(several.explain(JOE, pods("get"))) == expected
