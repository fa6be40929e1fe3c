"""A peer that lies, errs or repeats itself: each envelope is answered alone, and changes nothing.

The peer here holds the real certificates and keys of a node of the federation: that is what a
broken or hostile node has. Its statements are made from a real Offer.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest

from gateway.trust.key_files import load_public_key
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import Purpose
from gateway.trust.principal import Role
from gateway.trust.roster import Roster
from gateway.trust.roster_file import verify_roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign, verify
from hotline.custody.v1 import custody_service_pb2 as custody_pb
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc
from hotline.type.v1 import statement_pb2 as type_pb
from tests.fixtures.federations import (
    CALL_SECONDS,
    CLOCK,
    Refusal,
    Running,
    a_ticket,
    holds_secrets,
    refusal,
)

TIANJIN, HEBEI, LANGFANG = "120000", "130000", "131000"
NODE_OF = {TIANJIN: "tianjin", HEBEI: "hebei", LANGFANG: "hebei"}


@dataclass(frozen=True)
class Answer:
    """A receipt whose signature was verified with the key that the roster lists."""

    issuer: str
    outcome: str
    error: Refusal | None
    statement_digest: bytes


def roster(federation: Running) -> Roster:
    """Return the roster as the node of 天津 has it."""
    folder = federation.federation.layout.node("tianjin")
    key = load_public_key(folder / "roster-key.pem", Purpose.STATEMENT)
    signed = (folder / "roster.binpb").read_bytes()
    return verify_roster(signed, key, minimum_version=0, allow_demo=True)


def a_real_offer(federation: Running) -> type_pb.SignedStatement:
    """Return the Offer of a ticket that went from 天津 to 廊坊."""
    name = federation.hand_in(a_ticket()).name
    federation.until_held_by(LANGFANG, name)
    staff = federation.custody(TIANJIN, Role.SUPERVISOR)
    records = staff.ListCustodyRecords(custody_pb.ListCustodyRecordsRequest(parent=name)).records
    return next(record.statement for record in records if record.kind == "Offer")


def altered(offer: type_pb.SignedStatement, *, issuer: str, target: str, kind: str = "") -> bytes:
    """Return the bytes of another statement, like the Offer, from `issuer` to `target`."""
    statement = type_pb.Statement.FromString(offer.statement)
    statement.statement_id = str(uuid.uuid4())
    statement.issuer = issuer
    statement.audience[:] = [target]
    statement.kind = kind or statement.kind
    return statement.SerializeToString(deterministic=True)


def signed(federation: Running, raw: bytes, *, by: str) -> type_pb.SignedStatement:
    """Sign bytes with the real key of an authority."""
    keys = KeyRing.load(federation.federation.layout.node(NODE_OF[by]) / "keys")
    key = keys.signing_key(by)
    return type_pb.SignedStatement(
        statement=raw, signature=type_pb.Signature(key_id=key.key_id, direct=sign(key, raw))
    )


def envelope(
    statement: type_pb.SignedStatement, *, source: str, target: str, sequence: int = 1
) -> peer_pb.Envelope:
    """Return an envelope without blocks."""
    return peer_pb.Envelope(
        source=source, target=target, incarnation=1, sequence=sequence, statement=statement
    )


def deliver(
    federation: Running, *envelopes: peer_pb.Envelope, sender: str, to: str
) -> list[peer_pb.SignedReceipt]:
    """Deliver with the sender's node certificate; return the receipts."""
    request = peer_pb.DeliverEnvelopesRequest(envelopes=envelopes)
    answer = federation.peer(sender, to=to).DeliverEnvelopes(request, timeout=CALL_SECONDS)
    return list(answer.receipts)


def opened(federation: Running, receipt: peer_pb.SignedReceipt) -> Answer:
    """Return what a receipt says, after its issuer's signature over it was verified."""
    message = peer_pb.Receipt.FromString(receipt.receipt)
    key = roster(federation).statement_key(message.issuer, receipt.signature.key_id)
    assert key is not None
    verify(key, receipt.receipt, receipt.signature.direct, payload_type=RECEIPT_PAYLOAD_TYPE)
    outcome = message.WhichOneof("outcome")
    assert outcome is not None
    error = None if outcome == "received" else Refusal.of(getattr(message, outcome).error)
    return Answer(message.issuer, outcome, error, message.statement_digest.value)


