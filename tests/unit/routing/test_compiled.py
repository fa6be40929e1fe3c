"""The compiled book gives what the slow definition gives, at a cost that does not grow with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import Channel, RiskTag, SubjectKind, TicketType, Urgency
from gateway.reference.data import ReferenceData
from gateway.reference.regions import Level, Region, Regions
from gateway.routing import compiled
from gateway.routing.compiled import Book, Candidate
from gateway.routing.model import (
    DayKind,
    Guard,
    Hours,
    Moment,
    RoutingFacts,
    Rule,
    Selectors,
    is_effective,
)
from gateway.routing.packs import PackSet
from gateway.routing.selecting import selects, unmet
from tests.unit.routing.builders import FROM, a_pack, a_rule, a_ticket, on_day
from tests.unit.routing.strategies import FACTS, MOMENTS, rules

NOWHERE = Regions(())
OWNERS = ("131000", "130000", "100000")


def a_book(*rules_of_it: Rule) -> Book[Candidate]:
    return Book([compiled.compiled(a_pack(*rules_of_it)).rules])


def asked(
    book: Book[Candidate], facts: RoutingFacts, moment: Moment, *, tree: Regions = NOWHERE
) -> list[Candidate]:
    return book.find(facts, region=facts.region, regions=tree, moment=moment)


def ids(found: list[Candidate]) -> list[str]:
    return [candidate.rule.id for candidate in found]


@given(
    packs=st.tuples(*(st.lists(rules(), max_size=5) for _ in OWNERS)),
    owners=st.sampled_from((OWNERS, OWNERS[1:], OWNERS[2:], ())),
    tickets=st.lists(st.tuples(FACTS, MOMENTS), max_size=6),
)
def test_the_book_agrees_with_reading_every_rule(
    reference: ReferenceData,
    packs: tuple[list[Rule], ...],
    owners: tuple[str, ...],
    tickets: list[tuple[RoutingFacts, Moment]],
) -> None:
    by_owner = dict(zip(OWNERS, packs, strict=True))
    book = PackSet(a_pack(*found, owner=owner) for owner, found in by_owner.items())
    for facts, moment in tickets:
        found = [
            candidate.rule
            for candidate in book.candidates(
                facts, owners=owners, region=facts.region, regions=reference.regions, moment=moment
            )
            if not (candidate.is_open and unmet(candidate.rule.selectors, facts, moment))
        ]
        slow = [
            rule
            for owner in owners
            for rule in by_owner[owner]
            if is_effective(rule, moment.day)
            and selects(rule.selectors, facts, reference.regions, moment)
        ]
        assert [id(rule) for rule in found] == [id(rule) for rule in slow]


@given(
    selectors=st.lists(rules(), max_size=8),
    tickets=st.lists(st.tuples(FACTS, MOMENTS), max_size=4),
)
def test_guards_are_found_like_rules_and_the_nations_come_first(
    reference: ReferenceData,
    selectors: list[Rule],
    tickets: list[tuple[RoutingFacts, Moment]],
) -> None:
    guards = [_guard_of(rule, number) for number, rule in enumerate(selectors)]
    packs = PackSet(
        [
            a_pack(owner="130000", guards=tuple(guards[::2])),
            a_pack(owner="100000", guards=tuple(guards[1::2])),
        ]
    )
    for facts, moment in tickets:
        found = packs.guards(
            facts, owners=OWNERS, region=facts.region, regions=reference.regions, moment=moment
        )
        assert [guard.id for guard in found] == [
            guard.id
            for guard in (*guards[1::2], *guards[::2])
            if is_effective(guard, moment.day)
            and selects(guard.selectors, facts, reference.regions, moment)
        ]


def _guard_of(rule: Rule, number: int) -> Guard:
    return Guard(
        id=f"test.guard-{number}",
        owner=rule.owner,
        legal_basis=rule.legal_basis,
        effective_from=rule.effective_from,
        effective_to=rule.effective_to,
        selectors=replace(rule.selectors, condition=None),
        explanation=rule.explanation,
        forbids_reported=True,
    )


def test_a_ticket_touches_only_the_rules_of_its_own_ancestors(
    reference: ReferenceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = [code for code in reference.regions.codes() if reference.regions.current(code)]
    book = a_book(*(a_rule(f"r.{code}", selectors=Selectors(regions=(code,))) for code in regions))
    looked_at: list[int] = []

    def counting(facts: RoutingFacts, minute: int) -> bool:
        assert (facts.region, minute) == ("131082", 570)
        looked_at.append(minute)
        return True

    for section in book._sections:
        for by_matter in section.cells.values():
            for entry in by_matter[compiled.ANY]:
                monkeypatch.setattr(entry, "rest", counting)
                monkeypatch.setattr(entry, "is_checked", True)

    found = asked(book, a_ticket(region="131082"), on_day(FROM), tree=reference.regions)

    assert set(ids(found)) == {"r.131082", "r.131000", "r.130000", "r.100000"}
    assert len(regions) > 3000
    assert len(looked_at) == 4


def test_the_order_of_the_pack_is_kept_and_a_rule_is_found_once() -> None:
    book = a_book(
        a_rule("any.place"),
        a_rule("one.matter", selectors=Selectors(matters=("041200",))),
        a_rule("both.nested", selectors=Selectors(matters=("040000", "041200"))),
    )

    found = asked(book, a_ticket(), on_day(FROM))

    assert ids(found) == ["any.place", "one.matter", "both.nested"]


@pytest.mark.parametrize(
    ("selectors", "changed"),
    [
        (Selectors(types=frozenset({TicketType.COMPLAINT})), {"type": TicketType.HELP}),
        (Selectors(types=frozenset({TicketType.COMPLAINT})), {"type": 99}),
        (Selectors(channels=frozenset({Channel.PHONE})), {"channel": Channel.APP}),
        (Selectors(urgencies=frozenset({Urgency.NORMAL})), {"urgency": Urgency.URGENT}),
        (
            Selectors(subject_kinds=frozenset({SubjectKind.UNSPECIFIED})),
            {"subject_kind": SubjectKind.LEGAL_PERSON},
        ),
        (Selectors(zones=frozenset({""})), {"zone": "zone-1"}),
        (Selectors(reported_unit=False), {"reported_units": ("units/131082-GA-1",)}),
        (Selectors(secrecy_required=False), {"secrecy_required": True}),
        (Selectors(on_boundary=False), {"on_boundary": True}),
    ],
)
def test_one_fact_more_is_another_answer_of_the_same_book(
    selectors: Selectors, changed: dict[str, object]
) -> None:
    book = a_book(a_rule(selectors=selectors))
    facts = a_ticket()
    other = replace(facts, **changed)  # type: ignore[arg-type] # the test names real facts

    assert asked(book, facts, on_day(FROM)) != []
    assert asked(book, other, on_day(FROM)) == []
    assert asked(book, facts, on_day(FROM)) != []


def test_a_ticket_with_several_tags_is_found_by_any_of_them() -> None:
    book = a_book(a_rule(selectors=Selectors(risk_tags=frozenset({RiskTag.MINOR}))))
    tags = ((), (int(RiskTag.GROUP),), (int(RiskTag.GROUP), int(RiskTag.MINOR)))

    found = [asked(book, replace(a_ticket(), risk_tags=each), on_day(FROM)) for each in tags]

    assert [bool(each) for each in found] == [False, False, True]


def test_the_hour_and_the_kind_of_day_are_those_of_the_moment() -> None:
    night = Selectors(hours=(Hours(22 * 60, 6 * 60),), day_kinds=frozenset({DayKind.WORKING}))
    book = a_book(a_rule(selectors=night))
    moments = [
        on_day(FROM, minute=minute, kind=kind)
        for minute in (21 * 60 + 59, 22 * 60, 6 * 60)
        for kind in DayKind
    ]

    found = [bool(asked(book, a_ticket(), moment)) for moment in moments]

    assert found == [False, False, True, False, False, False]


def test_a_year_without_a_calendar_leaves_the_kind_of_day_open() -> None:
    book = a_book(a_rule(selectors=Selectors(day_kinds=frozenset({DayKind.WORKING}))))

    (candidate,) = asked(book, a_ticket(), on_day(FROM, kind=None))

    assert candidate.is_open
    assert not candidate.selects(a_ticket(), on_day(FROM, kind=None))


@pytest.mark.parametrize("days", [(-1, 0, 9, 10, 0), (10, 9, 0, -1, 9)])
def test_one_book_answers_for_each_day_and_dates_are_half_open(days: tuple[int, ...]) -> None:
    book = a_book(a_rule(effective_to=FROM + timedelta(days=10)))
    holds = {-1: 0, 0: 1, 9: 1, 10: 0}

    found = [len(asked(book, a_ticket(), on_day(FROM + timedelta(days=day)))) for day in days]

    assert found == [holds[day] for day in days]
    assert asked(book, a_ticket(), on_day(date.max)) == []


def test_what_is_remembered_has_a_bound_and_changes_no_answer(reference: ReferenceData) -> None:
    pack = a_pack(a_rule("a.rule"), a_rule("b.rule", selectors=Selectors(regions=("130000",))))
    book = Book([compiled.compiled(pack).rules], leaves_max=2)
    tickets = [
        a_ticket(region=region, matter=f"{matter:06}")
        for region in ("131082", "131003", "130102", "310115", "131082")
        for matter in range(3)
    ]

    found = [ids(asked(book, each, on_day(FROM), tree=reference.regions)) for each in tickets]

    assert found == [
        ["a.rule"] if each.region == "310115" else ["a.rule", "b.rule"] for each in tickets
    ]
    assert len(book.remembered()) <= 2


@pytest.mark.parametrize("count", [1, 2, 3, 64, 300])
def test_each_of_many_rules_of_one_leaf_is_told_apart(count: int) -> None:
    types = (TicketType.COMPLAINT, TicketType.HELP)
    book = a_book(
        *(
            a_rule(
                f"r.{number}",
                selectors=Selectors(types=frozenset({types[number % 2]})),
                effective_to=FROM + timedelta(days=number + 1) if number % 3 else None,
            )
            for number in range(count)
        )
    )

    for which, kind in enumerate(types):
        for days in (0, 5):
            moment = on_day(FROM + timedelta(days=days))
            assert ids(asked(book, a_ticket(type=kind), moment)) == [
                f"r.{number}"
                for number in range(which, count, 2)
                if number % 3 == 0 or number + 1 > days
            ]


def test_a_leaf_of_another_tree_of_regions_is_not_used() -> None:
    book = a_book(a_rule(selectors=Selectors(regions=("130000",))))
    trees = [
        Regions(
            [Region("131082", "三河市", Level.COUNTY, parent=parent, since=1993)]
            + [
                Region(code, code, Level.PROVINCE, parent="100000", since=1981)
                for code in ("130000", "120000")
            ]
        )
        for parent in ("130000", "120000", "130000")
    ]

    found = [asked(book, a_ticket(region="131082"), on_day(FROM), tree=tree) for tree in trees]

    assert [len(each) for each in found] == [1, 0, 1]


def test_a_pack_compiles_in_steps_that_end_whole() -> None:
    pack = a_pack(*(a_rule(f"r.{number}") for number in range(3 * compiled.CLAUSES_PER_STEP)))

    whole = compiled.Compiled(pack)
    steps = len([*whole.steps()])

    assert steps == 3
    assert len(asked(Book([whole.rules]), a_ticket(), on_day(FROM))) == len(pack.rules)
