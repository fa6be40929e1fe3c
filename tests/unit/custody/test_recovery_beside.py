"""What a restore loses beside the words of one authority; each story is one that a seed told.

Lives of peers, reports and offers without their text, who calls, a chain that only a ruling tells
of, and what a neighbour on the same node said.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.custody import bodies, recovery_store, store
from gateway.custody.codec import body_from_bytes
from gateway.custody.collecting import QUIET
from gateway.custody.model import Holding, OfferReason, Verdict
from gateway.custody.openings import Openings
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.incarnations import PEER_INCARNATIONS, PeerIncarnationRow
from gateway.delivery.store import EVIDENCE
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import NATION, Epoch, NodeId
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation import backups
from tests.simulation.copies import COPIES
from tests.simulation.stage import Stage

TIANJIN, HEBEI, SHANGHAI, JIANGSU = "120000", "130000", "310000", "320000"
SHIJIAZHUANG, BAODING, LANGFANG = "130100", "130600", "131000"


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody keep what opens a promise: it was purged, or lost by a restore of its own."""

    async def nothing(*_given: object) -> tuple[()]:
        return ()

    monkeypatch.setattr(Openings, "opened", nothing)


def blamed(stage: Stage) -> list[str]:
    """Return what anybody has against anybody."""
    nodes = stage.nodes.values()
    return [f"{row.source} {row.reason}" for node in nodes for row in node.database.rows(EVIDENCE)]


def lives(stage: Stage, authority: str) -> dict[str, int]:
    """Return the incarnations that the node of an authority knows."""
    rows = stage.node_of(authority).database.rows(PEER_INCARNATIONS)
    return {row.node: row.incarnation for row in rows}


# --- lives of peers ---------------------------------------------------------------------------


async def test_a_restored_node_hears_again_which_of_its_peers_were_restored(stage: Stage) -> None:
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    backup = hebei.database.snapshot()
    await backups.restore(tianjin, tianjin.database.snapshot())
    await backups.recover(tianjin)
    await backups.restore(hebei, backup)
    assert not lives(stage, HEBEI)
    await backups.recover(hebei)
    assert lives(stage, HEBEI) == {tianjin.id: 2}


async def test_what_a_peers_earlier_life_sent_is_refused_after_an_own_restore(
    stage: Stage,
) -> None:
    """天津 acts, is restored and acts anew; 河北, restored after it, must not take the first."""
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    old, backup = tianjin.database.snapshot(), hebei.database.snapshot()
    await stage.offer(TIANJIN, ticket, HEBEI)
    [late] = [
        backups.envelope_of(row, incarnation=1) for row in await stage.hold_back("tianjin", "Offer")
    ]
    await backups.restore(tianjin, old)
    await backups.recover(tianjin)
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await hebei.inbox.take(late, peer=tianjin.id)
    assert stage.invitations(HEBEI) == []


async def test_a_head_says_which_life_its_node_is_in(stage: Stage) -> None:
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await tianjin.seal(tianjin.hosts[0])
    tianjin.recovery.incarnation = 2
    await backups.keeper_of(hebei).ask_due()
    assert lives(stage, HEBEI) == {tianjin.id: 2}


async def test_an_answer_of_an_earlier_life_counts_as_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hebei = stage.node_of(HEBEI)
    async with hebei.database.unit() as uow:
        uow.put(PEER_INCARNATIONS, PeerIncarnationRow("tianjin", 3))
    await backups.restore(hebei, hebei.database.snapshot())
    honest = backups.SimulatedBooks.return_statements

    async def older(
        self: backups.SimulatedBooks, node: NodeId, request: peer_pb.ReturnStatementsRequest
    ) -> peer_pb.ReturnStatementsResponse:
        page = await honest(self, node, request)
        page.incarnation = 2
        return page

    monkeypatch.setattr(backups.SimulatedBooks, "return_statements", older)
    run = backups.run_of(hebei)
    await run.step()
    stage.clock.advance(QUIET)
    await run.step()
    assert await backups.missing(hebei) == ("tianjin",)


# --- content that is gone ---------------------------------------------------------------------