def refused(federation: Running, found: peer_pb.SignedReceipt) -> Refusal:
    """Return the error of a receipt that refuses for ever."""
    answer = opened(federation, found)
    assert answer.outcome == "refused"
    assert answer.error is not None
    assert answer.error.domain == "lubiao"
    assert answer.error.chinese
    return answer.error


def test_broken_signature_is_refused_by_a_receipt_that_the_target_signed(
    federation: Running,
) -> None:
    raw = altered(a_real_offer(federation), issuer=HEBEI, target=TIANJIN)
    statement = signed(federation, raw, by=HEBEI)
    statement.signature.direct = (
        bytes([statement.signature.direct[0] ^ 1]) + (statement.signature.direct[1:])
    )

    [receipt] = deliver(
        federation, envelope(statement, source=HEBEI, target=TIANJIN), sender="hebei", to="tianjin"
    )

    assert refused(federation, receipt).reason == "SIGNATURE_INVALID"
    answer = opened(federation, receipt)
    assert (answer.issuer, answer.statement_digest) == (TIANJIN, digest(raw))


def test_envelope_for_an_authority_that_lives_elsewhere_gets_no_receipt(
    federation: Running,
) -> None:
    offer = a_real_offer(federation)

    receipts = deliver(
        federation,
        envelope(offer, source=TIANJIN, target="330000"),
        envelope(offer, source=TIANJIN, target=HEBEI),
        sender="tianjin",
        to="hebei",
    )

    assert not receipts[0].receipt  # nobody there can sign one
    assert opened(federation, receipts[1]).outcome == "received"  # and it held up nobody


def test_replayed_envelope_gets_the_stored_receipt_byte_for_byte(federation: Running) -> None:
    offer = a_real_offer(federation)
    first, second = (
        envelope(offer, source=TIANJIN, target=HEBEI, sequence=number) for number in (1, 99)
    )

    receipts = [
        *deliver(federation, first, second, sender="tianjin", to="hebei"),
        *deliver(federation, first, sender="tianjin", to="hebei"),
    ]

    assert len({receipt.SerializeToString() for receipt in receipts}) == 1
    answer = opened(federation, receipts[0])
    assert (answer.outcome, answer.statement_digest) == ("received", digest(offer.statement))


def test_refusal_is_replayed_byte_for_byte_too(federation: Running) -> None:
    raw = altered(a_real_offer(federation), issuer=HEBEI, target=TIANJIN)
    bad = envelope(signed(federation, raw, by=HEBEI), source=HEBEI, target=TIANJIN)

    [first] = deliver(federation, bad, sender="hebei", to="tianjin")
    [again] = deliver(federation, bad, sender="hebei", to="tianjin")

    assert refused(federation, first).reason == "STATEMENT_MALFORMED"  # 天津's own ticket
    assert first.SerializeToString() == again.SerializeToString()


def test_second_statement_at_a_used_epoch_is_refused_as_a_fork(federation: Running) -> None:
    raw = altered(a_real_offer(federation), issuer=TIANJIN, target=HEBEI)
    statement = signed(federation, raw, by=TIANJIN)

    [receipt] = deliver(
        federation, envelope(statement, source=TIANJIN, target=HEBEI), sender="tianjin", to="hebei"
    )

    assert refused(federation, receipt).reason == "CHAIN_FORKED"


def test_statement_in_anothers_name_is_refused(federation: Running) -> None:
    offer = a_real_offer(federation)  # of 天津
    stolen = signed(federation, offer.statement, by=HEBEI)

    [receipt] = deliver(
        federation, envelope(stolen, source=HEBEI, target=TIANJIN), sender="hebei", to="tianjin"
    )

    found = refused(federation, receipt)
    assert (found.reason, found.metadata["check"]) == ("STATEMENT_MALFORMED", "5")
    assert found.metadata["got"] == "120000 to 130000"


