"""A ruling in words of the rule language: the rule decides as the ruling did, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.arbitration.learning.proposing import Obstacle, Proposed, Ruled, propose, rule_id
from gateway.arbitration.model import CaseKey
from gateway.arbitration.precedents.model import (
    ANY,
    FACT_NAMES,
    VALIDITY,
    Precedent,
    PrecedentKey,
    PrecedentState,
    Relation,
    Role,
    Seat,
    SeatPart,
    facts_of,
    named_facts,
)
from gateway.kernel.codes import CaseLevel, CaseRulingForm, RouteDecisionAction, TicketType
from gateway.kernel.ids import AuthorityCode
from gateway.routing.conditions import cel_conditions
from gateway.routing.document import load_document
from gateway.routing.evaluate import decide
from gateway.routing.grammar import CLAUSE_ID_LENGTH_MAX
from gateway.routing.model import Decision, Pack, RoutingFacts, Rule
from gateway.routing.packs import PackSet
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of
from tests.fixtures.nodes import NOW, packs, reference

LANGFANG = AuthorityCode("131000")
NAME = "131000.langfang"
DECIDES = "lf.driving-school"  # the rule that decided the disputed ticket
JOINED = frozenset({"130000", "131000", "130100", "120000"})
FORM = CaseRulingForm
COMPLAINT = RoutingFacts(
    region="131082", matter="041200", type=int(TicketType.COMPLAINT), urgency=3, origin="131000"
)
FACTS = st.builds(
    replace,
    st.just(COMPLAINT),
    industry=st.sampled_from(["", "fitness", "travel"]),
    at_night=st.booleans(),
    owner_unknown=st.booleans(),
    on_boundary=st.booleans(),
    noise_source=st.sampled_from([0, 1, 4]),
    zone=st.sampled_from(["", "320500-sip"]),
    reported_units=st.sampled_from([(), ("units/131082-WL-1",)]),
)
NAMES = st.lists(st.sampled_from([*FACT_NAMES, ANY]), unique=True)


def a_precedent(
    facts: tuple[str, ...] = (), *, seat: str = "kind:SJ", matter: str = "041200", **changes: Any
) -> Precedent:
    key = PrecedentKey(
        scope="131000",
        matter=matter,
        type=TicketType.COMPLAINT,
        relation=Relation.CUSTODIAN,
        levels="JT,SJ",
        facts=facts,
    )
    made = Precedent(
        case=CaseKey(LANGFANG, "1310002026030200001001X-131000-0-0"),
        ruling=1,
        key=key,
        seat=Seat.of(seat),
        legal_basis="市场监管部门三定规定（测试）",
        state=PrecedentState.ACTIVE,
        since=NOW,
        expires=NOW + VALIDITY,
    )
    return replace(made, **changes)


def ruled(precedent: Precedent, level: CaseLevel = CaseLevel.UNITS, **changes: Any) -> Ruled:
    given: dict[str, Any] = {"region": "131082", "target": "units/131082-SJ-1"}
    return Ruled(precedent=precedent, level=level, today=date(2026, 3, 2), **(given | changes))


def source() -> bytes:
    return packs().get(NAME).source.encode()


def proposed(precedent: Precedent, text: bytes | None = None, **changes: Any) -> Proposed:
    found = propose(ruled(precedent, **changes), pack=NAME, source=text or source(), before=DECIDES)
    assert isinstance(found, Proposed)
    return found


def the_rule(pack: Pack) -> Rule:
    """Return the rule that a ruling made."""
    [found] = [rule for rule in pack.rules if rule.id.startswith("ruling.")]
    return found


@cache
def parsed(text: bytes) -> Pack:
    result = parse_pack(
        text,
        name=load_document(text).top.text("pack"),
        reference=reference(),
        conditions=cel_conditions(),
        templates=templates_of(packs().packs),
    )
    assert not result.errors
    assert result.pack is not None
    return result.pack


def decided(facts: RoutingFacts, *more: Pack) -> Decision:
    """Decide in 廊坊, with packs in place of those of the same names."""
    by_name = {pack.pack: pack for pack in (*packs().packs, *more)}
    return decide(
        facts,
        authority=LANGFANG,
        hosted=frozenset({"131000", "130000"}),
        joined=JOINED,
        packs=PackSet(by_name.values()),
        reference=reference(),
        now=NOW,
        states={},
    )


@settings(max_examples=40, deadline=None)
@given(first=FACTS, second=FACTS, names=NAMES)
def test_the_rule_selects_the_key_and_nothing_else(
    first: RoutingFacts, second: RoutingFacts, names: list[str]
) -> None:
    key = named_facts(facts_of(first), names)
    rule = parsed(proposed(a_precedent(key)).source)
    by_rule = decided(first, rule)
    assert (by_rule.action, by_rule.target) == (RouteDecisionAction.ASSIGN, "units/131082-SJ-1")
    falls_under = key == (ANY,) or all(fact in facts_of(second) for fact in key)
    after = decided(second, rule)
    if falls_under:
        assert after.target == "units/131082-SJ-1"
        assert after.rule == the_rule(rule).id
    else:
        assert (after.target, after.rule) == (decided(second).target, decided(second).rule)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("industry", {"industry": "fitness"}, {"industry": ""}),
        ("at_night", {"at_night": True}, {}),
        ("at_night", {}, {"at_night": True}),
        ("owner_unknown", {"owner_unknown": True}, {}),
        ("on_boundary", {"on_boundary": True}, {}),
        ("on_boundary", {}, {"on_boundary": True}),
        ("noise_source", {"noise_source": 1}, {"noise_source": 4}),
        ("noise_source", {}, {"noise_source": 4}),
        ("zone", {"zone": "320500-sip"}, {}),
        ("reported_kinds", {"reported_units": ("units/131082-WL-1",)}, {}),
        ("reported_kinds", {}, {"reported_units": ("units/131082-WL-1",)}),
    ],
)
def test_one_fact_alone_tells_two_tickets_apart(
    name: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = replace(COMPLAINT, **one), replace(COMPLAINT, **other)
    rule = parsed(proposed(a_precedent(named_facts(facts_of(first), [name]))).source)
    assert decided(first, rule).rule == the_rule(rule).id
    assert decided(second, rule).rule != the_rule(rule).id


def test_it_names_the_body_of_that_kind_in_every_county() -> None:
    rule = parsed(proposed(a_precedent((ANY,))).source)
    found = decided(replace(COMPLAINT, region="131081"), rule)
    assert found.target == "units/131081-SJ-1"


def test_assisting_kinds_come_along() -> None:
    precedent = a_precedent((ANY,), form=FORM.LEAD_ASSIST, parts=(SeatPart(Seat(Role.KIND, "JT")),))
    found = decided(COMPLAINT, parsed(proposed(precedent).source))
    assert (found.target, found.assisting) == ("units/131082-SJ-1", ("units/131082-JT-1",))


def test_a_unit_that_is_none_of_its_kind_there_is_named_for_its_place_only() -> None:
    precedent = a_precedent((ANY,), seat="proposed")
    rule = parsed(proposed(precedent, target="units/131082-GY-3").source)
    assert decided(COMPLAINT, rule).target == "units/131082-GY-3"
    assert decided(replace(COMPLAINT, region="131081"), rule).target == "units/131081-JT-1"


def test_finer_matters_are_not_meant() -> None:
    broad = a_precedent((ANY,), matter="041000")
    rule = parsed(proposed(broad, has_finer=True).source)
    finer = replace(COMPLAINT, matter="041001")
    assert decided(finer, rule).target == decided(finer).target


def test_the_desk_is_asked_when_it_was_ruled_to_decide() -> None:
    found = decided(COMPLAINT, parsed(proposed(a_precedent((ANY,), seat="desk")).source))
    assert found.action is RouteDecisionAction.TRIAGE


def test_between_authorities_the_place_has_it() -> None:
    found = propose(
        ruled(a_precedent(seat="place"), CaseLevel.AUTHORITIES), pack=NAME, source=source()
    )
    assert isinstance(found, Proposed)
    assert decided(replace(COMPLAINT, region="130102"), parsed(found.source)).target == (
        "authorities/130100"
    )


@pytest.mark.parametrize(
    ("level", "changes"),
    [
        (CaseLevel.PROVINCES, {"seat": "place"}),
        (CaseLevel.AUTHORITIES, {"seat": "first_receiver"}),
        (CaseLevel.AUTHORITIES, {"seat": "place", "form": FORM.LEAD_ASSIST}),
        (CaseLevel.UNITS, {"form": FORM.JOINT}),
        (CaseLevel.UNITS, {"form": FORM.SPLIT}),
        (CaseLevel.UNITS, {"form": FORM.LEGAL}),
        (
            CaseLevel.UNITS,
            {"form": FORM.LEAD_ASSIST, "parts": (SeatPart(Seat(Role.CUSTODIAN)),)},
        ),
    ],
)
def test_what_the_language_cannot_say_is_told(level: CaseLevel, changes: dict[str, Any]) -> None:
    found = propose(ruled(a_precedent(**changes), level), pack=NAME, source=source())
    assert isinstance(found, Obstacle)
    assert found.reason


def test_the_text_of_the_pack_stays_as_its_people_wrote_it() -> None:
    found = proposed(a_precedent((ANY,)))
    before, after = source().decode().splitlines(), found.source.decode().splitlines()
    added = ["", *found.text.splitlines()]
    kept = [[line for line in lines if line not in added] for lines in (before, after)]
    assert kept[0] == kept[1]
    assert found.text in found.source.decode()
    assert the_rule(parsed(found.source)).id == found.rule


@pytest.mark.parametrize("basis", ["三定规定（测试）\t", "三定：" + " " * 400])
def test_white_space_in_the_basis_leaves_the_text_of_the_pack_alone(basis: str) -> None:
    commented = b"# " + "本包说明（测试）".encode() + b"\n" + source()
    found = proposed(a_precedent(legal_basis=basis), commented)
    assert found.source.startswith(commented.partition(b"\n")[0])


@pytest.mark.parametrize(
    "text",
    [
        'pack: 131000.langfang\nowner: "131000"\ntitle: 测试\nrules: []\n',
        'pack: 131000.langfang\nowner: "131000"\ntitle: 测试\nrules:\n',
        '规则包: 131000.langfang\n负责单位: "131000"\n名称: 测试\n规则: []\n',
    ],
)
def test_a_pack_without_room_is_written_anew(text: str) -> None:
    found = propose(ruled(a_precedent((ANY,))), pack=NAME, source=text.encode())
    if isinstance(found, Proposed):
        assert [rule.id for rule in parsed(found.source).rules] == [found.rule]
    else:
        assert found.reason


def a_pack(*rules: str, more: str = "") -> bytes:
    """Return a pack of three rules of one line each: id, matter or more, and who has it."""
    lines = ["pack: 131000.langfang", 'owner: "131000"', "title: 测试", "rules:"]
    for number, rule in enumerate(rules):
        name, when, kind = rule.split(" | ")
        lines += [
            f"  # 第 {number} 条的说明",
            f"  - {{id: {name}, owner: 测试, legal_basis: 测试, effective_from: 2026-01-01,",
            f"     effective_to: null, when: {{{when}}}, then: {{assign: {{kind: {kind}}}}},",
            "     explanation: 测试}",
        ]
    return ("\n".join(lines) + "\n" + more).encode()


NARROW = "lf.narrow | matters: [\"041200\"], if: facts.industry == 'fitness' | WL"
WIDE = 'lf.wide | matters: ["041200"] | JT'


def test_a_narrower_own_rule_goes_on_to_win_over_the_new_one() -> None:
    """The quarrel was about a ticket that `lf.wide` decided: that alone is beaten."""
    text = a_pack(NARROW, WIDE)
    fitness = replace(COMPLAINT, industry="fitness")
    before = parsed(text)
    assert decided(COMPLAINT, before).rule == "lf.wide"
    assert decided(fitness, before).rule == "lf.narrow"
    found = propose(ruled(a_precedent((ANY,))), pack=NAME, source=text, before="lf.wide")
    assert isinstance(found, Proposed)
    after = parsed(found.source)
    assert [rule.id for rule in after.rules] == ["lf.narrow", found.rule, "lf.wide"]
    assert decided(COMPLAINT, after).target == "units/131082-SJ-1"
    assert decided(fitness, after).rule == "lf.narrow"


@given(place=st.integers(0, 3), more=st.sampled_from(["", "# 结尾\n", "\nuse: []\n"]))
def test_the_rule_stands_right_before_the_one_that_decided_and_remarks_stay_with_theirs(
    place: int, more: str
) -> None:
    text = a_pack(NARROW, WIDE, "lf.third | types: [report] | SJ", more=more)
    ids = ["lf.narrow", "lf.wide", "lf.third"]
    before = ids[place] if place < 3 else "of.another.pack"
    found = propose(ruled(a_precedent((ANY,))), pack=NAME, source=text, before=before)
    assert isinstance(found, Proposed)
    assert [rule.id for rule in parsed(found.source).rules] == [
        *ids[:place],
        found.rule,
        *ids[place:],
    ]
    written = found.source.decode()
    assert written.replace(found.text, "") == text.decode(), "all else stays as it was written"
    for number, name in enumerate(ids):
        lines = written.splitlines()
        at = next(i for i, line in enumerate(lines) if f"id: {name}" in line)
        assert lines[at - 1] == f"  # 第 {number} 条的说明"


def test_items_without_indent_and_in_chinese_are_kept() -> None:
    text = source().decode().replace("rules:", "规则:").replace("\n  ", "\n").encode()
    if load_document(text).has_errors:  # the form does not allow it: nothing to put in
        pytest.skip("no such form")
    assert len(parsed(proposed(a_precedent((ANY,)), text).source).rules) == 4


def test_an_authority_without_a_pack_gets_one() -> None:
    found = propose(ruled(a_precedent((ANY,))), pack="131000.rulings", source=None)
    assert isinstance(found, Proposed)
    assert [rule.id for rule in parsed(found.source).rules] == [found.rule]


@given(
    case=st.from_regex(r"[0-9]{22}[0-9X]-[0-9]{6}-[0-9]{1,3}-[0-9]{1,4}", fullmatch=True),
    ruling=st.integers(1, 16),
)
def test_ids_are_ids_of_the_language(case: str, ruling: int) -> None:
    name = rule_id(case, ruling)
    assert len(name) <= CLAUSE_ID_LENGTH_MAX
    found = propose(
        ruled(a_precedent((ANY,), case=CaseKey(LANGFANG, case), ruling=ruling)),
        pack="131000.rulings",
        source=None,
    )
    assert isinstance(found, Proposed)
    assert not load_document(found.source).has_errors
    assert case.lower() in name
