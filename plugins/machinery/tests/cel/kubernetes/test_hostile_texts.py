"""Whatever a text is, functions answer or fail as evaluations do."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hyperkube_machinery.cel.environment import Program
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kubernetes.environments import base_environment, program_of
from hyperkube_machinery.cel.types import STRING

EXPRESSIONS = [
    "isQuantity(self) && quantity(self).add(1).sub(quantity(self)).asApproximateFloat() > 1.0",
    "quantity(self).isInteger() && quantity(self).asInteger() > 0",
    "quantity(self).asApproximateFloat() > 0.0 && sign(quantity(self)) > 0",
    "isIP(self) && ip(self).isGlobalUnicast() && ip(self).isLinkLocalMulticast() && string(ip(self)) == self",
    "isCIDR(self) && cidr(self).containsCIDR(cidr(self).masked()) && cidr(self).containsIP(cidr(self).ip())",
    "cidr('::/0').containsIP(self)",
    "isURL(self) && url(self).getQuery().size() > 0 && url(self).getPort() == '' && url(self).getHostname() == ''",
    "isSemver(self, true) && semver(self, true).compareTo(semver('1.2.3')) > 0",
    "semver(self).patch() == 1",
    "self.find(self) == ''",
    "self.findAll('a*').size() == 1 && self.findAll('').size() == 0",
    "format.named('datetime').value().validate(self).hasValue()",
    "format.named(self).hasValue()",
    "['date', 'byte', 'uuid', 'uri', 'qualifiedName'].all(f, format.named(f).value().validate(self).hasValue())",
]
PARTS = ["0", "1", "9" * 25, ".", ":", "::", "/", "-", "+", "e400", "E-9", "Ki", "m", "%", "[", "]", "ffff", "\u0661"]
TEXTS = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PARTS), max_size=8).map("".join))


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    environment = base_environment().extend(variables={"self": STRING})
    return [program_of(environment, environment.compile(expression)) for expression in EXPRESSIONS]


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
@example(text="1e400")
@example(text="-1e400")
@example(text="1" * 30 + "E")
@example(text="http://[::1%25\x00]/")
def test_no_text_breaks_a_function(programs: list[Program], text: str) -> None:
    for program in programs:
        try:
            answer = program.evaluate({"self": text}).value
        except EvaluationError:
            continue
        assert answer in (True, False)
