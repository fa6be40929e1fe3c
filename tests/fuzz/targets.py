"""What reads a peer's bytes, as functions that a fuzzer can call.

A target may raise a typed error: that is what a hostile peer gets. Anything else is a finding.
Seeds are real bytes of a told story, so that a fuzzer begins inside of the formats. The targets:

    envelope      whatever parses as an envelope, handed to the inbox: its signature is wrong
    statement     a validly signed statement of a member whose kind and body are the fuzzer's
    body          the body of a statement, by kind
    block         an opened content block, by kind, and everything that reads it afterwards
    receipt       what a peer answers
    roster        what a directory sends
    report        what a province reports to the hub
    certificate   what a caller shows
    evidence      a file of evidence, as it is and sealed by its authority, handed to the verifier
    returned      a validly signed statement that a peer returns to a node which recovers
    heads         the entries of a ledger that a peer shows
    dispute, rules  cases and rules that a peer tells (`rooms.py`)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.message import DecodeError

from gateway.aggregates.codec import report_from_bytes, report_to_bytes
from gateway.aggregates.model import Cell, DayReport
from gateway.audit.service import AuditLog
from gateway.custody import codec, letter_codec, store
from gateway.custody.collecting import QUIET
from gateway.custody.confirming import confirm
from gateway.custody.heads import entry_of, entry_to_pb
from gateway.custody.recovery import ATTEMPTS_MAX
from gateway.custody.sealer import LedgerSealer
from gateway.delivery.codec import (
    digest_to_pb,
    receipt_from_bytes,
    signed_to_pb,
    statement_from_bytes,
    statement_to_bytes,
)
from gateway.delivery.model import SignedBytes, Statement
from gateway.delivery.store import INBOX
from gateway.dispatch.codec import citizen_from_identity
from gateway.evidence.dossier_codec import read_evidence, seal_bytes
from gateway.evidence.export import Exporter, Wanted
from gateway.evidence.sealed import EVIDENCE_PAYLOAD_TYPE
from gateway.evidence.verify import NamedFile, verify_files
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Epoch, NodeId, TicketNumber
from gateway.kernel.time import SystemClock
from gateway.tickets.attachment_codec import files_of
from gateway.tickets.codec import told_from_bytes
from gateway.tickets.life_codec import refused_acts_from_block
from gateway.trust.certificates import Certificate, CertificateAuthority
from gateway.trust.codec import roster_from_bytes, roster_to_bytes, signed_roster_from_bytes
from gateway.trust.principal import Principal, PrincipalKind
from gateway.trust.statements import digest, sign
from hotline.custody.v1 import custody_pb2
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb
from tests.fuzz import rooms
from tests.simulation import backups
from tests.simulation.stage import Stage

SOURCE, TARGET = AuthorityCode("120000"), AuthorityCode("130000")
KINDS = codec.known_kinds()
BLOCKS = ("case_block", "identity_block", "state_block", "letter_block", "reasons_block")
FRESH_EVERY = 400  # statements; then the world is told anew, so that no run depends on all before


@dataclass(frozen=True, slots=True)
class Target:
    """One function that a peer's bytes reach, with bytes to begin with."""

    name: str
    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    bytes_max: int = 4096  # of an input


def body(data: bytes) -> None:
    """Read the body of a statement; the first byte chooses its kind."""
    if data:
        codec.body_from_bytes(KINDS[data[0] % len(KINDS)], data[1:])


def block(data: bytes) -> None:
    """Read an opened block as everybody does to whom it goes; the first byte chooses its kind."""
    if not data:
        return
    kind, raw = BLOCKS[data[0] % len(BLOCKS)], data[1:]
    codec.check_block(kind, raw)
    match kind:
        case "case_block":
            files_of(custody_pb2.CaseBlock.FromString(raw).content.SerializeToString())
        case "identity_block":
            citizen_from_identity(raw)
        case "state_block":
            told_from_bytes(1, "130000", raw)
            refused_acts_from_block(raw)
        case "letter_block":
            letter_codec.block_from_bytes(raw)
            letter_codec.question_from_bytes(raw)
        case _:
            pass


def receipt(data: bytes) -> None:
    """Read a receipt out of what a peer answered."""
    receipt_from_bytes(data)


def roster(data: bytes) -> None:
    """Read a roster, signed and bare."""
    with suppress(LubiaoError):
        signed_roster_from_bytes(data)
    roster_from_bytes(data)


def report(data: bytes) -> None:
    """Read a day's report."""
    report_from_bytes(data)


def certificate(data: bytes) -> None:
    """Read a caller's certificate."""
    found = Certificate.parse(data)
    _ = found.uris, found.serial, found.is_client_leaf


