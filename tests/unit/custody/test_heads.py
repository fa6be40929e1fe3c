"""Heads of the ledgers of others: what does not extend the head known before is kept and shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.custody import ledger, recovery_store, store
from gateway.custody.heads import ENTRIES_PER_PAGE, HEADS_INTERVAL, Entry, FindingKind, judge
from gateway.custody.sealer import GENESIS_DIGEST
from gateway.kernel.errors import PeerUnreachable, SignatureInvalid, StatementMalformed
from gateway.kernel.ids import AuthorityCode, NodeId
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation import backups
from tests.simulation.copies import START
from tests.simulation.stage import Stage

TIANJIN, HEBEI = AuthorityCode("120000"), AuthorityCode("130000")
AT_TIANJIN = NodeId("tianjin")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def history(length: int, *, salt: bytes = b"") -> list[Entry]:
    """Return a linked ledger, unsigned."""
    entries: list[Entry] = []
    for sequence in range(1, length + 1):
        previous = entries[-1].digest if entries else GENESIS_DIGEST
        root = ledger.merkle_root([sequence.to_bytes(32, "big") + salt])
        at = START + timedelta(seconds=sequence)
        entries.append(Entry(TIANJIN, sequence, previous, root, 1, at, "key", b"signature"))
    return entries


async def seal(stage: Stage, authority: AuthorityCode) -> None:
    """Seal what was committed since."""
    node = stage.node_of(authority)
    stage.clock.advance(timedelta(seconds=10))
    async with node.database.unit() as uow:
        assert await node.sealer.seal(uow, authority, now=node.clock.now())


@given(st.integers(1, 12), st.integers(1, 12))
def test_a_ledger_that_only_grew_extends_what_is_known(length: int, known: int) -> None:
    entries = history(max(length, known))
    assert judge(entries[known - 1], entries[known - 1 :], has_new_life=False) is None


@given(st.integers(2, 12), st.data())
def test_a_history_that_was_rewritten_never_extends_what_is_known(
    length: int, data: st.DataObject
) -> None:
    known = data.draw(st.integers(1, length))
    entries, other = history(length), history(length, salt=b"x")
    finding = judge(entries[known - 1], other[known - 1 :], has_new_life=False)
    assert finding is not None
    assert finding.kind is FindingKind.FORKED


@given(st.integers(3, 12), st.data())
def test_an_entry_left_out_is_noticed(length: int, data: st.DataObject) -> None:
    entries = history(length)
    left_out = data.draw(st.integers(2, length - 1))
    shown = [entry for entry in entries if entry.sequence != left_out]
    finding = judge(entries[0], shown, has_new_life=False)
    assert finding is not None
    assert finding.kind is FindingKind.UNLINKED


def test_a_shorter_ledger_is_noticed_and_a_new_life_says_why() -> None:
    entries = history(5)
    for life, kind in ((False, FindingKind.SHORTENED), (True, FindingKind.RESTORED)):
        finding = judge(entries[4], entries[2:3], has_new_life=life)
        assert finding is not None
        assert finding.kind is kind


async def test_the_newest_head_of_every_other_authority_is_kept_day_by_day(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    keeper = backups.keeper_of(hebei)
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    assert await keeper.ask_due() == []
    [head] = hebei.database.rows(recovery_store.PEER_HEADS)
    assert (head.authority, head.sequence) == (TIANJIN, 1)
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    await keeper.ask_due()
    assert [row.sequence for row in hebei.database.rows(recovery_store.PEER_HEADS)] == [1]
    stage.clock.advance(HEADS_INTERVAL)
    assert await keeper.ask_due() == []
    assert [row.sequence for row in hebei.database.rows(recovery_store.PEER_HEADS)] == [2]


async def test_a_row_rewritten_in_a_peers_database_is_noticed_at_the_next_exchange(
    stage: Stage,
) -> None:
    """Somebody with the database and the key rewrites an entry and all that follow."""
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    keeper = backups.keeper_of(hebei)
    for _ in range(2):
        await stage.create(TIANJIN)
        await seal(stage, TIANJIN)
    assert await keeper.ask(TIANJIN, AT_TIANJIN) is None
    rows = tianjin.database.rows(store.CUSTODY_ROWS)
    async with tianjin.database.unit() as uow:
        uow.put(store.CUSTODY_ROWS, replace(rows[-1], row_digest=bytes(32)))
        for entry in tianjin.database.rows(store.LEDGER_ENTRIES)[1:]:
            uow.delete(store.LEDGER_ENTRIES, entry.authority, entry.sequence)
    await seal(stage, TIANJIN)
    finding = await keeper.ask(TIANJIN, AT_TIANJIN)
    assert finding is not None
    assert finding.kind is FindingKind.FORKED
    [kept] = hebei.database.rows(recovery_store.FINDINGS)
    assert (kept.authority, kept.kind, kept.sequence) == (TIANJIN, "forked", 2)
    assert kept.known != kept.shown
    again = await keeper.ask(TIANJIN, AT_TIANJIN)
    assert again is not None  # what is denied stays known
    assert len(hebei.database.rows(recovery_store.FINDINGS)) == 1


async def test_an_entry_that_its_authority_did_not_sign_is_refused(stage: Stage) -> None:
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    [entry] = tianjin.database.rows(store.LEDGER_ENTRIES)
    async with tianjin.database.unit() as uow:
        uow.put(store.LEDGER_ENTRIES, replace(entry, row_count=7))
    with pytest.raises(SignatureInvalid):
        await backups.keeper_of(hebei).ask(TIANJIN, AT_TIANJIN)
    assert not hebei.database.rows(recovery_store.PEER_HEADS)


async def test_who_does_not_answer_today_is_asked_again(stage: Stage) -> None:
    hebei = stage.node_of(HEBEI)
    keeper = backups.keeper_of(hebei)
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    stage.network.cut.add((hebei.id, AT_TIANJIN))
    with pytest.raises(PeerUnreachable):
        await keeper.ask(TIANJIN, AT_TIANJIN)
    assert await keeper.ask_due() == []
    assert not hebei.database.rows(recovery_store.PEER_HEADS)
    stage.network.cut.clear()
    await keeper.ask_due()
    assert len(hebei.database.rows(recovery_store.PEER_HEADS)) == 1


async def test_a_node_learns_from_a_peers_proof_that_it_was_restored(stage: Stage) -> None:
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    keeper, told = backups.keeper_of(hebei), list[str]()
    backup = tianjin.database.snapshot()
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    await keeper.ask(TIANJIN, AT_TIANJIN)
    await backups.restore(tianjin, backup, forgets=True)
    books = backups.books_of(tianjin)
    books.forgotten = told.append
    request = await backups.request_of(hebei, TIANJIN)
    await books.exchange_heads(request)
    assert told == [TIANJIN]
    request.known.signature = bytes(64)
    await books.exchange_heads(request)
    assert told == [TIANJIN]  # without our own signature it is no proof


async def test_a_revoked_key_proves_nothing_to_its_node(stage: Stage) -> None:
    """Whoever stole it could make the node recover as often as he likes."""
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    keeper, told = backups.keeper_of(hebei), list[str]()
    backup = tianjin.database.snapshot()
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    await keeper.ask(TIANJIN, AT_TIANJIN)
    await backups.restore(tianjin, backup, forgets=True)
    books = backups.books_of(tianjin)
    books.forgotten = told.append
    entry = stage.roster.authorities[TIANJIN]
    keys = tuple(replace(key, revoked_at=stage.clock.now()) for key in entry.statement_keys)
    revoked = {**stage.roster.authorities, TIANJIN: replace(entry, statement_keys=keys)}
    books._roster = lambda: replace(stage.roster, authorities=revoked)
    await books.exchange_heads(await backups.request_of(hebei, TIANJIN))
    assert told == []


async def test_more_entries_than_a_page_has_are_not_verified(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs a signature; an answer of 4 MiB would hold the node for seconds."""
    hebei = stage.node_of(HEBEI)
    many = peer_pb.ExchangeHeadsResponse(entries=[peer_pb.LedgerEntry()] * (ENTRIES_PER_PAGE + 1))

    async def shown(*_given: object) -> peer_pb.ExchangeHeadsResponse:
        return many

    monkeypatch.setattr(backups.SimulatedBooks, "exchange_heads", shown)
    with pytest.raises(StatementMalformed) as refused:
        await backups.keeper_of(hebei).ask(TIANJIN, AT_TIANJIN)
    assert refused.value.metadata["got"] == f"{ENTRIES_PER_PAGE + 1} entries"


async def test_a_restored_ledger_goes_on_after_the_newest_entry_that_anybody_knows(
    stage: Stage,
) -> None:
    """A second entry of one number would be a fork of an honest node."""
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of(HEBEI)
    keeper = backups.keeper_of(hebei)
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    backup = tianjin.database.snapshot()
    for _ in range(2):
        await stage.create(TIANJIN)
        await seal(stage, TIANJIN)
    await keeper.ask(TIANJIN, AT_TIANJIN)
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    await stage.create(TIANJIN)
    await seal(stage, TIANJIN)
    assert await keeper.ask(TIANJIN, AT_TIANJIN) is None
    [head] = hebei.database.rows(recovery_store.PEER_HEADS)
    assert (head.sequence, head.incarnation) == (4, 2)
