"""What stays right after a ruling: who knows the caller, who holds, which case, by whose mandate.

Stories of the real services on in-memory stores, as in `test_ruling_stories.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.custody import bodies, store
from gateway.custody.consent import ASSUMPTION_WINDOW
from gateway.custody.model import ChainKey, Holding, OfferReason
from gateway.custody.service import CaseFiled
from gateway.delivery.model import Outcome, SignedBytes
from gateway.delivery.store import OUTBOX
from gateway.kernel.errors import TransitionNotAllowed
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, TicketNumber
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import ticket_pb2
from tests.simulation.checkers import Checkers
from tests.simulation.stage import Stage
from tests.simulation.world import CITIZEN

TIANJIN, HEBEI, SHANGHAI = "120000", "130000", "310000"
SHIJIAZHUANG, BAODING, LANGFANG = "130100", "130600", "131000"


@pytest.fixture
def stage() -> Stage:
    """A faultless federation with the nation's arbiter; every round is checked."""
    stage = Stage()
    stage.at_rest = Checkers(stage).check
    return stage


async def assume(stage: Stage, authority: str, ticket: TicketNumber) -> None:
    """Say "offer it to me"."""
    node = stage.node_of(authority)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{ticket}")
        await node.custody.assume(
            uow, authority=AuthorityCode(authority), ticket=ticket, now=node.clock.now()
        )


def outer(authority: str, ticket: TicketNumber) -> ChainKey:
    """Return an authority's row of the chain among provinces."""
    return ChainKey(AuthorityCode(authority), ticket, NATION, 1)


# --- who calls ----------------------------------------------------------------------------------


async def test_an_unwilling_custodian_cannot_keep_the_caller_out_of_reach(stage: Stage) -> None:
    """廊坊 → 河北 → 天津, cut off; ruling 1: 上海. 河北, where it left, still knows who calls."""
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    await stage.hand_over(LANGFANG, ticket, HEBEI, OfferReason.OUTBOUND)
    await stage.hand_over(HEBEI, ticket, TIANJIN)
    await stage.file(HEBEI, ticket, target=SHANGHAI)
    await stage.only("hebei", "arbiter")
    await stage.rule(ticket, SHANGHAI)
    for _ in range(3):
        for source, target in (
            ("arbiter", "shanghai"),
            ("arbiter", "hebei"),
            ("shanghai", "arbiter"),
            ("hebei", "arbiter"),
            ("hebei", "shanghai"),
        ):
            await stage.only(source, target)
    assert stage.chain(TIANJIN, ticket).ruling == 0, "it is cut off"
    assert stage.copy(SHANGHAI, ticket).identity == CITIZEN
    await stage.settle()
    assert not stage.copy(TIANJIN, ticket).identity
    Checkers(stage).check_settled()


async def test_who_accepted_below_a_ruling_is_never_told_who_calls(stage: Stage) -> None:
    """河北 waits for the caller's name to pass it to 上海; meanwhile ruling 1 gives it to 天津."""
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await stage.accept(HEBEI, ticket)
    await stage.only("hebei", "tianjin")
    release = await stage.hold_back("tianjin", "Release")
    await stage.settle()
    await stage.hand_over(HEBEI, ticket, SHANGHAI)
    assert stage.chain(HEBEI, ticket).release_due == SHANGHAI
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    await stage.rule(ticket, TIANJIN)
    await stage.settle()
    await stage.let_go("tianjin", release)
    assert not stage.copy(SHANGHAI, ticket).identity
    assert not stage.copy(HEBEI, ticket).identity, "it let go; it may not keep it either"
    Checkers(stage).check_settled()


