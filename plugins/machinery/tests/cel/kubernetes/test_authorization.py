"""What expressions ask an authorizer."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.estimation import estimate
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.kubernetes.authorization import Authorizer, Decision, Question, ResourceCheck
from hyperkube_machinery.cel.kubernetes.environments import base_environment, mutation_environment, program_of

ENVIRONMENT = base_environment().extend(
    variables={"authorizer": typenames.AUTHORIZER, "requested": typenames.RESOURCE_CHECK}
)


def evaluate(expression: str, decision: Decision) -> tuple[Any, int, list[Question]]:
    asked: list[Question] = []

    def ask(question: Question) -> Decision:
        asked.append(question)
        return decision

    authorizer = Authorizer(ask)
    requested = ResourceCheck(authorizer, Question("", group="apps", resource="deployments", namespace="n", name="d"))
    program = program_of(ENVIRONMENT, ENVIRONMENT.compile(expression))
    result = program.evaluate({"authorizer": authorizer, "requested": requested})
    return result.value, result.cost, asked


@pytest.mark.parametrize(
    ("expression", "question"),
    [
        ("authorizer.path('/healthz').check('get').allowed()", Question("get", path="/healthz")),
        (
            "authorizer.group('').resource('pods').namespace('n').name('p').subresource('log').check('get').allowed()",
            Question("get", resource="pods", namespace="n", name="p", subresource="log"),
        ),
        (
            "authorizer.group('a').resource('b').fieldSelector('x=y').labelSelector('k=v').check('list').allowed()",
            Question("list", group="a", resource="b", field_selector="x=y", label_selector="k=v"),
        ),
        (
            "authorizer.serviceAccount('n', 's').group('').resource('pods').check('list').allowed()",
            Question("list", ("n", "s"), resource="pods"),
        ),
        (
            "requested.check('delete').allowed()",
            Question("delete", group="apps", resource="deployments", namespace="n", name="d"),
        ),
    ],
)
def test_a_check_asks_one_question(expression: str, question: Question) -> None:
    assert evaluate(expression, Decision(True))[::2] == (True, [question])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("allowed()", False),
        ("reason()", "because"),
        ("errored()", True),
        ("error()", "broken"),
    ],
)
def test_a_decision_tells_all_about_itself(expression: str, value: Any) -> None:
    asked = evaluate(f"authorizer.path('/').check('get').{expression}", Decision(False, "because", "broken"))
    assert asked[0] == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("authorizer.path(' ')", "path must not be empty"),
        ("authorizer.group('').resource('')", "resource must not be empty"),
        ("authorizer.serviceAccount('n', 'A')", "Invalid service account name"),
        ("authorizer.serviceAccount('N', 'a')", "Invalid service account namespace"),
    ],
)
def test_questions_that_make_no_sense_fail(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate(expression, Decision(True))
    assert str(caught.value) == message


def test_an_evaluation_has_room_for_two_checks() -> None:
    check = "authorizer.path('/').check('get').allowed()"
    checked = ENVIRONMENT.compile(f"{check} && {check}")
    assert 700_000 <= estimate(ENVIRONMENT, checked).max < 1_000_000
    assert 700_000 <= evaluate(f"{check} && {check}", Decision(True))[1] < 1_000_000


class Undecided(Exception):
    """The answer is not known yet."""


def test_what_the_authorizer_raises_ends_the_evaluation() -> None:
    def ask(question: Question) -> Decision:
        raise Undecided

    program = program_of(ENVIRONMENT, ENVIRONMENT.compile("authorizer.path('/').check('get').allowed() || true"))
    with pytest.raises(Undecided):
        program.evaluate({"authorizer": Authorizer(ask), "requested": None})


def test_patches_escape_their_keys() -> None:
    environment = mutation_environment()
    program = program_of(environment, environment.compile("jsonpatch.escapeKey('k8s.io/my~label')"))
    result = program.evaluate({})
    assert (result.value, result.cost) == ("k8s.io~1my~0label", 2)
