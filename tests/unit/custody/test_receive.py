"""What honest statements do when they are late, early or many (docs/custody.md#checks)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.custody import bodies, codec, store
from gateway.custody.bodies import UpdateVerdict
from gateway.custody.model import (
    ACTS_PER_STATEMENT_MAX,
    CaseOpened,
    ChainKey,
    CustodyEvent,
    Holding,
    OfferReason,
    ProgressArrived,
    Released,
    Verdict,
)
from gateway.custody.service import CaseFiled, Offered
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes
from gateway.delivery.store import EVIDENCE, OUTBOX
from gateway.kernel.errors import (
    CasePending,
    DestinationNotJoined,
    FieldInvalid,
    NotCustodian,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, NodeId
from gateway.kernel.time import Instant
from gateway.trust.roster import AuthorityEntry, NodeEntry, NodeRole, Roster
from tests.simulation.copies import START
from tests.simulation.stage import WINDOW, Stage
from tests.simulation.world import CITIZEN, NODES

TIANJIN, HEBEI, SHANGHAI = "120000", "130000", "310000"
SHIJIAZHUANG, BAODING, LANGFANG = "130100", "130600", "131000"
HOME = OfferReason.OUTBOUND


@pytest.fixture
def stage() -> Stage:
    """A faultless federation: 河北 hosts 石家庄 and 保定, 廊坊 has a node of its own."""
    return Stage()


def nobody_is_accused(stage: Stage) -> bool:
    return not any(node.database.rows(EVIDENCE) for node in stage.nodes.values())


# --- revoking -------------------------------------------------------------------------------


async def test_a_second_revoke_is_the_same_bytes_and_no_fork(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.revoke(TIANJIN, ticket)
    await stage.revoke(TIANJIN, ticket)
    assert len(stage.said(TIANJIN, "Revoke")) == 1
    assert stage.waiting("tianjin") == ["Offer", "Revoke", "Revoke"]
    await stage.settle()
    assert nobody_is_accused(stage)
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD


async def test_a_window_asks_once_and_a_second_one_files_a_case(stage: Stage) -> None:
    """I6: silence surfaces before a person; it never moves the ticket."""
    ticket = await stage.create(TIANJIN)
    told: list[CustodyEvent] = []

    async def react(uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant) -> None:
        told.extend(events)

    stage.node_of(TIANJIN).custody.recall.react = react
    await stage.offer(TIANJIN, ticket, HEBEI)
    stage.clock.advance(WINDOW)
    await stage.timers()
    assert stage.chain(TIANJIN, ticket).holding is Holding.REVOKING
    stage.clock.advance(WINDOW - timedelta(seconds=1))
    await stage.timers()
    assert not told
    stage.clock.advance(timedelta(seconds=1))
    await stage.timers()
    [opened] = told
    assert isinstance(opened, CaseOpened)
    assert opened.cause == "silence"
    chain = stage.chain(TIANJIN, ticket)
    assert (chain.holding, bool(chain.case)) == (Holding.REVOKING, True)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD, "the answer still decides"
    with pytest.raises(CasePending):
        await stage.offer(TIANJIN, ticket, SHANGHAI)


async def test_a_window_of_an_answered_offer_does_nothing(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    stage.clock.advance(2 * WINDOW)
    await stage.timers()
    assert not stage.said(TIANJIN, "Revoke")
    with pytest.raises(TransitionNotAllowed):
        await stage.revoke(TIANJIN, ticket)


async def test_accepted_beats_a_revoke_that_crossed_it(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.only("tianjin")
    await stage.accept(HEBEI, ticket)
    await stage.revoke(TIANJIN, ticket)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.RELEASED
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD
    assert nobody_is_accused(stage)


# --- progress -------------------------------------------------------------------------------


async def test_old_news_do_not_overwrite_a_ticket_that_came_back(stage: Stage) -> None:
    """廊坊's update at 0.1 is late; the ticket is 河北's again at 0.2."""
    ticket = await stage.create(HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await stage.change(LANGFANG, ticket)
    late = stage.said(LANGFANG, "TicketUpdate")[-1]
    envelopes = await stage.hold_back("langfang", "TicketUpdate")
    await stage.hand_over(LANGFANG, ticket, HEBEI, HOME)
    await stage.change(HEBEI, ticket)
    before = stage.copy(HEBEI, ticket)
    await stage.let_go("langfang", envelopes)
    assert stage.copy(HEBEI, ticket) == before
    assert late.digest in {row.digest for row in _kept(stage, HEBEI, "TicketUpdate")}
    assert stage.chain(HEBEI, ticket, HEBEI).custodian == HEBEI
    answers = [_body(row) for row in stage.said(HEBEI, "UpdateAnswer")]
    verdicts = [body.verdict for body in answers if isinstance(body, bodies.UpdateAnswer)]
    assert verdicts[-1] is UpdateVerdict.RECORDED_ONLY


def _kept(stage: Stage, authority: str, kind: str) -> list[store.StatementRow]:
    rows = stage.node_of(authority).database.rows(store.STATEMENTS)
    return [row for row in rows if (row.authority, row.kind) == (authority, kind)]


def _body(row: store.StatementRow) -> bodies.Body:
    return codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)


async def test_an_update_that_overtakes_its_genesis_waits_for_it(stage: Stage) -> None:
    ticket = await stage.create(LANGFANG)
    await stage.change(LANGFANG, ticket)
    stage.network.rates = replace(stage.network.rates, shuffled=1)
    stage.rng.shuffle = lambda order: order.reverse()  # type: ignore[method-assign,assignment] # the worst order
    await stage.settle()
    assert stage.outcomes["deferred"] > 0
    assert stage.copy(HEBEI, ticket).version == stage.copy(LANGFANG, ticket).version
    assert nobody_is_accused(stage)


async def test_an_update_applies_the_acceptance_that_it_carries_first(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check 8: 天津 hears of 河北's progress before 河北's answer itself."""
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.only("tianjin")
    await stage.accept(HEBEI, ticket)
    rows = stage.node_of(HEBEI).database.rows(OUTBOX)
    assert [row.kind for row in rows] == ["Answer", "TicketUpdate"]
    await stage.hold_back("hebei", "Answer")
    told: list[CustodyEvent] = []
    node = stage.node_of(TIANJIN)
    react = node.react

    async def noted(uow: UnitOfWork, event: CustodyEvent, now: Instant) -> None:
        told.append(event)
        await react(uow, event, now)

    monkeypatch.setattr(node, "react", noted)
    await stage.settle()
    assert [type(event) for event in told] == [Released, ProgressArrived]
    chain = stage.chain(TIANJIN, ticket)
    assert (chain.holding, chain.custodian) == (Holding.RELEASED, HEBEI)
    assert stage.copy(HEBEI, ticket).identity == CITIZEN


