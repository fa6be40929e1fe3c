"""Builders of this room's tests: chains in every state, and stories signed with throw-away keys."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.custody import bodies, codec
from gateway.custody.guards import OfferTerms, is_homeward
from gateway.custody.model import (
    Chain,
    ChainKey,
    Holding,
    Invitation,
    OfferAnswered,
    OfferMade,
    OfferReason,
    Verdict,
)
from gateway.delivery.codec import instant_to_pb, statement_to_bytes
from gateway.delivery.model import SignedBytes, Statement
from gateway.kernel.ids import (
    GENESIS,
    NATION,
    AuthorityCode,
    Epoch,
    NodeId,
    TicketNumber,
    mint_ticket_number,
)
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import PublicKey
from gateway.trust.roster import AuthorityEntry, KeyEntry, NodeEntry, NodeRole, Roster
from gateway.trust.statements import digest, record, sign
from hotline.custody.v1 import custody_pb2 as pb

NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
UID = "01958a00-0000-7000-8000-000000000001"

TIANJIN = AuthorityCode("120000")
HEBEI = AuthorityCode("130000")
SHIJIAZHUANG = AuthorityCode("130100")
LANGFANG = AuthorityCode("131000")
SHANGHAI = AuthorityCode("310000")
CODES = (TIANJIN, HEBEI, SHIJIAZHUANG, LANGFANG, SHANGHAI)

TICKET = mint_ticket_number(TIANJIN, date(2026, 3, 2), 1)
CITY_TICKET = mint_ticket_number(LANGFANG, date(2026, 3, 2), 1)
OUTER = ChainKey(TIANJIN, TICKET, NATION, 1)
"""天津's row of the chain among provinces, of a ticket of its own."""
INNER = ChainKey(LANGFANG, CITY_TICKET, HEBEI, 1)
"""廊坊's row of the chain inside 河北, of a ticket of its own."""

_CARES = (Holding.HELD, Holding.OFFERED, Holding.REVOKING, Holding.YIELDING)
_PENDING = (Holding.OFFERED, Holding.REVOKING)


def a_chain(holding: Holding = Holding.HELD, *, key: ChainKey = OUTER, **changes: Any) -> Chain:
    """Return a chain whose fields fit `holding`, with `changes`."""
    is_absent = holding is Holding.ABSENT
    chain = Chain(
        key=key,
        origin=TIANJIN,
        genesis_digest=digest(b"genesis"),
        holding=holding,
        term_epoch=None if is_absent else GENESIS,
        floor=None if is_absent else Epoch(0, 1) if holding in _PENDING else GENESIS,
        pending_epoch=Epoch(0, 1) if holding in _PENDING else None,
        path=() if is_absent else (key.authority,),
        desk=f"{key.authority}-desk" if holding in _CARES else None,
        record_digest=b"" if is_absent else digest(b"record"),
        custodian=key.authority if holding in _CARES else SHANGHAI,
    )
    return replace(chain, **changes)


def some_terms(target: AuthorityCode = HEBEI, **changes: Any) -> OfferTerms:
    """Return what an authority wants to offer."""
    terms = OfferTerms(
        target=target,
        reason=OfferReason.PLACE,
        rule="national@1#place",
        trace_digest=digest(b"trace"),
        window_end=NOW + HOUR,
        header=a_header(),
    )
    return replace(terms, **changes)


def an_offer(target: AuthorityCode = TIANJIN, **changes: Any) -> bodies.Offer:
    """Return the body of an offer that 河北 makes out of its first term."""
    body = bodies.Offer(
        target=target,
        prior_record=digest(b"record"),
        path=(HEBEI,),
        hops=0,
        refusals=0,
        case="",
        window_end=NOW + HOUR,
        reason=OfferReason.PLACE,
        rule="",
        trace_digest=b"",
        header=a_header(),
    )
    return replace(body, **changes)


def an_invitation(key: ChainKey = OUTER, **changes: Any) -> Invitation:
    """Return the open invitation of 河北 at 0.1."""
    invitation = Invitation(
        key=key,
        epoch=Epoch(0, 1),
        source=HEBEI,
        offer_digest=digest(b"offer"),
        received=NOW,
        window_end=NOW + HOUR,
    )
    return replace(invitation, **changes)


def an_offer_made(key: ChainKey = OUTER, **changes: Any) -> OfferMade:
    """Return the pending offer to 河北 at 0.1."""
    made = OfferMade(
        key=key,
        epoch=Epoch(0, 1),
        target=HEBEI,
        homeward=False,
        statement_digest=digest(b"offer"),
        window_end=NOW + HOUR,
    )
    return replace(made, **changes)


def an_answered(key: ChainKey = OUTER, **changes: Any) -> OfferAnswered:
    """Return the stored answer to 河北's offer at 0.1."""
    answered = OfferAnswered(
        key=key,
        epoch=Epoch(0, 1),
        source=HEBEI,
        offer_digest=digest(b"offer"),
        verdict=Verdict.DECLINED,
        answer_digest=digest(b"answer"),
    )
    return replace(answered, **changes)


