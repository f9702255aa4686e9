"""Expressions of policies and webhooks, evaluated at once or aside, and what they ask an authorizer meanwhile.

Source for what is evaluated: k8s.io/apiserver/pkg/admission/plugin/{cel,policy,webhook/matchconditions}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from hyperkube_apiserver.aside import aside, on_loop
from hyperkube_apiserver.authz import Answered, Authorizer, Decision, PromptAuthorizer, Undecided
from hyperkube_apiserver.authz.attributes import Attributes
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.patience import TakesLong, promptly

__all__ = ["judged"]

T = TypeVar("T")
Judge = Callable[[PromptAuthorizer], T]


async def judged(authorizer: Authorizer, judge: Judge[T]) -> T:
    """What `judge` returns or raises, which evaluates expressions and asks an authorizer, and does nothing but that.

    It may be run more than once: from aside where it takes long, and again whenever an authorizer had to be waited for.
    """
    answered = Answered(authorizer)
    while True:
        try:
            with promptly():
                return judge(answered)
        except Undecided as undecided:
            await answered.learn(undecided)
        except TakesLong:
            return await _judged_aside(answered, judge)


async def _judged_aside(answered: Answered, judge: Judge[T]) -> T:
    asking = _AskedFromAside(answered, asyncio.get_running_loop())
    while True:
        try:
            return await aside(partial(judge, asking))
        except Undecided as undecided:
            await answered.learn(undecided)


class _AskedFromAside:
    """An authorizer for those who are in another thread than what it decides by."""

    def __init__(self, authorizer: PromptAuthorizer, loop: asyncio.AbstractEventLoop) -> None:
        self._authorizer = authorizer
        self._loop = loop

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """The decision. Raises Undecided."""
        return on_loop(self._loop, partial(self._authorizer.authorize, identity, info))