async def overruled_without_text(stage: Stage) -> tuple[str, object]:
    """Let 河北 be ruled custodian, and overruled before it had the text; 上海 forgets the rest."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, JIANGSU)
    await stage.file(JIANGSU, ticket)
    await stage.settle()
    await stage.rule(ticket, HEBEI)
    await stage.only("arbiter", "hebei")
    backup = stage.node_of(SHANGHAI).database.snapshot()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    return ticket, backup


async def test_a_report_that_never_had_a_text_is_known_again(stage: Stage) -> None:
    """Else what else its signer says waits for ever: it is not proven to have held the ticket."""
    ticket, backup = await overruled_without_text(stage)
    [said] = stage.said(HEBEI, "StandDown")
    body = body_from_bytes(said.kind, statement_from_bytes(said.statement).body)
    assert isinstance(body, bodies.StandDown)
    assert not body.commitments
    shanghai = stage.node_of(SHANGHAI)
    await backups.restore(shanghai, backup)  # type: ignore[arg-type] # a snapshot
    await backups.recover(shanghai)
    assert HEBEI in stage.chain(SHANGHAI, ticket).parties
    assert not stage.chain(SHANGHAI, ticket).content_due
    await stage.settle()
    assert not blamed(stage)


@pytest.mark.usefixtures("no_text")
async def test_a_report_whose_text_is_lost_stands_as_a_report(stage: Stage) -> None:
    ticket, backup = await overruled_without_text(stage)
    shanghai = stage.node_of(SHANGHAI)
    await backups.restore(shanghai, backup)  # type: ignore[arg-type] # a snapshot
    await backups.recover(shanghai)
    chain = stage.chain(SHANGHAI, ticket)
    assert {JIANGSU, HEBEI} <= set(chain.parties)
    assert chain.content_due
    assert [row.what for row in shanghai.database.rows(recovery_store.ITEMS)] == ["content missing"]


@pytest.mark.usefixtures("no_text")
async def test_an_offer_whose_text_is_lost_is_given_back_at_once(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    assert stage.invitations(HEBEI) == []
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD
    [made] = stage.node_of(TIANJIN).database.rows(store.OFFERS_MADE)
    assert made.verdict == Verdict.REVOKED.value
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    assert stage.chain(HEBEI, ticket).term_epoch == Epoch(0, 2)


@pytest.mark.usefixtures("no_text")
async def test_an_offer_of_one_who_was_overruled_since_pends_for_nobody(stage: Stage) -> None:
    """It asks nothing back any more, so whoever lost the offer must answer it."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await stage.file(TIANJIN, ticket)
    await stage.settle()
    await stage.rule(ticket, SHANGHAI)
    for way in (("arbiter", "tianjin"), ("arbiter", "shanghai"), ("shanghai", "arbiter")):
        await stage.only(*way)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).pending_epoch is None


# --- who calls --------------------------------------------------------------------------------


