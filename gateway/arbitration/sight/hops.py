"""The way of a ticket, as its arbiter knows it: who had it when, and who would not, and why.

Between authorities it is read out of statements, also out of those that came attached to others;
between units out of the assignments and returns of the arbiter's own copy. Nothing is verified
here: custody did when it took them, and a dossier's verifier does again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.arbitration.model import Party
from gateway.custody import bodies, codec
from gateway.custody.model import Verdict
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes, Statement
from gateway.evidence.spoken import attached_to
from gateway.kernel.codes import ReturnReason
from gateway.kernel.errors import LubiaoError
from gateway.kernel.time import Instant
from gateway.tickets.life_rows import known_code
from gateway.tickets.model import Ticket
from gateway.trust.statements import digest

HOPS_MAX = 100  # two eras of offers and their answers; a page that a person reads
OPENED_MAX = 2_000  # statements with all that is attached to them


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One thing that happened on the way."""

    time: Instant
    event: str
    source: Party = ""
    target: Party = ""
    reason: ReturnReason = ReturnReason.UNSPECIFIED
    clause: str = ""
    proposed_owner: Party = ""
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class _Opened:
    statement: Statement
    digest: bytes
    body: bodies.Body


def hops_of_statements(signed: Sequence[SignedBytes]) -> list[Hop]:
    """Return the hops that statements tell, each once."""
    opened = {item.digest: item for item in _opened(signed)}
    found = [hop for item in opened.values() if (hop := _hop(item, opened)) is not None]
    return sorted(found, key=lambda hop: (hop.time, hop.epoch))


def hops_of_ticket(ticket: Ticket) -> Iterator[Hop]:
    """Yield who was to handle a ticket at its authority, and who gave it back."""
    for item in ticket.shown_assignments:
        if item.is_lead:
            yield Hop(time=item.assign_time, event="assigned", target=item.unit)
    for given in ticket.returns:
        yield Hop(
            time=given.file_time,
            event="returned",
            source=given.unit,
            target=given.proposed_owner,
            reason=given.reason,
            clause=given.clause,
            proposed_owner=given.proposed_owner,
        )


def _opened(signed: Iterable[SignedBytes]) -> Iterator[_Opened]:
    waiting, known = list(reversed(list(signed))), set[bytes]()
    while waiting and len(known) < OPENED_MAX:
        item = waiting.pop()
        place = digest(item.statement)
        if place in known:
            continue
        known.add(place)
        statement = statement_from_bytes(item.statement)
        if statement.kind not in codec.known_kinds():
            continue
        try:
            body = codec.body_from_bytes(statement.kind, statement.body)
        except LubiaoError:
            continue  # of a newer version; the ledger keeps it
        yield _Opened(statement, place, body)
        waiting.extend(attached_to(body))


def _hop(item: _Opened, opened: dict[bytes, _Opened]) -> Hop | None:
    said, body = item.statement, item.body
    told = Hop(time=said.issued, event="answered", epoch=str(said.epoch))
    match body:
        case bodies.Genesis():
            return replace(told, event="genesis", target=said.issuer)
        case bodies.Offer():
            return replace(told, event="offered", source=said.issuer, target=body.target)
        case bodies.Answer():
            offer = opened.get(body.offer_digest)
            source = offer.statement.issuer if offer is not None else ""
            return replace(
                told,
                event=_VERDICTS.get(body.verdict, told.event),
                source=source,
                target=said.issuer,
                reason=known_code(ReturnReason, body.reason),
                clause=body.clause,
                proposed_owner=body.proposed_owner,
            )
        case bodies.Ruling():
            return replace(told, event="ruled", source=said.issuer, target=body.target)
        case bodies.RulingAck(role=bodies.Role.TAKEN):
            return replace(told, event="taken", target=said.issuer)
        case _:
            return None


_VERDICTS = {Verdict.ACCEPTED: "accepted", Verdict.DECLINED: "declined", Verdict.REVOKED: "revoked"}
