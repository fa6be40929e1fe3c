"""Conditions that the structure cannot decide: z3 in its own process, and what it may not do."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.checking import solver as solver_module
from gateway.checking.solver import ProcessSolver
from gateway.checking.solving import Impossible, Possible, Question, Undecided
from gateway.routing.model import RoutingFacts
from tests.unit.routing.builders import a_condition

pytest.importorskip("z3")


@pytest.fixture(scope="module")
def solver() -> Iterator[ProcessSolver]:
    """One process for all tests of this file."""
    with ProcessSolver(seconds=5) as made:
        yield made


@pytest.mark.parametrize(
    ("text", "wanted", "is_possible"),
    [
        ("facts.at_night && !facts.at_night", True, False),
        ("facts.noise_source == NoiseSource.NOISE_SOURCE_LIVING", True, True),
        ("facts.insured_region.startsWith('13') && facts.insured_region.endsWith('7')", True, True),
        (
            "facts.insured_region.startsWith('132') && facts.insured_region.startsWith('131')",
            True,
            False,
        ),
        ("facts.insured_region.startsWith('0')", True, False),
        ("facts.zone in ['甲', '乙'] && facts.zone != '甲' && facts.zone != '乙'", True, False),
        ("facts.zone.contains('开发') && size(facts.zone) > 4", True, True),
        ("facts.passing_regions.size() > 20", True, False),
        ("facts.passing_regions.exists(r, r.startsWith('31'))", True, True),
        ("facts.passing_regions.all(r, r == '1') && '2' in facts.passing_regions", True, False),
        ("facts.industry == 'a' || facts.industry != 'a'", False, False),
    ],
)
def test_what_is_possible_has_a_ticket_and_the_rest_has_none(
    solver: ProcessSolver, text: str, *, wanted: bool, is_possible: bool
) -> None:
    answer = solver.ask(Question(((text, wanted),)))

    assert isinstance(answer, Possible if is_possible else Impossible)
    if isinstance(answer, Possible):
        empty = {"region": "", "matter": "", "type": 0, "urgency": 0}
        facts = RoutingFacts(**{**empty, **answer.facts})  # type: ignore[arg-type] # by name
        assert a_condition(text).test(facts).holds is wanted


def test_the_bounds_of_a_box_count(solver: ProcessSolver) -> None:
    condition = (("facts.type == TicketType.TICKET_TYPE_HELP", True),)

    assert isinstance(solver.ask(Question(condition, {"type": (3, 4)})), Impossible)
    assert isinstance(solver.ask(Question(condition, {"type": (2, 3)})), Possible)


@pytest.mark.parametrize(
    "text", ["facts.zone.matches('a+')", "1 / facts.urgency == 1", "facts.zone < 'b'"]
)
def test_what_has_no_exact_translation_is_undecided(solver: ProcessSolver, text: str) -> None:
    assert isinstance(solver.ask(Question(((text, True),))), Undecided)


def test_a_process_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "START_SECONDS", 0.0)
    with ProcessSolver() as late:
        assert isinstance(late.ask(Question((("facts.at_night", True),))), Undecided)
        assert late._process is None  # nothing is left behind


def test_after_some_failures_nothing_is_asked_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    monkeypatch.setattr(solver_module, "FAILURES_MAX", 0)
    with ProcessSolver() as tired:
        assert isinstance(tired.ask(Question((("facts.at_night", True),))), Undecided)


def test_without_z3_everything_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "find_spec", lambda _: None)
    with ProcessSolver() as missing:
        assert isinstance(missing.ask(Question((("facts.at_night", True),))), Undecided)


ATOMS = st.sampled_from(
    (
        "facts.at_night",
        "facts.zone == '甲'",
        "facts.zone.startsWith('甲')",
        "facts.type == TicketType.TICKET_TYPE_HELP",
        "facts.type != TicketType.TICKET_TYPE_COMPLAINT",
        "facts.risk_tags.exists(t, t == RiskTag.RISK_TAG_MINOR)",
        "facts.passing_regions.size() > 1",
        "facts.insured_region in ['131000', '120000']",
    )
)
TEXTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, st.sampled_from(("&&", "||")), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
    ),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=TEXTS,
    kind=st.sampled_from((2, 3)),
    zone=st.sampled_from(("", "甲", "甲乙")),
    is_night=st.booleans(),
    tags=st.sampled_from(((), (3,))),
)
def test_what_the_solver_calls_impossible_no_ticket_has(
    solver: ProcessSolver,
    text: str,
    kind: int,
    zone: str,
    *,
    is_night: bool,
    tags: tuple[int, ...],
) -> None:
    facts = RoutingFacts(
        region="", matter="", type=kind, urgency=0, zone=zone, at_night=is_night, risk_tags=tags
    )
    held = a_condition(text).test(facts).holds
    assert not isinstance(solver.ask(Question(((text, held),))), Impossible)