async def test_a_city_that_let_go_of_the_caller_since_the_backup_lets_go_again(
    stage: Stage,
) -> None:
    """廊坊 was told what 石家庄 answered to the ruling: with that comes all that it said."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(BAODING)
    await stage.hand_over(BAODING, ticket, SHIJIAZHUANG)
    backup = hebei.database.snapshot()
    await stage.offer(SHIJIAZHUANG, ticket, LANGFANG)
    await stage.settle()
    await stage.rule(ticket, LANGFANG, scope=HEBEI)
    await stage.settle()
    assert not stage.copy(SHIJIAZHUANG, ticket).identity
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    assert not stage.copy(SHIJIAZHUANG, ticket).identity


# --- what only others tell of -----------------------------------------------------------------


async def test_a_chain_that_came_back_by_a_ruling_alone_can_go_outside(stage: Stage) -> None:
    """河北 rules on its own ticket and tells 廊坊, which knows nothing of it but the ruling."""
    hebei = stage.node_of(HEBEI)
    backup = hebei.database.snapshot()
    ticket = await stage.create(HEBEI)
    await stage.rule(ticket, HEBEI, scope=HEBEI, kind=RulingKind.UPHOLD, offers_allowed=True)
    await stage.settle()
    await stage.rule(ticket, LANGFANG, scope=HEBEI, offers_allowed=True)
    copy = stage.copy(HEBEI, ticket)
    await stage.settle()
    await stage.rule(ticket, HEBEI, scope=HEBEI, offers_allowed=True)
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    inner = stage.chain(HEBEI, ticket, scope=HEBEI)
    assert (inner.genesis_digest, inner.holding) == (b"", Holding.HELD)
    async with hebei.database.unit() as uow:
        uow.put(COPIES, copy)  # its platform hands it in again
    await stage.rule(ticket, HEBEI, scope=HEBEI, offers_allowed=True)
    await stage.settle()
    await stage.hand_over(HEBEI, ticket, SHANGHAI)
    assert stage.chain(SHANGHAI, ticket).holding is Holding.HELD
    assert not blamed(stage)


async def test_what_a_neighbour_on_the_node_said_comes_back_attached(stage: Stage) -> None:
    """石家庄 lives with 河北; its Genesis left the node only inside that of 河北 outside."""
    hebei = stage.node_of(HEBEI)
    backup = hebei.database.snapshot()
    ticket = await stage.create(SHIJIAZHUANG)
    await stage.hand_over(SHIJIAZHUANG, ticket, HEBEI, OfferReason.OUTBOUND)
    await stage.offer(HEBEI, ticket, TIANJIN)
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    city = stage.chain(SHIJIAZHUANG, ticket)
    assert city.term_epoch == Epoch(0, 0)
    assert city.holding is Holding.RELEASED  # the offer outside says that it went home
    assert stage.chain(HEBEI, ticket, scope=HEBEI).holding is Holding.HELD
    assert stage.chain(HEBEI, ticket, scope=NATION).holding is Holding.OFFERED
    assert not blamed(stage)


async def test_a_report_comes_back_with_its_text_though_nobody_keeps_who_calls(
    stage: Stage,
) -> None:
    """廊坊 tells its province of a ticket; the province forgets it, and what it said of it."""
    hebei = stage.node_of(HEBEI)
    backup = hebei.database.snapshot()
    ticket = await stage.create(LANGFANG)
    await stage.change(LANGFANG, ticket)
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert stage.chain(HEBEI, ticket, scope=HEBEI).genesis_digest
    assert stage.copy(HEBEI, ticket).origin == LANGFANG
    assert not hebei.database.rows(recovery_store.ITEMS)


@pytest.mark.usefixtures("no_text")
async def test_two_restores_one_after_the_other_lose_no_ticket(stage: Stage) -> None:
    """河北 forgets the report of 廊坊 and hears it again; then 廊坊 has it from 河北."""
    hebei, langfang = stage.node_of(HEBEI), stage.node_of(LANGFANG)
    older, old = hebei.database.snapshot(), langfang.database.snapshot()
    ticket = await stage.create(LANGFANG)
    await stage.change(LANGFANG, ticket)
    await stage.settle()
    await backups.restore(hebei, older)
    await backups.recover(hebei)
    await backups.restore(langfang, old)
    await backups.recover(langfang)
    assert stage.chain(LANGFANG, ticket).holding is Holding.HELD


async def test_a_province_that_let_go_outside_takes_the_ticket_home_first(stage: Stage) -> None:
    """How it came home from 石家庄 is lost on their one disk: else it proved a term of the city."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(HEBEI)
    await stage.hand_over(HEBEI, ticket, SHIJIAZHUANG)
    backup = hebei.database.snapshot()
    await stage.hand_over(SHIJIAZHUANG, ticket, HEBEI, OfferReason.OUTBOUND)
    await stage.hand_over(HEBEI, ticket, TIANJIN)
    await stage.file(TIANJIN, ticket)
    await stage.settle()
    await stage.rule(ticket, SHANGHAI)  # what 河北 answers says that it had let go
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.change(SHANGHAI, ticket)
    await stage.settle()
    inner = stage.chain(HEBEI, ticket, scope=HEBEI)
    assert (inner.term_epoch, inner.holding, inner.closed) == (Epoch(1, 0), Holding.RELEASED, True)
    assert stage.chain(SHIJIAZHUANG, ticket).closed
    assert stage.copy(SHIJIAZHUANG, ticket).version == stage.copy(SHANGHAI, ticket).version
    assert not blamed(stage)


