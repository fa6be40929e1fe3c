"""What panels see, figures and watched cases, as messages."""

from __future__ import annotations

from gateway.arbitration.case_codec import case_to_pb, facts_to_pb
from gateway.arbitration.learning.recommending import Recommendation
from gateway.arbitration.learning.repeats import Repeat
from gateway.arbitration.model import TicketFacts
from gateway.arbitration.precedents.codec import comparable_to_pb
from gateway.arbitration.sight.changes import WatchedCase
from gateway.arbitration.sight.figures import PartyFigures, Share, Spread, share_of
from gateway.arbitration.sight.figures_reading import DisputeFigures
from gateway.arbitration.sight.hops import Hop
from gateway.arbitration.sight.service import Candidate, CaseSight
from gateway.delivery.codec import instant_to_pb
from gateway.kernel.time import Instant
from gateway.tickets.codec import decision_to_pb
from gateway.tickets.model import Ticket
from hotline.arbitration.v1 import insight_pb2 as pb
from hotline.ticket.v1 import codes_pb2, ticket_pb2

FINDINGS_MAX = 50
UNITS_MAX = 20


def sight_to_pb(sight: CaseSight, *, now: Instant) -> pb.GetCaseSightResponse:
    """Return all of one look."""
    message = pb.GetCaseSightResponse(
        case=case_to_pb(sight.case, now=now),
        ticket=_ticket(sight),
        hops=map(_hop, sight.hops),
        candidates=map(_candidate, sight.candidates),
        advice=map(_advised, sight.advice),
    )
    message.case.precedents.extend(comparable_to_pb(list(sight.comparable)))
    if sight.ticket is not None and sight.ticket.decision is not None:
        message.decision.CopyFrom(decision_to_pb(sight.ticket.decision))
    return message


def figures_to_pb(figures: DisputeFigures) -> pb.GetDisputeFiguresResponse:
    """Return figures; what is withheld is absent."""
    message = pb.GetDisputeFiguresResponse(
        parties=map(_party, figures.parties),
        keys=[_key(item, threshold=figures.threshold) for item in figures.repeats],
        threshold=figures.threshold,
        cut=figures.is_cut,
    )
    _share(message.by_default, figures.by_default)
    return message


def watched_to_pb(watched: WatchedCase, *, now: Instant) -> pb.WatchCasesResponse:
    """Return one item of a watch, without words and reasons."""
    message = pb.WatchCasesResponse(resume_token=watched.resume_token)
    if watched.case is not None:
        message.case.CopyFrom(case_to_pb(watched.case, now=now))
    return message


def _ticket(sight: CaseSight) -> pb.TicketSeen:
    ticket = sight.ticket
    if ticket is None:
        return pb.TicketSeen(
            extent=pb.TicketSeen.EXTENT_MINIMISED,
            number=sight.case.ticket,
            facts=facts_to_pb(sight.case.facts),
        )
    standing = sorted(
        (item for item in ticket.shown_assignments if item.is_standing),
        key=lambda item: (not item.is_lead, item.number),
    )
    message = pb.TicketSeen(
        extent=pb.TicketSeen.EXTENT_HEADER,
        number=ticket.number,
        facts=facts_to_pb(_facts(ticket)),
        state=ticket_pb2.Ticket.State.ValueType(ticket.state),
        create_time=instant_to_pb(ticket.create_time),
        followed=ticket.followed,
        findings=[
            ticket_pb2.Finding(
                code=codes_pb2.FindingCode.ValueType(item.code),
                field=item.field,
                message=item.message,
                hint=item.hint,
            )
            for item in ticket.findings[:FINDINGS_MAX]
        ],
        units=[item.unit for item in standing[:UNITS_MAX]],
    )
    if sight.content:
        content = ticket_pb2.TicketContent.FromString(sight.content)
        message.extent = pb.TicketSeen.EXTENT_CONTENT
        message.title, message.content = content.title, content.content
    return message


def _facts(ticket: Ticket) -> TicketFacts:
    return TicketFacts(
        matter=ticket.matter,
        region=ticket.region,
        urgency=ticket.urgency,
        type=ticket.type,
        due_time=ticket.due_time,
    )


def _hop(hop: Hop) -> pb.HopSeen:
    return pb.HopSeen(
        time=instant_to_pb(hop.time),
        event=hop.event,
        source=hop.source,
        target=hop.target,
        reason=codes_pb2.ReturnReason.ValueType(hop.reason),
        clause=hop.clause,
        proposed_owner=hop.proposed_owner,
        epoch=hop.epoch,
    )


def _candidate(candidate: Candidate) -> pb.CandidateSeen:
    message = pb.CandidateSeen(
        party=candidate.party,
        proposed_by=candidate.proposed_by,
        availability=candidate.availability,
    )
    if candidate.load is not None:
        load = pb.CandidateSeen.Load(open=candidate.load.open, overdue=candidate.load.overdue)
        message.load.CopyFrom(load)
    if candidate.moves is not None:
        made = candidate.moves
        moves = pb.CandidateSeen.Moves(examined=made.examined, moved=made.moved, cut=made.is_cut)
        message.moves.CopyFrom(moves)
    return message


def _advised(item: Recommendation) -> pb.AdviceSeen:
    return pb.AdviceSeen(
        party=item.party,
        source=item.source.value,
        reference=item.reference,
        says=item.says,
        owner=item.owner,
        differs=item.differs,
        against=item.against,
    )


def _party(figures: PartyFigures) -> pb.PartyFigures:
    message = pb.PartyFigures(party=figures.party, withheld=figures.withheld)
    if figures.returns is not None:
        message.returns.CopyFrom(pb.Count(value=figures.returns))
    if figures.cases is not None:
        message.cases.CopyFrom(pb.Count(value=figures.cases))
    _share(message.upheld, figures.upheld)
    _hours(message.in_dispute, figures.in_dispute)
    _share(message.silent, figures.silent)
    _share(message.lost_by_silence, figures.lost_by_silence)
    return message


def _key(repeat: Repeat, *, threshold: int) -> pb.KeyFigures:
    message = pb.KeyFigures(
        precedent=repeat.precedent.name,
        matter=repeat.precedent.key.matter,
        after_rule=repeat.after_rule,
    )
    if repeat.disputes >= threshold:
        message.disputes.CopyFrom(pb.Count(value=repeat.disputes))
    _share(
        message.by_precedent,
        share_of(repeat.by_precedent, repeat.disputes, threshold=threshold),
    )
    if repeat.tickets and repeat.tickets >= repeat.disputes:
        _share(message.rate, share_of(repeat.disputes, repeat.tickets, threshold=threshold))
    if repeat.rule_since is not None:
        message.rule_since.CopyFrom(instant_to_pb(repeat.rule_since))
    return message


def _share(message: pb.Share, share: Share | None) -> None:
    if share is not None:
        message.weight, message.value = share.weight, share.value
        message.low, message.high = share.low, share.high
        message.SetInParent()


def _hours(message: pb.Hours, spread: Spread | None) -> None:
    if spread is not None:
        message.weight, message.p50, message.p90 = spread.weight, spread.p50, spread.p90
        message.SetInParent()
