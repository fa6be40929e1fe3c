"""Hosted and split are the same protocol: one story, told twice, leaves the same records.

In one telling 河北's node hosts 廊坊 and hands statements over inside its own transactions; in the
other 廊坊 runs a node of its own and everything crosses the network. Keys, clocks and identifiers
come from the same seed, so not only the shape of the records must agree but the digests too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.custody import store
from gateway.custody.model import OfferReason
from gateway.custody.progress import Progress
from gateway.database.uow import UnitOfWork
from gateway.delivery.store import INBOX
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from tests.simulation.checkers import Checkers
from tests.simulation.stage import Stage
from tests.simulation.world import COPIES

NATION_AND_TIANJIN = {"tianjin": ("120000",), "arbiter": ("100000",)}
HOSTED = {"hebei": ("130000", "130100", "131000"), **NATION_AND_TIANJIN}
SPLIT = {"hebei": ("130000", "130100"), "langfang": ("131000",), **NATION_AND_TIANJIN}
STORIES: dict[str, Callable[[Stage], Awaitable[TicketNumber]]] = {}


def story(
    tell: Callable[[Stage], Awaitable[TicketNumber]],
) -> Callable[[Stage], Awaitable[TicketNumber]]:
    STORIES[tell.__name__] = tell
    return tell


@story
async def down_to_the_city_and_its_result_back(stage: Stage) -> TicketNumber:
    """天津 → 河北 → 廊坊; 廊坊 handles it; its progress flows back to 天津."""
    ticket = await stage.create("120000")
    await stage.hand_over("120000", ticket, "130000")
    await stage.hand_over("130000", ticket, "131000")
    await stage.change("131000", ticket)
    await stage.settle()
    return ticket


@story
async def home_and_out_again(stage: Stage) -> TicketNumber:
    """廊坊 → home → 天津: the inner chain closes when the province is released outside."""
    ticket = await stage.create("131000")
    await stage.settle()
    await stage.change("131000", ticket)
    await stage.settle()
    await stage.hand_over("131000", ticket, "130000", OfferReason.OUTBOUND)
    await stage.hand_over("130000", ticket, "120000")
    await stage.change("120000", ticket)
    await stage.settle()
    return ticket


@story
async def declined_recalled_and_disputed(stage: Stage) -> TicketNumber:
    """Two cities decline, one offer is taken back, and the second refusal files a case."""
    ticket = await stage.create("130000")
    await stage.offer("130000", ticket, "131000")
    await stage.settle()
    await stage.decline("131000", ticket)
    await stage.settle()
    await stage.offer("130000", ticket, "131000")
    await stage.settle()
    await stage.revoke("130000", ticket)
    await stage.settle()
    await stage.offer("130000", ticket, "131000")
    await stage.settle()
    await stage.decline("131000", ticket)
    await stage.settle()
    return ticket


@story
async def between_two_cities(stage: Stage) -> TicketNumber:
    """廊坊 → 石家庄 → home: the province follows what its cities do among themselves."""
    ticket = await stage.create("131000")
    await stage.settle()
    await stage.hand_over("131000", ticket, "130100")
    await stage.change("130100", ticket)
    await stage.settle()
    await stage.hand_over("130100", ticket, "130000", OfferReason.ESCALATE)
    await stage.change("130000", ticket)
    await stage.settle()
    return ticket


@story
async def ruled_between_two_cities(stage: Stage) -> TicketNumber:
    """廊坊 offers to 石家庄, which declines twice; the province rules that it is 石家庄's."""
    ticket = await stage.create("131000")
    await stage.settle()
    for _ in range(2):
        await stage.offer("131000", ticket, "130100")
        await stage.settle()
        await stage.decline("130100", ticket, owner="131000")
        await stage.settle()
    [filed] = stage.filed
    await stage.rule(ticket, "130100", scope="130000", case=filed.case)
    await stage.settle()
    await stage.change("130100", ticket)
    await stage.settle()
    return ticket


@story
async def overruled_outside_with_a_city_inside(stage: Stage) -> TicketNumber:
    """天津 → 河北 → 廊坊; 天津 files; the nation gives it back, and 河北 takes it home first."""
    ticket = await stage.create("120000")
    await stage.hand_over("120000", ticket, "130000")
    await stage.hand_over("130000", ticket, "131000")
    await stage.change("131000", ticket)
    await stage.settle()
    await stage.file("120000", ticket, target="120000")
    await stage.settle()
    await stage.rule(ticket, "120000", case=stage.filed[-1].case)
    await stage.settle()
    await stage.change("120000", ticket)
    await stage.settle()
    return ticket