async def test_who_took_custody_in_an_era_knows_its_ruling_again(stage: Stage) -> None:
    """Its answer to the ruling never left: else the ruling would end a term of its own era."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    backup = hebei.database.snapshot()
    await stage.rule(ticket, BAODING, scope=HEBEI, offers_allowed=True)
    await stage.settle()
    await stage.hand_over(BAODING, ticket, HEBEI, OfferReason.OUTBOUND)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    inner = stage.chain(HEBEI, ticket, scope=HEBEI)
    assert (inner.ruling, inner.ruling_target) == (1, BAODING)
    assert (inner.holding, inner.term_epoch) == (Holding.HELD, Epoch(1, 1))
    assert not blamed(stage)


@pytest.mark.usefixtures("no_text")
async def test_a_province_without_the_text_may_uphold_itself_and_nobody_else(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(LANGFANG)
    backup = hebei.database.snapshot()
    await stage.hand_over(LANGFANG, ticket, HEBEI, OfferReason.OUTBOUND)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert stage.chain(HEBEI, ticket, scope=HEBEI).content_due
    with pytest.raises(ResourceNotFound):
        await stage.rule(ticket, SHIJIAZHUANG, scope=HEBEI)
    await stage.rule(ticket, HEBEI, scope=HEBEI, kind=RulingKind.UPHOLD)
    await stage.settle()
    assert stage.chain(HEBEI, ticket, scope=HEBEI).term_epoch == Epoch(1, 0)


async def test_what_was_still_in_the_lost_outbox_is_said_again(stage: Stage) -> None:
    """廊坊 never told its province, 保定 knows the ticket: else what follows waits for ever."""
    langfang = stage.node_of(LANGFANG)
    backup = langfang.database.snapshot()
    ticket = await stage.create(LANGFANG)
    await stage.hold_back("langfang", "Genesis")
    await stage.offer(LANGFANG, ticket, BAODING)
    await stage.settle()
    await backups.restore(langfang, backup)
    await backups.recover(langfang)
    await stage.file(LANGFANG, ticket)
    await stage.settle()  # nothing waits
    assert stage.chain(HEBEI, ticket, scope=HEBEI).genesis_digest
    assert not blamed(stage)


async def test_a_report_that_was_lost_with_an_outbox_reaches_its_reader(stage: Stage) -> None:
    """上海 needs the StandDown of 江苏 to take its Release; only the arbiter has it by now."""
    jiangsu = stage.node_of(JIANGSU)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, JIANGSU)
    await stage.file(JIANGSU, ticket)
    await stage.settle()
    backup = jiangsu.database.snapshot()
    await stage.rule(ticket, SHANGHAI)
    for way in (("arbiter", "shanghai"), ("arbiter", "jiangsu"), ("shanghai", "arbiter")):
        await stage.only(*way)
    await stage.only("arbiter", "jiangsu")  # TAKEN
    await stage.only("jiangsu", "arbiter")
    assert stage.said(JIANGSU, "StandDown")
    await backups.restore(jiangsu, backup)
    await backups.recover(jiangsu)
    await stage.settle()
    assert JIANGSU in stage.chain(SHANGHAI, ticket).parties
    assert not stage.chain(SHANGHAI, ticket).content_due
    assert not blamed(stage)


async def test_what_was_long_on_its_way_before_it_came_is_returned_too(stage: Stage) -> None:
    """河北 accepted hours before the backup; 天津 heard it after, for the line was dead."""
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await stage.accept(HEBEI, ticket)
    stage.clock.advance(timedelta(hours=70))
    await tianjin.seal(tianjin.hosts[0])
    backup = tianjin.database.snapshot()
    await stage.settle()
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.RELEASED


# --- disputes -----------------------------------------------------------------------------------


async def test_an_arbiter_that_took_the_ticket_by_consent_knows_again_that_the_case_is_over(
    stage: Stage,
) -> None:
    """Only its own disk had the word of it: the province is arbiter, and the one that consents."""
    ticket = await stage.create(LANGFANG)
    await stage.file(LANGFANG, ticket)
    await stage.settle()
    backup = stage.node_of(HEBEI).database.snapshot()
    await stage.assume(HEBEI, ticket)
    await stage.settle()
    await stage.offer(LANGFANG, ticket, HEBEI)
    await stage.settle()
    assert stage.void == {f"{ticket}-{HEBEI}-1-0"}
    stage.heard.clear()
    await backups.restore(stage.node_of(HEBEI), backup)
    await backups.recover(stage.node_of(HEBEI))
    await stage.settle()
    assert stage.chain(HEBEI, ticket, scope=HEBEI).holding is Holding.HELD
    assert stage.void == {f"{ticket}-{HEBEI}-1-0"}
    assert blamed(stage) == []


async def test_the_word_of_a_consent_that_an_outbox_lost_is_said_again(stage: Stage) -> None:
    """Else the nation rules in a case that is over, and takes the ticket from who agreed."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.assume(TIANJIN, ticket)
    await stage.settle()
    backup = stage.node_of(TIANJIN).database.snapshot()
    await stage.offer(HEBEI, ticket, TIANJIN)
    await stage.only("hebei")
    [_] = await stage.hold_back("tianjin", "CaseFiling")
    await stage.settle()
    assert not stage.void
    await backups.restore(stage.node_of(TIANJIN), backup)
    await backups.recover(stage.node_of(TIANJIN))
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD
    assert stage.void == {f"{ticket}-{NATION}-1-0"}