def envelope(data: bytes) -> None:
    """Hand an envelope to the inbox of a node."""
    message = peer_pb.Envelope()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return  # gRPC itself refuses it
    _theatre().hand_in(message)


def statement(data: bytes) -> None:
    """Hand in a statement that a member signed, whatever it says; two bytes choose kind and place.

    The second byte: its low bit chooses who signs, the next whether the chain is known, the next
    four the epoch.
    """
    if len(data) > 1:
        _theatre().say(KINDS[data[0] % len(KINDS)], data[1], data[2:])


def evidence(data: bytes) -> None:
    """Verify a file of evidence, and once more with a seal that its authority set on it."""
    known = _story().roster
    verify_files([NamedFile("as it is", data)], (known,))
    key = _story().node_of(SOURCE).keys.signing_key(SOURCE)
    signature = sign(key, digest(data), payload_type=EVIDENCE_PAYLOAD_TYPE)
    seal = seal_bytes(digest(data), key_id=key.key_id, signature=signature)
    verify_files([NamedFile("sealed", data + seal)], (known,))


def returned(data: bytes) -> None:
    """Return a statement to a node that recovers; two bytes choose kind and place, as above.

    The second byte: its low bit chooses whether the restored authority signed it itself, the next
    whether content is beside it, the next four the epoch.
    """
    if len(data) > 1:
        _ruin().say(KINDS[data[0] % len(KINDS)], data[1], data[2:])


def heads(data: bytes) -> None:
    """Show entries to a node that asks for the head of an authority that it knows."""
    message = peer_pb.ExchangeHeadsResponse()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return  # gRPC itself refuses it
    _watch().show(message)


class _Theatre:
    """A stage with a ticket that 天津 has offered to 河北, told anew every now and then."""

    def __init__(self) -> None:
        """Make the loop; the story is told when it is needed."""
        self._loop = asyncio.new_event_loop()
        self._left = 0

    def hand_in(self, message: peer_pb.Envelope) -> None:
        """Give an envelope to the node of 河北, as the node of 天津 would."""
        self._prepare()
        node = self.stage.node_of(TARGET)
        answer = self._loop.run_until_complete(
            node.inbox.take(message, peer=self.stage.node_of(SOURCE).id)
        )
        if answer:
            receipt_from_bytes(peer_pb.SignedReceipt.FromString(answer).receipt)

    def say(self, kind: str, choice: int, raw: bytes) -> None:
        """Sign and hand in a statement."""
        self._prepare()
        issuer = SOURCE if choice & 1 else NATION
        said = Statement(
            statement_id=self.stage.ids.uuid7(self.stage.clock.now()),
            kind=kind,
            issuer=issuer,
            audience=(TARGET,),
            ticket=self.ticket if choice & 2 else self.other,
            scope=NATION,
            chain=1,
            epoch=Epoch(choice >> 2 & 1, choice >> 3 & 3) if choice >> 2 else GENESIS,
            previous_digest=b"",
            issued=self.stage.clock.now(),
            protocol_version=1,
            body=raw,
        )
        signing = self.stage.node_of(issuer).keys.signing_key(issuer)
        octets = statement_to_bytes(said)
        signed = SignedBytes(octets, signing.key_id, sign(signing, octets))
        self.hand_in(
            peer_pb.Envelope(
                source=issuer,
                incarnation=1,
                target=TARGET,
                sequence=1,
                statement=signed_to_pb(signed),
            )
        )

    def _prepare(self) -> None:
        if self._left == 0:
            self.stage = Stage()
            self._loop.run_until_complete(self._tell())
            self._left = FRESH_EVERY
        self._left -= 1

    async def _tell(self) -> None:
        stage = self.stage
        self.ticket = await stage.create(SOURCE)
        self.other = await stage.create(SOURCE)
        await stage.offer(SOURCE, self.ticket, TARGET)
        await stage.settle()


@cache
def _theatre() -> _Theatre:
    return _Theatre()


@dataclass(slots=True)
class _Liar:
    """Answers everything that a node asks of its peers with the same bytes."""

    page: peer_pb.ReturnStatementsResponse
    shown: peer_pb.ExchangeHeadsResponse

    async def return_statements(
        self, _node: NodeId, _request: peer_pb.ReturnStatementsRequest
    ) -> peer_pb.ReturnStatementsResponse:
        return self.page

    async def exchange_heads(
        self, _node: NodeId, _request: peer_pb.ExchangeHeadsRequest
    ) -> peer_pb.ExchangeHeadsResponse:
        return self.shown