async def test_one_that_yields_and_is_then_accepted_forgets_who_calls(stage: Stage) -> None:
    """河北 is YIELDING when 上海's ACCEPTED of its old offer arrives: RELEASED, and no Release."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.offer(HEBEI, ticket, SHANGHAI)
    await stage.only("hebei", "shanghai")
    await stage.accept(SHANGHAI, ticket)
    answer = await stage.hold_back("shanghai", "Answer")
    updates = await stage.hold_back("shanghai", "TicketUpdate")
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.only("tianjin", "arbiter")
    await stage.rule(ticket, TIANJIN)
    await stage.only("arbiter", "hebei")
    assert stage.chain(HEBEI, ticket).holding is Holding.YIELDING
    await stage.let_go("shanghai", [*answer, *updates])
    assert not stage.copy(HEBEI, ticket).identity
    assert not stage.copy(SHANGHAI, ticket).identity
    Checkers(stage).check_settled()


async def test_a_target_that_was_overtaken_is_given_nothing(stage: Stage) -> None:
    """天津 hears of ruling 2 (河北) before it hears that 上海 took ruling 1."""
    ticket = await stage.create(TIANJIN)
    for _ in range(2):
        await stage.offer(TIANJIN, ticket, HEBEI)
        await stage.settle()
        await stage.decline(HEBEI, ticket)
        await stage.settle()
    await stage.rule(ticket, SHANGHAI)
    await stage.only("arbiter", "shanghai")
    await stage.only("shanghai", "arbiter")
    held = await stage.hold_back("arbiter", "Ruling")
    told = await stage.hold_back("arbiter", "RulingAck")
    await stage.rule(ticket, HEBEI)
    await stage.only("arbiter", "tianjin")
    assert stage.chain(TIANJIN, ticket).ruling == 2
    late = [row for row in told if row.target == TIANJIN]
    assert late
    hebei = await stage.hold_back("arbiter", "Ruling")
    await stage.let_go("arbiter", late)
    assert stage.chain(TIANJIN, ticket).holding is Holding.RELEASED
    shanghai = [
        row
        for row in stage.node_of(SHANGHAI).database.rows(store.STATEMENTS)
        if row.kind == "Release"
    ]
    assert not shanghai, "who calls is for the target of the newest ruling"
    await stage.let_go("arbiter", [*held, *hebei])
    assert stage.copy(HEBEI, ticket).identity == CITIZEN
    Checkers(stage).check_settled()


# --- who holds ----------------------------------------------------------------------------------


async def test_a_late_acceptance_does_not_hide_who_holds(stage: Stage) -> None:
    """河北 is RELEASED by TAKEN; then 上海's ACCEPTED of its old offer arrives."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.offer(HEBEI, ticket, SHANGHAI)
    await stage.only("hebei", "shanghai")
    await stage.accept(SHANGHAI, ticket)
    answer = await stage.hold_back("shanghai", "Answer")
    updates = await stage.hold_back("shanghai", "TicketUpdate")
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.only("tianjin", "arbiter")
    await stage.rule(ticket, TIANJIN)
    await stage.only("arbiter", "tianjin")
    await stage.only("tianjin", "arbiter")
    await stage.only("arbiter", "hebei")
    await stage.only("hebei", "arbiter")
    await stage.only("arbiter", "hebei")
    assert stage.chain(HEBEI, ticket).holding is Holding.RELEASED
    await stage.let_go("shanghai", answer)
    assert stage.chain(HEBEI, ticket).custodian == TIANJIN
    await stage.let_go("shanghai", updates)
    Checkers(stage).check_settled()


async def test_a_ticket_that_is_taken_home_leaves_no_case_inside(stage: Stage) -> None:
    """石家庄 filed against 廊坊; then 河北 must give the ticket up outside."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, SHIJIAZHUANG)
    for _ in range(2):
        await stage.offer(SHIJIAZHUANG, ticket, LANGFANG)
        await stage.settle()
        await stage.decline(LANGFANG, ticket, owner=BAODING)
        await stage.settle()
    [filed] = stage.filed
    assert filed.key.scope == HEBEI
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    await stage.rule(ticket, TIANJIN)
    await stage.only("arbiter", "hebei")
    assert stage.chain(HEBEI, ticket).holding is Holding.YIELDING
    assert stage.void == {filed.case}
    await stage.settle()
    Checkers(stage).check_settled()


async def test_a_chain_that_closes_takes_its_case_along(stage: Stage) -> None:
    """A case inside 河北 has no object once 河北 is overruled outside."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    for _ in range(2):
        await stage.offer(HEBEI, ticket, LANGFANG)
        await stage.settle()
        await stage.decline(LANGFANG, ticket, owner=BAODING)
        await stage.settle()
    case = stage.chain(HEBEI, ticket, scope=HEBEI).case
    assert case
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    await stage.rule(ticket, TIANJIN)
    await stage.settle()
    inner = stage.chain(HEBEI, ticket, scope=HEBEI)
    assert (inner.closed, inner.case) == (True, "")
    assert stage.void == {case}, "its panel has nothing left to rule"
    Checkers(stage).check_settled()


