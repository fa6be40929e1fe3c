"""Proofs: the attached statements that establish the terms of an era (checks 8 and 9).

An Offer, a Revoke, a TicketUpdate, a CaseFiling and a StandDown rest on the signer's term. They
carry the statements that established it: the Genesis, or the Ruling of the era and its TAKEN; then
for each hand-over the Offer and its ACCEPTED. The reader verifies each signature over the exact
bytes, recomputes the records and follows the holders. Nothing here trusts the statement that holds
them: the Genesis must be of one who may begin such a chain, the Ruling of the scope's arbiter and
for an authority of the scope.

**Folding.** Each record of an era travels once. An Offer of the second hand-over or a later one
carries what came before it, under its own signature, so whoever rests on it attaches only it and
its Answer: the list begins with an Offer, whose own list comes before it. A proof grows by one
Offer and one Answer a hand-over. The whole list, as older versions attach it, is read as ever.

What the reader must still check: that the Genesis is the one it knows, and that none of the signers
said something else at the same epoch (`evidence.py`).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from google.protobuf.message import DecodeError

from gateway.custody import bodies, codec
from gateway.custody.chains import is_in_scope, may_begin
from gateway.custody.guards import is_homeward
from gateway.custody.model import ChainKey, Verdict
from gateway.delivery.codec import checked_statement, statement_from_bytes
from gateway.delivery.model import SignedBytes, Statement
from gateway.kernel.errors import FieldInvalid, KeyUnknown, StatementMalformed
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch, province_of_number
from gateway.kernel.values import dataclass, replace
from gateway.trust.roster import Roster
from gateway.trust.statements import digest, record, verify

FOLDED_FROM = 3  # records before the last hand-over: a Genesis and a hand-over
FOLDS_MAX = 32  # as many as an era has counts


@dataclass(frozen=True, slots=True)
class Attached:
    """A verified attached statement."""

    signed: SignedBytes
    statement: Statement
    digest: bytes
    body: bodies.Body


@dataclass(frozen=True, slots=True)
class Proof:
    """What a chain of records establishes: who holds at which epoch, and how it came there."""

    origin: AuthorityCode
    genesis_digest: bytes
    holder: AuthorityCode
    epoch: Epoch
    record: bytes
    ticket_uid: str
    hops: int
    homeward: int
    path: tuple[str, ...]
    attached: tuple[Attached, ...]
    terms: tuple[tuple[AuthorityCode, Epoch], ...]
    ruling: Attached | None = None
    offers_allowed: bool = True
    mandates: tuple[str, ...] = ()

    def digests(self) -> tuple[str, ...]:
        """Return the digests of the attached statements, oldest first, hexadecimal."""
        return tuple(item.digest.hex() for item in self.attached)

    def answers(self) -> tuple[Attached, ...]:
        """Return the attached answers, oldest first."""
        return tuple(item for item in self.attached if item.statement.kind == "Answer")


def open_attached(signed: SignedBytes, key: ChainKey, *, roster: Callable[[], Roster]) -> Attached:
    """Verify one attached statement and parse it.

    Its key may have been revoked since: it was receipted by others before, so validity is not
    judged here (docs/federation.md#validity).

    Raises:
        StatementMalformed: check 8.
        KeyUnknown: its signer's key is not in our roster, which may be the older one.
    """
    try:
        statement = checked_statement(signed.statement)
    except (DecodeError, FieldInvalid) as error:
        raise StatementMalformed(check=8, got="attached bytes", expected="a Statement") from error
    public = roster().statement_key(statement.issuer, signed.key_id)
    if public is None:
        raise KeyUnknown(key_id=signed.key_id, signer=statement.issuer, kind=statement.kind)
    verify(public, signed.statement, signed.signature, signer=statement.issuer)
    roster().check_may_sign(statement.issuer, signed.key_id, statement.kind)
    # The closing of a later chain of the scope closes this one too (docs/custody.md#scopes, 5).
    is_closing = statement.kind == "ChainClosed" and statement.chain > key.number
    number = key.number if is_closing else statement.chain
    if (statement.ticket, statement.scope, number) != (key.ticket, key.scope, key.number):
        raise StatementMalformed(
            check=8, got="attached statement of another chain", expected=f"{key.scope}-{key.number}"
        )
    if statement.kind not in codec.known_kinds():
        raise StatementMalformed(check=8, got=statement.kind, expected="a record of a term")
    return Attached(
        signed=signed,
        statement=statement,
        digest=digest(signed.statement),
        body=codec.body_from_bytes(statement.kind, statement.body),
    )


def prove(
    attached: tuple[SignedBytes, ...], key: ChainKey, *, roster: Callable[[], Roster]
) -> Proof:
    """Follow the attached statements of an era and return what they establish.

    Raises:
        StatementMalformed: check 9, they do not form a chain, or one that nobody may begin.
        KeyUnknown: a signer's key is not in our roster.
    """
    items = _opened(attached, key, roster=roster)
    is_ruled = len(items) > 1 and items[0].statement.kind == "Ruling"
    if len(items) % 2 != (not is_ruled):
        raise _broken(
            f"{len(items)} records",
            "a Genesis, or a Ruling and TAKEN; then pairs of Offer and Answer",
        )
    first = 2 if is_ruled else 1
    arbiter = roster().arbiter_of(key.scope)
    proof = _ruled(items, key, arbiter) if is_ruled else _genesis(items[0], items, key)
    for offer, answer in zip(items[first::2], items[first + 1 :: 2], strict=True):
        proof = _hand_over(proof, offer, answer, key)
    return proof


def _opened(
    attached: tuple[SignedBytes, ...], key: ChainKey, *, roster: Callable[[], Roster]
) -> tuple[Attached, ...]:
    """Verify the attached statements and those that they are folded into, oldest first."""
    lists: list[tuple[Attached, ...]] = []
    while True:
        items = tuple(open_attached(signed, key, roster=roster) for signed in attached)
        lists.append(items)
        first = items[0].body if items else None
        if not isinstance(first, bodies.Offer):
            break
        if len(lists) > FOLDS_MAX:
            raise _broken(f"more than {FOLDS_MAX} lists in each other", "one for each hand-over")
        attached = first.attached
    return tuple(item for items in reversed(lists) for item in items)


def unfolded(attached: tuple[SignedBytes, ...]) -> tuple[SignedBytes, ...]:
    """Return the whole list, oldest first, of an attached one that was verified before."""
    lists = [attached]
    while attached and (offer := _offer_of(attached[0])) is not None:
        attached = offer.attached
        lists.append(attached)
    return tuple(signed for each in reversed(lists) for signed in each)


def folded(records: tuple[SignedBytes, ...]) -> tuple[SignedBytes, ...]:
    """Return what is attached for the records of an era: of two hand-overs and more, the last.

    That needs a last Offer that carries exactly the records before it; every honest one does. The
    first hand-over is attached whole, as versions before this one can read it.
    """
    before = records[:-2]
    if len(before) < FOLDED_FROM:
        return records
    last = _offer_of(records[-2])
    if last is None or unfolded(last.attached) != before:
        return records
    return records[-2:]


def _offer_of(signed: SignedBytes) -> bodies.Offer | None:
    statement = statement_from_bytes(signed.statement)
    if statement.kind != "Offer":
        return None
    body = codec.body_from_bytes(statement.kind, statement.body)
    return body if isinstance(body, bodies.Offer) else None


def check_ruling(item: Attached, key: ChainKey, arbiter: AuthorityCode | None) -> bodies.Ruling:
    """Return the body of a ruling that its signer may make.

    Raises:
        StatementMalformed: check 8, the signer is not the arbiter, or the target is not inside.
    """
    body = item.body
    is_sound = (
        isinstance(body, bodies.Ruling)
        and item.statement.issuer == arbiter
        and item.statement.epoch == Epoch(body.number, 0)
        and is_in_scope(body.target, key.scope)
    )
    if not isinstance(body, bodies.Ruling) or not is_sound:
        raise StatementMalformed(
            check=8,
            got=f"{item.statement.kind} of {item.statement.issuer} at {item.statement.epoch}",
            expected=f"a ruling of the arbiter of {key.scope} for an authority of that scope",
        )
    return body


def check_taken(item: Attached, ruling: Attached) -> bodies.RulingAck:
    """Return the body of the TAKEN of a verified ruling.

    Raises:
        StatementMalformed: check 8, it is not the target's answer to that very ruling.
    """
    body, given = item.body, ruling.body
    if (
        not isinstance(body, bodies.RulingAck)
        or not isinstance(given, bodies.Ruling)
        or body.role is not bodies.Role.TAKEN
        or body.number != given.number
        or item.statement.issuer != given.target
        or item.statement.epoch != Epoch(given.number, 0)
        or not hmac.compare_digest(body.ruling_digest, ruling.digest)
    ):
        raise StatementMalformed(
            check=8,
            got=f"{item.statement.kind} of {item.statement.issuer} at {item.statement.epoch}",
            expected="TAKEN of the ruling's target",
        )
    return body


def _ruled(items: tuple[Attached, ...], key: ChainKey, arbiter: AuthorityCode | None) -> Proof:
    ruling, taken = items[0], items[1]
    body = check_ruling(ruling, key, arbiter)
    check_taken(taken, ruling)
    epoch = Epoch(body.number, 0)
    return Proof(
        origin=province_of_number(key.ticket) if key.is_outer else key.scope,
        genesis_digest=b"",
        holder=body.target,
        epoch=epoch,
        record=record(
            previous_record=body.last_record or None,
            first_digest=ruling.digest,
            second_digest=taken.digest,
        ),
        ticket_uid=body.ticket_uid,
        hops=0,
        homeward=0,
        path=(body.target,),
        attached=items,
        terms=((body.target, epoch),),
        ruling=ruling,
        offers_allowed=body.offers_allowed,
        mandates=body.mandates,
    )


def _genesis(first: Attached, items: tuple[Attached, ...], key: ChainKey) -> Proof:
    body = first.body
    if not isinstance(body, bodies.Genesis) or first.statement.epoch != GENESIS:
        raise _broken(first.statement.kind, "a Genesis at 0.0")
    if body.origin != first.statement.issuer:
        raise _broken(f"a Genesis of {body.origin}", f"signed by {body.origin}")
    if not may_begin(body.origin, key):
        raise _broken(
            f"chain {key.scope}-{key.number} of {key.ticket} begun by {body.origin}",
            "its province, or the city of its number",
        )
    return Proof(
        origin=body.origin,
        genesis_digest=first.digest,
        holder=body.origin,
        epoch=GENESIS,
        record=record(previous_record=None, first_digest=first.digest, second_digest=None),
        ticket_uid=body.ticket_uid,
        hops=0,
        homeward=0,
        path=(body.origin,),
        attached=items,
        terms=((body.origin, GENESIS),),
    )


def _hand_over(proof: Proof, offer: Attached, answer: Attached, key: ChainKey) -> Proof:
    given, taken = offer.body, answer.body
    if not isinstance(given, bodies.Offer) or not isinstance(taken, bodies.Answer):
        raise _broken(f"{offer.statement.kind}+{answer.statement.kind}", "Offer+Answer")
    epoch = offer.statement.epoch
    sound = (
        offer.statement.issuer == proof.holder
        and answer.statement.issuer == given.target
        and answer.statement.epoch == epoch
        and taken.verdict is Verdict.ACCEPTED
        and hmac.compare_digest(taken.offer_digest, offer.digest)
        and hmac.compare_digest(given.prior_record, proof.record)
        and epoch.era == proof.epoch.era
        and epoch > proof.epoch
    )
    if not sound:
        raise _broken(f"a hand-over at {epoch} that does not fit", f"one after {proof.epoch}")
    homeward = is_homeward(key, given)
    path = tuple(code for code in proof.path if not (homeward and code == proof.holder))
    return replace(
        proof,
        holder=given.target,
        epoch=epoch,
        record=record(
            previous_record=proof.record, first_digest=offer.digest, second_digest=answer.digest
        ),
        hops=proof.hops + (not homeward),
        homeward=proof.homeward + homeward,
        path=path if given.target in path else (*path, given.target),
        terms=(*proof.terms, (given.target, epoch)),
    )


def check_offer(
    proof: Proof, key: ChainKey, *, issuer: AuthorityCode, epoch: Epoch, body: bodies.Offer
) -> None:
    """Return if the offer rests on the proven term of its signer.

    Raises:
        StatementMalformed: check 9.
    """
    sound = (
        proof.holder == issuer
        and hmac.compare_digest(proof.record, body.prior_record)
        and epoch.era == proof.epoch.era
        and epoch > proof.epoch
        and body.hops == proof.hops
        and body.path == proof.path
        and codec.header_uid(body.header) == proof.ticket_uid
        and all(act.epoch == proof.epoch for act in body.acts)
        and body.mandated == (body.target in proof.mandates)
        and (
            proof.offers_allowed
            or body.mandated
            or (body.assumption is not None and bool(body.case))
            or is_homeward(key, body)
        )
    )
    if not sound:
        raise _broken(
            f"an offer of {issuer} at {epoch}", f"the holder {proof.holder} after {proof.epoch}"
        )


def _broken(got: str, expected: str) -> StatementMalformed:
    return StatementMalformed(check=9, got=got, expected=expected)
