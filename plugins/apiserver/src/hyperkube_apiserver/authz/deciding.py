"""Questions to authorizers that may have to be waited for, asked by code that can't wait.

A check is a plain function that asks an authorizer. Where an answer isn't known at once, the function is stopped,
the answer is awaited and remembered, and the function is run once more, from its start: so it must do nothing but
decide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hyperkube_apiserver.authz.authorizers import Decision

if TYPE_CHECKING:
    from hyperkube_apiserver.authz.attributes import Attributes
    from hyperkube_apiserver.authz.authorizers import Authorizer, PromptAuthorizer
    from hyperkube_machinery.identity import Identity

__all__ = ["Answered", "Undecided", "deciding", "question_key"]

T = TypeVar("T")


class Undecided(Exception):
    """An authorizer has to be waited for. Whoever runs a check inside `deciding` lets it through."""

    def __init__(self, key: tuple[Any, ...], answer: Awaitable[Decision]) -> None:
        super().__init__("an authorizer has to be waited for")
        self.key = key
        self.answer = answer


def question_key(identity: Identity, info: Attributes) -> tuple[Any, ...]:
    """What tells one question from all others."""
    who = (identity.name, identity.uid, identity.groups, tuple(sorted(identity.extra.items())))
    if not info.is_resource:
        return (*who, info.verb, info.path)
    what = (info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)
    return (*who, *what, info.field_selector, info.label_selector)


class Answered:
    """An authorizer that answers at once, or raises Undecided."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._known: dict[tuple[Any, ...], Decision] = {}

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """The decision. Raises Undecided."""
        if self._known and (decision := self._known.get(question_key(identity, info))) is not None:
            return decision
        answer = self._authorizer.authorize(identity, info)
        if isinstance(answer, Decision):
            return answer
        raise Undecided(question_key(identity, info), answer)

    async def learn(self, undecided: Undecided) -> None:
        self._known[undecided.key] = await undecided.answer


def deciding(authorizer: Authorizer, check: Callable[[PromptAuthorizer], T]) -> T | Awaitable[T]:
    """What `check` returns or raises, at once where every answer is known at once, else to be awaited."""
    answered = Answered(authorizer)
    try:
        return check(answered)
    except Undecided as undecided:
        return _awaited(answered, check, undecided)


async def _awaited(answered: Answered, check: Callable[[PromptAuthorizer], T], undecided: Undecided) -> T:
    while True:
        await answered.learn(undecided)
        try:
            return check(answered)
        except Undecided as another:
            undecided = another
