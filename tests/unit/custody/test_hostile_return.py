"""A peer that lies to a node which recovers: it changes nothing, and ends nothing, of the others'.

What a peer signs itself is genuine, so a signature alone lets nothing pass: an Offer may rest on
nothing, content may be false, a page may have no end. The node comes to serve all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.custody import bodies, codec, collecting, recovery_store, store
from gateway.custody.collecting import QUIET
from gateway.custody.confirming import confirm
from gateway.custody.model import ChainKey, CustodyEvent, Holding, LettersSaid
from gateway.custody.returned import SPREAD_DEPTH_MAX, spread
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import block_to_pb, digest_to_pb, signed_to_pb, statement_from_bytes
from gateway.delivery.model import SealedBlock, SignedBytes
from gateway.kernel.errors import NodeRecovering, PeerNotAllowed
from gateway.kernel.ids import NATION, AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.trust.roster import NodeEntry, NodeRole
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation import backups
from tests.simulation.stage import Stage

TIANJIN, HEBEI, SHANGHAI = "120000", "130000", "310000"
Change = Callable[[peer_pb.ReturnStatementsResponse], None]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def lying(monkeypatch: pytest.MonkeyPatch, node: str, change: Change) -> None:
    """Let a node change each page that it returns."""
    honest = backups.SimulatedBooks.return_statements

    async def returned(
        self: backups.SimulatedBooks, asked: str, request: peer_pb.ReturnStatementsRequest
    ) -> peer_pb.ReturnStatementsResponse:
        page = await honest(self, asked, request)  # type: ignore[arg-type] # the node's name
        if asked == node:
            change(page)
        return page

    monkeypatch.setattr(backups.SimulatedBooks, "return_statements", returned)


async def test_an_offer_that_rests_on_nothing_ends_no_recovery(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """上海 signs one for a ticket of which 河北 said something: it would be looked at for ever."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    [offer] = stage.said(TIANJIN, "Offer")
    body = codec.body_from_bytes("Offer", statement_from_bytes(offer.statement).body)
    assert isinstance(body, bodies.Offer)
    key = ChainKey(AuthorityCode(HEBEI), ticket, NATION, 1)
    lie = stage.forge(SHANGHAI, replace(body, attached=()), key, epoch=Epoch(0, 3))
    lying(
        monkeypatch,
        stage.node_of(SHANGHAI).id,
        lambda page: page.statements.append(signed_to_pb(lie)),
    )
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD


async def test_false_content_is_no_content(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from who said the statement, nor from another, who would keep the true one away."""
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    [offer] = stage.said(TIANJIN, "Offer")
    false = SealedBlock("case_block", b"x" * 64, "synthetic", "key")

    def add(page: peer_pb.ReturnStatementsResponse) -> None:
        del page.blocks[:]
        page.blocks.add(statement_digest=digest_to_pb(offer.digest), block=block_to_pb(false))

    lying(monkeypatch, stage.node_of(TIANJIN).id, add)
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD
    found = {row.what for row in hebei.database.rows(recovery_store.ITEMS)}
    assert found == {"content missing", "Offer not taken"}


async def test_only_who_said_a_statement_returns_its_content(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hebei = stage.node_of(HEBEI)
    ticket = await stage.create(TIANJIN)
    backup = hebei.database.snapshot()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    [offer] = stage.said(TIANJIN, "Offer")
    [row] = [row for row in hebei.database.rows(store.STATEMENTS) if row.digest == offer.digest]
    false = SealedBlock("case_block", b"x" * 64, "synthetic", "key")

    def add(page: peer_pb.ReturnStatementsResponse) -> None:
        signed = SignedBytes(row.statement, row.key_id, row.signature)
        page.statements.append(signed_to_pb(signed))
        page.blocks.add(statement_digest=digest_to_pb(offer.digest), block=block_to_pb(false))

    arbiter = stage.node_of(NATION).id
    lying(monkeypatch, arbiter, add)  # asked before the node of 天津
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    assert not stage.chain(HEBEI, ticket).content_due


async def test_pages_without_an_end_are_refused_and_nobody_waits_for_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hebei, shanghai = stage.node_of(HEBEI), stage.node_of(SHANGHAI)
    arbiter = stage.node_of(NATION).id
    monkeypatch.setattr(collecting, "PAGES_PER_TURN", 5)
    numbers = iter(range(1, 1_000_000))

    def rise(page: peer_pb.ReturnStatementsResponse) -> None:
        page.next_cursor = b"999999" + next(numbers).to_bytes(32, "big")

    def again(page: peer_pb.ReturnStatementsResponse) -> None:
        page.next_cursor = b"100000" + bytes(32)

    lying(monkeypatch, arbiter, rise)
    lying(monkeypatch, shanghai.id, again)
    await backups.restore(hebei, hebei.database.snapshot())
    run = backups.run_of(hebei)
    await run.step()
    stage.clock.advance(QUIET)
    for _ in range(3):
        await run.step()
    assert set(await backups.missing(hebei)) == {arbiter, shanghai.id}
    async with hebei.database.unit() as uow:
        await confirm(
            uow, hebei.id, by="测试员", without=(arbiter, shanghai.id), now=stage.clock.now()
        )
    assert await run.step()


def test_what_lies_deeper_than_any_honest_statement_is_not_looked_at() -> None:
    stage = Stage()
    key = ChainKey(AuthorityCode(HEBEI), "1200002026030200000010012", NATION, 1)  # type: ignore[arg-type] # a number
    inner = stage.forge(TIANJIN, bodies.RulingAck(1, bodies.Role.TOLD, bytes(32)), key)
    for _ in range(SPREAD_DEPTH_MAX + 20):
        ack = bodies.RulingAck(1, bodies.Role.TOLD, bytes(32), attached=(inner,))
        inner = stage.forge(TIANJIN, ack, key)
    assert len(list(spread(inner))) == SPREAD_DEPTH_MAX + 1
    assert not list(spread(inner, accepts=lambda _signed: False))


async def test_a_node_without_peers_waits_for_nobody_but_the_person(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    await backups.restore(hebei, hebei.database.snapshot())
    run = backups.run_of(hebei)
    alone = replace(stage.roster, nodes={hebei.id: stage.roster.nodes[hebei.id]})
    run._collector._roster = lambda: alone  # nobody has joined yet
    await run.step()
    assert await backups.missing(hebei) == ()
    async with hebei.database.unit() as uow:
        await confirm(uow, hebei.id, by="测试员", now=stage.clock.now())
    assert await run.step()


async def test_nobody_sees_the_ledger_of_a_backup(stage: Stage) -> None:
    """Who saw it would forget the newer head that the node must learn from him."""
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    keeper = backups.keeper_of(hebei)

    async def seal() -> None:
        await stage.create(TIANJIN)
        async with tianjin.database.unit() as uow:
            await tianjin.sealer.seal(uow, AuthorityCode(TIANJIN), now=stage.clock.now())

    await seal()
    backup = tianjin.database.snapshot()
    await seal()
    await keeper.ask(AuthorityCode(TIANJIN), tianjin.id)
    await backups.restore(tianjin, backup)
    with pytest.raises(NodeRecovering):
        await keeper.ask(AuthorityCode(TIANJIN), tianjin.id)
    await backups.recover(tianjin)
    await seal()
    assert await keeper.ask(AuthorityCode(TIANJIN), tianjin.id) is None
    [head] = hebei.database.rows(recovery_store.PEER_HEADS)
    assert (head.sequence, head.incarnation) == (3, 2)


async def test_what_was_said_to_the_arbiter_is_not_returned_to_the_hub(stage: Stage) -> None:
    books = backups.books_of(stage.node_of(TIANJIN))
    hub = NodeEntry(id="hub", endpoint="hub:1", roles=frozenset({NodeRole.HUB}))  # type: ignore[arg-type] # a name
    nation = stage.roster.authorities[NATION]
    widened = replace(nation, further_nodes=(*nation.further_nodes, hub.id))
    books._roster = lambda: replace(  # a roster with a hub
        stage.roster,
        nodes={**stage.roster.nodes, hub.id: hub},
        authorities={**stage.roster.authorities, NATION: widened},
    )
    request = peer_pb.ReturnStatementsRequest(authority=NATION, incarnation=2)
    with pytest.raises(PeerNotAllowed):
        await books.return_statements(request, peer=hub.id)
    await books.return_statements(request, peer=stage.node_of(NATION).id)


async def test_numbers_of_letters_that_were_said_are_told(stage: Stage) -> None:
    """No restored authority gives one again: whoever has it takes no second one."""
    tianjin = stage.node_of(TIANJIN)
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    told: list[LettersSaid] = []
    key = ChainKey(AuthorityCode(HEBEI), ticket, NATION, 1)
    act = stage.forge(TIANJIN, bodies.CitizenAct(4, 1, stage.clock.now()), key, epoch=Epoch(0, 1))
    await backups.restore(tianjin, tianjin.database.snapshot())
    run = backups.run_of(tianjin)
    page = peer_pb.ReturnStatementsResponse(statements=[signed_to_pb(act)])

    async def returned(*_given: object) -> peer_pb.ReturnStatementsResponse:
        return page

    async def react(uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant) -> None:
        del uow, now
        told.extend(event for event in events if isinstance(event, LettersSaid))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups.SimulatedBooks, "return_statements", returned)
        run.react = react
        await run.step()
        stage.clock.advance(QUIET)
        await run.step()
        async with tianjin.database.unit() as uow:
            await confirm(uow, tianjin.id, by="测试员", now=stage.clock.now())
        assert await run.step()
    assert [(item.acts, item.questions) for item in told] == [(4, ())]


async def test_a_cursor_that_was_never_given_is_no_defect(stage: Stage) -> None:
    books = backups.books_of(stage.node_of(TIANJIN))
    request = peer_pb.ReturnStatementsRequest(
        authority=HEBEI, incarnation=2, cursor=b"\xff\xfe" * 32
    )
    page = await books.return_statements(request, peer=stage.node_of(HEBEI).id)
    assert not page.statements