def a_header(uid: str = UID, origin: str = TIANJIN) -> bytes:
    """Return a serialised TicketHeader of nobody's ticket."""
    header = pb.TicketHeader(
        uid=uid,
        origin=origin,
        matter="041501",
        received_time=instant_to_pb(NOW),
        due_time=instant_to_pb(NOW + 24 * HOUR),
    )
    return header.SerializeToString(deterministic=True)


class Federation:
    """Authorities with keys and a roster; a node each, but 河北 hosts its cities."""

    def __init__(self, codes: tuple[AuthorityCode, ...] = CODES) -> None:
        """Make the keys."""
        self.keys = KeyRing.in_memory(codes)
        self.roster = self._roster(codes)

    def sign(
        self,
        issuer: AuthorityCode,
        body: bodies.Body,
        *,
        key: ChainKey = OUTER,
        epoch: Epoch = GENESIS,
        audience: tuple[AuthorityCode, ...] = (),
        kind: str = "",
    ) -> SignedBytes:
        """Return a statement of `issuer`, whatever it says."""
        statement = Statement(
            statement_id=str(uuid.uuid4()),
            kind=kind or type(body).__name__,
            issuer=issuer,
            audience=audience,
            ticket=TicketNumber(key.ticket),
            scope=key.scope,
            chain=key.number,
            epoch=epoch,
            previous_digest=b"",
            issued=NOW,
            protocol_version=1,
            body=codec.body_to_bytes(body),
        )
        raw = statement_to_bytes(statement)
        signing = self.keys.signing_key(issuer)
        return SignedBytes(raw, signing.key_id, sign(signing, raw))

    def _roster(self, codes: tuple[AuthorityCode, ...]) -> Roster:
        def listed(public: PublicKey) -> KeyEntry:
            return KeyEntry.of(public, valid_from=NOW - 24 * HOUR, valid_to=NOW + 240 * HOUR)

        nodes = {code: NodeId(f"node-{code[:2]}") for code in codes}
        authorities = tuple(
            AuthorityEntry(
                code=code,
                name=f"测试机构{code}",
                hosted_on=nodes[code],
                statement_keys=(listed(self.keys.signing_key(code).public),),
                sealing_keys=(listed(self.keys.sealing_key(code).public),),
            )
            for code in codes
        )
        entries = tuple(
            NodeEntry(id=node, endpoint=f"{node}.invalid:1", roles=frozenset({NodeRole.CUSTODIAN}))
            for node in sorted(set(nodes.values()))
        )
        return Roster.of(authorities, entries, version=1, issued=NOW)


class Story:
    """The statements that establish the terms of one chain, hand-over by hand-over."""

    def __init__(
        self, federation: Federation, key: ChainKey = OUTER, origin: AuthorityCode | None = None
    ) -> None:
        """Begin with the Genesis of `origin`, the authority of the key unless told otherwise."""
        self.federation, self.key = federation, key
        self.holder = origin or key.authority
        genesis = bodies.Genesis(origin=self.holder, ticket_uid=UID)
        signed = federation.sign(self.holder, genesis, key=key)
        self.attached: tuple[SignedBytes, ...] = (signed,)
        self.genesis_digest = digest(signed.statement)
        self.record = record(
            previous_record=None, first_digest=self.genesis_digest, second_digest=None
        )
        self.epoch, self.hops = GENESIS, 0
        self.path: tuple[AuthorityCode, ...] = (self.holder,)

    def offer(self, target: AuthorityCode, **changes: Any) -> bodies.Offer:
        """Return the body of a sound offer of the present holder, with `changes`."""
        body = an_offer(
            target,
            prior_record=self.record,
            path=self.path,
            hops=self.hops,
            attached=self.attached,
            header=a_header(),
        )
        return replace(body, **changes)

    def signed_offer(self, body: bodies.Offer, epoch: Epoch | None = None) -> SignedBytes:
        """Return the offer as its holder signs it, at the next epoch unless told otherwise."""
        at = epoch or Epoch(self.epoch.era, self.epoch.count + 1)
        return self.federation.sign(
            self.holder, body, key=self.key, epoch=at, audience=(body.target,)
        )

    def handed_to(self, target: AuthorityCode, **changes: Any) -> Story:
        """Hand over to `target` and return the story."""
        body = self.offer(target, **changes)
        epoch = Epoch(self.epoch.era, self.epoch.count + 1)
        offer = self.signed_offer(body)
        answer = self.federation.sign(
            target,
            bodies.Answer(Verdict.ACCEPTED, digest(offer.statement)),
            key=self.key,
            epoch=epoch,
            audience=(self.holder,),
        )
        homeward = is_homeward(self.key, body)
        path = tuple(code for code in self.path if not (homeward and code == self.holder))
        self.record = record(
            previous_record=self.record,
            first_digest=digest(offer.statement),
            second_digest=digest(answer.statement),
        )
        self.path = path if target in path else (*path, target)
        self.hops += not homeward
        self.attached = (*self.attached, offer, answer)
        self.holder, self.epoch = target, epoch
        return self
