"""The hard cases of rulings, told as stories (docs/custody.md#rulings).

Each is a story of the real services on in-memory stores, without faults but those it tells; after
every round all safety properties hold, and at its end all others.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.custody import bodies, codec
from gateway.custody.model import Holding, Verdict
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import NotCustodian, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode, Epoch
from tests.simulation.checkers import Checkers
from tests.simulation.stage import Stage
from tests.simulation.world import CITIZEN
from tests.unit.custody.stories import (
    BAODING,
    HEBEI,
    LANGFANG,
    SHANGHAI,
    SHIJIAZHUANG,
    TIANJIN,
    a_ruling,
    a_stage,
    disputed,
    holds,
    outer,
    refused,
)


@pytest.fixture
def stage() -> Stage:
    """A fresh stage."""
    return a_stage()


async def test_a_filing_tells_the_arbiter_what_it_needs_and_no_text(stage: Stage) -> None:
    ticket = await disputed(stage)
    [filed] = stage.filed
    assert (filed.key.authority, filed.filer, filed.cause) == (NATION, TIANJIN, "refusals")
    assert filed.path == (TIANJIN,)
    assert filed.proposed_target == SHANGHAI
    assert filed.refused_by == (HEBEI,), "who refused is a party"
    assert filed.header
    assert stage.chain(NATION, ticket).holding is Holding.ABSENT


async def test_a_ruling_gives_the_ticket_with_text_and_caller_to_one_that_never_saw_it(
    stage: Stage,
) -> None:
    ticket = await disputed(stage)
    assert await stage.rule(ticket, SHANGHAI, case=stage.filed[0].case) == 1
    await stage.settle()
    holds(stage, SHANGHAI, ticket, Epoch(1, 0))
    holds(stage, SHANGHAI, ticket, Epoch(0, 0), scope=SHANGHAI)
    assert stage.chain(TIANJIN, ticket).holding is Holding.RELEASED
    assert stage.chain(TIANJIN, ticket, scope=TIANJIN).closed, "rule 5"
    assert stage.copy(SHANGHAI, ticket).identity == CITIZEN
    assert not stage.chain(SHANGHAI, ticket).content_due
    await stage.change(SHANGHAI, ticket)
    await stage.settle()
    assert stage.copy(TIANJIN, ticket).version == stage.copy(SHANGHAI, ticket).version
    Checkers(stage).check_settled()


async def test_the_overruled_cares_until_taken_and_acts_no_more(stage: Stage) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, SHANGHAI)
    await stage.only("arbiter", "tianjin")
    assert stage.chain(TIANJIN, ticket).holding is Holding.YIELDING
    await stage.act(TIANJIN, ticket, is_care=True)
    with pytest.raises(NotCustodian):
        await stage.act(TIANJIN, ticket, is_care=False)
    with pytest.raises(NotCustodian):
        await stage.offer(TIANJIN, ticket, SHANGHAI)
    await stage.settle()
    Checkers(stage).check_settled()


async def test_hard_case_4_the_ruling_reaches_one_whom_the_arbiter_did_not_know(
    stage: Stage,
) -> None:
    """天津 → 河北, cut off; 天津 files; ruling 1: 上海. 河北, unaware, hands it on inside."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=SHANGHAI)
    await stage.only("tianjin")
    await stage.offer(HEBEI, ticket, LANGFANG)
    await stage.only("hebei", "langfang")
    await stage.accept(LANGFANG, ticket)
    await stage.rule(ticket, SHANGHAI)
    await stage.only("arbiter", "shanghai")
    holds(stage, SHANGHAI, ticket, Epoch(1, 0))
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD, "it does not know yet"
    await stage.settle()
    holds(stage, SHANGHAI, ticket, Epoch(1, 0))
    assert stage.chain(HEBEI, ticket).holding is Holding.RELEASED
    assert stage.chain(LANGFANG, ticket).holding is Holding.RELEASED
    Checkers(stage).check_settled()


