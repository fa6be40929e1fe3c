"""A whole story on both engines: 天津 → 河北 → 廊坊, its result back, and nothing left undone.

Each of the three nodes has a database of its own. Keys, clocks and identifiers come from a seed, so
the ledgers on PostgreSQL must be those in memory, digest by digest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest

from benchmarks.watched import WatchedDatabase
from gateway.custody import chains, ledger, store
from gateway.custody.model import Chain, Holding, OfferReason, Verdict
from gateway.custody.rows import answered_of, made_of
from gateway.delivery.store import OUTBOX_NODES
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, TicketNumber
from tests.postgres import TestServer, postgres_database
from tests.simulation.stage import ROUNDS_MAX, Stage
from tests.simulation.world import CITIZEN, COPIES, Copy

TIANJIN, HEBEI, LANGFANG = (AuthorityCode(code) for code in ("120000", "130000", "131000"))
NODES: dict[str, tuple[str, ...]] = {
    "tianjin": (TIANJIN,),
    "hebei": (HEBEI, "130100"),
    "langfang": (LANGFANG,),
}
DDL = """CREATE TABLE simulated_copies (
    authority text, ticket text, uid text, origin text, state bigint, version bigint,
    identity bytea, PRIMARY KEY (authority, ticket))"""


class Story(Stage):
    """A stage that reads through units of work, so that it plays on any engine."""

    async def settle(self) -> None:
        """Send until nothing waits."""
        for _ in range(ROUNDS_MAX):
            if not any([await self.only(source) for source in self.nodes]):
                return
        raise AssertionError("the story does not come to rest")

    async def told(self) -> TicketNumber:
        """Tell it."""
        ticket = await self.create(TIANJIN)
        await self.offer(TIANJIN, ticket, HEBEI)
        await self.settle()
        await self.decline(HEBEI, ticket)
        await self.settle()
        await self.hand_over(TIANJIN, ticket, HEBEI)
        await self.hand_over(HEBEI, ticket, LANGFANG)
        await self.change(LANGFANG, ticket)
        await self.settle()
        await self.hand_over(LANGFANG, ticket, HEBEI, OfferReason.ESCALATE)
        await self.change(HEBEI, ticket)
        await self.settle()
        return ticket

    async def chains_of(self, authority: AuthorityCode, ticket: TicketNumber) -> dict[str, Chain]:
        """Return an authority's chains of a ticket by scope."""
        async with self.node_of(authority).database.unit() as uow:
            held = await chains.load(uow, authority, ticket)
        return {chain.key.scope: chain for chain in held.chains}

    async def ledger_of(
        self, authority: AuthorityCode, ticket: TicketNumber
    ) -> list[store.CustodyRow]:
        """Return an authority's ledger of a ticket."""
        async with self.node_of(authority).database.unit() as uow:
            return await uow.select(
                store.ROWS_OF_TICKET,
                authority=authority,
                ticket=ticket,
                scope="",
                number=0,
                sequence=0,
                limit=1_000,
            )

    async def copy_of(self, authority: AuthorityCode, ticket: TicketNumber) -> Copy:
        """Return an authority's copy of a ticket."""
        async with self.node_of(authority).database.unit() as uow:
            copy = await uow.get(COPIES, authority, ticket)
        assert copy is not None
        return copy


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def story(request: pytest.FixtureRequest) -> AsyncIterator[Story]:
    """Give the three nodes on each engine in turn."""
    story = Story(nodes=NODES)
    if request.param == "memory":
        yield story
        return
    server: TestServer = request.getfixturevalue("postgres_server")
    async with AsyncExitStack() as stack:
        for node in story.nodes.values():
            database = await stack.enter_async_context(postgres_database(server, DDL))
            node.database = cast("WatchedDatabase", database)  # the same port, nothing else is used
            node.build()
        yield story


async def test_the_story_ends_where_it_should(story: Story) -> None:
    ticket = await story.told()
    tianjin = (await story.chains_of(TIANJIN, ticket))[NATION]
    hebei = await story.chains_of(HEBEI, ticket)
    langfang = (await story.chains_of(LANGFANG, ticket))[HEBEI]
    assert (tianjin.holding, tianjin.custodian) == (Holding.RELEASED, HEBEI)
    assert (hebei[NATION].holding, hebei[NATION].term_epoch) == (Holding.HELD, Epoch(0, 2))
    assert (hebei[HEBEI].holding, hebei[HEBEI].term_epoch) == (Holding.HELD, Epoch(0, 2))
    assert (langfang.holding, langfang.term_epoch) == (Holding.RELEASED, Epoch(0, 1))
    assert tianjin.records == hebei[NATION].records
    assert langfang.records == hebei[HEBEI].records
    versions = {code: (await story.copy_of(code, ticket)).version for code in (TIANJIN, HEBEI)}
    assert versions[TIANJIN] == versions[HEBEI] > 0
    identities = [(await story.copy_of(code, ticket)).identity for code in (TIANJIN, HEBEI)]
    assert identities == [CITIZEN, CITIZEN]
    assert (await story.copy_of(LANGFANG, ticket)).identity == b""
    for node in story.nodes.values():
        async with node.database.unit() as uow:
            assert await uow.select(OUTBOX_NODES) == []


async def test_both_sides_have_the_same_answers(story: Story) -> None:
    ticket = await story.told()
    async with story.node_of(TIANJIN).database.unit() as uow:
        made = await uow.rows(store.OFFERS_MADE_OF_TICKET, TIANJIN, ticket)
    async with story.node_of(HEBEI).database.unit() as uow:
        answered = await uow.rows(store.OFFERS_ANSWERED_OF_TICKET, HEBEI, ticket)
        acts = await uow.rows(store.ACTS_OF_ACTOR, HEBEI, ticket, HEBEI, 1, LANGFANG)
    offers = [made_of(row) for row in made]
    answers = [answered_of(row) for row in answered if row.scope == NATION]
    assert [offer.verdict for offer in offers] == [Verdict.DECLINED, Verdict.ACCEPTED]
    assert [(o.epoch, o.answer_digest) for o in offers] == [
        (a.epoch, a.answer_digest) for a in answers
    ]
    assert [act.has_force for act in acts] == [True]


async def test_every_ledger_extends_itself(story: Story) -> None:
    ticket = await story.told()
    for authority in (TIANJIN, HEBEI, LANGFANG):
        heads: dict[tuple[str, int], bytes] = {}
        for row in await story.ledger_of(authority, ticket):
            place = (row.scope, row.number)
            assert row.previous_digest == heads.get(place, b"")
            content = ledger.RowContent(
                sequence=row.sequence,
                previous=row.previous_digest,
                kind=row.kind,
                epoch=Epoch.from_key(row.epoch),
                subject=row.subject_digest,
                state=row.state_digest,
                recorded=row.recorded,
            )
            assert ledger.row_digest(content) == row.row_digest
            heads[place] = row.row_digest
        for chain in (await story.chains_of(authority, ticket)).values():
            assert heads[chain.key.scope, chain.key.number] == chain.chain_head


async def test_the_ledgers_are_those_in_memory(story: Story) -> None:
    twin = Story(nodes=NODES)
    ticket = await story.told()
    assert await twin.told() == ticket
    for authority in (TIANJIN, HEBEI, LANGFANG):
        rows = await story.ledger_of(authority, ticket)
        same = await twin.ledger_of(authority, ticket)
        assert [row.row_digest for row in rows] == [row.row_digest for row in same]
        assert rows
