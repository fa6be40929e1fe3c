"""A node restored from an older backup: with recovery nothing it signed is contradicted.

Each story is told twice where that says something: a node that forgets breaks a property of the
protocol, and the same node that recovers keeps it. The services are the real ones.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.custody import bodies, books, recovery_store, store
from gateway.custody.collecting import QUIET
from gateway.custody.model import ChainKey, Holding, Verdict
from gateway.custody.openings import Openings
from gateway.delivery.codec import signed_to_pb
from gateway.delivery.incarnations import PEER_INCARNATIONS
from gateway.delivery.store import EVIDENCE, OUTBOX, REFUSALS
from gateway.kernel.errors import (
    NodeRecovering,
    PeerNotAllowed,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import NATION, AuthorityCode, Epoch
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation import backups
from tests.simulation.network import Crashed
from tests.simulation.stage import Stage

TIANJIN, HEBEI, SHANGHAI, JIANGSU = "120000", "130000", "310000", "320000"
SHIJIAZHUANG, LANGFANG = "130100", "131000"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def holders(stage: Stage, ticket: str) -> list[str]:
    """Return who is HELD outside."""
    return [
        row.authority
        for node in stage.nodes.values()
        for row in node.database.rows(store.CHAINS)
        if (row.ticket, row.scope, row.holding) == (ticket, NATION, "HELD")
    ]


async def test_a_node_that_forgets_its_answer_contradicts_it(stage: Stage) -> None:
    """The mutant: an acceptance is forgotten and the same epoch declined; nobody holds (S2, S4)."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    backup = hebei.database.snapshot()
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    await backups.restore(hebei, backup, forgets=True)
    await stage.decline(HEBEI, ticket)
    await stage.settle()
    forks = stage.node_of(TIANJIN).database.rows(EVIDENCE)
    assert [row.reason for row in forks] == ["CHAIN_FORKED"]
    assert holders(stage, ticket) == []


