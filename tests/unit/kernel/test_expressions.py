"""Conditions are checked and bounded when compiled, and never raise when evaluated."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.kernel.expressions import COST_MAX, LENGTH_MAX, Fault, Language, Outcome, Program
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.ticket.v1 import codes_pb2

FACTS = routing_pb.RoutingFacts(
    region="131000",
    matter="041200",
    type=codes_pb2.TICKET_TYPE_COMPLAINT,
    urgency=codes_pb2.URGENCY_NORMAL,
    risk_tags=[codes_pb2.RISK_TAG_STABILITY, codes_pb2.RISK_TAG_GROUP],
    reported_units=["units/131000-GA-1"],
    zone="高新区",
)
# 200 evaluations of anything that compiles, on a machine shared by others; a bomb takes minutes.
EVALUATION_SECONDS_MAX = 1.0


@pytest.fixture(scope="module")
def language() -> Language:
    return Language(routing_pb.RoutingFacts, variable="facts", container="hotline.ticket.v1")


def compiled(language: Language, text: str) -> Program:
    program = language.compile(text)
    assert isinstance(program, Program), program
    return program


def fault(language: Language, text: str) -> Fault:
    found = language.compile(text)
    assert isinstance(found, Fault)
    return found


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("facts.region == '131000'", True),
        ("facts.region.startsWith('13') && !facts.at_night", True),
        ("facts.type == TicketType.TICKET_TYPE_COMPLAINT", True),
        ("facts.noise_source == NoiseSource.NOISE_SOURCE_UNKNOWN", False),
        ("facts.urgency >= 2", True),
        ("size(facts.zone) == 3", True),  # characters, not bytes
        ("facts.zone == '高新区' && facts.zone.contains('新')", True),
        ("facts.zone.matches('^(高|新){2}区$')", True),
        ("facts.zone in ['经开区', '高新区']", True),
        ("facts.reported_units.exists(u, u.startsWith('units/1310'))", True),
        ("facts.risk_tags.all(t, t in [1, 2])", True),
        ("[1, 2].exists(n, n == facts.risk_tags[0])", True),
        ("facts.passing_regions.size() > 1", False),
        ("facts.insured_region != '' && facts.insured_region != facts.region", False),
        ("1 / 0 == 1 || facts.zone == '高新区'", True),  # CEL's own: one true side is enough
    ],
)
def test_a_condition_says_whether_it_holds(language: Language, text: str, holds: bool) -> None:
    program = compiled(language, text)
    assert program.evaluate(language.bind(FACTS)) is (Outcome.TRUE if holds else Outcome.FALSE)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("facts.regio == ''", 1, 6, "undefined field 'regio'"),
        ("facts.zone == '高新区' &&\n facts.foo", 2, 7, "undefined field 'foo'"),
        ("citizen.name == 'x'", 1, 8, "undeclared reference to 'citizen.name'"),
        ("facts.zone > 3", 1, 12, "no matching overload"),
        ("facts.urgency >= 2u", 1, 15, "no matching overload"),
        ("facts.region", 1, 1, "it gives string, not bool"),
        ("[true]", 1, 1, "not bool"),
        ("facts.zone ==", 1, 14, "Syntax error"),
        ("", 1, 1, "Syntax error"),
        ("true\0", 1, 5, "Syntax error"),
        ("now > timestamp('2026-01-01T00:00:00Z')", 1, 1, "undeclared reference to 'now'"),
    ],
)
def test_what_does_not_type_check_is_refused_with_its_place(
    language: Language, text: str, line: int, column: int, words: str
) -> None:
    found = fault(language, text)
    assert (found.line, found.column) == (line, column)
    assert words in found.problem
    assert "in container" not in found.problem
    assert found.advice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("'" + "x" * LENGTH_MAX + "' == 'x'", "characters"),
        ("(" * 200 + "true" + ")" * 200, "nested too deeply"),
        ("[" * 100 + "]" * 100 + " == []", "nested too deeply"),
        ("1" + "+1" * 120 + " > 3", "nested too deeply"),
        ("facts.zone" + "+facts.zone" * 26 + " == ''", "nested too deeply"),
        ("facts.risk_tags.exists(x, facts.risk_tags.exists(y, x + y > 100))", "steps"),
        ("facts.risk_tags.exists(x, facts.zone.matches('(a|b)+$'))", "steps"),
        ("facts.risk_tags.map(x, x * 2).exists(y, y > 3)", "without a bound"),
        ("{'a': 1}.exists(k, k == 'a')", "without a bound"),
        ("{'a': 1}['a'] == 1", "message or a map"),
        ("[[1, 2], [3]].exists(l, l.exists(x, x == 1))", "without a bound"),
        ("facts.zone.matches(facts.region)", "computed"),
        ("facts.zone.matches('a' + 'b')", "computed"),
        ("facts.zone.matches('((a{60}){15})')", "repeats too often"),
        ("facts.zone.matches('(a{9}){9}{9}')", "repeats too often"),
        ("facts.zone.matches('a{1000}')", "repeats too often"),
        ("facts.zone.matches('" + "a" * 101 + "')", "pattern of 101 characters"),
        ("facts.zone.matches('[')", "no regular expression"),
        ("facts.zone.matches(r'(a)\\1')", "no regular expression"),  # RE2 has no back-references
        ("facts.zone.matches('(?=a)')", "no regular expression"),
        ("dyn(facts).citizen == 1", "it uses dyn"),
        ("type(facts) == type(facts)", "it uses type"),
        ("Citizen{} == Citizen{}", "message or a map"),
        ("hotline.ticket.v1.Citizen{} == hotline.ticket.v1.Citizen{}", "message or a map"),
    ],
)
def test_what_has_no_bound_is_refused(language: Language, text: str, words: str) -> None:
    assert words in fault(language, text).problem


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("1 / (facts.type - 3) == 1", Outcome.ZERO_DIVISION),
        ("1 % (facts.type - 3) == 1", Outcome.ZERO_DIVISION),
        ("facts.reported_units[5] == 'x'", Outcome.MISSING),
        ("9223372036854775807 + facts.type > 3", Outcome.OVERFLOW),
        ("int(facts.zone) > 3", Outcome.CONVERSION),
        ("timestamp('2026-01-01T00:00:00Z').getHours(facts.zone) > 3", Outcome.ERROR),
    ],
)
def test_an_error_is_an_outcome_and_no_exception(
    language: Language, text: str, outcome: Outcome
) -> None:
    found = compiled(language, text).evaluate(language.bind(FACTS))
    assert found.is_error
    assert found is outcome


def test_the_text_of_an_error_names_no_value(language: Language) -> None:
    for outcome in Outcome:
        assert not any(character.isascii() for character in outcome.value)


def test_programs_are_equal_when_their_texts_are(language: Language) -> None:
    one, again = compiled(language, "facts.at_night"), compiled(language, "facts.at_night")
    assert one == again
    assert hash(one) == hash(again)
    assert one != compiled(language, "facts.parent")


PIECES = st.sampled_from(
    (
        *("facts", ".region", ".zone", ".risk_tags", ".reported_units", ".nothing", ".type"),
        *(" == ", " && ", " || ", " + ", " in ", " ? ", " : ", "!", "-", "(", ")", "[", "]", "{"),
        *("'高新区'", "''", "1", "0", "u", "true", "null", "x", ", ", "/", "%"),
        *(".exists(x, ", ".all(x, ", ".map(x, ", ".matches('(a+)+$')", ".size()", "int(", "dyn("),
    )
)


@given(text=st.text(max_size=80) | st.lists(PIECES, max_size=25).map("".join))
@example("facts.zone.matches('(a*)*b')")
def test_any_text_is_a_bounded_program_or_a_fault(language: Language, text: str) -> None:
    found = language.compile(text)
    if isinstance(found, Program):
        assert 0 < found.cost <= COST_MAX
        assert isinstance(found.evaluate(language.bind(FACTS)), Outcome)
    else:
        assert found.line >= 1
        assert found.column >= 1
        assert found.problem
        assert len(found.problem) < 300


@pytest.mark.parametrize(
    "text",
    [
        "facts.zone.matches('(a|aa)+$')",
        "facts.zone.matches('((((.*)*)*)*)*b')",
        "facts.zone.matches('(x{0,8}y{0,4})+')",
        "facts.zone.matches('" + ".*" * 40 + "b{8}')",
        "facts.reported_units.exists(u, u.contains('x') || u.endsWith('y') || u.size() > 90)",
    ],
)
def test_the_dearest_that_compiles_is_still_cheap(language: Language, text: str) -> None:
    program = compiled(language, text)
    long = routing_pb.RoutingFacts(zone="a" * 40, reported_units=["units/131000-GA-1" * 2] * 20)
    bound = language.bind(long)
    begin = time.process_time()
    for _ in range(200):
        program.evaluate(bound)
    assert time.process_time() - begin < EVALUATION_SECONDS_MAX
