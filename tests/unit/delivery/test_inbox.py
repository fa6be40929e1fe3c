"""Checks 1–6: a wrong envelope gets a typed refusal or deferral, and nothing changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import structlog

from gateway.database.memory import MemoryDatabase
from gateway.database.uow import UnitOfWork
from gateway.delivery.checks import Checks
from gateway.delivery.guard import FAILURES_MAX
from gateway.delivery.inbox import NO_RECEIPT
from gateway.delivery.model import (
    ENVELOPE_BYTES_MAX,
    Delivered,
    Outcome,
    SealedBlock,
    SignedBytes,
)
from gateway.delivery.store import EVIDENCE, INBOX
from gateway.kernel.errors import (
    ChainForked,
    CommitmentMismatch,
    FieldInvalid,
    InvariantViolated,
    LubiaoError,
    NotCustodian,
    PeerUnreachable,
    ResourceNotFound,
    VersionTooNew,
)
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Instant
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import KeyEntry
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb
from tests.unit.delivery.builders import (
    AT_HEBEI,
    AT_TIANJIN,
    DAY,
    HEBEI,
    KIND,
    LANGFANG,
    NOW,
    TAKEN,
    TIANJIN,
    Office,
    Peers,
)

BLOCK = SealedBlock("state_block", b"sealed", "suite", "key")
FORK = ChainForked(signer=TIANJIN, kind=KIND, epoch="0.0")


@pytest.fixture
def peers() -> Peers:
    """Two nodes with fresh keys."""
    return Peers()


@pytest.fixture
def office(peers: Peers) -> Office:
    """河北's node with an empty database."""
    return Office(peers)


def stored(office: Office) -> tuple[int, int, int]:
    """Return how many statements took effect, were answered for ever, and are evidence."""
    database = office.database
    assert isinstance(database, MemoryDatabase)
    return len(database.rows(TAKEN)), len(database.rows(INBOX)), len(database.rows(EVIDENCE))


async def answered(
    office: Office, envelope: peer_pb.Envelope, peer: NodeId = AT_TIANJIN
) -> tuple[Outcome, str]:
    receipt = office.peers.opened(await office.take(envelope, peer))
    assert receipt.statement_digest == digest(envelope.statement.statement)
    return receipt.outcome, receipt.reason


NOTHING = (0, 0, 0)
REFUSED_FOR_EVER = (0, 1, 1)


async def test_a_sound_envelope_takes_effect_and_is_received(office: Office) -> None:
    assert await answered(office, office.peers.envelope()) == (Outcome.RECEIVED, "")
    assert stored(office) == (1, 1, 0)
    assert office.heard == [AT_TIANJIN]
    assert office.counts == ["received"]


# --- (1) – (3): nobody is accountable yet ---------------------------------------------------