async def test_an_answer_given_after_the_backup_is_never_given_again(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    backup = hebei.database.snapshot()
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    answer = stage.said(HEBEI, "Answer")[0]
    await backups.restore(hebei, backup)
    with pytest.raises(NodeRecovering):
        await stage.decline(HEBEI, ticket)
    await backups.recover(hebei)
    await stage.settle()
    assert [row.digest for row in stage.said(HEBEI, "Answer")] == [answer.digest]
    assert holders(stage, ticket) == [HEBEI]
    chain = stage.chain(HEBEI, ticket)
    assert (chain.term_epoch, chain.record_digest) == (
        Epoch(0, 1),
        stage.chain(TIANJIN, ticket).record_digest,
    )
    assert stage.invitations(HEBEI) == []
    assert all(not node.database.rows(EVIDENCE) for node in stage.nodes.values())


async def test_a_released_node_that_forgets_holds_beside_its_successor(stage: Stage) -> None:
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    backup = tianjin.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await backups.restore(tianjin, backup, forgets=True)
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    await stage.settle()
    await stage.accept(SHANGHAI, ticket)
    assert holders(stage, ticket) == [HEBEI, SHANGHAI]  # S2


async def test_an_own_offer_and_its_acceptance_are_known_again(stage: Stage) -> None:
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    backup = tianjin.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    releases = len(stage.said(TIANJIN, "Release"))
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    await stage.settle()
    chain = stage.chain(TIANJIN, ticket)
    assert (chain.holding, chain.custodian) == (Holding.RELEASED, HEBEI)
    made = tianjin.database.rows(store.OFFERS_MADE)
    assert [(row.epoch, row.verdict) for row in made] == [(Epoch(0, 1).key(), "ACCEPTED")]
    assert stage.chain(TIANJIN, ticket, scope=TIANJIN).closed
    assert len(stage.said(TIANJIN, "Release")) == releases == 1
    assert holders(stage, ticket) == [HEBEI]
    assert all(not node.database.rows(EVIDENCE) for node in stage.nodes.values())


async def test_a_pending_offer_is_pending_again_and_can_be_revoked(stage: Stage) -> None:
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    backup = tianjin.database.snapshot()
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    assert stage.chain(TIANJIN, ticket).holding is Holding.OFFERED
    await stage.revoke(TIANJIN, ticket)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD
    made = tianjin.database.rows(store.OFFERS_MADE)
    assert [row.verdict for row in made] == [Verdict.REVOKED.value]
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    assert stage.chain(TIANJIN, ticket).floor == Epoch(0, 2)


async def test_an_arbiter_that_forgets_its_ruling_gives_one_number_twice(stage: Stage) -> None:
    arbiter = stage.node_of(NATION)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    backup = arbiter.database.snapshot()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    await backups.restore(arbiter, backup, forgets=True)
    assert await stage.rule(ticket, TIANJIN) == 1  # S1: a second epoch 1.0


async def test_an_arbiter_goes_on_after_the_rulings_that_its_peers_return(stage: Stage) -> None:
    arbiter = stage.node_of(NATION)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    backup = arbiter.database.snapshot()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    await backups.restore(arbiter, backup)
    with pytest.raises(NodeRecovering):
        await stage.rule(ticket, TIANJIN)
    await backups.recover(arbiter)
    await stage.settle()
    [ruling] = arbiter.database.rows(store.RULINGS)
    assert (ruling.number, ruling.target, bool(ruling.taken_digest)) == (1, SHANGHAI, True)
    assert await stage.rule(ticket, TIANJIN) == 2
    await stage.settle()
    assert holders(stage, ticket) == [TIANJIN]
    assert all(not node.database.rows(EVIDENCE) for node in stage.nodes.values())


async def test_a_ruling_taken_after_the_backup_is_taken_once(stage: Stage) -> None:
    shanghai = stage.node_of(SHANGHAI)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    backup = shanghai.database.snapshot()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    await backups.restore(shanghai, backup)
    await backups.recover(shanghai)
    await stage.settle()
    chain = stage.chain(SHANGHAI, ticket)
    assert (chain.holding, chain.term_epoch, chain.ruling) == (Holding.HELD, Epoch(1, 0), 1)
    assert holders(stage, ticket) == [SHANGHAI]
    assert stage.chain(SHANGHAI, ticket, scope=SHANGHAI).holding is Holding.HELD
    assert not shanghai.database.rows(recovery_store.ITEMS)
    assert stage.copy(SHANGHAI, ticket).uid  # the text came back with the StandDown
    assert all(not node.database.rows(EVIDENCE) for node in stage.nodes.values())


async def test_an_overruled_node_is_released_again(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    backup = hebei.database.snapshot()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    chain = stage.chain(HEBEI, ticket)
    assert (chain.holding, chain.ruling, chain.custodian) == (Holding.RELEASED, 1, SHANGHAI)
    assert all(not node.database.rows(EVIDENCE) for node in stage.nodes.values())


async def test_a_city_on_its_own_node_recovers_its_ticket(stage: Stage) -> None:
    langfang = stage.node_of(LANGFANG)
    empty = langfang.database.snapshot()
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    await backups.restore(langfang, empty)
    await backups.recover(langfang)
    await stage.settle()
    chain = stage.chain(LANGFANG, ticket)
    assert (chain.holding, chain.term_epoch) == (Holding.HELD, Epoch(0, 0))
    assert chain.genesis_digest == stage.chain(HEBEI, ticket, scope=HEBEI).genesis_digest


async def test_what_the_earlier_life_still_has_on_the_way_is_refused(stage: Stage) -> None:
    hebei, tianjin = stage.node_of(HEBEI), stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    backup = hebei.database.snapshot()
    await stage.accept(HEBEI, ticket)
    late = hebei.database.rows(OUTBOX)  # the acceptance is on its way, nobody has it yet
    answer = next(row for row in late if row.kind == "Answer")
    numbered = backups.envelope_of(answer, incarnation=hebei.recovery.incarnation)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.decline(HEBEI, ticket)
    await tianjin.inbox.take(numbered, peer=hebei.id)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD
    assert holders(stage, ticket) == [TIANJIN]
    assert not tianjin.database.rows(EVIDENCE)
    assert [row.incarnation for row in tianjin.database.rows(PEER_INCARNATIONS)] == [2]


async def test_a_peer_that_cannot_be_reached_is_named_by_a_person(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    shanghai = stage.node_of(SHANGHAI).id
    stage.network.cut.add((hebei.id, shanghai))
    await backups.restore(hebei, backup)
    with pytest.raises(TransitionNotAllowed):
        await backups.recover(hebei)
    assert await backups.missing(hebei) == (shanghai,)
    await backups.recover(hebei, without=(shanghai,))
    assert not hebei.recovery.is_recovering
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD


async def test_while_it_recovers_a_node_defers_what_comes_and_loses_nothing(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    backup = hebei.database.snapshot()
    await backups.restore(hebei, backup)
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.only("tianjin", "hebei")
    assert stage.waiting("tianjin") == ["Offer"]
    assert not stage.invitations(HEBEI)
    await backups.recover(hebei)
    await stage.settle()
    assert [key.ticket for key in stage.invitations(HEBEI)] == [ticket]
    assert not stage.node_of(TIANJIN).database.rows(REFUSALS)


async def test_a_forged_return_is_not_applied(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer returns an answer that nobody signed: it changes nothing."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    body = bodies.Answer(Verdict.ACCEPTED, stage.said(TIANJIN, "Offer")[0].digest)
    key = ChainKey(AuthorityCode(TIANJIN), ticket, NATION, 1)
    forged = replace(stage.forge(HEBEI, body, key, epoch=Epoch(0, 1)), signature=bytes(64))
    page = peer_pb.ReturnStatementsResponse(statements=[signed_to_pb(forged)])

    async def returned(*_given: object) -> peer_pb.ReturnStatementsResponse:
        return page

    monkeypatch.setattr(backups.SimulatedBooks, "return_statements", returned)
    await backups.restore(hebei, hebei.database.snapshot())
    await backups.recover(hebei)
    assert not hebei.database.rows(store.OFFERS_ANSWERED)
    assert stage.chain(HEBEI, ticket).holding is Holding.ABSENT


async def test_nothing_is_asked_before_the_earlier_life_is_quiet(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    await backups.restore(hebei, hebei.database.snapshot())
    run = backups.run_of(hebei)
    await run.step()
    stage.clock.advance(QUIET - timedelta(seconds=1))
    await run.step()
    assert len(await backups.missing(hebei)) == len(stage.nodes) - 1
    stage.clock.advance(timedelta(seconds=1))
    await run.step()
    assert await backups.missing(hebei) == ()


async def test_what_is_held_is_returned_page_by_page(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hebei = stage.node_of(HEBEI)
    tickets = [await stage.create(TIANJIN) for _ in range(3)]
    backup = hebei.database.snapshot()
    for ticket in tickets:
        await stage.hand_over(TIANJIN, ticket, HEBEI)
    monkeypatch.setattr(books, "STATEMENTS_PER_PAGE", 2)
    monkeypatch.setattr(books, "SCANNED_PER_PAGE", 3)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert all(holders(stage, ticket) == [HEBEI] for ticket in tickets)


async def test_only_the_node_of_an_authority_is_told_what_is_held_of_it(stage: Stage) -> None:
    request = peer_pb.ReturnStatementsRequest(authority=HEBEI, incarnation=2)
    served = backups.books_of(stage.node_of(TIANJIN))
    with pytest.raises(PeerNotAllowed):
        await served.return_statements(request, peer=stage.node_of(SHANGHAI).id)


async def test_a_crash_while_it_is_applied_goes_on_where_it_was(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    tickets = [await stage.create(TIANJIN) for _ in range(2)]
    backup = hebei.database.snapshot()
    for ticket in tickets:
        await stage.hand_over(TIANJIN, ticket, HEBEI)
    await backups.restore(hebei, backup)
    hebei.crash_at = ("before_commit", 40)
    with pytest.raises(Crashed):
        await backups.recover(hebei)
    hebei.start()
    while not await backups.run_of(hebei).step():
        stage.clock.advance(QUIET)
    assert all(holders(stage, ticket) == [HEBEI] for ticket in tickets)
    assert all(not node.database.rows(EVIDENCE) for node in stage.nodes.values())


async def test_the_text_of_an_accepted_ticket_comes_back_sealed_anew(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    uid = stage.copy(HEBEI, ticket).uid
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert stage.copy(HEBEI, ticket).uid == uid
    assert not stage.chain(HEBEI, ticket).content_due
    assert not hebei.database.rows(recovery_store.ITEMS)


async def test_a_ticket_whose_text_nobody_keeps_waits_for_a_person(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)

    async def nothing(*_given: object) -> tuple[()]:
        return ()

    monkeypatch.setattr(Openings, "opened", nothing)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert stage.chain(HEBEI, ticket).content_due
    assert [row.what for row in hebei.database.rows(recovery_store.ITEMS)] == ["content missing"]


async def test_an_offer_that_waits_for_a_person_waits_again(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    assert holders(stage, ticket) == [HEBEI]


async def test_an_answer_lost_on_both_sides_cannot_become_an_acceptance(stage: Stage) -> None:
    """河北 hosts 石家庄: both forget that it declined; the later offer says that it must have."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(HEBEI)
    await stage.offer(HEBEI, ticket, SHIJIAZHUANG)
    backup = hebei.database.snapshot()
    await stage.decline(SHIJIAZHUANG, ticket, owner=LANGFANG)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    with pytest.raises(ResourceNotFound):
        await stage.accept(SHIJIAZHUANG, ticket)
    await stage.settle()
    rows = hebei.database.rows(store.OFFERS_MADE)
    assert [row.verdict for row in rows] == ["REVOKED", "ACCEPTED"]
    assert stage.chain(LANGFANG, ticket).holding is Holding.HELD


async def test_several_older_offers_are_asked_back_in_one_ledger(stage: Stage) -> None:
    """天津 forgets two offers whose end nobody knows any more, and a third one that pends."""
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    backup = tianjin.database.snapshot()
    for target in (SHANGHAI, JIANGSU):
        await stage.offer(TIANJIN, ticket, target)
        await stage.settle()
        await stage.revoke(TIANJIN, ticket)
        await stage.settle()
        database = stage.node_of(target).database
        async with database.unit() as uow:
            for row in database.rows(store.STATEMENTS):
                if row.kind in ("Revoke", "Answer"):
                    uow.delete(store.STATEMENTS, row.authority, row.digest)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    chain = stage.chain(TIANJIN, ticket)
    rows = [row for row in tianjin.database.rows(store.CUSTODY_ROWS) if row.ticket == ticket]
    ledger = sorted((row for row in rows if row.scope == NATION), key=lambda row: row.sequence)
    assert [row.kind for row in ledger].count("Revoke") == 2
    assert [row.sequence for row in ledger] == list(range(1, chain.rows + 1))
    assert ledger[-1].row_digest == chain.chain_head


async def test_what_is_no_row_of_a_ledger_is_none_after_a_restore(stage: Stage) -> None:
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    backup = tianjin.database.snapshot()
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await stage.ask(HEBEI, ticket)
    await stage.settle()
    await stage.inform(TIANJIN, ticket)
    await stage.settle()
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    rows = [row for row in tianjin.database.rows(store.CUSTODY_ROWS) if row.ticket == ticket]
    assert "Offer" in [row.kind for row in rows]
    assert not {row.kind for row in rows} & {"Inquiry", "InquiryAnswer"}


async def test_what_was_returned_is_not_taken_again_from_its_sender(stage: Stage) -> None:
    arbiter = stage.node_of(NATION)
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    backup = arbiter.database.snapshot()
    await stage.revoke(TIANJIN, ticket)
    await stage.settle()
    await stage.file(TIANJIN, ticket)  # on its way while the arbiter is away
    await backups.restore(arbiter, backup)
    await backups.recover(arbiter)
    await stage.settle()
    rows = arbiter.database.rows(store.CUSTODY_ROWS)
    assert [row.kind for row in rows if row.ticket == ticket] == ["CaseFiling"]


async def test_a_report_lost_on_both_sides_keeps_no_later_statement_waiting(stage: Stage) -> None:
    """河北 hosts 石家庄: both forget the ticket that came in there; 廊坊 holds it now."""
    hebei = stage.node_of(HEBEI)
    backup = hebei.database.snapshot()
    ticket = await stage.create(SHIJIAZHUANG)
    await stage.hand_over(SHIJIAZHUANG, ticket, LANGFANG)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.file(LANGFANG, ticket)
    await stage.change(LANGFANG, ticket)
    await stage.settle()  # nothing waits
    kept = hebei.database.rows(store.STATEMENTS)
    assert "CaseFiling" in [row.kind for row in kept if row.authority == HEBEI]


async def test_a_ruling_that_came_back_is_told_to_everybody_again(stage: Stage) -> None:
    """河北 rules for its 石家庄: both forget it, and only 廊坊 was told by then."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    backup = hebei.database.snapshot()
    await stage.rule(ticket, SHIJIAZHUANG, scope=HEBEI)
    await stage.only("hebei", "langfang")
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.timers()
    await stage.settle()
    assert stage.chain(SHIJIAZHUANG, ticket).holding is Holding.HELD
    assert stage.chain(LANGFANG, ticket).holding is Holding.RELEASED


async def test_an_acceptance_that_a_ruling_overtook_is_a_record_again(stage: Stage) -> None:
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    backup = tianjin.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    await stage.settle()
    [answer] = {row.digest for row in stage.said(HEBEI, "Answer")}
    assert answer.hex() in stage.chain(TIANJIN, ticket).records
    assert stage.chain(TIANJIN, ticket).pending_epoch is None


async def test_who_let_go_of_the_caller_since_the_backup_lets_go_again(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    backup = hebei.database.snapshot()
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    assert not stage.copy(HEBEI, ticket).identity
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    assert not stage.copy(HEBEI, ticket).identity