class _Ruin:
    """河北 restored from a backup without the ticket that it took, anew for every statement."""

    def __init__(self) -> None:
        """Tell the story and keep both disks."""
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._tell())

    def say(self, kind: str, choice: int, raw: bytes) -> None:
        """Sign a statement and let every peer return it; the node comes to serve."""
        self._loop.run_until_complete(self._say(kind, choice, raw))

    async def _tell(self) -> None:
        self.stage = stage = Stage()
        self.node = stage.node_of(TARGET)
        self.empty = self.node.database.snapshot()
        self.ticket = await stage.create(SOURCE)
        await stage.hand_over(SOURCE, self.ticket, TARGET)

    async def _say(self, kind: str, choice: int, raw: bytes) -> None:
        stage, node = self.stage, self.node
        node.recovery.incarnation = 1
        await backups.restore(node, self.empty)
        issuer = TARGET if choice & 1 else SOURCE
        said = Statement(
            statement_id=stage.ids.uuid7(stage.clock.now()),
            kind=kind,
            issuer=issuer,
            audience=(SOURCE if choice & 1 else TARGET,),
            ticket=self.ticket,
            scope=NATION,
            chain=1,
            epoch=Epoch(choice >> 2 & 1, choice >> 3 & 3),
            previous_digest=b"",
            issued=stage.clock.now(),
            protocol_version=1,
            body=raw,
        )
        octets = statement_to_bytes(said)
        signing = stage.node_of(issuer).keys.signing_key(issuer)
        page = peer_pb.ReturnStatementsResponse(
            statements=[
                signed_to_pb(SignedBytes(octets, signing.key_id, sign(signing, octets))),
                *(signed_to_pb(self._signed(row)) for row in stage.said(SOURCE, "Offer")),
            ]
        )
        if choice & 2:
            block = type_pb.Block(kind="case_block", ciphertext=raw[:64], suite="x", key_id="x")
            page.blocks.add(statement_digest=digest_to_pb(digest(octets)), block=block)
        run = backups.run_of(node)
        run._collector._transport = _Liar(page, peer_pb.ExchangeHeadsResponse())
        await run.step()
        stage.clock.advance(QUIET)
        await run.step()
        async with node.database.unit() as uow:
            await confirm(uow, node.id, by="测试员", now=stage.clock.now())
        for _ in range(ATTEMPTS_MAX + 2):
            if await run.step():
                return
        raise AssertionError("the node never serves")

    @staticmethod
    def _signed(row: store.StatementRow) -> SignedBytes:
        return SignedBytes(row.statement, row.key_id, row.signature)


@cache
def _ruin() -> _Ruin:
    return _Ruin()


class _Watch:
    """河北 asks about 天津, of whose ledger it knows the first entry."""

    def __init__(self) -> None:
        """Seal some entries, and let the first be known."""
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._tell())

    async def _tell(self) -> None:
        self.stage = stage = Stage()
        node = stage.node_of(SOURCE)
        self.entries: list[peer_pb.LedgerEntry] = []
        for _ in range(3):
            await stage.create(SOURCE)
            stage.clock.advance(timedelta(seconds=10))
            async with node.database.unit() as uow:
                entry = await node.sealer.seal(uow, SOURCE, now=stage.clock.now())
            assert entry is not None
            self.entries.append(entry_to_pb(entry_of(entry)))
        self.keeper = backups.keeper_of(stage.node_of(TARGET))
        self._ask(peer_pb.ExchangeHeadsResponse(entries=self.entries[:1], incarnation=1))
        await self.keeper.ask(SOURCE, node.id)
        self.known = stage.node_of(TARGET).database.snapshot()

    def show(self, message: peer_pb.ExchangeHeadsResponse) -> None:
        """Answer with a message."""
        self.stage.node_of(TARGET).database.restore(self.known)
        self._ask(message)
        self._loop.run_until_complete(self.keeper.ask(SOURCE, self.stage.node_of(SOURCE).id))

    def _ask(self, message: peer_pb.ExchangeHeadsResponse) -> None:
        self.keeper._transport = _Liar(peer_pb.ReturnStatementsResponse(), message)


@cache
def _watch() -> _Watch:
    return _Watch()


# --- seeds ----------------------------------------------------------------------------------


@cache
def _story() -> Stage:
    """Tell a story in which most kinds of statements are said."""
    return asyncio.run(_told())


async def _told() -> Stage:
    stage = Stage()
    ticket = await stage.create(SOURCE)
    await stage.hand_over(SOURCE, ticket, TARGET)
    await stage.hand_over(TARGET, ticket, "131000")
    await stage.change("131000", ticket)
    await stage.settle()
    await stage.file(TARGET, ticket, target=SOURCE)
    await stage.settle()
    await stage.rule(ticket, SOURCE)
    await stage.settle()
    other = await stage.create(SOURCE)
    await stage.offer(SOURCE, other, TARGET)
    await stage.settle()
    await stage.revoke(SOURCE, other)
    await stage.settle()
    return stage


