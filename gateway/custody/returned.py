"""What peers returned: verified, spread out, and parsed into facts with the content beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError

from gateway.custody import codec
from gateway.custody import recovery_store as kept
from gateway.custody.bodies import Body, CitizenAct, InformationRequest, Offer, Revoke
from gateway.custody.model import ChainKey, CustodyEvent, LettersSaid
from gateway.custody.reestablish import Fact
from gateway.delivery.codec import block_from_pb, statement_from_bytes, statement_from_pb
from gateway.delivery.model import SealedBlock, SignedBytes, Statement
from gateway.kernel.errors import FieldInvalid, KeyUnknown, LubiaoError, StatementMalformed
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.validation import validate
from gateway.kernel.values import dataclass
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.trust.statements import digest, verify
from hotline.type.v1 import statement_pb2 as type_pb

SPREAD_DEPTH_MAX = 40  # as deep as the offers of an era lie in each other, and a few
SPREAD_MAX = 1_000  # statements in one: all eras of a chain have fewer


@dataclass(frozen=True, slots=True)
class Returned:
    """All facts about one ticket at one authority, by digest."""

    authority: AuthorityCode
    facts: dict[bytes, Fact]
    keys: dict[bytes, ChainKey]
    blocks: dict[bytes, SealedBlock]

    def of(self, key: ChainKey) -> Iterator[Fact]:
        """Give the facts of one chain."""
        return (fact for found, fact in self.facts.items() if self.keys[found] == key)

    def chain_keys(self) -> list[ChainKey]:
        """Return the chains in which this authority said something, the outer one first."""
        mine = {
            self.keys[found] for found, fact in self.facts.items() if fact.issuer == self.authority
        }
        return sorted(mine, key=lambda key: (not key.is_outer, key.scope, key.number))


def verified(signed: SignedBytes, roster: Roster, keys: KeyRing) -> Statement:
    """Return a statement of custody whose signature holds, be its key revoked since.

    Raises:
        StatementMalformed: it does not parse, or is no statement of custody.
        KeyUnknown: nobody known signed it, or its key may not sign this kind.
        SignatureInvalid: its signature does not hold.
    """
    message = type_pb.Statement()
    try:
        message.ParseFromString(signed.statement)
        validate(message)
    except (DecodeError, FieldInvalid) as error:
        raise StatementMalformed(check=4, got="bytes", expected="a Statement") from error
    statement = statement_from_pb(message)
    if statement.kind not in codec.known_kinds() or not statement.ticket:
        raise StatementMalformed(check=4, got=statement.kind, expected="one of custody")
    key = roster.statement_key(statement.issuer, signed.key_id)
    ours = keys.authorities.get(statement.issuer)
    if key is not None:
        roster.check_may_sign(statement.issuer, signed.key_id, statement.kind)
    elif ours is not None:
        every = (private.public for private in ours.statement.values())
        key = next((public for public in every if public.key_id == signed.key_id), None)
    if key is None:
        raise KeyUnknown(key_id=signed.key_id, signer=statement.issuer, kind=statement.kind)
    verify(key, signed.statement, signed.signature, signer=statement.issuer)
    codec.body_from_bytes(statement.kind, statement.body)
    return statement


def spread(
    signed: SignedBytes, *, accepts: Callable[[SignedBytes], bool] = lambda _signed: True
) -> Iterator[SignedBytes]:
    """Give a statement and all that is attached to it, each once, as far as `accepts` says.

    What is attached to a statement that it does not accept is not looked at: whoever forges one can
    make nobody parse what he put into it. No honest statement reaches the bounds.
    """
    waiting, seen = [(signed, 0)], set[bytes]()
    while waiting and len(seen) < SPREAD_MAX:
        item, depth = waiting.pop()
        found = digest(item.statement)
        if found in seen or not accepts(item):
            continue
        seen.add(found)
        yield item
        if depth < SPREAD_DEPTH_MAX:
            waiting += [(part, depth + 1) for part in reversed(_attached_to(item))]


def _attached_to(signed: SignedBytes) -> list[SignedBytes]:
    try:
        body = body_of(signed)
    except (LubiaoError, DecodeError):
        return []  # a kind of another room, or of a later version: it attaches nothing to us
    attached = [*getattr(body, "attached", ())]
    if isinstance(body, Revoke) and body.offer is not None:
        attached.append(body.offer)
    if isinstance(body, Offer) and body.assumption is not None:
        attached.append(body.assumption)
    return attached


def parsed(authority: AuthorityCode, rows: list[kept.RecoveredRow]) -> Returned:
    """Return what came for one authority about one ticket."""
    facts: dict[bytes, Fact] = {}
    keys: dict[bytes, ChainKey] = {}
    for row in rows:
        signed = SignedBytes(row.statement, row.key_id, row.signature)
        statement = statement_from_bytes(row.statement)
        facts[row.digest] = fact_of(signed, row.digest)
        keys[row.digest] = ChainKey(authority, statement.ticket, statement.scope, statement.chain)
    blocks = {row.digest: block_of(row.block) for row in rows if row.block}
    return Returned(authority, facts, keys, blocks)


def block_of(raw: bytes) -> SealedBlock:
    """Return content as it was kept, still sealed."""
    return block_from_pb(type_pb.Block.FromString(raw))


def fact_of(signed: SignedBytes, found: bytes) -> Fact:
    """Return a verified statement, parsed; `found` is its digest."""
    statement = statement_from_bytes(signed.statement)
    return Fact(
        kind=statement.kind,
        issuer=statement.issuer,
        audience=statement.audience,
        epoch=statement.epoch,
        digest=found,
        signed=signed,
        issued=statement.issued,
        body=codec.body_from_bytes(statement.kind, statement.body),
    )


def body_of(signed: SignedBytes) -> Body:
    """Return the body of a verified statement."""
    statement = statement_from_bytes(signed.statement)
    return codec.body_from_bytes(statement.kind, statement.body)


def letters_said(ticket: Returned) -> Iterator[CustodyEvent]:
    """Tell which numbers of letters are used up: the other side takes each of them once."""
    for key in ticket.chain_keys():
        own = [fact for fact in ticket.of(key) if fact.issuer == ticket.authority]
        acts = [fact.body.number for fact in own if isinstance(fact.body, CitizenAct)]
        questions = [
            (fact.body.number, fact.body.ask_time)
            for fact in own
            if isinstance(fact.body, InformationRequest) and fact.body.asker == ticket.authority
        ]
        if acts or questions:
            yield LettersSaid(key, max(acts, default=0), tuple(sorted(questions)))
