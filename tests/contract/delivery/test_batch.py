"""A batch of envelopes is one transaction on both engines, and still each is answered alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.model import Delivered, Outcome
from gateway.delivery.store import EVIDENCE, INBOX
from gateway.kernel.errors import ChainForked, InvariantViolated, ResourceExists, ResourceNotFound
from gateway.kernel.time import Instant
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import (
    AT_TIANJIN,
    HEBEI,
    TAKEN,
    TIANJIN,
    Office,
    Peers,
    Taken,
)

DDL = "CREATE TABLE taken (target text, digest bytea, PRIMARY KEY (target, digest))"
OTHER = "UpdateAnswer"
FORK = ChainForked(signer=TIANJIN, kind=OTHER, epoch="0.0")


@dataclass
class Desk:
    """A handler that fails for chosen statements, and says what was done in which transaction."""

    fails: dict[bytes, Exception] = field(default_factory=dict)
    after: Callable[[UnitOfWork, Delivered], None] = lambda _uow, _delivered: None
    units: list[UnitOfWork] = field(default_factory=list)
    read_ahead: list[int] = field(default_factory=list)

    async def handle(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Take a statement."""
        del now
        self.units.append(uow)
        uow.put(TAKEN, Taken(delivered.target, delivered.digest))
        self.after(uow, delivered)
        if delivered.digest in self.fails:
            raise self.fails[delivered.digest]

    async def prepare(self, uow: UnitOfWork, batch: Sequence[Delivered]) -> None:
        """Note how many are to come."""
        del uow
        self.read_ahead.append(len(batch))


def an_office(database: Database, desk: Desk) -> Office:
    """Return an office whose handler of `OTHER` is the desk's."""
    office = Office(Peers(), database)
    office.inbox.register({OTHER: desk.handle}, prepare=desk.prepare)
    return office


def a_batch(office: Office, count: int) -> list[peer_pb.Envelope]:
    """Return envelopes of different statements."""
    return [office.peers.envelope(office.peers.signed(kind=OTHER)) for _ in range(count)]


def named(envelope: peer_pb.Envelope) -> bytes:
    """Return the digest of an envelope's statement."""
    return digest(envelope.statement.statement)


async def taken(office: Office, envelopes: Sequence[peer_pb.Envelope]) -> list[bool]:
    """Tell which statements took effect."""
    async with office.database.unit() as uow:
        return [await uow.get(TAKEN, HEBEI, named(item)) is not None for item in envelopes]


async def outcomes(office: Office, envelopes: Sequence[peer_pb.Envelope]) -> list[Outcome]:
    """Take a batch and return its answers."""
    receipts = await office.inbox.take_batch(envelopes, peer=AT_TIANJIN)
    return [office.peers.opened(receipt).outcome for receipt in receipts]


async def test_a_batch_is_one_transaction_that_reads_ahead(database: Database) -> None:
    desk = Desk()
    office = an_office(database, desk)
    envelopes = a_batch(office, 3)
    assert await outcomes(office, envelopes) == [Outcome.RECEIVED] * 3
    assert len({id(uow) for uow in desk.units}) == 1
    assert desk.read_ahead == [3]
    assert await taken(office, envelopes) == [True] * 3
    assert office.counts == ["received"] * 3


async def test_one_that_fails_drops_only_its_own_rows(database: Database) -> None:
    desk = Desk()
    office = an_office(database, desk)
    envelopes = a_batch(office, 4)
    desk.fails = {
        named(envelopes[1]): FORK,
        named(envelopes[2]): ResourceNotFound(kind="chain", name="not yet"),
    }
    assert await outcomes(office, envelopes) == [
        Outcome.RECEIVED,
        Outcome.REFUSED,
        Outcome.DEFERRED,
        Outcome.RECEIVED,
    ]
    assert await taken(office, envelopes) == [True, False, False, True]
    assert len({id(uow) for uow in desk.units}) == 1
    async with database.unit() as uow:
        kept = [await uow.get(EVIDENCE, HEBEI, named(item)) is not None for item in envelopes]
        stored = [await uow.get(INBOX, HEBEI, named(item)) is not None for item in envelopes]
    assert kept == [False, True, False, False]
    assert stored == [True, True, False, True]


async def test_a_defect_in_one_does_not_hold_up_the_others(database: Database) -> None:
    desk = Desk()
    office = an_office(database, desk)
    envelopes = a_batch(office, 3)
    desk.fails = {named(envelopes[0]): ValueError("a defect")}
    assert await outcomes(office, envelopes) == [
        Outcome.DEFERRED,
        Outcome.RECEIVED,
        Outcome.RECEIVED,
    ]
    assert await taken(office, envelopes) == [False, True, True]
    assert office.counts == ["failed", "received", "received"]


async def test_what_follows_from_one_falls_with_it(database: Database) -> None:
    """Local deliveries are hooks: they belong to the attempt of the envelope that caused them."""
    desk = Desk()
    office = an_office(database, desk)
    envelopes = a_batch(office, 2)
    bad = named(envelopes[0])
    done: list[bytes] = []
    committed: list[bytes] = []

    def after(uow: UnitOfWork, delivered: Delivered) -> None:
        def hook() -> None:
            done.append(delivered.digest)
            if delivered.digest == bad:
                raise InvariantViolated(invariant="a hosted authority keeps the protocol", got="no")

        uow.before_commit(hook)
        uow.after_commit(lambda: committed.append(delivered.digest))

    desk.after = after
    assert await outcomes(office, envelopes) == [Outcome.DEFERRED, Outcome.RECEIVED]
    assert done == [named(item) for item in envelopes]
    assert committed == [named(envelopes[1])]
    assert await taken(office, envelopes) == [False, True]


async def test_when_the_unit_fails_its_envelopes_are_taken_one_by_one(database: Database) -> None:
    desk = Desk()
    office = an_office(database, desk)
    envelopes = a_batch(office, 3)
    desk.fails = {named(envelopes[1]): ResourceExists(kind="taken", name="taken_pkey")}
    assert await outcomes(office, envelopes) == [
        Outcome.RECEIVED,
        Outcome.DEFERRED,
        Outcome.RECEIVED,
    ]
    assert len({id(uow) for uow in desk.units}) == 4  # the shared one, and one for each
    assert await taken(office, envelopes) == [True, False, True]
    assert office.counts == ["received", "deferred", "received"]


async def test_one_statement_twice_in_a_batch_takes_effect_once(database: Database) -> None:
    desk = Desk()
    office = an_office(database, desk)
    [envelope] = a_batch(office, 1)
    first, second = await office.inbox.take_batch([envelope, envelope], peer=AT_TIANJIN)
    assert first == second
    assert len(desk.units) == 1
    assert office.counts == ["received", "repeated"]


async def test_no_answer_leaves_before_the_commit(database: Database) -> None:
    desk = Desk()
    office = an_office(database, desk)
    envelopes = a_batch(office, 2)
    order: list[str] = []

    def after(uow: UnitOfWork, _delivered: Delivered) -> None:
        uow.after_commit(lambda: order.append("committed"))

    desk.after = after
    await office.inbox.take_batch(envelopes, peer=AT_TIANJIN)
    order.append("answered")
    assert order == ["committed", "committed", "answered"]