def _statements() -> list[Statement]:
    rows = [row for node in _story().nodes.values() for row in node.database.rows(store.STATEMENTS)]
    return [statement_from_bytes(row.statement) for row in rows]


def _body_seeds() -> list[bytes]:
    return [bytes([KINDS.index(said.kind)]) + said.body for said in _statements()]


def _statement_seeds() -> list[bytes]:
    return [
        bytes([KINDS.index(said.kind), choice]) + said.body
        for said in _statements()
        for choice in (1, 3)
    ]


def _block_seeds() -> list[bytes]:
    case = custody_pb2.CaseBlock()
    case.content.title = case.content.content = "虚构诉求"
    case.content.place.region = "120101"
    state = custody_pb2.StateBlock()
    state.decision.rule = "synthetic"
    identity = custody_pb2.IdentityBlock()
    identity.citizen.display_name = "测试人员甲"
    letter = custody_pb2.LetterBlock(text="虚构补充")
    return [
        bytes([index]) + message.SerializeToString()
        for index, message in enumerate((case, identity, state, letter))
    ]


def _envelope_seeds() -> list[bytes]:
    rows = [row for node in _story().nodes.values() for row in node.database.rows(store.STATEMENTS)]
    return [
        peer_pb.Envelope(
            source=row.issuer,
            incarnation=1,
            target=TARGET,
            sequence=1,
            statement=signed_to_pb(SignedBytes(row.statement, row.key_id, row.signature)),
        ).SerializeToString()
        for row in rows[:20]
    ]


def _receipt_seeds() -> list[bytes]:
    rows = [row for node in _story().nodes.values() for row in node.database.rows(INBOX)]
    return [peer_pb.SignedReceipt.FromString(row.receipt).receipt for row in rows[:20]]


def _roster_seeds() -> list[bytes]:
    return [roster_to_bytes(_story().roster)]


@cache
def _report_seeds() -> list[bytes]:
    cells = (Cell(matter="010000", count=41), Cell(matter="020000", count=None))
    report = DayReport(
        province=SOURCE, day=20260302, sequence=7, epsilon_micro=100_000, threshold=10, cells=cells
    )
    return [report_to_bytes(report)]


@cache
def _certificate_seeds() -> list[bytes]:
    with TemporaryDirectory() as name:
        ca = CertificateAuthority.create(Path(name), SOURCE, now=SystemClock().now())
        issued = ca.issue_platform(f"{SOURCE}-p1", now=SystemClock().now())
        return [ca.certificate.pem, issued.certificate_pem]


@cache
def _evidence_seeds() -> list[bytes]:
    stage = _story()
    node = stage.node_of(SOURCE)
    exporter = Exporter(
        database=node.database,
        keys=node.keys,
        signed_roster=lambda: b"",
        sealer=LedgerSealer(keys=node.keys),
        audit=AuditLog(),
        clock=node.clock,
    )
    auditor = Principal(SOURCE, PrincipalKind.AUDITOR, "audit-1")

    async def export(ticket: TicketNumber) -> bytes:
        parts = exporter.export(auditor, Wanted(ticket=ticket))
        return b"".join([part async for part in parts])

    rows = node.database.rows(store.CUSTODY_ROWS)
    tickets = sorted({TicketNumber(row.ticket) for row in rows if row.authority == SOURCE})
    files = [asyncio.run(export(ticket)) for ticket in tickets]
    seals = [read_evidence(raw).seal for raw in files]
    bare = [
        raw[: -len(seal_bytes(seal.digest, key_id=seal.key_id, signature=seal.signature))]
        for raw, seal in zip(files, seals, strict=True)
    ]
    return [*files, *bare]


def _heads_seeds() -> list[bytes]:
    entries = _watch().entries
    return [
        peer_pb.ExchangeHeadsResponse(
            entries=entries[first:last], incarnation=life
        ).SerializeToString()
        for first, last, life in ((0, 3, 1), (0, 1, 1), (0, 2, 2))
    ]


TARGETS = (
    Target("statement", statement, _statement_seeds),
    Target("body", body, _body_seeds),
    Target("block", block, _block_seeds),
    Target("envelope", envelope, _envelope_seeds),
    Target("receipt", receipt, _receipt_seeds),
    Target("roster", roster, _roster_seeds),
    Target("report", report, _report_seeds),
    Target("certificate", certificate, _certificate_seeds),
    Target("evidence", evidence, _evidence_seeds, bytes_max=32_768),
    Target("returned", returned, _statement_seeds),
    Target("heads", heads, _heads_seeds),
    Target("dispute", rooms.dispute, rooms.dispute_seeds, bytes_max=16_384),
    Target("rules", rooms.rules, rooms.rules_seeds, bytes_max=32_768),
)