def test_envelope_of_an_authority_that_lives_on_another_node_is_not_taken(
    federation: Running,
) -> None:
    raw = altered(a_real_offer(federation), issuer=LANGFANG, target=HEBEI)
    statement = signed(federation, raw, by=LANGFANG)

    [receipt] = deliver(
        federation, envelope(statement, source=LANGFANG, target=HEBEI), sender="tianjin", to="hebei"
    )

    answer = opened(federation, receipt)
    # No refusal for ever: 天津 may have a newer roster in which the city moved to its node.
    assert answer.outcome == "deferred"
    assert answer.error is not None
    assert answer.error.reason == "PEER_NOT_ALLOWED"


def test_key_of_another_authority_of_the_node_is_not_taken(federation: Running) -> None:
    raw = altered(a_real_offer(federation), issuer=HEBEI, target=TIANJIN)
    statement = signed(federation, raw, by=LANGFANG)

    [receipt] = deliver(
        federation, envelope(statement, source=HEBEI, target=TIANJIN), sender="hebei", to="tianjin"
    )

    answer = opened(federation, receipt)
    assert answer.outcome == "deferred"  # the key may be in a newer roster
    assert answer.error is not None
    assert answer.error.reason == "KEY_UNKNOWN"


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"\x0a\x01x"])
def test_bytes_that_are_no_statement_are_refused_once_signed(
    federation: Running, raw: bytes
) -> None:
    statement = signed(federation, raw, by=HEBEI)

    [receipt] = deliver(
        federation, envelope(statement, source=HEBEI, target=TIANJIN), sender="hebei", to="tianjin"
    )

    found = refused(federation, receipt)
    assert (found.reason, found.metadata["check"]) == ("STATEMENT_MALFORMED", "4")


def test_bad_envelope_does_not_hold_up_the_batch(federation: Running) -> None:
    offer = a_real_offer(federation)
    bad = signed(federation, b"\xff\xfe", by=TIANJIN)

    receipts = deliver(
        federation,
        envelope(bad, source=TIANJIN, target=HEBEI),
        envelope(offer, source=TIANJIN, target=HEBEI),
        peer_pb.Envelope(),
        sender="tianjin",
        to="hebei",
    )

    outcomes = [opened(federation, each).outcome for each in receipts[:2]]
    assert outcomes == ["refused", "received"]
    assert not receipts[2].receipt


def test_101_envelopes_are_refused_whole(federation: Running) -> None:
    request = peer_pb.DeliverEnvelopesRequest(envelopes=[peer_pb.Envelope()] * 101)

    found = refusal(federation.peer("hebei", to="tianjin").DeliverEnvelopes, request)

    assert (found.reason, found.metadata["got"]) == ("BATCH_TOO_LARGE", "101 envelopes")


@pytest.mark.parametrize(("authority", "node"), [("330000", "zhejiang"), (HEBEI, "hebei-2")])
def test_node_that_the_roster_does_not_list_is_refused(
    federation: Running, authority: str, node: str
) -> None:
    issued = federation.root().issue_node(authority, node, now=CLOCK.now())
    stub = peer_grpc.PeerServiceStub(federation.channel_with(issued, to="tianjin", name=node))

    found = refusal(stub.DeliverEnvelopes, peer_pb.DeliverEnvelopesRequest())

    assert (found.reason, found.code) == ("PEER_NOT_ALLOWED", "PERMISSION_DENIED")
    assert node in found.metadata["got"]


@pytest.mark.parametrize("caller", ["120000-p1", Role.DISPATCHER])
def test_platforms_and_people_do_not_deliver(federation: Running, caller: str | Role) -> None:
    stub = peer_grpc.PeerServiceStub(federation.channel(TIANJIN, caller))

    found = refusal(stub.DeliverEnvelopes, peer_pb.DeliverEnvelopesRequest())

    assert (found.reason, found.metadata["expected"]) == ("PEER_NOT_ALLOWED", "node")


def test_offer_that_a_peer_saw_in_transit_shows_nothing_of_the_citizen(
    federation: Running,
) -> None:
    offer = a_real_offer(federation)

    assert not holds_secrets(offer.SerializeToString())