SPOKEN_AT_ONCE = {
    between_two_cities.__name__,
    ruled_between_two_cities.__name__,
    overruled_outside_with_a_city_inside.__name__,
}


async def told(nodes: dict[str, tuple[str, ...]], name: str) -> tuple[Stage, TicketNumber]:
    stage = Stage(nodes=nodes)
    stage.at_rest = Checkers(stage).check
    ticket = await STORIES[name](stage)
    return stage, ticket


def ledger(stage: Stage, authority: str) -> list[tuple[object, ...]]:
    """Return the rows of an authority's ledgers without what only a database gives."""
    rows = [
        row
        for row in stage.node_of(authority).database.rows(store.CUSTODY_ROWS)
        if row.authority == authority
    ]
    rows.sort(key=lambda row: (row.ticket, row.scope, row.number, row.sequence))
    return [
        (row.ticket, row.scope, row.number, row.sequence, row.kind, row.epoch, row.holding)
        for row in rows
    ]


def subjects(stage: Stage, authority: str) -> dict[tuple[object, ...], tuple[bytes, bytes]]:
    """Return what each row of the ledgers stands for, with the state after it."""
    return {
        (row.ticket, row.scope, row.number, row.sequence): (row.subject_digest, row.state_digest)
        for row in stage.node_of(authority).database.rows(store.CUSTODY_ROWS)
        if row.authority == authority
    }


@pytest.mark.parametrize("authority", ["120000", "130000", "130100", "131000"])
@pytest.mark.parametrize("name", STORIES)
async def test_hosted_and_split_export_the_same_records(name: str, authority: str) -> None:
    hosted, ticket = await told(HOSTED, name)
    split, same = await told(SPLIT, name)
    assert ticket == same
    assert ledger(hosted, authority) == ledger(split, authority)
    assert _terms(hosted, authority) == _terms(split, authority)
    assert _public(hosted, authority) == _public(split, authority)


@pytest.mark.parametrize("name", sorted(STORIES.keys() - SPOKEN_AT_ONCE))
async def test_each_ledger_row_stands_for_the_same_bytes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a story where one speaks after the other, each statement is the same, byte for byte.

    Where several speak at once, only the order of the identifiers differs. So it does where an
    update waits for the end of its step, which ends later among neighbours: here none waits.
    """

    async def at_once(
        progress: Progress, uow: UnitOfWork, *, authority: str, ticket: str, now: Instant
    ) -> None:
        await progress._tell(uow, AuthorityCode(authority), TicketNumber(ticket), now)

    monkeypatch.setattr(Progress, "publish", at_once)
    hosted, _ = await told(HOSTED, name)
    split, _ = await told(SPLIT, name)
    for authority in hosted.authorities:
        assert subjects(hosted, authority) == subjects(split, authority), authority


@pytest.mark.parametrize("name", STORIES)
async def test_hosted_statements_need_no_network(name: str) -> None:
    hosted, _ = await told(HOSTED, name)
    crossed = {
        (row.source, row.target)
        for node in hosted.nodes.values()
        for row in node.database.rows(INBOX)
    }
    assert not [pair for pair in crossed if pair[0][:2] == pair[1][:2]]


def _terms(stage: Stage, authority: str) -> dict[tuple[object, ...], tuple[object, ...]]:
    """Return what an authority knows of each chain: terms, counts, records, who holds."""
    return {
        (row.ticket, row.scope, row.number): (
            row.holding,
            row.term_epoch,
            row.floor_epoch,
            row.path,
            (row.hops, row.refusals, row.homeward),
            row.case_id,
            row.closed,
            len(row.records),
            row.custodian,
            row.contact,
            sorted(row.parties),
            (row.shown_epoch, row.shown_sequence),
        )
        for row in stage.node_of(authority).database.rows(store.CHAINS)
        if row.authority == authority
    }


def _public(stage: Stage, authority: str) -> list[tuple[object, ...]]:
    """Return the copies of an authority."""
    return [
        (copy.uid, copy.origin, copy.state, copy.version, copy.identity)
        for copy in stage.node_of(authority).database.rows(COPIES)
        if copy.authority == authority
    ]
