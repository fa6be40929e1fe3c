"""The inbox: verify, then parse, then hand to the one handler of the kind, many in one transaction.

Checks on every envelope, in this order; the first failure changes nothing:
(1) size; (2) the source is in the roster and lives on the node of the TLS certificate;
(3) the signature is over the exact bytes, by a key of the source that is valid now;
(4) it parses and keeps the bounds of its schema; (5) it is addressed to an authority that lives
here, its issuer is the source, and its key may sign this kind; (6) a repeat gets the stored
receipt, byte for byte. Checks 7–10 belong to the handler (docs/custody.md#checks).

A receipt is given only after the commit of that very transaction. `received` and, from check 4 on,
`refused` are stored and replayed verbatim. Only what the signer did is refused for ever: what may
be our older roster, a statement that overtook another one, or a defect of ours is `deferred`, which
is not stored. A receipt says nothing about responsibility.

**A batch is one transaction.** Checks 1–5 of all envelopes come first, without the database. The
sound ones then share units: all locks in one call, in sorted order; what their handlers will read
in a few queries (`Prepare`); then one envelope after the other, each as an attempt of its own with
the local deliveries that it causes, so that one that fails drops only its own rows; one commit.
Each is still answered alone. When the unit itself fails (a deadlock, a lost connection, a defect
that the database found), nothing of it happened, and its envelopes are taken one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import structlog

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery import codec, incarnations
from gateway.delivery.checks import Checks, check_schema
from gateway.delivery.guard import Guard
from gateway.delivery.model import Delivered, SealedBlock, SignedBytes
from gateway.delivery.ports import Prepare, StatementHandler
from gateway.delivery.store import EVIDENCE, INBOX, EvidenceRow, InboxRow
from gateway.delivery.turns import Turns
from gateway.delivery.undelivered import UNDELIVERED, item_of_evidence
from gateway.kernel import crashpoints
from gateway.kernel.errors import (
    ChainForked,
    FieldInvalid,
    IncarnationStale,
    InvariantViolated,
    KeyUnknown,
    LocalProtocolError,
    LubiaoError,
    PeerNotAllowed,
    PeerUnreachable,
    RemoteProtocolError,
    ResourceExists,
    VersionTooNew,
)
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass, replace
from gateway.telemetry.traces import ticket_span
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb

_log = structlog.get_logger()


Accused = Callable[[UnitOfWork, Delivered, ChainForked, Instant], Awaitable[None]]
NO_RECEIPT = b""  # an empty SignedReceipt: nobody here can sign one; the sender tries again
EXAMINED_AT_ONCE = 4  # about a millisecond
UNIT_ENVELOPES_MAX = 50  # of one transaction: its locks are held for less than half a second


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an envelope belongs, as far as it was understood; its signature verified."""

    target: AuthorityCode
    source: AuthorityCode
    digest: bytes
    sequence: int
    peer: NodeId
    incarnation: int
    kind: str = ""
    ticket: str = ""

    @property
    def lock(self) -> str:
        """The lock under which the envelope is answered; reports of one issuer take turns."""
        if self.ticket:
            return f"ticket/{self.ticket}"
        return f"issuer/{self.source}" if self.kind else f"statement/{self.digest.hex()}"


@dataclass(slots=True)
class _Item:
    """One envelope of a batch, with what became of it."""

    envelope: peer_pb.Envelope
    place: _Place | None = None  # None: answered before the database was asked
    delivered: Delivered | None = None
    error: LubiaoError | None = None  # why it is refused
    receipt: bytes = NO_RECEIPT
    outcome: str = ""


