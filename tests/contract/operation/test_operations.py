"""Nothing waits in silence, and what people do about it is done once and audited."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import structlog

from gateway.audit.service import AuditLog
from gateway.database.uow import Database
from gateway.delivery.guard import FAILURES_MAX
from gateway.delivery.model import BACKOFF_MAX, DEFER_MAX, Item, ItemState, Mode, Outcome
from gateway.delivery.quotas import PeerQuotas
from gateway.delivery.store import ALL_CONTACTS, OUTBOX_DUE, ContactRow, OutboxRow
from gateway.delivery.undelivered import UNDELIVERED, UNDELIVERED_LISTED, UndeliveredRow
from gateway.kernel.errors import (
    ChainForked,
    KeyUnknown,
    PeerNotAllowed,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.operation.assembly import OperationRoom, build_operation
from gateway.operation.machine import Act, Alarm, AlarmPolicy
from gateway.operation.model import MONITOR, PeerView
from gateway.operation.monitor import INTERVAL, rest_after
from gateway.operation.view import Seen
from gateway.tickets.tokens import Tokens
from gateway.trust.call import Call
from gateway.trust.principal import Principal, PrincipalKind, Role
from tests.unit.delivery.builders import AT_HEBEI, AT_TIANJIN, HEBEI, NOW, TIANJIN
from tests.unit.delivery.rooms import Room

DDL = "CREATE TABLE taken (target text, digest bytea, PRIMARY KEY (target, digest))"
POLICY = AlarmPolicy(warn=timedelta(minutes=15), alarm=timedelta(hours=2))
KEY = bytes(32)
WAIT = KeyUnknown(key_id="k", signer=HEBEI, kind="statement")


@dataclass
class Desk:
    """河北's node with its operators, a pump to 天津, and a peer that answers at will."""

    room: Room
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire it."""
        self.clock = self.room.office.clock
        self.database = self.room.office.database
        self.operation: OperationRoom = build_operation(
            node=AT_HEBEI,
            authority=HEBEI,
            database=self.database,
            roster=lambda: self.room.peers.roster,
            pump=self.room.pump,
            quotas=PeerQuotas(clock=self.clock),
            guard=self.room.office.inbox.guard,
            policy=POLICY,
            audit=AuditLog(),
            tokens=Tokens(KEY),
            token_key=KEY,
            machine_clock=self.clock,
            business_clock=self.clock,
            principal_of=lambda _context: operator(),
            measured=self.seen.append,
        )

    async def look(self) -> dict[str, UndeliveredRow]:
        """Let the monitor make a pass, and return all items by name."""
        await self.operation.monitor.look()
        async with self.database.unit() as uow:
            rows = await uow.select(
                UNDELIVERED_LISTED,
                after_time=NOW - timedelta(days=365),
                after_item="",
                everything=True,
                node="",
                limit=100,
            )
        return {row.item: row for row in rows}

    async def waiting(self) -> list[OutboxRow]:
        """Return the outbox."""
        later = self.clock.now() + timedelta(days=365)
        async with self.database.unit() as uow:
            return await uow.select(OUTBOX_DUE, node=AT_TIANJIN, now=later, limit=1000)

    async def act(self, item: str, act: Act, *, request_id: str = "") -> bytes:
        """Do something about an item as an operator."""
        call = a_call(act.value, request_id=request_id)
        return await self.operation.operations.act(
            call, item, act=act, note="checked by hand", answer=lambda row: row.state.encode()
        )

    async def order(self, mode: Mode) -> bytes:
        """Order how 天津's node is served."""
        return await self.operation.operations.order(
            a_call(f"{mode.value}Peer"),
            AT_TIANJIN,
            mode=mode,
            reason="maintenance",
            answer=lambda view: view.mode.value.encode(),
        )

    async def view(self) -> PeerView:
        """Return 天津's node as an operator sees it."""
        return await self.operation.operations.peer(operator(), AT_TIANJIN)


def operator(authority: str = HEBEI) -> Principal:
    roles = frozenset({Role.SYSTEM_ADMINISTRATOR})
    return Principal(AuthorityCode(authority), PrincipalKind.STAFF, "ops1", roles)


