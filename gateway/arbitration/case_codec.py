"""A case ↔ its message, for answers and for what travels between nodes."""

from __future__ import annotations

from gateway.arbitration.model import (
    Case,
    CaseKey,
    CaseRuling,
    Entry,
    Part,
    RulingDue,
    TicketFacts,
)
from gateway.delivery.codec import instant_from_pb, instant_to_pb
from gateway.kernel.codes import (
    CaseEntryKind,
    CaseGround,
    CaseLevel,
    CaseRulingForm,
    CaseState,
    Code,
    RulingKind,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2


def case_to_pb(case: Case, *, now: Instant) -> case_pb2.Case:
    """Return the message of a case; reasons appear where they were opened."""
    message = case_pb2.Case(
        name=case.name,
        etag=case.etag,
        scope=case.key.scope,
        ticket=case.ticket,
        chain=case.chain,
        state=case_pb2.Case.State.ValueType(case.state),
        ground=case_pb2.Case.Ground.ValueType(case.ground),
        cause=case.cause,
        filers=case.filers,
        path=case.path,
        proposed_targets=case.proposed_targets,
        responsible=case.responsible,
        file_time=instant_to_pb(case.filed),
        overdue=case.is_overdue(now),
        facts=facts_to_pb(case.facts),
        level=case_pb2.Case.Level.ValueType(case.level),
        rulings=[_ruling_to_pb(ruling) for ruling in case.rulings],
        involved=case.involved,
    )
    message.entries.extend(_entry_to_pb(entry) for entry in case.entries)
    if case.stage_due is not None:
        message.stage_due_time.CopyFrom(instant_to_pb(case.stage_due.instant))
    if case.due is not None:
        message.ruling_due_time.CopyFrom(instant_to_pb(case.due.instant))
        message.ruling_due_provisional = case.due.provisional
    if case.closed is not None:
        message.close_time.CopyFrom(instant_to_pb(case.closed))
    return message


def case_of(message: case_pb2.Case) -> Case:
    """Return the case of a message that keeps the limits; reasons and words are not taken."""
    due = message.HasField("ruling_due_time")
    return Case(
        key=CaseKey(AuthorityCode(message.scope), message.name.removeprefix("cases/")),
        revision=int(message.etag),
        ticket=TicketNumber(message.ticket),
        chain=message.chain,
        state=CaseState(known_code(CaseState, message.state)),
        ground=CaseGround(known_code(CaseGround, message.ground)),
        cause=message.cause,
        filers=tuple(message.filers),
        path=tuple(message.path),
        proposed_targets=tuple(message.proposed_targets),
        responsible=message.responsible,
        filed=instant_from_pb(message.file_time),
        due=(
            RulingDue(instant_from_pb(message.ruling_due_time), message.ruling_due_provisional)
            if due
            else None
        ),
        closed=instant_from_pb(message.close_time) if message.HasField("close_time") else None,
        facts=facts_of(message.facts),
        rulings=tuple(_ruling_of(ruling) for ruling in message.rulings),
        level=CaseLevel(known_code(CaseLevel, message.level)) or level_of(message.scope),
        stage_due=(
            RulingDue(instant_from_pb(message.stage_due_time))
            if message.HasField("stage_due_time")
            else None
        ),
        entries=tuple(_entry_of(entry) for entry in message.entries),
        involved=tuple(message.involved),
    )


def level_of(scope: str) -> CaseLevel:
    """Return the level of a dispute between authorities of a scope."""
    return CaseLevel.PROVINCES if scope == NATION else CaseLevel.AUTHORITIES


def facts_of(message: case_pb2.TicketFacts | custody_pb2.TicketHeader) -> TicketFacts:
    """Return what a message tells of its ticket."""
    return TicketFacts(
        matter=message.matter,
        region=message.region,
        urgency=Urgency(known_code(Urgency, message.urgency)),
        type=TicketType(known_code(TicketType, message.type)),
        due_time=instant_from_pb(message.due_time) if message.HasField("due_time") else None,
    )


def known_code(table: type[Code], number: int) -> int:
    """Return a number of the wire if this release has the code, else 0."""
    return number if number in table._value2member_map_ else 0


def facts_to_pb(facts: TicketFacts) -> case_pb2.TicketFacts:
    """Return the message of what the panel knows of the ticket."""
    message = case_pb2.TicketFacts(
        matter=facts.matter,
        region=facts.region,
        urgency=codes_pb2.Urgency.ValueType(facts.urgency),
        type=codes_pb2.TicketType.ValueType(facts.type),
    )
    if facts.due_time is not None:
        message.due_time.CopyFrom(instant_to_pb(facts.due_time))
    return message


def _ruling_to_pb(ruling: CaseRuling) -> case_pb2.CaseRuling:
    message = case_pb2.CaseRuling(
        number=ruling.number,
        kind=custody_pb2.Ruling.Kind.ValueType(ruling.kind),
        target=ruling.target,
        legal_basis=ruling.legal_basis,
        reasons=ruling.reasons,
        offers_allowed=ruling.offers_allowed,
        mandates=ruling.mandates,
        ruler=ruling.ruler,
        issue_time=instant_to_pb(ruling.issued),
        form=case_pb2.CaseRuling.Form.ValueType(ruling.form),
        merge_into=ruling.merge_into,
    )
    for part in ruling.parts:
        message.parts.add(party=part.party, matter=part.matter)
    if ruling.taken is not None:
        message.take_time.CopyFrom(instant_to_pb(ruling.taken))
    return message


def _entry_to_pb(entry: Entry) -> case_pb2.CaseEntry:
    return case_pb2.CaseEntry(
        number=entry.number,
        kind=case_pb2.CaseEntry.Kind.ValueType(entry.kind),
        party=entry.party,
        author=entry.author,
        proposed_owner=entry.proposed or "",
        legal_basis=entry.legal_basis,
        attendees=entry.attendees,
        evidence=entry.evidence,
        upheld=bool(entry.upheld),
        words=entry.words,
        say_time=instant_to_pb(entry.said),
    )


def _ruling_of(message: case_pb2.CaseRuling) -> CaseRuling:
    return CaseRuling(
        number=message.number,
        kind=RulingKind(known_code(RulingKind, message.kind)),
        target=message.target,
        legal_basis=message.legal_basis,
        offers_allowed=message.offers_allowed,
        mandates=tuple(message.mandates),
        ruler=message.ruler,
        issued=instant_from_pb(message.issue_time),
        taken=instant_from_pb(message.take_time) if message.HasField("take_time") else None,
        form=CaseRulingForm(known_code(CaseRulingForm, message.form)),
        parts=tuple(Part(part.party, part.matter) for part in message.parts),
        merge_into=message.merge_into,
    )


def _entry_of(message: case_pb2.CaseEntry) -> Entry:
    return Entry(
        number=message.number,
        kind=CaseEntryKind(known_code(CaseEntryKind, message.kind)),
        party=message.party,
        author=message.author,
        said=instant_from_pb(message.say_time),
        proposed=message.proposed_owner or None,
        legal_basis=message.legal_basis,
        attendees=tuple(message.attendees),
        evidence=tuple(message.evidence),
        upheld=message.upheld if message.kind == case_pb2.CaseEntry.KIND_ANSWER else None,
    )