class Inbox:
    """Receives envelopes for the authorities that live on this node."""

    def __init__(
        self,
        *,
        node: NodeId,
        database: Database,
        roster: Callable[[], Roster],
        keys: KeyRing,
        business_clock: Clock,
        machine_clock: Clock,
    ) -> None:
        """Make the inbox of one node; handlers are registered before it serves."""
        self._node = node
        self._database = database
        self._roster = roster
        self._keys = keys
        self._business = business_clock
        self._machine = machine_clock
        self._handlers: dict[str, StatementHandler] = {}
        self._prepares: list[tuple[Prepare, frozenset[str]]] = []
        self.guard = Guard(clock=machine_clock)
        self._checks = Checks(roster=roster, machine_clock=machine_clock)
        self._turns = Turns()
        self.heard_from: Callable[[NodeId], None] = lambda _node: None
        self.accused: Accused = _nobody  # told of a proven fork, in the unit that keeps it
        # Told `received`, `repeated`, `refused`, `deferred`, or `failed` for a defect of ours.
        self.counted: Callable[[str], None] = lambda _outcome: None

    def register(
        self, handlers: Mapping[str, StatementHandler], *, prepare: Prepare | None = None
    ) -> None:
        """Add the handlers of statement kinds, one a kind, and what reads ahead for them."""
        if prepare is not None:
            self._prepares.append((prepare, frozenset(handlers)))
        for kind, handler in handlers.items():
            if kind in self._handlers:
                raise ValueError(f"two handlers for {kind}")
            self._handlers[kind] = handler

    async def take(self, envelope: peer_pb.Envelope, *, peer: NodeId) -> bytes:
        """Take one envelope from a peer and return the serialised `SignedReceipt`."""
        [receipt] = await self.take_batch((envelope,), peer=peer)
        return receipt

    async def take_batch(
        self, envelopes: Sequence[peer_pb.Envelope], *, peer: NodeId
    ) -> list[bytes]:
        """Take envelopes from a peer and return the serialised `SignedReceipt`s, in their order.

        One is empty when the target does not live here: then nobody here can sign a receipt, and
        one of the two rosters is old.
        """
        self.heard_from(peer)
        items: list[_Item] = []
        for envelope in envelopes:
            items.append(self._examined(envelope, peer))
            if len(items) % EXAMINED_AT_ONCE == 0:
                await asyncio.sleep(0)  # signatures take their time; others are served meanwhile
        waiting = [item for item in items if item.place is not None]
        for first in range(0, len(waiting), UNIT_ENVELOPES_MAX):
            async with self._turns.of(peer):
                await self._take_together(waiting[first : first + UNIT_ENVELOPES_MAX])
        for item in items:
            self.counted(item.outcome)
        return [item.receipt for item in items]

    async def take_local(
        self,
        uow: UnitOfWork,
        *,
        source: AuthorityCode,
        target: AuthorityCode,
        signed: SignedBytes,
        blocks: Iterable[SealedBlock],
        now: Instant,
        cause: str = "",
    ) -> None:
        """Handle a statement between two authorities of this node inside the sender's unit.

        `cause` is the trace context of the step that said it.

        Raises:
            InvariantViolated: one of our own authorities broke the protocol. The whole step fails:
                it must not be blamed on the peer whose statement may have caused it.
        """
        try:
            self._checks.verify(source, signed)
            delivered = Delivered(
                target=target,
                statement=self._checks.statement(signed, source=source, target=target),
                signed=signed,
                digest=digest(signed.statement),
                blocks=tuple(blocks),
            )
            statement = delivered.statement
            with ticket_span(
                statement.ticket,
                "statement.take",
                parent=cause,
                kind=statement.kind,
                issuer=source,
                target=target,
                scope=statement.scope,
                epoch=str(statement.epoch),
            ):
                await self._handler(statement.kind)(uow, delivered, now)
        except RemoteProtocolError as error:
            if isinstance(error, KeyUnknown) and error.metadata["signer"] != source:
                raise  # of a third party, attached: our roster may be the older one
            raise InvariantViolated(
                invariant="a hosted authority keeps the protocol", got=error.text()
            ) from error

    # --- before the database ------------------------------------------------------------------

    def _examined(self, envelope: peer_pb.Envelope, peer: NodeId) -> _Item:
        """Return an envelope after checks 1–5, which ask no database."""
        item = _Item(envelope)
        target = AuthorityCode(envelope.target)
        is_here = self._roster().is_hosted_by(target, self._node)
        if not is_here or target not in self._keys.codes():
            # A code that our roster has not is the peer's own text: long, perhaps, or personal.
            known = target if self._roster().authority(target) is not None else "unknown"
            _log.warning("envelope.not_for_here", peer=peer, target=known)
            item.outcome = "deferred"
            return item
        place = _Place(
            target=target,
            source=AuthorityCode(envelope.source),
            digest=digest(envelope.statement.statement),
            sequence=envelope.sequence,
            peer=peer,
            incarnation=envelope.incarnation,
        )
        try:
            signed = self._checks.authenticate(envelope, peer=peer)  # (1)–(3)
        except LubiaoError as error:
            # The peer's roster may be newer than ours: that is no refusal for ever.
            deferred = isinstance(error, KeyUnknown | PeerNotAllowed)
            if not deferred:
                _log.warning("envelope.refused", reason=error.reason, peer=peer, target=target)
            self._answer_unstored(item, place, error, deferred=deferred)
            return item
        except Exception as error:  # a defect of ours must not hold up the other envelopes
            _log.error("envelope.failed", peer=peer, target=target, exc_info=error)
            failed = InvariantViolated(invariant="an envelope is checked", got=type(error).__name__)
            item.outcome = "failed"  # unsigned as it is, it must not quarantine a statement
            item.receipt = self._receipt(target, place.digest, failed, deferred=True)
            return item
        try:
            item.delivered = delivered = self._open(place, signed, envelope)  # (4), (5)
            statement = delivered.statement
            place = replace(place, kind=statement.kind, ticket=statement.ticket)
            self._handler(statement.kind)
        except LubiaoError as error:
            item.error = error
        except Exception as error:  # as above
            self._fail(item, place, error)
            return item
        try:
            if item.error is not None and not _is_for_ever(item.error):
                raise item.error
            self.guard.check(place)
        except LubiaoError as error:
            self._defer(item, place, error)
            return item
        item.place = place
        return item

    def _open(self, place: _Place, signed: SignedBytes, envelope: peer_pb.Envelope) -> Delivered:
        """Return what was delivered after checks 4 and 5."""
        check_schema(envelope)
        return Delivered(
            target=place.target,
            statement=self._checks.statement(signed, source=place.source, target=place.target),
            signed=signed,
            digest=place.digest,
            blocks=tuple(codec.block_from_pb(block) for block in envelope.blocks),
            cause=envelope.traceparent,
        )

    def _handler(self, kind: str) -> StatementHandler:
        handler = self._handlers.get(kind)
        if handler is None:
            raise VersionTooNew(kind=kind, got="unknown", expected="a kind of this version")
        return handler

    # --- one transaction ----------------------------------------------------------------------

    async def _take_together(self, items: Sequence[_Item]) -> None:
        """Take envelopes in one unit, or one by one if that fails."""
        if len(items) > 1:
            try:
                await self._in_one_unit(items)
            except Exception as error:  # whatever it is, it may be the fault of one of them only
                reason = error.reason if isinstance(error, LubiaoError) else type(error).__name__
                _log.warning("batch.apart", envelopes=len(items), reason=reason)
            else:
                return
        for item in items:
            place = item.place
            if place is None:
                continue
            try:
                await self._in_one_unit((item,))
            except LubiaoError as error:
                self._defer(item, place, error)
            except Exception as error:  # a defect of ours must not hold up the other envelopes
                self._fail(item, place, error)

    async def _in_one_unit(self, items: Sequence[_Item]) -> None:
        """Take envelopes in one transaction; none has an answer before its commit.

        Raises:
            Exception: the unit is over, and nothing happened.
        """
        now = self._business.now()
        places = [(item, item.place) for item in items if item.place is not None]
        async with self._database.unit() as uow:
            await uow.lock(*{place.lock for _, place in places})
            await uow.prefetch(INBOX, [(place.target, place.digest) for _, place in places])
            sound = [item.delivered for item in items if item.delivered is not None]
            for prepare, kinds in self._prepares:
                own = [item for item in sound if not kinds or item.statement.kind in kinds]
                if own:
                    await prepare(uow, own)
            for item, place in places:
                await self._answer(uow, item, place, now)
                if len(items) > 1:
                    await asyncio.sleep(0)  # the node serves others meanwhile
        crashpoints.reach("receipt.before")

    async def _answer(self, uow: UnitOfWork, item: _Item, place: _Place, now: Instant) -> None:
        """Take one envelope as an attempt of the unit, and put down its answer."""
        error = item.error
        try:
            await incarnations.note(uow, place.peer, place.incarnation)
            stored = await uow.get(INBOX, place.target, place.digest)  # (6)
            if stored is not None:
                item.receipt, item.outcome = stored.receipt, "repeated"
                return
            if item.delivered is not None and error is None:
                async with uow.attempt():
                    item.receipt = await self._apply(uow, place, item.delivered, now)
                item.outcome = "received"
                return
        except (PeerUnreachable, ResourceExists):
            raise  # of the database: the unit is over
        except IncarnationStale as stale:
            # Never taken, but not refused for ever either: a process of the restored node that did
            # not stop yet shares its outbox, and the new life may send the very same statement.
            _log.warning("envelope.of_an_earlier_life", peer=place.peer, kind=place.kind)
            self._answer_unstored(item, place, stale, deferred=True)
            return
        except LubiaoError as failure:
            error = failure
        except Exception as failure:
            self._fail(item, place, failure)
            return
        if error is not None and _is_for_ever(error):
            size = len(_without_blocks(item.envelope))
            error = await self.guard.refusable(uow, place, error, size=size, now=now)
        if error is None or not _is_for_ever(error):
            self._defer(item, place, error or InvariantViolated(invariant="an answer", got="none"))
        else:
            item.receipt, item.outcome = self._refuse(uow, place, item, error, now), "refused"
            if isinstance(error, ChainForked) and item.delivered is not None:
                await self.accused(uow, item.delivered, error, now)

    async def _apply(
        self, uow: UnitOfWork, place: _Place, delivered: Delivered, now: Instant
    ) -> bytes:
        """Apply a statement with all that follows from it here, and stage its receipt."""
        statement = delivered.statement
        with ticket_span(
            statement.ticket,
            "statement.take",
            parent=delivered.cause,
            kind=statement.kind,
            issuer=statement.issuer,
            target=place.target,
            scope=statement.scope,
            epoch=str(statement.epoch),
        ):
            await self._handler(place.kind)(uow, delivered, now)
            await uow.settle()
        receipt = self._receipt(place.target, place.digest, None, deferred=False)
        uow.put(INBOX, _inbox_row(place, receipt, outcome="received", now=now))
        return receipt

    def _refuse(
        self, uow: UnitOfWork, place: _Place, item: _Item, error: LubiaoError, now: Instant
    ) -> bytes:
        """Stage a refusal with the evidence for it."""
        _log.warning(
            "statement.refused",
            reason=error.reason,
            kind=place.kind,
            issuer=place.source,
            ticket=place.ticket,
        )
        receipt = self._receipt(place.target, place.digest, error, deferred=False)
        uow.put(INBOX, _inbox_row(place, receipt, outcome="refused", now=now))
        evidence = EvidenceRow(
            statement_digest=place.digest,
            target=place.target,
            source=place.source,
            ticket=place.ticket,
            kind=place.kind,
            reason=error.reason,
            detail=error.text(),
            envelope=_without_blocks(item.envelope),
            recorded=now,
        )
        uow.put(EVIDENCE, evidence)
        uow.put(UNDELIVERED, item_of_evidence(evidence, node=place.peer))
        return receipt

    def _defer(self, item: _Item, place: _Place, error: LubiaoError) -> None:
        """Answer that it shall come again; nothing is stored."""
        _log.error("envelope.deferred", reason=error.reason, kind=place.kind)
        self._answer_unstored(item, place, error, deferred=True)

    def _fail(self, item: _Item, place: _Place, error: Exception) -> None:
        """Answer that it shall come again, because of a defect of ours."""
        _log.error("envelope.failed", kind=place.kind, ticket=place.ticket, exc_info=error)
        failed = InvariantViolated(invariant="a statement is handled", got=type(error).__name__)
        self._answer_unstored(item, place, failed, deferred=True)

    def _answer_unstored(
        self, item: _Item, place: _Place, error: LubiaoError, *, deferred: bool
    ) -> None:
        is_ours = isinstance(error, LocalProtocolError)
        if is_ours or isinstance(error, ResourceExists):  # a row that is in the way stays there
            self.guard.failed(place, error.metadata.get("got", error.reason))
        item.outcome = "failed" if is_ours else "deferred" if deferred else "refused"
        item.receipt = self._receipt(place.target, place.digest, error, deferred=deferred)

    def _receipt(
        self,
        target: AuthorityCode,
        statement_digest: bytes,
        error: LubiaoError | None,
        *,
        deferred: bool,
    ) -> bytes:
        raw = codec.receipt_to_bytes(
            issuer=target,
            statement_digest=statement_digest,
            now=self._machine.now(),
            error=error,
            deferred=deferred,
        )
        key = self._keys.signing_key(target)
        signature = sign(key, raw, payload_type=RECEIPT_PAYLOAD_TYPE)
        return codec.signed_receipt_to_bytes(raw, key_id=key.key_id, signature=signature)


async def _nobody(*_given: object) -> None:
    """Be told of a fork and do nothing: no ticket is held on this node."""


def _is_for_ever(error: LubiaoError) -> bool:
    """Tell whether the same envelope can never succeed, because of what its signer did."""
    if isinstance(error, KeyUnknown | VersionTooNew):
        return False
    return isinstance(error, RemoteProtocolError | FieldInvalid)


def _without_blocks(envelope: peer_pb.Envelope) -> bytes:
    """Return the signed part: sealed content proves nothing, and must stay destroyable (I10)."""
    signed = peer_pb.Envelope()
    signed.CopyFrom(envelope)
    signed.ClearField("blocks")
    signed.DiscardUnknownFields()  # not signed: they prove nothing
    return signed.SerializeToString()


def _inbox_row(place: _Place, receipt: bytes, *, outcome: str, now: Instant) -> InboxRow:
    return InboxRow(
        target=place.target,
        statement_digest=place.digest,
        source=place.source,
        kind=place.kind,
        ticket=place.ticket,
        sequence=place.sequence,
        outcome=outcome,
        receipt=receipt,
        recorded=now,
    )