async def test_hard_case_4_downstream_of_a_silent_holder(stage: Stage) -> None:
    """天津 → 河北; ruling 1: 天津; 河北 hears of it only after 上海 accepted its offer."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.only("tianjin", "arbiter")
    await stage.rule(ticket, TIANJIN)
    await stage.only("arbiter", "tianjin")
    holds(stage, TIANJIN, ticket, Epoch(1, 0))
    await stage.offer(HEBEI, ticket, SHANGHAI)
    await stage.only("hebei", "shanghai")
    await stage.accept(SHANGHAI, ticket)
    await stage.only("shanghai", "hebei")
    assert stage.chain(HEBEI, ticket).holding is Holding.RELEASED
    holds(stage, SHANGHAI, ticket, Epoch(0, 2))
    await stage.settle()
    assert stage.chain(SHANGHAI, ticket).holding is Holding.RELEASED
    holds(stage, TIANJIN, ticket, Epoch(1, 0))
    assert "StandDown" in {row.kind for row in stage.said(SHANGHAI, "StandDown")}
    Checkers(stage).check_settled()


async def test_hard_case_5_the_target_is_down_and_ruling_2_overtakes_it(stage: Stage) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, SHANGHAI)
    late = await stage.hold_back("arbiter", "Ruling")
    await stage.let_go("arbiter", [row for row in late if row.target != SHANGHAI])
    assert stage.chain(TIANJIN, ticket).holding is Holding.YIELDING
    await stage.rule(ticket, TIANJIN)
    await stage.settle()
    holds(stage, TIANJIN, ticket, Epoch(2, 0))
    await stage.let_go("arbiter", [row for row in late if row.target == SHANGHAI])
    holds(stage, TIANJIN, ticket, Epoch(2, 0))
    assert stage.chain(SHANGHAI, ticket).holding is Holding.ABSENT, "ruling 1 is never taken"
    Checkers(stage).check_settled()


async def test_hard_case_5_the_target_takes_late_and_hears_of_ruling_2_from_the_arbiter(
    stage: Stage,
) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, SHANGHAI)
    await stage.rule(ticket, TIANJIN)
    second = await stage.hold_back("arbiter", "Ruling")
    for_shanghai = [row for row in second if row.target == SHANGHAI]
    await stage.let_go("arbiter", [row for row in second if row.target != SHANGHAI])
    holds(stage, TIANJIN, ticket, Epoch(2, 0))
    await stage.let_go("arbiter", for_shanghai[:1])
    await stage.let_go("arbiter", for_shanghai[1:])
    assert stage.chain(SHANGHAI, ticket).holding in (Holding.RELEASED, Holding.ABSENT)
    holds(stage, TIANJIN, ticket, Epoch(2, 0))
    Checkers(stage).check_settled()


async def test_hard_case_6_upheld_with_an_offer_out(stage: Stage) -> None:
    """天津 OFFERED to a silent 河北, upheld; 河北's old ACCEPTED does not end the ruled term."""
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.only("tianjin")
    await stage.file(TIANJIN, ticket, target=HEBEI)
    await stage.only("tianjin", "arbiter")
    await stage.accept(HEBEI, ticket)
    answers = await stage.hold_back("hebei", "Answer")
    updates = await stage.hold_back("hebei", "TicketUpdate")
    await stage.rule(ticket, TIANJIN, kind=RulingKind.UPHOLD)
    await stage.only("arbiter", "tianjin")
    holds(stage, TIANJIN, ticket, Epoch(1, 0))
    await stage.let_go("hebei", [*answers, *updates])
    holds(stage, TIANJIN, ticket, Epoch(1, 0))
    assert stage.chain(HEBEI, ticket).holding is Holding.RELEASED
    Checkers(stage).check_settled()