async def test_the_arbiter_knows_who_holds_whoever_files(stage: Stage) -> None:
    """天津 let the ticket go to 河北 and files: the panel may give it back, or uphold 河北."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    assert (stage.filed[-1].filer, stage.filed[-1].custodian) == (TIANJIN, HEBEI)
    assert stage.chain(NATION, ticket).custodian == HEBEI
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    assert stage.chain(NATION, ticket).custodian == SHANGHAI
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    assert stage.chain(NATION, ticket).custodian == SHANGHAI, "an old term proves nothing newer"


# --- cases and consent --------------------------------------------------------------------------


async def test_a_dispute_after_a_ruling_is_a_case_of_its_own(stage: Stage) -> None:
    """天津, released by ruling 1, files again: new facts need a new case."""
    ticket = await stage.create(TIANJIN)
    for _ in range(2):
        await stage.offer(TIANJIN, ticket, HEBEI)
        await stage.settle()
        await stage.decline(HEBEI, ticket)
        await stage.settle()
    await stage.rule(ticket, SHANGHAI, case=stage.filed[0].case)
    await stage.settle()
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    first, second = (filed.case for filed in stage.filed)
    assert first != second
    assert await stage.rule(ticket, TIANJIN, case=second) == 2
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).term_epoch == Epoch(2, 0)
    Checkers(stage).check_settled()


async def test_consent_alone_makes_no_third_hop(stage: Stage) -> None:
    """An Assumption frees a hand-over only during a case: the third hop files one first."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, SHANGHAI)
    await assume(stage, TIANJIN, ticket)
    await stage.settle()
    outcome = await stage.offer(SHANGHAI, ticket, TIANJIN)
    assert isinstance(outcome, CaseFiled)
    await stage.settle()
    await stage.offer(SHANGHAI, ticket, TIANJIN)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).term_epoch == Epoch(0, 3)
    Checkers(stage).check_settled()


async def test_consent_is_used_up_by_the_hand_over_that_it_was_for(stage: Stage) -> None:
    """河北 asked for the ticket, got it and gave it back: its old consent binds it no more."""
    ticket = await disputed(stage)
    await assume(stage, HEBEI, ticket)
    await stage.settle()
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD
    await assume(stage, TIANJIN, ticket)
    await stage.settle()
    assert isinstance(await stage.offer(HEBEI, ticket, TIANJIN), CaseFiled)
    await stage.offer(HEBEI, ticket, TIANJIN)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    assert stage.chain(HEBEI, ticket).holding is Holding.RELEASED
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD


async def test_a_province_asks_its_city_for_the_ticket_also_while_it_holds_outside(
    stage: Stage,
) -> None:
    """天津 → 河北 → 廊坊 → 保定: 廊坊's and 保定's hops are used up, yet consent brings it home."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await stage.hand_over(LANGFANG, ticket, BAODING)
    await assume(stage, HEBEI, ticket)
    await stage.settle()
    await stage.offer(BAODING, ticket, HEBEI)
    await stage.settle()
    inner = stage.chain(HEBEI, ticket, scope=HEBEI)
    assert (inner.holding, inner.hops) == (Holding.HELD, 2)
    stage.clock.advance(ASSUMPTION_WINDOW + timedelta(minutes=1))
    await stage.timers()
    assert stage.chain(HEBEI, ticket, scope=HEBEI).ruling == 0, "it was answered"
    Checkers(stage).check_settled()


async def test_a_city_that_does_not_answer_its_province_loses_the_ticket(stage: Stage) -> None:
    """Rule 2: a HOME ruling cites the province's Assumption that was unanswered too long."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await assume(stage, HEBEI, ticket)
    await stage.settle()
    stage.clock.advance(ASSUMPTION_WINDOW - timedelta(minutes=1))
    await stage.timers()
    assert stage.chain(HEBEI, ticket, scope=HEBEI).holding is Holding.RELEASED
    stage.clock.advance(timedelta(minutes=2))
    await stage.timers()
    inner = stage.chain(HEBEI, ticket, scope=HEBEI)
    assert (inner.holding, inner.term_epoch) == (Holding.HELD, Epoch(1, 0))
    await stage.settle()
    assert stage.chain(LANGFANG, ticket).holding is Holding.RELEASED
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD, "outside nothing changed"
    Checkers(stage).check_settled()


async def test_who_holds_the_ticket_asks_nobody_for_it(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    with pytest.raises(TransitionNotAllowed):
        await assume(stage, HEBEI, ticket)


async def test_a_city_asks_nobody_beyond_its_province(stage: Stage) -> None:
    """The ticket left the province; nobody outside takes a city's word (check 5)."""
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    await stage.hand_over(LANGFANG, ticket, HEBEI, OfferReason.OUTBOUND)
    await stage.hand_over(HEBEI, ticket, TIANJIN)
    assert stage.chain(LANGFANG, ticket).custodian == TIANJIN
    with pytest.raises(TransitionNotAllowed):
        await assume(stage, LANGFANG, ticket)


# --- whose word ---------------------------------------------------------------------------------


async def test_nobody_tells_the_arbiter_a_ruling(stage: Stage) -> None:
    """TOLD about any ticket would leave a row for each at the arbiter."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    before = stage.snapshot()
    body = bodies.RulingAck(1, bodies.Role.TOLD, bytes(32))
    signed = stage.forge(HEBEI, body, outer(NATION, ticket), epoch=Epoch(1, 0))
    receipt = await stage.hand_in(signed, source=HEBEI, target=NATION)
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "STATEMENT_MALFORMED")
    assert stage.snapshot() == before


async def test_a_release_cites_the_acceptance_or_taken_of_its_receiver(stage: Stage) -> None:
    """An earlier party cannot put another name on a ticket by citing any answer to a ruling."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=SHANGHAI)
    await stage.only("tianjin", "arbiter")
    await stage.rule(ticket, SHANGHAI)
    await stage.only("arbiter", "hebei")
    [ack] = stage.said(HEBEI, "RulingAck")[:1]
    key = outer(HEBEI, ticket)
    commitment, block = stage.sealed(
        TIANJIN, key, epoch=Epoch(1, 0), kind="identity_block", block=b"\x0a\x00"
    )
    body = bodies.Release(acceptance_digest=ack.digest, commitments=(commitment,))
    signed = stage.forge(TIANJIN, body, key, epoch=Epoch(1, 0))
    receipt = await stage.hand_in(signed, source=TIANJIN, target=HEBEI, blocks=(block,))
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "STATEMENT_MALFORMED")