async def test_1_an_envelope_over_its_bound_is_refused(office: Office) -> None:
    blocks = tuple(replace(BLOCK, ciphertext=bytes(ENVELOPE_BYTES_MAX // 4)) for _ in range(5))
    envelope = office.peers.envelope(blocks=blocks)
    assert await answered(office, envelope) == (Outcome.REFUSED, "STATEMENT_MALFORMED")
    assert stored(office) == NOTHING


@pytest.mark.parametrize(
    ("source", "peer"),
    [(TIANJIN, AT_HEBEI), (TIANJIN, NodeId("stranger")), ("440000", AT_TIANJIN)],
    ids=["another node", "an unknown node", "an authority that has not joined"],
)
async def test_2_a_node_speaks_only_for_whom_it_hosts(
    office: Office, source: str, peer: NodeId
) -> None:
    """Deferred, not refused for ever: the authority may have moved and our roster be old."""
    envelope = office.peers.envelope(source=source)
    assert await answered(office, envelope, peer) == (Outcome.DEFERRED, "PEER_NOT_ALLOWED")
    assert stored(office) == NOTHING


async def test_2_an_authority_that_moved_is_heard_once_the_roster_says_so(office: Office) -> None:
    envelope, elsewhere = office.peers.envelope(), NodeId("elsewhere")
    assert (await answered(office, envelope, elsewhere))[0] is Outcome.DEFERRED
    moved = {TIANJIN: elsewhere, HEBEI: AT_HEBEI}
    office.peers.roster = office.peers.listed(hosts=moved)
    assert (await answered(office, envelope, elsewhere))[0] is Outcome.RECEIVED


async def test_3_bytes_that_were_not_signed_are_refused(office: Office) -> None:
    signed = office.peers.signed()
    forged = replace(signed, statement=signed.statement + b"\x00")
    outcome = await answered(office, office.peers.envelope(forged))
    assert outcome == (Outcome.REFUSED, "SIGNATURE_INVALID")
    assert stored(office) == NOTHING


async def test_3_a_signature_of_another_authority_is_refused(office: Office) -> None:
    signed = office.peers.signed(signer=HEBEI)
    forged = replace(signed, key_id=office.peers.keys.signing_key(TIANJIN).key_id)
    assert (await answered(office, office.peers.envelope(forged)))[0] is Outcome.REFUSED
    assert stored(office) == NOTHING


async def test_3_a_key_that_is_not_listed_may_be_in_a_newer_roster(office: Office) -> None:
    forged = replace(office.peers.signed(), key_id="unlisted")
    outcome = await answered(office, office.peers.envelope(forged))
    assert outcome == (Outcome.DEFERRED, "KEY_UNKNOWN")
    assert stored(office) == NOTHING


@pytest.mark.parametrize(
    ("change", "outcome", "reason"),
    [
        ({"revoked_at": NOW}, Outcome.REFUSED, "KEY_REVOKED"),
        ({"valid_to": NOW - timedelta(seconds=1)}, Outcome.REFUSED, "KEY_REVOKED"),
        ({"valid_from": NOW + timedelta(seconds=1)}, Outcome.DEFERRED, "KEY_UNKNOWN"),
    ],
    ids=["revoked", "expired", "not yet valid by our clock"],
)
async def test_3_a_key_counts_while_it_is_valid(
    office: Office, change: dict[str, Instant], outcome: Outcome, reason: str
) -> None:
    def changed(_code: str, entry: KeyEntry) -> KeyEntry:
        return replace(entry, **change) if entry.key_id == key_id else entry  # type: ignore[arg-type] # instants

    key_id = office.peers.keys.signing_key(TIANJIN).key_id
    office.peers.roster = office.peers.listed(changed)
    assert await answered(office, office.peers.envelope()) == (outcome, reason)
    assert stored(office) == NOTHING


async def test_3_a_new_key_is_good_once_our_clock_agrees(office: Office) -> None:
    def later(_code: str, entry: KeyEntry) -> KeyEntry:
        return replace(entry, valid_from=NOW + DAY)

    office.peers.roster = office.peers.listed(later)
    envelope = office.peers.envelope()
    assert (await answered(office, envelope))[0] is Outcome.DEFERRED
    office.clock.advance(DAY)
    assert (await answered(office, envelope))[0] is Outcome.RECEIVED


async def test_3_a_batch_signature_is_not_understood_yet(office: Office) -> None:
    envelope = office.peers.envelope()
    envelope.statement.signature.merkle.index = 0
    assert (await answered(office, envelope))[0] is Outcome.REFUSED
    assert stored(office) == NOTHING


# --- (4) – (5): the signer is accountable ---------------------------------------------------


def _garbage(peers: Peers) -> peer_pb.Envelope:
    return peers.envelope(peers.sign(b"\xff\xff"))


def _out_of_bounds(peers: Peers) -> peer_pb.Envelope:
    return peers.envelope(peers.signed(scope="130100"))


def _absurd_time(peers: Peers) -> peer_pb.Envelope:
    message = type_pb.Statement.FromString(peers.signed().statement)
    message.issued_time.seconds = 2**60
    return peers.envelope(peers.sign(message.SerializeToString()))


def _too_many_blocks(peers: Peers) -> peer_pb.Envelope:
    return peers.envelope(blocks=(BLOCK,) * 9)


def _block_over_its_bound(peers: Peers) -> peer_pb.Envelope:
    return peers.envelope(blocks=(replace(BLOCK, ciphertext=bytes(262_145)),))


def _without_sequence(peers: Peers) -> peer_pb.Envelope:
    return peers.envelope(sequence=-1)


def _of_another(peers: Peers) -> peer_pb.Envelope:
    return peers.envelope(peers.signed(issuer=HEBEI))


def _to_another(peers: Peers) -> peer_pb.Envelope:
    return peers.envelope(peers.signed(audience=(LANGFANG,)))


WRONG = [
    _garbage,
    _out_of_bounds,
    _absurd_time,
    _too_many_blocks,
    _block_over_its_bound,
    _without_sequence,
    _of_another,
    _to_another,
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
async def test_4_and_5_what_the_signer_did_wrong_is_refused_for_ever(
    office: Office, wrong: Callable[[Peers], peer_pb.Envelope]
) -> None:
    envelope = wrong(office.peers)
    first = await office.take(envelope)
    receipt = office.peers.opened(first)
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "STATEMENT_MALFORMED")
    assert stored(office) == REFUSED_FOR_EVER
    office.clock.advance(DAY)
    assert await office.take(envelope) == first, "replayed verbatim"
    assert stored(office) == REFUSED_FOR_EVER


async def test_5_a_key_signs_only_what_the_roster_lets_it(office: Office) -> None:
    def limited(_code: str, entry: KeyEntry) -> KeyEntry:
        return replace(entry, statement_kinds=frozenset({"Ruling"}))

    office.peers.roster = office.peers.listed(limited)
    assert (await answered(office, office.peers.envelope()))[0] is Outcome.DEFERRED
    assert stored(office) == NOTHING


@pytest.mark.parametrize("changes", [{"protocol_version": 2}, {"kind": "Tomorrow"}])
async def test_what_is_too_new_is_deferred(office: Office, changes: dict[str, Any]) -> None:
    def any_kind(_code: str, entry: KeyEntry) -> KeyEntry:
        return replace(entry, statement_kinds=frozenset({KIND, "Tomorrow"}))

    office.peers.roster = office.peers.listed(any_kind)
    envelope = office.peers.envelope(office.peers.signed(**changes))
    assert await answered(office, envelope) == (Outcome.DEFERRED, "VERSION_TOO_NEW")
    assert stored(office) == NOTHING


# --- (6): once, and the same answer for ever ------------------------------------------------


async def test_6_a_repeat_is_answered_with_the_stored_bytes(office: Office) -> None:
    envelope = office.peers.envelope()
    first = await office.take(envelope)
    office.clock.advance(DAY)
    envelope.sequence += 1  # a resend after a restore has another number
    assert await office.take(envelope) == first
    assert stored(office) == (1, 1, 0)
    assert office.counts == ["received", "repeated"]


async def test_6_a_repeat_after_the_handler_changed_its_mind_is_the_first_answer(
    office: Office,
) -> None:
    envelope = office.peers.envelope()
    office.raises = FORK
    first = await office.take(envelope)
    office.raises = None
    assert await office.take(envelope) == first
    assert stored(office) == REFUSED_FOR_EVER


async def test_6_of_two_at_once_one_takes_effect(office: Office) -> None:
    envelope = office.peers.envelope()
    first, second = await asyncio.gather(office.take(envelope), office.take(envelope))
    assert first == second
    assert sorted(office.counts) == ["received", "repeated"]


# --- what the handler says ------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [FORK, CommitmentMismatch(block="case_block"), FieldInvalid(field="f", got="g", expected="e")],
    ids=lambda error: error.reason,
)
async def test_what_breaks_the_protocol_is_evidence(office: Office, error: LubiaoError) -> None:
    office.raises = error
    envelope = office.peers.envelope(blocks=(BLOCK,))
    assert await answered(office, envelope) == (Outcome.REFUSED, error.reason)
    assert stored(office) == REFUSED_FOR_EVER
    database = office.database
    assert isinstance(database, MemoryDatabase)
    [evidence] = database.rows(EVIDENCE)
    kept = peer_pb.Envelope.FromString(evidence.envelope)
    assert kept.statement == envelope.statement
    assert not kept.blocks, "content proves nothing and must stay destroyable (I10)"


@pytest.mark.parametrize(
    "error",
    [
        ResourceNotFound(kind="chain", name="not yet"),
        PeerUnreachable(peer="postgresql", got="gone"),
        VersionTooNew(kind=KIND, got=2, expected=1),
        InvariantViolated(invariant="ours", got="broken"),
        NotCustodian(ticket="t", holding="RELEASED", event="react", custodian="c"),
        ValueError("a defect"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_not_the_signers_fault_is_deferred_and_comes_again(
    office: Office, error: Exception
) -> None:
    """A refusal is for ever and evidence: an honest peer must never get one for our defect."""
    office.raises = error
    envelope = office.peers.envelope()
    assert (await answered(office, envelope))[0] is Outcome.DEFERRED
    assert stored(office) == NOTHING
    office.raises = None
    assert (await answered(office, envelope))[0] is Outcome.RECEIVED


async def test_defects_of_ours_are_counted_as_such(office: Office) -> None:
    for error in (InvariantViolated(invariant="ours", got="broken"), ValueError("a defect")):
        office.raises = error
        await office.take(office.peers.envelope())
    assert office.counts == ["failed", "failed"]


# --- whom it concerns -----------------------------------------------------------------------


async def test_an_envelope_for_nobody_here_gets_no_receipt_and_harms_no_other(
    office: Office,
) -> None:
    """An exception here would fail the whole batch, and with it everything behind it for ever."""
    signed = office.peers.signed(audience=(TIANJIN,))
    assert await office.take(office.peers.envelope(signed, target=TIANJIN)) == NO_RECEIPT
    assert stored(office) == NOTHING


async def test_an_authority_whose_keys_have_not_moved_in_yet_gets_no_receipt(
    peers: Peers,
) -> None:
    office = Office(peers)
    peers.keys, everybody = KeyRing.in_memory((HEBEI,)), peers.keys
    moved_in = Office(peers)
    peers.keys = everybody
    signed = peers.signed(audience=(LANGFANG,))
    assert await moved_in.take(peers.envelope(signed, target=LANGFANG)) == NO_RECEIPT
    raw = await office.take(peers.envelope(signed, target=LANGFANG))
    assert peers.opened(raw, LANGFANG).outcome is Outcome.RECEIVED


def test_a_kind_has_one_handler(office: Office) -> None:
    async def other(uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match=KIND):
        office.inbox.register({KIND: other})


async def test_the_name_of_a_target_that_nobody_knows_is_not_logged(office: Office) -> None:
    """It is any text of the peer: a megabyte, or somebody's name and number."""
    with structlog.testing.capture_logs() as lines:
        await office.take(office.peers.envelope(target="虚构姓名 13800000000" * 1000))
        await office.take(office.peers.envelope(target="440000"))
        await office.take(office.peers.envelope(target=TIANJIN))
    assert [line["target"] for line in lines] == ["unknown", "unknown", TIANJIN]


def outcomes_of(office: Office, receipts: list[bytes]) -> list[Outcome]:
    return [office.peers.opened(raw).outcome for raw in receipts]


async def test_a_defect_in_looking_at_one_envelope_does_not_fail_its_batch(office: Office) -> None:
    odd, sound = office.peers.envelope(), office.peers.envelope()
    checks, original = office.inbox._checks, Checks.authenticate

    def authenticate(envelope: peer_pb.Envelope, *, peer: NodeId) -> SignedBytes:
        if envelope is odd:
            raise RuntimeError("a defect")
        return original(checks, envelope, peer=peer)

    checks.authenticate = authenticate  # type: ignore[method-assign] # has a defect
    with structlog.testing.capture_logs():
        receipts = await office.inbox.take_batch([odd, sound], peer=AT_TIANJIN)
        assert outcomes_of(office, receipts) == [Outcome.DEFERRED, Outcome.RECEIVED]
        for _ in range(FAILURES_MAX):
            await office.take(odd)
        checks.authenticate = partial(original, checks)  # type: ignore[method-assign] # mended
        assert outcomes_of(office, [await office.take(odd)]) == [Outcome.RECEIVED]