async def test_hard_case_7_an_offer_carries_the_ruling_that_its_receiver_does_not_know(
    stage: Stage,
) -> None:
    """河北 still holds 0.1 when 天津, ruled custodian, offers it 1.1."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.only("tianjin", "arbiter")
    await stage.rule(ticket, TIANJIN, offers_allowed=True)
    await stage.only("arbiter", "tianjin")
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.only("tianjin", "hebei")
    assert stage.chain(HEBEI, ticket).holding is Holding.RELEASED
    assert [key.scope for key in stage.invitations(HEBEI)] == [NATION]
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    holds(stage, HEBEI, ticket, Epoch(1, 1))
    Checkers(stage).check_settled()


async def test_hard_case_8_rulings_cross(stage: Stage) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, HEBEI)
    first = await stage.hold_back("arbiter", "Ruling")
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    await stage.let_go("arbiter", first)
    holds(stage, SHANGHAI, ticket, Epoch(2, 0))
    assert stage.chain(HEBEI, ticket).holding is Holding.ABSENT
    Checkers(stage).check_settled()


async def test_an_outer_ruling_takes_the_ticket_home_from_a_city_in_the_same_transaction(
    stage: Stage,
) -> None:
    """Rule 4: 河北 is overruled outside while 廊坊 holds the ticket inside."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await stage.file(TIANJIN, ticket, target=SHANGHAI)
    await stage.settle()
    await stage.rule(ticket, SHANGHAI)
    held_back = await stage.hold_back("arbiter", "Ruling")
    await stage.let_go("arbiter", [row for row in held_back if row.target == HEBEI])
    assert stage.chain(HEBEI, ticket).holding is Holding.YIELDING
    holds(stage, HEBEI, ticket, Epoch(1, 0), scope=HEBEI)
    assert stage.chain(LANGFANG, ticket).holding is Holding.RELEASED
    await stage.let_go("arbiter", [row for row in held_back if row.target != HEBEI])
    holds(stage, SHANGHAI, ticket, Epoch(1, 0))
    assert stage.chain(HEBEI, ticket, scope=HEBEI).closed
    Checkers(stage).check_settled()


async def test_a_province_rules_between_its_cities(stage: Stage) -> None:
    ticket = await stage.create(SHIJIAZHUANG)
    for _ in range(2):
        await stage.offer(SHIJIAZHUANG, ticket, LANGFANG)
        await stage.settle()
        await stage.decline(LANGFANG, ticket, owner=BAODING)
        await stage.settle()
    await stage.rule(ticket, LANGFANG, scope=HEBEI)
    await stage.settle()
    holds(stage, LANGFANG, ticket, Epoch(1, 0))
    assert stage.copy(LANGFANG, ticket).identity == CITIZEN
    Checkers(stage).check_settled()


async def test_a_mandate_moves_the_ticket_on_without_an_answer_of_a_person(stage: Stage) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, TIANJIN, mandates=(HEBEI,))
    await stage.settle()
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    holds(stage, HEBEI, ticket, Epoch(1, 1))
    Checkers(stage).check_settled()


async def test_a_ruled_ticket_is_not_offered_on_but_becomes_a_new_case(stage: Stage) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    outcome = await stage.offer(SHANGHAI, ticket, HEBEI)
    assert outcome.cause == "ruled"  # type: ignore[union-attr] # it is a case
    await stage.settle()
    assert stage.filed[-1].filer == SHANGHAI


async def test_a_chain_that_nobody_filed_about_is_not_ruled(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    with pytest.raises(ResourceNotFound):
        await stage.rule(ticket, HEBEI)


async def test_a_ticket_moves_by_consent_during_a_case_and_after_its_hops(stage: Stage) -> None:
    """上海 assumes the ticket while a case is open: the offer that cites it is accepted at once."""
    ticket = await disputed(stage)
    await stage.rule(ticket, TIANJIN, kind=RulingKind.INTERIM, case=stage.filed[0].case)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).case, "an order does not end the case"
    node = stage.node_of(SHANGHAI)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{ticket}")
        await node.custody.assume(
            uow, authority=AuthorityCode(SHANGHAI), ticket=ticket, now=node.clock.now()
        )
    await stage.settle()
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    await stage.settle()
    holds(stage, SHANGHAI, ticket, Epoch(1, 1))