async def test_who_was_overruled_cannot_put_another_name_over_that_of_the_origin(
    stage: Stage,
) -> None:
    """河北, unwilling, sends 上海 a Release with a false name after 天津's, where it came in."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=SHANGHAI)
    await stage.settle()
    await stage.rule(ticket, SHANGHAI)
    for _ in range(3):
        for source, target in (
            ("arbiter", ""),
            ("shanghai", "arbiter"),
            ("tianjin", ""),
            ("hebei", "arbiter"),
        ):
            await stage.only(source, target)
    assert stage.copy(SHANGHAI, ticket).identity == CITIZEN
    await stage.hold_back("hebei", "Release")
    await stage.settle()
    [taken] = stage.said(SHANGHAI, "RulingAck")
    false = custody_pb2.IdentityBlock(citizen=ticket_pb2.Citizen(display_name="合成他人"))
    commitment, block = stage.sealed(
        HEBEI,
        outer(SHANGHAI, ticket),
        epoch=Epoch(1, 0),
        kind="identity_block",
        block=false.SerializeToString(),
    )
    body = bodies.Release(acceptance_digest=taken.digest, commitments=(commitment,))
    signed = stage.forge(HEBEI, body, outer(SHANGHAI, ticket), epoch=Epoch(1, 0))
    await stage.hand_in(signed, source=HEBEI, target=SHANGHAI, blocks=(block,))
    assert stage.copy(SHANGHAI, ticket).identity == CITIZEN


async def test_an_answer_to_a_ruling_stands_at_its_own_epoch(stage: Stage) -> None:
    """Else one could answer one ruling at a thousand epochs, each time under another identity."""
    ticket = await stage.create(TIANJIN)
    for _ in range(2):
        await stage.offer(TIANJIN, ticket, HEBEI)
        await stage.settle()
        await stage.decline(HEBEI, ticket)
        await stage.settle()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    [ruling] = stage.said(NATION, "Ruling")
    signed_ruling = SignedBytes(ruling.statement, ruling.key_id, ruling.signature)
    body = bodies.RulingAck(1, bodies.Role.NOT_HELD, ruling.digest, attached=(signed_ruling,))
    signed = stage.forge(HEBEI, body, outer(NATION, ticket), epoch=Epoch(9, 0))
    receipt = await stage.hand_in(signed, source=HEBEI, target=NATION)
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "STATEMENT_MALFORMED")


# --- by whose mandate ---------------------------------------------------------------------------


def end_mandate(stage: Stage, arbiter: str) -> None:
    """List the arbiter as one whose mandate is over."""
    entry = stage.roster.authorities[AuthorityCode(arbiter)]
    ended = replace(entry, mandate_to=stage.clock.now() - timedelta(minutes=1))
    authorities = {**stage.roster.authorities, entry.code: ended}
    stage.roster = replace(stage.roster, authorities=authorities)


async def disputed(stage: Stage) -> TicketNumber:
    """Return a ticket of 天津 that 河北 declined twice."""
    ticket = await stage.create(TIANJIN)
    for _ in range(2):
        await stage.offer(TIANJIN, ticket, HEBEI)
        await stage.settle()
        await stage.decline(HEBEI, ticket)
        await stage.settle()
    return ticket


async def test_an_arbiter_without_a_mandate_rules_nothing(stage: Stage) -> None:
    ticket = await disputed(stage)
    end_mandate(stage, NATION)
    with pytest.raises(TransitionNotAllowed, match="mandate"):
        await stage.rule(ticket, SHANGHAI)


async def test_a_mandate_is_judged_when_its_ruling_first_comes(stage: Stage) -> None:
    """天津 took ruling 1 while the mandate lasted; what 河北 gets from the arbiter later waits."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    await stage.rule(ticket, TIANJIN)
    await stage.only("arbiter", "tianjin")
    end_mandate(stage, NATION)
    await stage.only("arbiter", "hebei")
    assert stage.chain(HEBEI, ticket).ruling == 0
    [waiting] = [row for row in stage.node_of(NATION).database.rows(OUTBOX) if row.target == HEBEI]
    assert waiting.kind == "Ruling", "refused for now, not for ever"
    await stage.only("tianjin", "hebei")
    assert stage.chain(HEBEI, ticket).ruling == 1, "what others received counts"


async def test_an_outer_ruling_is_obeyed_also_by_a_province_that_may_not_rule(
    stage: Stage,
) -> None:
    """The HOME ruling decides nothing: it follows the outer one."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    end_mandate(stage, HEBEI)
    await stage.rule(ticket, TIANJIN)
    await stage.settle()
    assert stage.chain(LANGFANG, ticket).holding is Holding.RELEASED
    Checkers(stage).check_settled()