def a_call(method: str, *, request_id: str = "", authority: str = HEBEI) -> Call:
    return Call(
        principal=operator(authority),
        method=method,
        request_id=request_id or str(uuid.uuid4()),
        body=b"body",
    )


@pytest.fixture
def desk(database: Database) -> Desk:
    """A desk with nothing on it."""
    return Desk(Room(database))


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[structlog.typing.EventDict]]:
    """What was logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


# --- alarms of age --------------------------------------------------------------------------


async def test_a_queue_that_grows_old_warns_then_waits_for_a_person_then_ends_by_itself(
    desk: Desk, lines: list[structlog.typing.EventDict]
) -> None:
    await desk.room.posted(3)
    desk.room.post.fails = 1000
    levels = []
    for wait in (timedelta(minutes=1), timedelta(minutes=20), timedelta(hours=2)):
        await desk.room.pump.send_once(AT_TIANJIN)
        desk.clock.advance(wait)
        for _ in range(3):
            items = await desk.look()
        levels.append((await desk.view()).alarm)
    assert levels == [Alarm.NONE, Alarm.WARNING, Alarm.OVERDUE]
    told = [line for line in lines if line["event"] == "peer.alarm"]
    assert [line["level"] for line in told] == ["warning", "overdue"], "once a change"
    item = items["overdue-tianjin"]
    assert (item.kind, item.state, item.waiting, item.reason) == ("overdue", "open", 3, "cut")
    desk.room.post.fails = 0
    while await desk.room.pump.send_once(AT_TIANJIN):
        pass
    items = await desk.look()
    assert items["overdue-tianjin"].state == ItemState.RESOLVED.value
    assert (await desk.view()).alarm is Alarm.NONE
    await desk.look()
    assert desk.seen[-1].items == {}


async def test_one_envelope_that_grows_old_though_its_peer_answers_is_named(desk: Desk) -> None:
    [stuck] = await desk.room.posted()
    received = desk.room.post.received
    deferral = desk.room.peers.receipt(stuck, issuer=TIANJIN, error=WAIT, deferred=True)
    desk.room.post.answer = lambda envelope: (
        deferral if len(desk.room.post.carried) % 2 else received(envelope)
    )
    await desk.room.pump.send_once(AT_TIANJIN)
    desk.clock.advance(POLICY.alarm)
    desk.room.post.answer = lambda _envelope: deferral
    await desk.room.pump.send_once(AT_TIANJIN)
    items = await desk.look()
    [item] = [row for row in items.values() if row.kind == Item.STUCK.value]
    assert (item.statement_digest, item.reason) == (stuck, "KEY_UNKNOWN")
    assert item.since == NOW
    # A person has it tried at once; that it is delivered ends the item.
    assert await desk.act(item.item, Act.RESEND) == b"acknowledged"
    desk.room.post.answer = received
    assert await desk.room.pump.send_once(AT_TIANJIN)
    items = await desk.look()
    assert items[item.item].state == ItemState.RESOLVED.value


async def test_contacts_survive_a_restart(desk: Desk) -> None:
    await desk.room.posted()
    await desk.room.pump.send_once(AT_TIANJIN)
    desk.room.pump.heard_from(AT_TIANJIN)
    await desk.look()
    async with desk.database.unit() as uow:
        assert await uow.select(ALL_CONTACTS) == [ContactRow("tianjin", NOW, NOW)]
    again = Desk(desk.room)
    view = await again.view()
    assert (view.reached, view.heard) == (NOW, NOW)


# --- orders ---------------------------------------------------------------------------------


async def test_a_pause_lasts_over_a_restart_and_is_shown_with_who_and_why(desk: Desk) -> None:
    await desk.room.posted()
    assert await desk.order(Mode.PAUSED) == b"paused"
    room = Room(desk.database)
    room.peers = desk.room.peers
    await room.pump._find_nodes()
    assert not await room.pump.send_once(AT_TIANJIN)
    view = await desk.view()
    assert (view.mode, view.mode_reason) == (Mode.PAUSED, "maintenance")
    assert view.mode_actor == operator().name
    assert await desk.order(Mode.OPEN) == b"open"
    assert await desk.room.pump.send_once(AT_TIANJIN)


async def test_a_drain_ends_in_a_pause(desk: Desk) -> None:
    await desk.room.posted(2)
    assert await desk.order(Mode.DRAINING) == b"draining"
    desk.clock.advance(timedelta(seconds=1))
    await desk.room.posted()
    await desk.look()
    assert (await desk.view()).mode is Mode.DRAINING
    while await desk.room.pump.send_once(AT_TIANJIN):
        pass
    assert len(await desk.waiting()) == 1
    await desk.look()
    assert (await desk.view()).mode is Mode.PAUSED


async def test_staff_of_a_hosted_authority_operates_nothing(desk: Desk) -> None:
    with pytest.raises(PeerNotAllowed):
        await desk.operation.operations.peer(operator("131000"), AT_TIANJIN)
    with pytest.raises(PeerNotAllowed):
        await desk.operation.operations.order(
            a_call("PausePeer", authority="131000"),
            AT_TIANJIN,
            mode=Mode.PAUSED,
            reason="x",
            answer=lambda _view: b"",
        )


async def test_who_is_no_peer_is_not_found(desk: Desk) -> None:
    for node in ("nobody", AT_HEBEI):
        with pytest.raises(ResourceNotFound):
            await desk.operation.operations.peer(operator(), node)


async def test_peers_come_in_pages(desk: Desk) -> None:
    desk.room.peers.roster = desk.room.peers.listed(
        hosts={HEBEI: AT_HEBEI, TIANJIN: AT_TIANJIN, AuthorityCode("131000"): "n1"}  # type: ignore[dict-item] # a node id
    )
    names: list[str] = []
    token = ""
    while True:
        views, token = await desk.operation.operations.peers(
            operator(), page_size=1, page_token=token
        )
        names += [view.node for view in views]
        if not token:
            break
    assert names == ["n1", "tianjin"]


# --- items ----------------------------------------------------------------------------------


async def refused(desk: Desk, kind: str = "TicketUpdate") -> UndeliveredRow:
    """Let 天津 refuse a statement, and return the item."""
    [posted] = await desk.room.posted(kind=kind)
    error = ChainForked(signer=HEBEI, kind=kind, epoch="0.1")
    desk.room.answers(desk.room.peers.receipt(posted, issuer=TIANJIN, error=error))
    await desk.room.pump.send_once(AT_TIANJIN)
    items = await desk.look()
    [item] = [row for row in items.values() if row.statement_digest == posted]
    return item


async def test_what_was_refused_can_be_sent_again_with_the_same_bytes_and_number(
    desk: Desk,
) -> None:
    item = await refused(desk)
    [(_, [first])] = desk.room.post.carried
    desk.room.post.answer = desk.room.post.received
    desk.clock.advance(timedelta(hours=1))
    assert await desk.act(item.item, Act.RESEND) == b"resent"
    [row] = await desk.waiting()
    assert row.created == item.since, "its age goes on"
    assert await desk.room.pump.send_once(AT_TIANJIN)
    [_, (_, [second])] = desk.room.post.carried
    assert first.SerializeToString() == second.SerializeToString()
    assert await desk.waiting() == []


async def test_a_repeated_request_does_not_send_twice(desk: Desk) -> None:
    item = await refused(desk)
    request_id = str(uuid.uuid4())
    for _ in range(3):
        assert await desk.act(item.item, Act.RESEND, request_id=request_id) == b"resent"
    assert len(await desk.waiting()) == 1
    with pytest.raises(TransitionNotAllowed):
        await desk.act(item.item, Act.RESEND)


async def test_an_acknowledged_item_stays_on_the_list_with_who_and_why(desk: Desk) -> None:
    item = await refused(desk)
    await desk.act(item.item, Act.ACKNOWLEDGE)
    rows, _ = await desk.operation.operations.undelivered(
        operator(), page_size=0, page_token="", node="tianjin", everything=False
    )
    [row] = rows
    assert (row.state, row.actor, row.note) == (
        "acknowledged",
        operator().name,
        "checked by hand",
    )


async def test_what_custody_rests_on_is_not_discarded_and_what_informs_is_kept(
    desk: Desk,
) -> None:
    offer = await refused(desk, "Offer")
    with pytest.raises(TransitionNotAllowed):
        await desk.act(offer.item, Act.DISCARD)
    report = await refused(desk, "Supervision")
    assert await desk.act(report.item, Act.DISCARD) == b"discarded"
    async with desk.database.unit() as uow:
        kept = await uow.get(UNDELIVERED, report.item)
    assert kept is not None
    assert kept.envelope, "its bytes are still here"
    assert await desk.act(report.item, Act.RESEND) == b"resent"


async def test_every_act_is_in_the_audit(desk: Desk) -> None:
    item = await refused(desk)
    await desk.act(item.item, Act.ACKNOWLEDGE)
    await desk.order(Mode.PAUSED)
    async with desk.database.unit() as uow:
        entries = [each.entry for each in await AuditLog().list_after(uow, limit=10)]
    assert [(entry.act, entry.subject) for entry in entries] == [
        ("undelivered.acknowledge", f"tickets/{item.ticket}"),
        ("peer.pausedPeer", "peers/tianjin"),
    ]
    assert {entry.role for entry in entries} == {"system-administrator"}
    assert all("maintenance" not in repr(entry) for entry in entries), "free text stays out"


async def test_items_come_in_pages_oldest_first(desk: Desk) -> None:
    made = []
    for _ in range(5):
        made.append((await refused(desk)).item)
        desk.clock.advance(timedelta(minutes=1))
    names: list[str] = []
    token = ""
    while True:
        rows, token = await desk.operation.operations.undelivered(
            operator(), page_size=2, page_token=token, node="", everything=False
        )
        names += [row.item for row in rows]
        if not token:
            break
    assert names == made


async def test_a_quarantined_statement_is_tried_when_a_person_says_so(desk: Desk) -> None:
    office = desk.room.office
    poison = office.peers.envelope()
    office.raises = RuntimeError("a defect")
    for _ in range(FAILURES_MAX):
        await office.take(poison)
    office.raises = None
    items = await desk.look()
    [item] = [row for row in items.values() if row.kind == Item.QUARANTINED.value]
    assert office.peers.opened(await office.take(poison)).retry_delay == DEFER_MAX
    assert await desk.act(item.item, Act.RESEND) == b"resent"
    assert office.peers.opened(await office.take(poison)).outcome is Outcome.RECEIVED


async def test_a_pass_over_a_long_queue_says_the_same_as_one_over_a_short_one(desk: Desk) -> None:
    for n in range(30):
        await desk.room.posted(ticket=TicketNumber(f"1200002026030200000{n:04}"))
    desk.clock.advance(BACKOFF_MAX)
    seen = await desk.operation.monitor.look()
    view = seen.peers[AT_TIANJIN]
    assert (view.waiting, view.oldest_age) == (30, BACKOFF_MAX)


async def test_what_people_order_is_not_undone_by_a_pass_that_began_before(desk: Desk) -> None:
    """The monitor writes back what it read: they take turns."""
    item = await refused(desk)
    for doing in (desk.act(item.item, Act.ACKNOWLEDGE), desk.order(Mode.OPEN)):
        async with desk.database.unit() as uow:
            await uow.lock(MONITOR)  # as a pass does
            done = asyncio.ensure_future(doing)
            assert not (await asyncio.wait({done}, timeout=0.1))[0]
        await done


async def test_the_item_about_a_queue_ends_when_its_node_is_gone(desk: Desk) -> None:
    await desk.room.posted()
    desk.clock.advance(POLICY.alarm)
    assert (await desk.look())["overdue-tianjin"].state == ItemState.OPEN.value
    moved = {TIANJIN: AT_HEBEI, HEBEI: AT_HEBEI}
    desk.room.peers.roster = desk.room.peers.listed(hosts=moved)
    await desk.room.pump.send_once(AT_TIANJIN)
    assert (await desk.look())["overdue-tianjin"].state == ItemState.RESOLVED.value
    last = desk.seen[-1].peers[AT_TIANJIN]
    assert (last.alarm, last.waiting) == (Alarm.NONE, 0), "no gauge stays where it was"
    await desk.look()
    assert AT_TIANJIN not in desk.seen[-1].peers


def test_a_slow_pass_is_made_more_seldom() -> None:
    assert rest_after(timedelta(milliseconds=20)) == INTERVAL
    assert rest_after(timedelta(seconds=2)) == timedelta(seconds=40)