async def test_the_answer_to_an_update_of_an_earlier_term_is_no_offence(stage: Stage) -> None:
    """廊坊 told five things in its first term; the answers come when it holds a second one."""
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    for _ in range(5):
        await stage.change(LANGFANG, ticket)
    await stage.only("langfang")
    held_back = await stage.hold_back("hebei", "UpdateAnswer")
    await stage.hand_over(LANGFANG, ticket, HEBEI, HOME)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await stage.let_go("hebei", held_back)
    assert len(held_back) == 5
    assert nobody_is_accused(stage)


async def test_a_follower_that_left_does_not_keep_the_custodian_from_acting(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    known = dict(stage.roster.authorities)
    del known[AuthorityCode(TIANJIN)]
    stage.roster = replace(stage.roster, authorities=known)
    await stage.change(HEBEI, ticket)
    assert stage.waiting("hebei") == []


# --- the report of a city -------------------------------------------------------------------


async def test_a_report_that_comes_after_its_offer_still_tells_the_ticket(stage: Stage) -> None:
    """河北 declines the offer that overtook the Genesis; it must follow the ticket all the same."""
    ticket = await stage.create(LANGFANG)
    genesis = await stage.hold_back("langfang", "Genesis")
    await stage.offer(LANGFANG, ticket, HEBEI, HOME)
    await stage.settle()
    await stage.decline(HEBEI, ticket)
    await stage.settle()
    await stage.let_go("langfang", genesis)
    assert stage.copy(HEBEI, ticket).identity == CITIZEN
    chain = stage.chain(HEBEI, ticket, HEBEI)
    assert chain.contact
    assert (chain.holding, chain.floor) == (Holding.ABSENT, Epoch(0, 1)), "what was answered stays"
    assert nobody_is_accused(stage)


# --- who calls ------------------------------------------------------------------------------


async def test_who_calls_is_passed_on_only_when_it_is_known_again(stage: Stage) -> None:
    """河北 let go, forgot the contact, got the ticket back and passed it on before the contact.

    The new custodian must wait for it, not get nothing.
    """
    ticket = await stage.create(SHIJIAZHUANG)
    await stage.hand_over(SHIJIAZHUANG, ticket, HEBEI, HOME)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    assert stage.copy(HEBEI, ticket).identity == b"", "it let go and is not the origin"
    assert stage.copy(LANGFANG, ticket).identity == CITIZEN
    await stage.offer(LANGFANG, ticket, HEBEI, HOME)
    await stage.settle()
    await stage.accept(HEBEI, ticket)
    await stage.only("hebei")
    release = await stage.hold_back("langfang", "Release")
    await stage.settle()
    await stage.hand_over(HEBEI, ticket, BAODING)
    assert stage.copy(BAODING, ticket).identity == b""
    assert stage.chain(HEBEI, ticket, HEBEI).release_due == BAODING
    await stage.let_go("langfang", release)
    assert stage.copy(BAODING, ticket).identity == CITIZEN
    assert stage.copy(HEBEI, ticket).identity == b"", "it only passes the contact on"
    assert stage.copy(LANGFANG, ticket).identity == b""
    assert stage.copy(SHIJIAZHUANG, ticket).identity == CITIZEN, "the origin keeps it"


async def test_an_offer_never_carries_who_calls(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    [row] = _kept(stage, HEBEI, "Offer")
    body = _body(row)
    assert isinstance(body, bodies.Offer)
    assert [item.kind for item in body.commitments] == ["case_block"]
    await stage.decline(HEBEI, ticket)
    await stage.settle()
    assert not stage.said(TIANJIN, "Release")


# --- acts -----------------------------------------------------------------------------------


async def test_many_acts_and_notes_never_stop_a_ticket(stage: Stage) -> None:
    """A statement holds 32 acts; the 33rd must not make every later statement malformed."""
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    for _ in range(ACTS_PER_STATEMENT_MAX + 8):
        await stage.act(LANGFANG, ticket, is_care=True)
        await stage.change(LANGFANG, ticket)
    await stage.settle()
    await stage.hand_over(LANGFANG, ticket, HEBEI, HOME)
    assert stage.chain(HEBEI, ticket, HEBEI).holding is Holding.HELD
    acts = stage.node_of(HEBEI).database.rows(store.ACTS)
    assert len(acts) == ACTS_PER_STATEMENT_MAX + 8, "each once, and no act of care"
    assert all(act.has_force for act in acts)
    assert nobody_is_accused(stage)


async def test_an_act_keeps_its_force_when_its_update_comes_late(stage: Stage) -> None:
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    await stage.change(LANGFANG, ticket)
    update = await stage.hold_back("langfang", "TicketUpdate")
    await stage.hand_over(LANGFANG, ticket, HEBEI, HOME)
    await stage.let_go("langfang", update)
    [act] = stage.node_of(HEBEI).database.rows(store.ACTS)
    assert act.has_force


async def test_an_overtaken_act_has_no_force(stage: Stage) -> None:
    """廊坊's act comes to 河北 only after 河北 took the ticket home and handed it out again."""
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    await stage.change(LANGFANG, ticket)
    [act] = _acts_told(stage)
    forged = bodies.TicketUpdate(
        sequence=9, state=3, custodian=AuthorityCode(LANGFANG), acts=(act,)
    )
    await stage.hand_over(LANGFANG, ticket, HEBEI, HOME)
    key = ChainKey(AuthorityCode(HEBEI), ticket, AuthorityCode(HEBEI), 1)
    commitment, block = stage.sealed(
        LANGFANG, key, epoch=Epoch(0, 0), kind="state_block", block=b""
    )
    [genesis] = _kept(stage, LANGFANG, "Genesis")
    attached = SignedBytes(genesis.statement, genesis.key_id, genesis.signature)
    late = replace(
        forged,
        acts=(replace(act, row=act.row + 50),),
        commitments=(commitment,),
        attached=(attached,),
    )
    await stage.hand_in(
        stage.forge(LANGFANG, late, key), source=LANGFANG, target=HEBEI, blocks=(block,)
    )
    rows = {row.act_row: row for row in stage.node_of(HEBEI).database.rows(store.ACTS)}
    assert rows[act.row].has_force
    assert not rows[act.row + 50].has_force


def _acts_told(stage: Stage) -> tuple[bodies.Act, ...]:
    body = _body(stage.said(LANGFANG, "TicketUpdate")[-1])
    assert isinstance(body, bodies.TicketUpdate)
    return body.acts


# --- guards and cases -----------------------------------------------------------------------


async def test_a_ticket_goes_home_twice_an_era_whoever_sends_it(stage: Stage) -> None:
    ticket = await stage.create(LANGFANG)
    await stage.hand_over(LANGFANG, ticket, HEBEI, HOME)
    await stage.hand_over(HEBEI, ticket, SHIJIAZHUANG)
    await stage.hand_over(SHIJIAZHUANG, ticket, HEBEI, HOME)
    await stage.hand_over(HEBEI, ticket, BAODING)
    outcome = await stage.offer(BAODING, ticket, HEBEI, HOME)
    assert isinstance(outcome, CaseFiled)
    assert outcome.cause == "homeward"
    assert stage.chain(BAODING, ticket).holding is Holding.HELD


async def test_a_case_is_filed_outside_when_an_arbiter_joins() -> None:
    stage = Stage(nodes={name: hosts for name, hosts in NODES.items() if NATION not in hosts})
    ticket = await stage.create(TIANJIN)
    for _ in range(2):
        await stage.offer(TIANJIN, ticket, HEBEI)
        await stage.settle()
        await stage.decline(HEBEI, ticket)
        await stage.settle()
    chain = stage.chain(TIANJIN, ticket)
    assert chain.filing_due
    assert await _posted(stage) == 0, "nobody rules yet"
    _let_the_nation_join(stage)
    async with stage.node_of(TIANJIN).database.unit() as uow:
        await uow.lock(f"ticket/{ticket}")
        both = [asyncio.ensure_future(_posted(stage)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert sorted([await each for each in both]) == [0, 1], "two processes at once post it once"
    assert await _posted(stage) == 0
    assert not stage.chain(TIANJIN, ticket).filing_due
    await stage.settle()
    assert nobody_is_accused(stage)
    [filed] = _kept(stage, NATION, "CaseFiling")
    body = _body(filed)
    assert isinstance(body, bodies.CaseFiling)
    assert (body.case, body.cause, body.proposed_target) == (chain.case, "refusals", SHANGHAI)


async def _posted(stage: Stage) -> int:
    node = stage.node_of(TIANJIN)
    async with node.database.unit() as uow:
        return await node.custody.post_waiting_filings(uow, now=node.clock.now())


def _let_the_nation_join(stage: Stage) -> None:
    """Give 上海's node the nation's arbiter, to have its keys somewhere."""
    node = stage.node_of(SHANGHAI)
    keys = stage.keys_of((NATION,)).authorities
    object.__setattr__(node.keys, "authorities", {**node.keys.authorities, **keys})
    node.hosts = (*node.hosts, NATION)
    sample = stage.roster.authorities[AuthorityCode(SHANGHAI)]
    nation = AuthorityEntry(
        code=NATION,
        name="模拟仲裁",
        hosted_on=node.id,
        statement_keys=tuple(
            replace(key, key_id=public.key_id, public=public, raw=public.raw)
            for key in sample.statement_keys
            for public in [node.keys.signing_key(NATION).public]
        ),
    )
    nodes = [
        NodeEntry(
            id=entry.id,
            endpoint=entry.endpoint,
            roles=entry.roles | {NodeRole.ARBITER} if entry.id == node.id else entry.roles,
        )
        for entry in stage.roster.nodes.values()
    ]
    stage.roster = Roster.of(
        (*stage.roster.authorities.values(), nation), tuple(nodes), version=2, issued=START
    )


async def test_a_filing_for_a_chain_that_its_province_does_not_know_waits(stage: Stage) -> None:
    """A made-up chain must not stand in the way of the province's own one."""
    ticket = await stage.create(TIANJIN)
    key = ChainKey(AuthorityCode(HEBEI), ticket, AuthorityCode(HEBEI), 1)
    filing = bodies.CaseFiling(1, "made up", bytes(32), "hops", "")
    receipt = await stage.hand_in(stage.forge(LANGFANG, filing, key), source=LANGFANG, target=HEBEI)
    assert receipt.reason == "RESOURCE_NOT_FOUND"
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.change(HEBEI, ticket)


# --- what the service refuses ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        (TIANJIN, TIANJIN, FieldInvalid),
        (TIANJIN, "100000", FieldInvalid),
        (TIANJIN, LANGFANG, FieldInvalid),
        (TIANJIN, "440000", DestinationNotJoined),
        (LANGFANG, TIANJIN, TransitionNotAllowed),
        (LANGFANG, SHANGHAI, TransitionNotAllowed),
    ],
)
async def test_an_offer_to_where_it_cannot_go_is_refused(
    stage: Stage, source: str, target: str, error: type[Exception]
) -> None:
    ticket = await stage.create(source)
    await stage.settle()
    before = stage.snapshot()
    with pytest.raises(error):
        await stage.offer(source, ticket, target)
    assert stage.snapshot() == before


async def test_a_ticket_that_is_not_home_does_not_leave_the_province(stage: Stage) -> None:
    ticket = await stage.create(HEBEI)
    await stage.offer(HEBEI, ticket, LANGFANG)
    before = stage.snapshot()
    with pytest.raises(NotCustodian):
        await stage.offer(HEBEI, ticket, TIANJIN)
    assert stage.snapshot() == before


async def test_an_inner_case_keeps_the_ticket_home(stage: Stage) -> None:
    ticket = await stage.create(HEBEI)
    for _ in range(2):
        await stage.offer(HEBEI, ticket, LANGFANG)
        await stage.settle()
        await stage.decline(LANGFANG, ticket)
        await stage.settle()
    with pytest.raises(TransitionNotAllowed, match="not home"):
        await stage.offer(HEBEI, ticket, TIANJIN)


async def test_who_is_not_invited_cannot_decide(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    with pytest.raises(ResourceNotFound):
        await stage.accept(HEBEI, ticket)
    with pytest.raises(ResourceNotFound):
        await stage.decline(HEBEI, ticket)


async def test_a_decline_says_why_on_what_ground_and_whose_it_is(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    with pytest.raises(FieldInvalid):
        await stage.decline(HEBEI, ticket, owner="")
    assert stage.invitations(HEBEI)


async def test_care_goes_on_while_an_offer_is_out_and_ends_with_release(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.act(TIANJIN, ticket, is_care=True)
    with pytest.raises(NotCustodian):
        await stage.act(TIANJIN, ticket, is_care=False)
    await stage.settle()
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    with pytest.raises(NotCustodian):
        await stage.act(TIANJIN, ticket, is_care=True)


async def test_the_view_names_the_custodian_inside_the_custodian(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    for authority in (TIANJIN, HEBEI, LANGFANG):
        node = stage.node_of(authority)
        async with node.database.unit() as uow:
            view = await node.custody.view(uow, AuthorityCode(authority), ticket)
        assert view is not None
        assert view.custodian == LANGFANG
    async with stage.node_of(SHANGHAI).database.unit() as uow:
        custody = stage.node_of(SHANGHAI).custody
        assert await custody.view(uow, AuthorityCode(SHANGHAI), ticket) is None


async def test_the_verdicts_of_one_epoch_agree_on_both_sides(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    outcome = await stage.offer(TIANJIN, ticket, HEBEI)
    assert isinstance(outcome, Offered)
    await stage.settle()
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    [made] = stage.node_of(TIANJIN).database.rows(store.OFFERS_MADE)
    [answered] = stage.node_of(HEBEI).database.rows(store.OFFERS_ANSWERED)
    assert made.verdict == answered.verdict == Verdict.ACCEPTED.value
    assert made.answer_digest == answered.answer_digest
    assert made.epoch == answered.epoch == outcome.epoch.key()
    assert NodeId("tianjin") in stage.nodes