async def test_silence_makes_the_arbiter_tell_the_whole_scope(stage: Stage) -> None:
    """河北 is silent: it could have handed the ticket to anybody, so everybody is told."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.only("tianjin", "arbiter")
    await stage.rule(ticket, TIANJIN)
    await stage.only("arbiter", "tianjin")
    await stage.only("tianjin", "arbiter")
    stage.clock.advance(timedelta(hours=2))
    await stage.timers()
    await stage.only("arbiter", "shanghai")
    assert stage.chain(SHANGHAI, ticket).ruling == 1
    assert stage.chain(HEBEI, ticket).ruling == 0, "it is still cut off"
    await stage.settle()
    Checkers(stage).check_settled()


async def test_an_offer_below_the_ruling_invites_nobody(stage: Stage) -> None:
    """河北 is overruled without knowing; 上海 knows the ruling and answers its offer with it."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=SHANGHAI)
    await stage.only("tianjin", "arbiter")
    await stage.rule(ticket, TIANJIN)
    await stage.only("arbiter", "tianjin")
    await stage.only("arbiter", "shanghai")
    await stage.offer(HEBEI, ticket, SHANGHAI)
    await stage.only("hebei", "shanghai")
    assert not stage.invitations(SHANGHAI)
    [answer] = stage.said(SHANGHAI, "Answer")
    body = codec.body_from_bytes("Answer", statement_from_bytes(answer.statement).body)
    assert isinstance(body, bodies.Answer)
    assert (body.verdict, len(body.attached)) == (Verdict.SUPERSEDED, 1)
    await stage.only("shanghai", "hebei")
    assert stage.chain(HEBEI, ticket).holding is Holding.YIELDING, "it learned from the answer"
    await stage.settle()
    Checkers(stage).check_settled()


# --- what a hostile authority says --------------------------------------------------------------


async def test_only_the_arbiter_of_the_scope_rules(stage: Stage) -> None:
    ticket = await disputed(stage)
    key = outer(TIANJIN, ticket)
    await refused(stage, a_ruling(HEBEI), issuer=HEBEI, at=key, epoch=Epoch(1, 0))


async def test_a_ruling_names_an_authority_of_its_scope_and_its_own_epoch(stage: Stage) -> None:
    ticket = await disputed(stage)
    key = outer(TIANJIN, ticket)
    await refused(stage, a_ruling(LANGFANG), issuer=NATION, at=key, epoch=Epoch(1, 0))
    await refused(stage, a_ruling(HEBEI), issuer=NATION, at=key, epoch=Epoch(2, 0))


async def test_a_ruling_number_with_other_bytes_is_fork_evidence(stage: Stage) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    await refused(
        stage,
        a_ruling(HEBEI),
        issuer=NATION,
        at=outer(TIANJIN, ticket),
        epoch=Epoch(1, 0),
        reason="CHAIN_FORKED",
    )


async def test_taken_counts_only_from_the_target_of_that_very_ruling(stage: Stage) -> None:
    """河北 claims to have taken what 上海 was given, and makes up an answer to no ruling."""
    ticket = await disputed(stage)
    await stage.rule(ticket, SHANGHAI)
    await stage.only("arbiter", "tianjin")
    [ruling] = stage.said(NATION, "Ruling")
    signed = SignedBytes(ruling.statement, ruling.key_id, ruling.signature)
    for_real = bodies.RulingAck(1, bodies.Role.TAKEN, ruling.digest, attached=(signed,))
    without = bodies.RulingAck(1, bodies.Role.TAKEN, ruling.digest)
    other = bodies.RulingAck(1, bodies.Role.TAKEN, bytes(32), attached=(signed,))
    for body in (for_real, without, other):
        for receiver in (TIANJIN, NATION):
            key = outer(receiver, ticket)
            await refused(stage, body, issuer=HEBEI, at=key, epoch=Epoch(1, 0))
    assert stage.chain(TIANJIN, ticket).holding is Holding.YIELDING


async def test_a_stranger_does_not_stand_down_or_file(stage: Stage) -> None:
    ticket = await disputed(stage)
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    report = bodies.StandDown(1, True, Epoch(0, 0))
    await refused(stage, report, issuer=HEBEI, at=outer(SHANGHAI, ticket), epoch=Epoch(0, 0))
    records = tuple(
        SignedBytes(row.statement, row.key_id, row.signature)
        for row in stage.said(TIANJIN, "Genesis")
        if row.scope == NATION
    )
    filing = bodies.CaseFiling(5, "made-up", bytes(32), "hops", "", attached=records)
    await refused(stage, filing, issuer=HEBEI, at=outer(NATION, ticket), epoch=Epoch(0, 0))
